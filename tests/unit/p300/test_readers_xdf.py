"""XDF: streams chosen by type or name, clocks brought together as pyxdf does, losses, and markers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyxdf
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers import open_recording, read_recording
from p300.readers.declared import Declared
from p300.readers.xdf import _clock, _on_one_clock
from p300.readers.xdf_chunks import TEXT, read_streams, sample_chunks, texts

from tests.support.labs import generated
from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv
from tests.support.real_data import file
from tests.support.xdf import Written, chunk_stamps, write_xdf

RATE = 256.0
BEGIN_S = 1000.0
TIMES = BEGIN_S + np.arange(N_SAMPLES) / RATE


def eeg(**changes: Any) -> Written:
    made = Written("amplifier", "EEG", eeg_uv(3), chunk_stamps(TIMES), RATE, labels=("Fz", "Cz", "Pz"))
    return replace(made, **changes)


def markers(onsets: NDArray[np.integer] = ONSETS, **changes: Any) -> Written:
    names = ["Target" if label == 2 else "NonTarget" for label in LABELS]
    return replace(Written("flashes", "Markers", names, TIMES[onsets], format=TEXT), **changes)


def refusal(path: Path, declared: Declared | None = None) -> RecordingError:
    with pytest.raises(RecordingError) as refused:
        open_recording(path, declared=declared)
    return refused.value


@pytest.mark.parametrize("format_", ["float32", "double64", "int16", "int32", "int64"])
@pytest.mark.parametrize("stamped", ["first of a chunk", "all", "some"])
def test_reads_eeg_and_flashes(tmp_path: Path, format_: str, stamped: str) -> None:
    stamps = {"first of a chunk": chunk_stamps(TIMES), "all": TIMES, "some": chunk_stamps(TIMES, 7)}[stamped]
    found = read_recording(write_xdf(tmp_path / "a.xdf", eeg(format=format_, stamps=stamps), markers()))
    assert (found.ch_names, found.sfreq, found.notes, found.gaps) == (("Fz", "Cz", "Pz"), RATE, (), ())
    expected = eeg_uv(3).T if "int" not in format_ else np.trunc(eeg_uv(3).T)
    np.testing.assert_allclose(found.data, expected * 1e-6, rtol=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


def test_markers_of_numbers_are_codes(tmp_path: Path) -> None:
    codes = markers(values=LABELS[:, np.newaxis], format="int32", name="codes")
    np.testing.assert_array_equal(read_recording(write_xdf(tmp_path / "a.xdf", eeg(), codes)).stim[ONSETS], LABELS)


def test_a_trigger_channel_of_the_eeg_has_the_flashes_where_there_are_no_markers(tmp_path: Path) -> None:
    codes = np.zeros(N_SAMPLES)
    for onset, label in zip(ONSETS, LABELS, strict=True):
        codes[onset : onset + 5] = label
    stream = eeg(values=np.column_stack([eeg_uv(3), codes]), labels=("Fz", "Cz", "Pz", "TRG"))
    found = read_recording(write_xdf(tmp_path / "a.xdf", stream))
    assert found.ch_names == ("Fz", "Cz", "Pz")
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


def test_clocks_of_two_computers_are_brought_together(tmp_path: Path) -> None:
    """The markers' clock is 500 s behind, and drifts by a thousandth."""
    ahead = [(BEGIN_S - 500 + t, 500 + 1e-3 * t) for t in np.arange(0, 12, 5.0)]
    own = BEGIN_S - 500 + (TIMES[ONSETS] - BEGIN_S) / 1.001
    found = read_recording(write_xdf(tmp_path / "a.xdf", eeg(), markers(stamps=own, offsets=ahead)))
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)


def test_jitter_of_time_stamps_moves_no_flash(tmp_path: Path) -> None:
    late = TIMES + np.random.default_rng(0).exponential(0.004, N_SAMPLES)
    found = read_recording(write_xdf(tmp_path / "a.xdf", eeg(stamps=late), markers(stamps=TIMES[ONSETS] + 0.004)))
    np.testing.assert_allclose(np.flatnonzero(found.stim), ONSETS, atol=1)
    assert found.gaps == ()
    assert any(note.startswith("time stamps jitter by up to") for note in found.notes)


