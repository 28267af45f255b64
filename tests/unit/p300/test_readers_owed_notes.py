"""What a reader owes a person: a note on every assumption about time, unit and marks, or a refusal that names the contradiction."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.errors import P300Error, RecordingError
from p300.inspection import inspect
from p300.readers import open_recording, read_recording
from p300.signals import Parameters, extract

from tests.support.generated import CHANNELS, TARGET, Session, write_brainvision, write_edf_events

MADE = Session(n_repetitions=4)
TIMES = np.arange(MADE.n_samples)
NAMED = [
    (int(at), "Target" if label == TARGET else "NonTarget") for at, label in zip(MADE.onsets, MADE.labels, strict=True)
]
STIM = {"stim": MADE.line(MADE.labels)}


def eeg(prefix: str = "eeg_", unit: str = "", scale: float = 1.0) -> dict[str, Any]:
    return {f"{prefix}{name}{unit}": row * scale for name, row in zip(CHANNELS, MADE.eeg_uv, strict=True)}


def write(path: Path, columns: Mapping[str, Any], **stated: str) -> Path:
    """Write a table as csv or parquet."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table(dict(columns)).replace_schema_metadata(stated), path)
        return path
    head = f"# {' '.join(f'{key}={value}' for key, value in stated.items())}\n" if stated else ""
    rows = np.column_stack(list(columns.values()))
    np.savetxt(path, rows, "%.9g", ",", header=head + ",".join(columns), comments="")
    return path


def refusal(path: Path, code: str, sidecar: dict[str, Any] | None = None) -> str:
    with pytest.raises(RecordingError) as raised:
        open_recording(path, sidecar=sidecar)
    assert raised.value.code == code
    return raised.value.message


# ---- time
@pytest.mark.parametrize("prefix", ["", "eeg_"])
def test_numbers_of_samples_are_no_milliseconds(tmp_path: Path, prefix: str) -> None:
    found = inspect(write(tmp_path / "a.csv", {"time": TIMES, **eeg(prefix), **STIM}))
    assert found.refusal is not None
    assert (found.refusal.code, found.mapping) == ("missing_sfreq", {})
    assert "the numbers of samples, whose rate nobody can tell, or like milliseconds (1000 Hz)" in found.refusal.message
    quarter = inspect(write(tmp_path / "b.csv", {"time": TIMES / 0.256, **eeg(prefix), **STIM}))
    assert quarter.mapping == {"sfreq": 256.0}


@pytest.mark.parametrize("column", ["timestamp_ms", "time (s)", "time_us", "Timestamp [ms]"])
@pytest.mark.parametrize("name", ["a.csv", "b.csv", "a.parquet"])
def test_times_in_a_stated_unit_contradict_a_declared_rate(tmp_path: Path, column: str, name: str) -> None:
    per_s = 1e3 if "ms" in column else 1e6 if "us" in column else 1
    prefix = "" if name == "b.csv" else "eeg_"
    for step_s in (1.0, 1 / 256e3, 1 / 250):
        path = write(tmp_path / name, {column: TIMES * step_s * per_s, **eeg(prefix), **STIM}, sfreq="256")
        assert "declares 256 Hz" in refusal(path, "contradictory_rate")
    right = write(tmp_path / name, {column: TIMES / 256 * per_s, **eeg(prefix), **STIM}, sfreq="256")
    assert open_recording(right).sfreq == 256


def test_a_parquet_files_time_stamps_are_in_their_own_unit(tmp_path: Path) -> None:
    stamps = pa.array(TIMES, pa.timestamp("s"))
    path = write(tmp_path / "a.parquet", {"time": stamps, **eeg(), **STIM}, sfreq="256")
    assert "says 1 Hz, and the file declares 256 Hz" in refusal(path, "contradictory_rate")


@pytest.mark.parametrize("prefix", ["", "eeg_"])
def test_a_rate_that_a_sidecar_overrides_is_noted(tmp_path: Path, prefix: str) -> None:
    path = write(tmp_path / "a.csv", {**eeg(prefix), **STIM}, sfreq="256")
    note = "sampling rate declared: 250 Hz, other than the file's 256"
    stream = open_recording(path, sidecar={"sfreq": 250})
    assert (stream.sfreq, note in stream.notes) == (250, True)
    assert not any("other than" in one for one in open_recording(path, sidecar={"sfreq": 256.0}).notes)


