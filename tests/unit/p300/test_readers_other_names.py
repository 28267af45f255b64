"""What a table says under other names than those that are read is read, noted or refused; never ignored without a word."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.recording import RecordingStream

from tests.support.readers import write_parquet

SFREQ = 256


def written(path: Path, first_line: str = f"# sfreq={SFREQ}", columns: Mapping[str, float] | None = None) -> Path:
    """Write a csv recording without a time column, with columns that count up by some step."""
    table = pq.read_table(write_parquet(path.with_suffix(".parquet"))).to_pandas()
    for column, step in (columns or {}).items():
        table[column] = np.round(np.arange(len(table)) * step, 6)
    path.write_text(f"{first_line}\n{table.to_csv(index=False)}")
    return path


def metadata(path: Path, **stated: str) -> RecordingStream:
    write_parquet(path)
    table = pq.read_table(path)
    stated_bytes = {key.encode(): value.encode() for key, value in stated.items()}
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **stated_bytes}), path)
    return open_recording(path)


@pytest.mark.parametrize("line", ["# fs=256", "# Sampling rate: 256", "# srate=256.0", "# sample_rate_hz=256"])
def test_other_names_of_the_rate_are_read_and_noted(tmp_path: Path, line: str) -> None:
    stream = open_recording(written(tmp_path / "a.csv", line))
    assert stream.sfreq == SFREQ
    assert any("read as sfreq" in note for note in stream.notes)


def test_rates_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"sfreq=256 and fs=250"):
        open_recording(written(tmp_path / "a.csv", "# sfreq=256 fs=250"))
    with pytest.raises(RecordingError, match=r"sampling_rate=99"):
        metadata(tmp_path / "a.parquet", sampling_rate="99")


def test_units_are_a_unit(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="read as nV"):
        metadata(tmp_path / "a.parquet", units="nV")
    assert metadata(tmp_path / "b.parquet", units="uV", unit="µV").volts_per_unit == 1e-6
    with pytest.raises(RecordingError, match=r"unit=uV and units=mV"):
        metadata(tmp_path / "c.parquet", unit="uV", units="mV")


def test_a_factor_is_noted_as_not_applied(tmp_path: Path) -> None:
    note = "not applied to the signal: scale=0.1 in the file"
    assert note in open_recording(written(tmp_path / "a.csv", "# sfreq=256 scale=0.1")).notes
    assert note in metadata(tmp_path / "a.parquet", scale="0.1").notes
    assert not any("not applied" in one for one in metadata(tmp_path / "b.parquet", scale="1.0").notes)


def test_bad_channels_that_a_file_does_not_have_are_noted(tmp_path: Path) -> None:
    note = "declared bad, but not among the EEG channels: T9"
    assert note in open_recording(written(tmp_path / "a.csv", "# sfreq=256 bads=T9")).notes
    assert note in metadata(tmp_path / "a.parquet", bads='["T9"]').notes
    assert note in metadata(tmp_path / "b.parquet", bad_channels='["T9"]').notes


@pytest.mark.parametrize(("column", "per_s"), [("t", 1), ("time_ms", 1e3), ("Timestamp (s)", 1)])
def test_any_column_of_times_has_to_agree_with_the_rate(tmp_path: Path, column: str, per_s: float) -> None:
    assert open_recording(written(tmp_path / "a.csv", columns={column: per_s / SFREQ})).sfreq == SFREQ
    with pytest.raises(RecordingError, match="250 Hz"):
        open_recording(written(tmp_path / "b.csv", columns={column: per_s / 250}))


def test_what_only_looks_like_time_is_noted_where_it_is_irregular(tmp_path: Path) -> None:
    stream = open_recording(written(tmp_path / "a.csv", columns={"t": -1.0}))
    assert "times in column t not used: irregular_time" in stream.notes
    assert stream.sfreq == SFREQ and not stream.gaps


@pytest.mark.parametrize("column", ["EEG_T8", "T8", "Eeg T8"])
def test_electrodes_without_the_prefix_are_noted(tmp_path: Path, column: str) -> None:
    stream = open_recording(written(tmp_path / "a.csv", columns={column: np.pi}))
    assert f"columns left out, without the prefix eeg_: {column}" in stream.notes