@pytest.mark.parametrize("lost", [4, 100, 2000])
def test_lost_samples_are_a_gap_and_move_no_flash(tmp_path: Path, lost: int) -> None:
    """A loss of less than a second is no break to pyxdf, whose straight line would shift all around it."""
    kept = np.r_[0:1000, 1000 + lost : N_SAMPLES + lost]
    times = BEGIN_S + kept[:N_SAMPLES] / RATE
    stamps = times + np.random.default_rng(0).exponential(0.002, N_SAMPLES)
    path = write_xdf(tmp_path / "a.xdf", eeg(stamps=stamps), markers(stamps=times[ONSETS] + 0.002))
    found = read_recording(path)
    assert found.gaps == (1000,)
    np.testing.assert_allclose(np.flatnonzero(found.stim), ONSETS, atol=1)
    assert any("time is not continuous" in note for note in found.notes)


def test_samples_that_come_late_together_are_no_gap(tmp_path: Path) -> None:
    stamps = TIMES.copy()
    stamps[1000:1020] = stamps[1019]
    assert read_recording(write_xdf(tmp_path / "a.xdf", eeg(stamps=stamps), markers())).gaps == ()


def test_events_in_a_gap_are_ignored_and_counted(tmp_path: Path) -> None:
    times = np.where(np.arange(N_SAMPLES) < 1200, TIMES, TIMES + 20)
    names = [*markers().values, "Target", "NonTarget"]
    stamps = np.r_[times[ONSETS], times[1199] + 5, times[1199] + 6]
    found = read_recording(write_xdf(tmp_path / "a.xdf", eeg(stamps=times), markers(values=names, stamps=stamps)))
    assert "2 events in gaps of the recording ignored" in found.notes
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)


def test_a_source_slower_than_it_says_has_the_rate_that_is_measured(tmp_path: Path) -> None:
    times = BEGIN_S + np.arange(N_SAMPLES) / 250
    found = read_recording(write_xdf(tmp_path / "a.xdf", eeg(stamps=times), markers(stamps=times[ONSETS])))
    assert found.sfreq == 250
    assert "sampling rate measured: 250 Hz, where the file says 256 Hz" in found.notes
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)


def test_a_rate_that_is_another_altogether_is_refused(tmp_path: Path) -> None:
    times = BEGIN_S + np.arange(N_SAMPLES) / 128
    refused = refusal(write_xdf(tmp_path / "a.xdf", eeg(stamps=times), markers(stamps=times[ONSETS])))
    assert refused.code == "contradictory_rate"


def test_a_rate_that_changes_is_refused(tmp_path: Path) -> None:
    times = BEGIN_S + np.cumsum(1 / np.linspace(240, 272, N_SAMPLES))
    assert refusal(write_xdf(tmp_path / "a.xdf", eeg(stamps=times), markers())).code == "irregular_time"


def test_several_streams_of_eeg_are_refused_until_one_is_declared(tmp_path: Path) -> None:
    other = eeg(name="other", values=eeg_uv(3) * 2)
    path = write_xdf(
        tmp_path / "a.xdf", eeg(), other, markers(), eeg(name="silent", stamps=np.empty(0), values=np.empty((0, 3)))
    )
    refused = refusal(path)
    assert refused.code == "several_streams"
    assert "'amplifier' (EEG, 3 channels of float32 at 256 Hz), 'other'" in refused.message
    assert '{"streams": ["amplifier"]}' in refused.message
    found = read_recording(path, declared=Declared(streams=("other",)))
    np.testing.assert_allclose(found.data, 2e-6 * eeg_uv(3).T, rtol=1e-6)


def test_streams_of_one_name_are_declared_by_number(tmp_path: Path) -> None:
    path = write_xdf(tmp_path / "a.xdf", markers(), eeg(), eeg(values=eeg_uv(3) * 2))
    assert '{"streams": ["#2"]}' in refusal(path).message
    found = read_recording(path, declared=Declared(streams=("#3",)))
    np.testing.assert_allclose(found.data, 2e-6 * eeg_uv(3).T, rtol=1e-6)


def test_a_stream_of_another_type_is_read_when_it_is_declared(tmp_path: Path) -> None:
    path = write_xdf(tmp_path / "a.xdf", eeg(kind="signal"), markers())
    refused = refusal(path)
    assert (refused.code, '{"streams": ["amplifier"]}' in refused.message) == ("missing_eeg", True)
    assert open_recording(path, declared=Declared(streams=("amplifier",))).n_samples == N_SAMPLES