# ---- units
@given(
    st.sampled_from([" [{}]", "({})", " ({})", "[{}]"]),
    st.sampled_from([("V", 1e-6), ("mV", 1e-3), ("uV", 1.0), ("µV", 1.0), ("microvolts", 1.0), ("nV", 1e3)]),
    st.sampled_from(["a.csv", "b.csv", "a.parquet"]),
)
@settings(max_examples=25, deadline=None)
def test_a_unit_in_the_names_of_columns_is_read(spelling: str, unit: tuple[str, float], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        columns = {**eeg("" if name == "b.csv" else "eeg_", spelling.format(unit[0]), unit[1]), **STIM}
        stream = open_recording(write(Path(folder) / name, columns, sfreq="256"))
        assert stream.ch_names == CHANNELS
        np.testing.assert_allclose(stream.load().data, MADE.eeg_uv * 1e-6, rtol=1e-6, atol=1e-12)
        assert name == "b.csv" or f"unit {unit[0]}, by the names of the columns" in stream.notes


@pytest.mark.parametrize("name", ["a.csv", "b.csv", "a.parquet"])
def test_units_that_contradict_each_other_are_refused(tmp_path: Path, name: str) -> None:
    prefix = "" if name == "b.csv" else "eeg_"
    columns = {**eeg(prefix, " [mV]", 1e-3), **STIM}
    path = write(tmp_path / name, columns, sfreq="256", unit="uV")
    assert "says mV, and the file uV. Expected the same unit" in refusal(path, "bad_metadata")
    path = write(tmp_path / name, columns, sfreq="256")
    declared = open_recording(path, sidecar={"unit": "mV"})
    assert "unit declared: mV" in declared.notes
    assert "unit declared: nV, other than the file's" in _notes_of_refused(path, {"unit": "nV"})


def _notes_of_refused(path: Path, sidecar: dict[str, Any]) -> tuple[str, ...]:
    """Return the notes of a reader before the look at the signal, which refuses the unit."""
    from p300.readers import csv, parquet
    from p300.readers.declared import Declared

    read = parquet.read if path.suffix == ".parquet" else csv.read
    return read(path, path.name, Declared(unit=sidecar["unit"])).notes


def test_a_unit_in_some_columns_only_is_refused(tmp_path: Path) -> None:
    columns = {"eeg_Fz [mV]": MADE.eeg_uv[0], "eeg_Cz": MADE.eeg_uv[1], **STIM}
    assert "others none: eeg_Cz" in refusal(write(tmp_path / "a.csv", columns, sfreq="256"), "bad_metadata")


def test_a_wrong_unit_is_told_of_scaled_numbers(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path / "a.vhdr", MADE, NAMED)
    path.write_text(path.read_text("utf-8").replace("0.1,µV", "0.1,mV"), "utf-8")
    message = refusal(path, "wrong_unit")
    assert "If the numbers, as the file scales them, are uV, correct the unit in the file, or declare it" in message
    right = open_recording(path, sidecar={"unit": "uV"}).load()
    np.testing.assert_allclose(right.data, MADE.eeg_uv * 1e-6, atol=1e-12)


# ---- marks
def test_at_most_half_of_the_channels_may_be_bad(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.parquet", {**eeg(), **{f"eeg_{n}": MADE.eeg_uv[0] for n in ("C3", "C4")}, **STIM}, sfreq="256"
    )
    found = inspect(path, sidecar={"bad_channels": ["Fz", "Cz", "C3"]})
    assert found.refusal is not None
    assert found.refusal.code == "no_good_channel"
    assert "3 of 5 EEG channels are bad" in found.refusal.message
    noted = inspect(path, sidecar={"bad_channels": ["Fz", "Cz"]}).usable
    assert noted is not None
    assert any("Fz, Cz replaced by" in note for note in noted.notes)


def test_boundaries_and_bad_spans_are_counted_and_left_out(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path / "a.vhdr", MADE, NAMED)
    markers = path.with_suffix(".vmrk")
    at = int(MADE.onsets[20]) + 5
    with markers.open("a") as file:
        file.write(f"Mk90=New Segment,,{at + 1},1,0,20240101100030000000\n")
    stream = open_recording(path)
    assert stream.gaps == (at,)
    lost = (
        f"time is not continuous: {30 - at / 256:.3g} s missing at {at / 256:.3f} s (sample {at}); no epoch spans these"
    )
    assert lost in stream.notes
    undated = markers.read_text("utf-8").replace(",20240101100030000000", ",")
    (markers.with_name("b.vmrk")).write_text(undated.replace("DataFile=a", "DataFile=b"), "utf-8")
    path.with_name("b.vhdr").write_text(path.read_text("utf-8").replace("=a.", "=b."), "utf-8")
    path.with_name("b.eeg").write_bytes(path.with_suffix(".eeg").read_bytes())
    note = f"1 boundary in the recording, at {at / 256:.1f} s: no epoch spans these"
    assert note in open_recording(path.with_name("b.vhdr")).notes
    keep = Parameters(reject_peak_to_peak_uv=None)
    features = extract(stream, keep)
    assert features.rejection.n_across_gaps > 0
    assert not ((features.onset_sample > at - 0.6 * 256) & (features.onset_sample < at + 0.1 * 256)).any()
    raw = mne.io.read_raw_brainvision(path, preload=True, verbose="error")
    raw.set_annotations(
        raw.annotations[:-1]
        + mne.Annotations([3.0, 4.0, 7.0], [2.0, 2.0, 0.5], ["BAD_blink", "bad", "BAD_x"], raw.info["meas_date"])
    )
    raw.save(fif := tmp_path / "a_raw.fif", verbose="error")
    marked = open_recording(fif)
    assert "3 spans marked as bad, 3.5 s in all: epochs that touch these are left out" in marked.notes
    kept = extract(marked, keep).onset_sample / 256
    assert not any(((kept > first - 0.6) & (kept < after + 0.1)).any() for first, after in ((3, 6), (7, 7.5)))


@pytest.mark.parametrize("frequency", [1, 10, 19.9])
def test_a_notch_in_the_band_of_the_p300_is_refused(tmp_path: Path, frequency: float) -> None:
    with pytest.raises(P300Error, match="notch_freq >= 20"):
        Parameters(notch_freq=frequency)
    path = write(tmp_path / "a.parquet", {**eeg(), **STIM}, sfreq="256")
    (tmp_path / "a.p300.json").write_text(f'{{"notch_freq": {frequency}}}')
    assert "notch_freq" in refusal(path, "bad_sidecar")


def test_a_line_frequency_above_half_the_rate_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {**eeg(), **STIM}, sfreq="256")
    note = "line frequency 128 Hz is not below half the sampling rate of 256 Hz: nothing is notched"
    assert note in extract(open_recording(path, sidecar={"notch_freq": 128})).notes
    assert not any("is notched" in one for one in extract(open_recording(path, sidecar={"notch_freq": 60})).notes)


