"""What `p300 inspect` finds: the contents of a file that is refused too, and the mapping that makes it usable."""

import json
from pathlib import Path

import mne
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.inspection import check, inspect
from p300.readers import READERS, open_recording
from p300.signals import Parameters
from pyarrow import csv as pacsv

from tests.support.bci2000 import write_bci2000
from tests.support.gdf import write_gdf
from tests.support.gtec import write_gtec
from tests.support.labs import SFREQ, lab, write
from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv, stim, write_brainvision, write_edf, write_parquet
from tests.support.xdf import Written, write_xdf


def foreign(path: Path, names: tuple[str, str] = ("S 33", "S 44")) -> Path:
    """A BrainVision recording with names of its own for non-targets and targets."""
    return write_brainvision(
        path, [(names[label - 1], int(at)) for label, at in zip(LABELS.tolist(), ONSETS, strict=True)]
    )


def test_a_usable_recording_is_described(tmp_path: Path) -> None:
    found = inspect(write_edf(tmp_path / "run.edf"))
    assert (found.format, found.sfreq, found.seconds) == ("edf", 256.0, 10.0)
    assert [(one.name, one.kind, one.unit) for one in found.channels] == [
        ("Status", "stim", ""), ("Fz", "eeg", "uV"), ("Cz", "eeg", "uV"), ("Pz", "eeg", "uV"),
    ]  # fmt: skip
    assert [(one.name, one.n) for one in found.events] == [("1", 33), ("2", 7)]
    assert found.events[0].interval_s == pytest.approx(60 / 256)
    assert found.usable is not None
    assert (found.usable.n_target, found.usable.n_non_target) == (7, 33)
    assert (found.refusal, found.mapping, found.sidecar) == (None, {}, None)


def test_a_refused_recording_is_described_too_with_the_mapping_to_paste(tmp_path: Path) -> None:
    path = foreign(tmp_path / "run.vhdr")
    found = inspect(path)
    assert found.refusal is not None
    assert found.refusal.code == "unknown_codes"
    assert found.files == ("run.eeg", "run.vmrk")
    assert [one.unit for one in found.channels] == ["µV"] * 3
    assert {one.name: one.n for one in found.events} == {"Stimulus/S 33": 33, "Stimulus/S 44": 7}
    assert (found.sfreq, found.seconds) == (256.0, 10.0)
    assert found.mapping == {"event_id": {"Stimulus/S 33": 1, "Stimulus/S 44": 2}}
    assert found.with_mapping is not None
    (tmp_path / "run.p300.json").write_text(json.dumps(found.mapping))
    again = inspect(path)
    assert (again.refusal, again.usable, again.sidecar) == (None, found.with_mapping, found.mapping)


def test_the_mapping_lifts_one_refusal_after_the_other(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "run.parquet", {"sfreq": "256", "unit": "V"}, stim=stim(33, 44).astype(np.int32))
    found = inspect(path)
    assert found.mapping == {"event_id": {"33": 1, "44": 2}, "unit": "uV"}
    assert found.with_mapping is not None
    assert open_recording(path, sidecar=found.mapping).volts_per_unit == 1e-6


def test_the_mapping_keeps_what_the_sidecar_says_already(tmp_path: Path) -> None:
    path = foreign(tmp_path / "run.vhdr")
    (tmp_path / "run.p300.json").write_text('{"reference": "average"}')
    assert inspect(path).mapping == {"reference": "average", "event_id": {"Stimulus/S 33": 1, "Stimulus/S 44": 2}}


@pytest.mark.parametrize("extension", [*READERS, ".tsv"])
def test_junk_of_every_format_is_refused_and_never_raises(tmp_path: Path, extension: str) -> None:
    for body in (b"", b"junk" * 100):
        path = tmp_path / f"run{extension}"
        path.write_bytes(body)
        found = inspect(path)
        assert found.refusal is not None
        assert (found.n_bytes, found.usable, found.mapping) == (len(body), None, {})


def test_gaps_and_groups_are_told(tmp_path: Path) -> None:
    times = np.arange(N_SAMPLES) / 256
    times[1280:] += 3
    groups = np.zeros(N_SAMPLES, np.int32)
    groups[ONSETS] = 1 + np.arange(len(ONSETS)) % 6
    usable = inspect(write_parquet(tmp_path / "run.parquet", time=times, flash=groups)).usable
    assert usable is not None
    assert (usable.gaps_s, usable.n_groups) == ((5.0,), 6)


def test_the_stacks_preprocessing_counts(tmp_path: Path) -> None:
    path = foreign(tmp_path / "run.vhdr")
    assert inspect(path, parameters=Parameters(event_id=(("S 33", 1), ("S 44", 2)))).usable is not None
    refusal = inspect(write_edf(tmp_path / "e.edf"), parameters=Parameters(h_freq=130, sfreq=300)).refusal
    assert refusal is not None
    assert refusal.code == "sfreq_too_low"


