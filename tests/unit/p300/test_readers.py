"""Every layout a P300 lab has becomes the same recording: names, rate, volts, classes, groups."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from p300.errors import RecordingError
from p300.readers import open_recording, read_recording
from p300.readers.brain_invaders import BI2014A, FILE_LAYOUTS
from p300.recording import Recording

from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv, flash_codes, stim, write_parquet

TIME = np.arange(N_SAMPLES) / 256


def assert_flashes(recording: Recording) -> None:
    onsets = np.flatnonzero(recording.stim)
    np.testing.assert_array_equal(onsets, ONSETS)
    np.testing.assert_array_equal(recording.stim[onsets], LABELS)


def test_parquet_in_microvolts_by_default(tmp_path: Path) -> None:
    recording = read_recording(write_parquet(tmp_path / "a.parquet"))
    assert (recording.ch_names, recording.sfreq, recording.notes) == (("A", "B", "C"), 256.0, ())
    np.testing.assert_allclose(recording.data, eeg_uv(3).T * 1e-6, rtol=1e-12)
    assert_flashes(recording)


@pytest.mark.parametrize(("unit", "factor"), [("V", 1e-6), ("mV", 1e-3), ("uV", 1.0), ("µV", 1.0)])
def test_parquet_unit_from_its_metadata(tmp_path: Path, unit: str, factor: float) -> None:
    columns = {f"eeg_{name}": row * factor for name, row in zip("ABC", eeg_uv(3).T, strict=True)}
    path = write_parquet(tmp_path / "a.parquet", {"sfreq": "256", "unit": unit}, **columns)
    np.testing.assert_allclose(read_recording(path).data, eeg_uv(3).T * 1e-6, rtol=1e-9)


def test_parquet_single_precision_stays_single(tmp_path: Path) -> None:
    columns = {f"eeg_{name}": row.astype(np.float32) for name, row in zip("ABC", eeg_uv(3).T, strict=True)}
    recording = read_recording(write_parquet(tmp_path / "a.parquet", **columns))
    assert recording.data.dtype == np.float32
    np.testing.assert_allclose(recording.data, eeg_uv(3).T * 1e-6, rtol=1e-6)


@pytest.mark.parametrize("declared", [json.dumps(["Fz", "Cz", "Pz"]), "Fz, Cz, Pz"])
def test_parquet_channels_from_its_metadata(tmp_path: Path, declared: str) -> None:
    numbered = {f"eeg_ch{i}": row for i, row in enumerate(eeg_uv(3).T)}
    path = write_parquet(tmp_path / "a.parquet", {"sfreq": "256", "channels": declared}, n_channels=0, **numbered)
    assert open_recording(path).ch_names == ("Fz", "Cz", "Pz")


@pytest.mark.parametrize("declared", [["A", "C", "B"], ["Fz", "Cz", "Pz"], ["A", "B", "Pz"]])
def test_parquet_metadata_that_contradict_the_columns_are_refused(tmp_path: Path, declared: list[str]) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"sfreq": "256", "channels": json.dumps(declared)})
    with pytest.raises(RecordingError, match=r"contradict each other.*eeg_") as raised:
        open_recording(path)
    assert raised.value.code == "bad_metadata"


def test_parquet_metadata_may_spell_the_columns_differently(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"sfreq": "256", "channels": json.dumps(["a", "EEG B", "C"])})
    assert open_recording(path).ch_names == ("a", "B", "C")


def test_bi2014a_defaults_only_where_the_file_says_nothing(tmp_path: Path) -> None:
    unnamed = {f"eeg_ch{i:02d}": row for i, row in enumerate(eeg_uv(16).T, 1)}
    path = write_parquet(tmp_path / "a.parquet", {}, n_channels=0, **unnamed)
    stream = open_recording(path)
    assert (stream.ch_names, stream.sfreq) == (BI2014A.ch_names, 512.0)
    assert len(stream.notes) == 2
    path = write_parquet(tmp_path / "b.parquet", {"sfreq": "256"}, n_channels=0, **unnamed)
    stream = open_recording(path)
    assert (stream.sfreq, len(stream.notes)) == (256.0, 1)


def test_parquet_flash_column(tmp_path: Path) -> None:
    groups = np.zeros(N_SAMPLES, np.int32)
    groups[ONSETS] = np.arange(len(ONSETS)) % 12 + 1
    stream = open_recording(write_parquet(tmp_path / "a.parquet", flash=groups))
    np.testing.assert_array_equal(stream.flash, groups)


def test_extension_comes_from_the_name(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "download")
    assert open_recording(path, name="subject_01/a.parquet").ch_names == ("A", "B", "C")


def test_stream_and_recording_hold_the_same(tmp_path: Path) -> None:
    stream = open_recording(write_parquet(tmp_path / "a.parquet"))
    blocks = np.concatenate(list(stream.blocks()), axis=1)
    np.testing.assert_array_equal(blocks * stream.volts_per_unit, stream.load().data)
    np.testing.assert_array_equal(blocks, np.concatenate(list(stream.blocks()), axis=1))


def test_csv_with_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    table = np.column_stack([TIME, eeg_uv(2), stim()])
    np.savetxt(path, table, "%.6f", ",", header="time,eeg_Cz,eeg_Pz,stim", comments="")
    recording = read_recording(path)
    assert (recording.ch_names, recording.sfreq) == (("Cz", "Pz"), 256.0)
    np.testing.assert_allclose(recording.data, eeg_uv(2).T * 1e-6, rtol=1e-9)
    assert_flashes(recording)


@pytest.mark.parametrize(("declared", "factor"), [("unit=V", 1e-6), ("unit: mV", 1e-3), ("exported; unit = uV", 1.0)])
def test_csv_that_declares_its_unit_and_rate(tmp_path: Path, declared: str, factor: float) -> None:
    eeg = eeg_uv(2)
    rows = [f"{a * factor:.9g},{b * factor:.9g},{code:g}" for (a, b), code in zip(eeg, stim(), strict=True)]
    text = "\n".join([f"# {declared}", "# sfreq=250", "eeg_Cz,eeg_Pz,stim", *rows])
    (tmp_path / "a.csv").write_text(text + "\n")
    recording = read_recording(tmp_path / "a.csv")
    assert (recording.ch_names, recording.sfreq, recording.notes) == (("Cz", "Pz"), 250.0, ())
    np.testing.assert_allclose(recording.data, eeg.T * 1e-6, rtol=1e-8)


def test_headless_csv_may_declare_its_unit(tmp_path: Path) -> None:
    matrix = np.column_stack([np.arange(N_SAMPLES) / 512, eeg_uv(16) * 1e-6, stim()])
    np.savetxt(tmp_path / "a.csv", matrix, delimiter=",", header="unit=V", fmt="%.9g")
    recording = read_recording(tmp_path / "a.csv")
    assert recording.sfreq == 512.0
    np.testing.assert_allclose(recording.data, eeg_uv(16).T * 1e-6, rtol=1e-8)


def test_csv_flash_codes_tell_rows_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    codes = flash_codes()
    np.savetxt(path, np.column_stack([np.arange(N_SAMPLES) / 512, eeg_uv(16), codes]), "%.6f", ",")
    recording = read_recording(path)
    assert (recording.ch_names, recording.sfreq) == (BI2014A.ch_names, 512.0)
    assert_flashes(recording)
    assert recording.flash is not None
    tens, units = codes[ONSETS].astype(int) // 10, codes[ONSETS].astype(int) % 10
    np.testing.assert_array_equal(recording.flash[ONSETS], units + np.where(np.isin(tens, (2, 6)), 1, 7))
    assert set(recording.flash[ONSETS]) > {1, 6, 7, 12}


def layout_matrix(data_set: str) -> tuple[np.ndarray, int]:
    """A matrix of samples x columns, its EEG numbered by column, and the column of the first channel."""
    layout = next(layout for layout in FILE_LAYOUTS if layout.data_set == data_set)
    matrix = eeg_uv(layout.n_columns)
    if layout.first_eeg:
        matrix[:, 0] = np.arange(N_SAMPLES) / layout.sfreq
    codes = {"bi2013a": stim(33286, 33285), "bi2015b": flash_codes()}.get(data_set, stim())
    if len(layout.stim) == 2:
        matrix[:, -2], matrix[:, -1] = np.where(codes == 2, 2, 0), np.where(codes == 1, 1, 0)
    else:
        matrix[:, -1] = codes
    return matrix, layout.first_eeg


@pytest.mark.parametrize(
    ("data_set", "variable", "sfreq", "n_channels"),
    [
        ("bi2012", "training", 128, 16),
        ("bi2012", "online", 128, 16),
        ("bi2013a", "data", 512, 16),
        ("bi2014a", "samples", 512, 16),
        ("bi2014b", "samples", 512, 32),
        ("bi2015a", "DATA", 512, 32),
        ("bi2015b", "mat_data", 512, 32),
    ],
)
def test_mat_layouts(tmp_path: Path, data_set: str, variable: str, sfreq: float, n_channels: int) -> None:
    matrix, first = layout_matrix(data_set)
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {variable: matrix})
    recording = read_recording(path)
    assert (len(recording.ch_names), recording.sfreq) == (n_channels, sfreq)
    assert any(data_set in note for note in recording.notes)
    assert_flashes(recording)
    np.testing.assert_allclose(recording.data[0], matrix[:, first] * 1e-6, rtol=1e-12)
    pz = recording.ch_names.index("Pz")
    column = first + pz + (1 if data_set == "bi2012" else 0)  # Fz, the ground, stands third and is left out
    np.testing.assert_allclose(recording.data[pz], matrix[:, column] * 1e-6, rtol=1e-12)
    assert (recording.flash is not None) == (data_set == "bi2015b")


@pytest.mark.parametrize(
    ("name", "player"),
    [
        ("group_01_sujet_01.mat", 1),
        ("subject_03/group_02_sujet_02.mat", 2),
        ("subject_07/run_1.mat", 1),
        ("subject_08/run_1.mat", 2),
    ],
)
def test_two_players_are_told_apart_by_name(tmp_path: Path, name: str, player: int) -> None:
    matrix, _ = layout_matrix("bi2014b")
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"samples": matrix})
    recording = read_recording(path, name=name)
    np.testing.assert_allclose(recording.data[0], matrix[:, 1 if player == 1 else 33] * 1e-6, rtol=1e-12)
    assert f"two players: read as player {player}" in recording.notes


def test_bi2013a_unit_by_size(tmp_path: Path) -> None:
    matrix, _ = layout_matrix("bi2013a")
    matrix[:, :-1] *= 1e-6
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"data": matrix})
    recording = read_recording(path)
    np.testing.assert_allclose(recording.data[0], matrix[:, 0], rtol=1e-12)
    assert any("volts" in note for note in recording.notes)


def test_mat_that_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    samples = np.column_stack([TIME, eeg_uv(2), stim()])
    scipy.io.savemat(path, {"samples": samples, "sfreq": 256.0, "channels": np.array(["Cz", "Pz"], object)})
    recording = read_recording(path)
    assert (recording.ch_names, recording.sfreq, recording.notes) == (("Cz", "Pz"), 256.0, ())
    assert_flashes(recording)


def test_own_codes_by_event_id(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", stim=stim(11, 12).astype(np.int32))
    assert_flashes(read_recording(path, event_id={11: 1, 12: 2}))


def test_codes_that_are_no_flashes_are_ignored_and_said(tmp_path: Path) -> None:
    codes = stim().astype(np.int32)
    codes[10] = 99
    recording = read_recording(write_parquet(tmp_path / "a.parquet", stim=codes))
    assert_flashes(recording)
    assert recording.notes == ("stim codes ignored: 99 (1)",)