# ---- headers
def test_signals_without_a_range_are_named(tmp_path: Path) -> None:
    path = write_edf_events(tmp_path / "a.edf", MADE, NAMED)
    body = bytearray(path.read_bytes())
    at = 256 + 4 * (16 + 80 + 8 + 8 + 8)  # the digital minima of four signals, then their maxima
    for first in (at, at + 4 * 8):
        body[first : first + 3 * 8] = b"0".ljust(8) * 3
    path.write_bytes(body)
    message = refusal(path, "unreadable")
    assert "an empty physical or digital range for every signal (Fz, Cz, Pz)" in message
    assert "picks" not in message


def test_a_vectorized_brainvision_file_is_read_by_channel(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path / "a.vhdr", MADE, NAMED)
    path.with_suffix(".eeg").write_bytes(np.round(MADE.eeg_uv * 10).astype("<i2").tobytes())
    path.write_text(path.read_text("utf-8").replace("MULTIPLEXED", "VECTORIZED"), "utf-8")
    np.testing.assert_allclose(read_recording(path).data, MADE.eeg_uv * 1e-6, atol=1e-12)


def test_brainvision_segments_by_markers_are_refused(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path / "a.vhdr", MADE, NAMED)
    header = path.read_text("utf-8")
    added = "SegmentationType={}\nSegmentDataPoints=256\nNumberOfChannels"
    path.write_text(header.replace("NumberOfChannels", added.format("MARKERBASED")), "utf-8")
    assert "SegmentationType=MARKERBASED: epochs" in refusal(path, "not_continuous")
    path.write_text(header.replace("NumberOfChannels", added.format("NOTSEGMENTED")), "utf-8")
    assert open_recording(path).n_samples == MADE.n_samples


def test_markers_of_another_signal_are_refused(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path / "a.vhdr", MADE, NAMED)
    markers = path.with_suffix(".vmrk")
    own = markers.read_text("utf-8")
    markers.write_text(own.replace("DataFile=a.eeg", "DataFile=run_2.eeg"), "utf-8")
    assert "a.vmrk says that its markers are those of run_2.eeg" in refusal(path, "bad_companion")
    for said in ("DataFile=A.EEG", "DataFile=$b.eeg", "DataFile="):
        markers.write_text(own.replace("DataFile=a.eeg", said), "utf-8")
        assert open_recording(path).n_samples == MADE.n_samples