def test_two_streams_of_flashes_are_refused_until_one_is_declared(tmp_path: Path) -> None:
    later = markers(ONSETS + 5, name="photodiode")
    path = write_xdf(tmp_path / "a.xdf", eeg(), markers(), later, markers(name="log", values=["hello"] * len(ONSETS)))
    assert refusal(path).code == "several_streams"
    found = read_recording(path, declared=Declared(streams=("photodiode",)))
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS + 5)


def test_other_streams_are_named_as_ignored(tmp_path: Path) -> None:
    log = markers(name="log", values=["hello"] * len(ONSETS))
    notes = open_recording(write_xdf(tmp_path / "a.xdf", eeg(), markers(), log)).notes
    assert notes == ("streams without flashes ignored: 'log' (Markers, 1 channels of string of events)",)


def test_a_stream_whose_flashes_are_refused_is_not_one_without_flashes(tmp_path: Path) -> None:
    keys = markers(name="Keys", values=["Target" if i % 2 else "NonTarget" for i in range(len(ONSETS))])
    log = markers(name="log", values=["hello"] * len(ONSETS))
    notes = open_recording(write_xdf(tmp_path / "a.xdf", eeg(), markers(), keys, log)).notes
    assert [note.partition(": ")[0] for note in notes] == [
        "streams without flashes ignored",
        "streams whose events are refused as flashes ignored",
    ]
    assert "'log'" in notes[0] and "Keys" not in notes[0]
    assert "'Keys'" in notes[1] and "implausible_events" in notes[1]


@pytest.mark.parametrize("streams", [(), ("amplifier",), ("#1",)])
@pytest.mark.parametrize("kind", ["EEG", "signal"])
def test_eeg_without_a_rate_is_refused_for_that(tmp_path: Path, streams: tuple[str, ...], kind: str) -> None:
    path = write_xdf(tmp_path / "a.xdf", eeg(rate=0.0, kind=kind, stamps=TIMES), markers())
    refused = refusal(path, Declared(streams=streams))
    if kind == "EEG" or streams:
        assert (refused.code, "nominal_srate of 0" in refused.message) == ("missing_sfreq", True)
        assert "streams" not in refused.message.replace("streams of events", "")
    else:
        assert refused.code == "missing_eeg"


def test_units_and_types_of_channels_are_used(tmp_path: Path) -> None:
    stream = eeg(units=("mV", "uV", "degC"), values=eeg_uv(3) * [1e-3, 1, 1])
    found = read_recording(write_xdf(tmp_path / "a.xdf", stream, markers()))
    assert found.ch_names == ("Fz", "Cz")
    np.testing.assert_allclose(found.data, eeg_uv(3).T[:2] * 1e-6, rtol=1e-6)
    found = read_recording(write_xdf(tmp_path / "a.xdf", eeg(kinds=("EEG", "EOG", "EEG")), markers()))
    assert found.ch_names == ("Fz", "Pz")


def test_channels_that_are_not_described_are_numbered_microvolts(tmp_path: Path) -> None:
    found = read_recording(write_xdf(tmp_path / "a.xdf", eeg(labels=()), markers()))
    assert found.ch_names == ("ch01", "ch02", "ch03")
    assert found.notes == ("channel names not in the file: numbered", "unit not in the file: taken as microvolts")


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda data: data[:-5], "a chunk of"),
        (lambda data: b"XDF;" + data[4:], "does not begin with 'XDF:'"),
        (lambda data: data.replace(b"<info><name>", b"<!DOCTYPE x>"), "document type"),
        (lambda data: data.replace(b"<channel_count>3", b"<channel_count>0"), "0 channels"),
        (lambda data: data.replace(b"<channel_count>3", b"<channel_count>9"), "samples of stream"),
        (lambda data: data.replace(b"<channel_format>float32", b"<channel_format>float33"), "float33"),
        (lambda data: data.replace(b"</desc>", b"</dosc>"), "description"),
    ],
)
def test_damage_is_refused_with_what_it_is(tmp_path: Path, spoil: Any, what: str) -> None:
    path = write_xdf(tmp_path / "a.xdf", eeg(), markers())
    path.write_bytes(spoil(path.read_bytes()))
    refused = refusal(path)
    assert (refused.code, what in refused.message) == ("unreadable", True), refused.message