@given(st.permutations(["S  7", "go", "stop", "S 12", "33", "blank screen"]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_two_events_are_called_the_mapping_makes_the_recording_usable(
    tmp_path: Path, names: list[str]
) -> None:
    path = foreign(tmp_path / "run.vhdr", (names[0], names[1]))
    found = inspect(path)
    assert found.refusal is not None
    assert found.with_mapping is not None
    assert (found.with_mapping.n_target, found.with_mapping.n_non_target) == (7, 33)
    check(path, "subject_01/run.vhdr", Parameters(reject_peak_to_peak_uv=None), sidecar=found.mapping)


def test_the_check_finds_what_only_preprocessing_finds(tmp_path: Path) -> None:
    columns = {f"eeg_{name}": 30 * row for name, row in zip("ABC", eeg_uv(3).T, strict=True)}
    path = write_parquet(tmp_path / "wild.parquet", **columns)
    with pytest.raises(RecordingError) as refusal:
        check(path, "subject_01/wild.parquet", Parameters())
    assert refusal.value.code == "no_epochs_kept"
    found = inspect(path)
    assert found.refusal is not None
    assert (found.refusal.code, found.usable, found.mapping) == ("no_epochs_kept", None, {})
    assert (found.sfreq, len(found.channels)) == (256.0, 3)


def test_faults_of_the_whole_signal_are_told_where_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = eeg_uv(3).T
    uv[1, 1200:1800] = uv[1, 1199]
    path = write_parquet(tmp_path / "a.parquet", **{f"eeg_{name}": row for name, row in zip("ABC", uv, strict=True)})
    usable = inspect(path, parameters=Parameters(reject_peak_to_peak_uv=None)).usable
    assert usable is not None
    assert usable.n_kept is not None
    assert any("stand still" in note and "B 2.3 s" in note for note in usable.notes)
    monkeypatch.setattr("p300.inspection.MOST_VALUES_READ", 3 * N_SAMPLES - 1)
    unread = inspect(path).usable
    assert unread is not None
    assert unread.n_kept is None
    assert any("looked at around its first flashes only" in note for note in unread.notes)
    assert not any("stand still" in note for note in unread.notes)


def streams(path: Path, n_of_one: int, *flashes: str, kind: str = "EEG") -> Path:
    stamps = 100 + np.arange(N_SAMPLES) / 256
    names = ["Target" if label == 2 else "NonTarget" for label in LABELS.tolist()]
    eeg = [
        Written(name, kind, eeg_uv(3)[:n], stamps[:n], 256.0, labels=("Fz", "Cz", "Pz"), units=("uV",) * 3)
        for name, n in (("one", n_of_one), ("two", N_SAMPLES))
    ]
    return write_xdf(
        path, *eeg, *(Written(name, "Markers", names, stamps[ONSETS], format="string") for name in flashes)
    )


@pytest.mark.parametrize(
    ("n_of_one", "flashes", "kind"),
    [(N_SAMPLES, ["screen"], "EEG"), (N_SAMPLES, ["screen"], "signal"), (200, ["screen", "log"], "EEG")],
)
def test_of_several_streams_that_fit_all_are_named_and_none_is_proposed(
    tmp_path: Path, n_of_one: int, flashes: list[str], kind: str
) -> None:
    found = inspect(streams(tmp_path / "run.xdf", n_of_one, *flashes, kind=kind))
    assert found.refusal is not None
    assert found.refusal.code == ("several_streams" if kind == "EEG" else "missing_eeg")
    assert '{"streams": ["one"]} or {"streams": ["two"]}' in found.refusal.message
    assert (found.mapping, found.with_mapping) == ({}, None)


def test_the_only_stream_that_fits_is_proposed(tmp_path: Path) -> None:
    path = streams(tmp_path / "run.xdf", 200, "screen")
    found = inspect(path)
    assert found.refusal is not None
    assert found.refusal.code == "several_streams"
    assert found.mapping == {"streams": ["two"]}
    assert inspect(path, sidecar=found.mapping).usable == found.with_mapping


def test_of_two_sources_with_other_classes_at_the_same_times_none_is_proposed(tmp_path: Path) -> None:
    stamps = 100 + np.arange(N_SAMPLES) / 256
    eeg = Written("amp", "EEG", eeg_uv(3), stamps, 256.0, labels=("Fz", "Cz", "Pz"), units=("uV",) * 3)
    one, other = (
        Written(name, "Markers", [names[label - 1] for label in labels], stamps[ONSETS], format="string")
        for name, names, labels in (
            ("screen", ("std", "odd"), LABELS.tolist()),
            ("log", ("a", "b"), np.roll(LABELS, 1).tolist()),
        )
    )
    found = inspect(write_xdf(tmp_path / "run.xdf", eeg, one, other))
    assert found.refusal is not None
    assert (found.refusal.code, found.mapping) == ("unknown_codes", {})


@pytest.mark.parametrize("columns", [["y"], ["y", "z"]])
def test_a_column_of_events_is_proposed_if_it_is_the_only_one_that_fits(tmp_path: Path, columns: list[str]) -> None:
    codes = np.zeros(N_SAMPLES, int)
    codes[ONSETS] = LABELS
    table = {
        "time": np.arange(N_SAMPLES) / 256,
        **dict(zip(("Fz", "Cz", "Pz"), eeg_uv(3).T, strict=True)),
        **dict.fromkeys(columns, codes),
    }
    pacsv.write_csv(pa.table(table), path := tmp_path / "run.csv")
    found = inspect(path)
    assert found.refusal is not None
    assert found.refusal.code == "missing_stim"
    assert all(f'{{"event_column": "{column}"}}' in found.refusal.message for column in columns)
    assert found.mapping == ({"event_column": "y"} if columns == ["y"] else {})


def test_codes_of_a_stim_channel_are_proposed(tmp_path: Path) -> None:
    made = lab()
    raw = mne.io.read_raw_fif(write(tmp_path, made, "fif"), preload=True, verbose="error")
    raw._data[raw.ch_names.index(next(one for one in raw.ch_names if one.startswith("STI")))] *= 256
    raw.save(path := tmp_path / "run_raw.fif", verbose="error")
    found = inspect(path)
    assert found.refusal is not None
    assert (found.refusal.code, found.mapping) == ("unknown_codes", {"event_id": {"256": 1, "512": 2}})


def test_every_format_is_described(tmp_path: Path) -> None:
    onsets, codes = ONSETS.tolist(), [LABELS[number].item() for number in range(len(ONSETS))]
    code, target = stim(1, 2).astype(int), stim(1, 2) == 2
    names = ["Target" if label == 2 else "NonTarget" for label in codes]
    paths = [
        write_bci2000(tmp_path / "b.dat", np.round(eeg_uv(3).T * 100), code, target),
        write_gdf(tmp_path / "g.gdf", eeg_uv(3).T, onsets, codes),
        write_gtec(tmp_path / "h.hdf5", eeg_uv(3).T, onsets, names),
    ]
    for path in paths:
        found = inspect(path)
        assert found.refusal is None, found.refusal
        assert found.usable is not None
        assert (found.usable.n_target, found.usable.n_non_target) == (7, 33)
        assert [one.name for one in found.channels if one.kind == "eeg"] == ["Fz", "Cz", "Pz"]
        assert sum(one.n for one in found.events) == len(ONSETS)


def test_a_mapping_that_lifts_no_refusal_is_not_shown(tmp_path: Path) -> None:
    z_scores = {f"eeg_{name}": (row - row.mean()) / row.std() for name, row in zip("ABC", eeg_uv(3).T, strict=True)}
    unclear = write_parquet(tmp_path / "held.parquet", stim=np.maximum.accumulate(stim(1, 2)).astype(np.int32))
    for path in (write_parquet(tmp_path / "z.parquet", **z_scores), unclear):
        found = inspect(path)
        assert found.refusal is not None
        assert (found.mapping, found.still_refused) == ({}, None)
    too_low = inspect(write_edf(tmp_path / "e.edf"), parameters=Parameters(h_freq=130, sfreq=300))
    assert (too_low.usable, too_low.mapping) == (None, {})


def test_no_mapping_is_shown_where_the_signal_is_refused_whatever_it_says(tmp_path: Path) -> None:
    z_scores = {f"eeg_{name}": (row - row.mean()) / row.std() for name, row in zip("ABC", eeg_uv(3).T, strict=True)}
    found = inspect(write_parquet(tmp_path / "z.parquet", stim=stim(33, 44).astype(np.int32), **z_scores))
    assert found.mapping == {}
    assert found.still_refused is not None
    assert found.still_refused.code == "wrong_unit"


def test_annotations_that_a_stim_channel_contradicts_are_not_mapped(tmp_path: Path) -> None:
    made = lab()
    raw = mne.io.read_raw_fif(write(tmp_path, made, "fif"), preload=True, verbose="error")
    names = ["Target" if made.stim[at] == 2 else "NonTarget" for at in made.onsets]
    raw.set_annotations(mne.Annotations(made.onsets / SFREQ + 0.1, 0, names))
    raw.save(path := tmp_path / "run_raw.fif", verbose="error")
    found = inspect(path)
    assert found.refusal is not None
    assert found.refusal.code == "contradictory_events"
    assert '"event_id": {"NonTarget": 1, "Target": 2}' in found.refusal.message
    assert (found.mapping, found.with_mapping) == ({}, None)
    mixed = inspect(path, sidecar={"event_id": {"1": 1, "NonTarget": 2}})
    assert mixed.refusal is not None
    assert '"NonTarget": 2' not in mixed.refusal.message
    assert mixed.mapping == {}


def test_a_sidecar_that_the_mapping_would_replace_is_told(tmp_path: Path) -> None:
    path = foreign(tmp_path / "run.vhdr")
    assert not inspect(path).replaces_sidecar
    (tmp_path / "run.p300.json").write_text("{}")
    assert inspect(path).replaces_sidecar