def _assert_equal_to_pyxdf(path: Path) -> None:
    by_number = {one["info"]["stream_id"]: one for one in pyxdf.load_xdf(path)[0]}
    for stream in read_streams(path, path.name):
        expected = by_number[stream.number]
        if stream.format == TEXT:
            stamps, values = texts(path, stream, 10_000, path.name)
            assert values == expected["time_series"]
            times = _on_one_clock(np.array(stamps), stream, path.name)[0] if stamps else np.empty(0)
        elif not stream.begins:
            continue
        elif stream.rate:
            clock, n_kept = _clock(path, stream, path.name)
            numbers = np.concatenate([part for _, part in sample_chunks(path, stream, path.name)])
            np.testing.assert_array_equal(numbers[:n_kept], expected["time_series"])
            times = clock.times
        np.testing.assert_allclose(times, expected["time_stamps"], rtol=0, atol=1e-7)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["minimal", "empty_streams"])
def test_equal_to_pyxdf_on_its_examples(name: str) -> None:
    _assert_equal_to_pyxdf(file(f"formats/xdf/{name}.xdf"))


@pytest.mark.real_data
def test_clock_resets_are_those_of_pyxdf() -> None:
    """Its amplifier is simulated, with losses that pyxdf does not look for: the markers have clock resets alone."""
    path = file("formats/xdf/clock_resets.xdf")
    stream = read_streams(path, "a")[0]
    stamps, _ = texts(path, stream, 1000, "a")
    expected = next(one for one in pyxdf.load_xdf(path)[0] if one["info"]["type"] == ["Markers"])
    times, _ = _on_one_clock(np.array(stamps), stream, "a")
    np.testing.assert_allclose(times, expected["time_stamps"], rtol=0, atol=1e-7)
    assert refusal(path).code == "irregular_time"


@given(st.integers(0, 2**32 - 1))
@generated(20)
def test_equal_to_pyxdf_with_jitter_breaks_drift_and_resets(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    later = np.arange(4000) >= rng.integers(500, 3500)
    own = BEGIN_S + np.arange(4000) / RATE + 30.0 * later
    back = own[later][0] - 15
    offsets = [
        (t, 0.5 + 1e-4 * t + rng.normal(0, 1e-4) + 5e-2 * (rng.random() < 0.1))
        for t in np.arange(BEGIN_S, own[-1], 5.0)
    ]
    stamps = own + rng.normal(0, 1e-3, 4000)
    marks = own[np.sort(rng.integers(0, 4000, 50))]
    if rng.random() < 0.5:  # the source's computer starts again in the break
        stamps, marks = (np.where(t > back, t + 4000, t) for t in (stamps, marks))
        offsets = [(t + 4000, v - 4000) if t > back else (t, v) for t, v in offsets]
    format_ = rng.choice(["float32", "double64", "int16", "int32"])
    stream = Written("a", "EEG", rng.integers(-99, 99, (4000, 2)), stamps, RATE, str(format_), offsets=offsets)
    stream.per_chunk = int(rng.integers(1, 300))
    if rng.random() < 0.5:
        stream.stamps = chunk_stamps(stamps, stream.per_chunk)
    stream.n_stated = int(rng.choice([4000, 3990]))
    _assert_equal_to_pyxdf(
        write_xdf(tmp_path / "a.xdf", stream, Written("m", "Markers", ["x"] * 50, marks, format=TEXT, offsets=offsets))
    )


@pytest.mark.parametrize("restarts_at", [50.0, 5000.0], ids=["lower", "higher"])
@pytest.mark.parametrize("lost_s", [0.5, 4.0])
def test_a_clock_reset_is_a_gap_and_flashes_stay_at_their_samples(
    tmp_path: Path, restarts_at: float, lost_s: float
) -> None:
    begins = int(ONSETS[len(ONSETS) // 2]) - 10
    true = TIMES + lost_s * (np.arange(N_SAMPLES) >= begins)
    later = true >= true[begins]
    own = np.where(later, true - true[begins] + restarts_at, true)
    offsets = [
        (at, there)
        for first, last, there in ((BEGIN_S, true[begins - 1], 0.0), (restarts_at, own[-1], true[begins] - restarts_at))
        for at in np.arange(first, last, 1.0)
    ]
    path = write_xdf(tmp_path / "a.xdf", eeg(stamps=own, offsets=offsets), markers(stamps=true[ONSETS]))
    found = read_recording(path)
    assert found.gaps == (begins,)
    assert found.flash is None
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)
