"""OpenBCI's text files: named columns and older ones, lost samples by the sample index, triggers, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p300.errors import RecordingError
from p300.inspection import inspect
from p300.readers import open_recording, read_recording
from p300.readers.declared import Declared

from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv, stim
from tests.support.texts import write_openbci


def write(path: Path, **options: Any) -> Path:
    return write_openbci(path, options.pop("uv", eeg_uv(8).T), options.pop("stim", stim()), **options)


def refusal(path: Path, **options: Any) -> RecordingError:
    with pytest.raises(RecordingError) as refused:
        open_recording(path, **options)
    return refused.value


@pytest.mark.parametrize(("version", "column"), [(6, "Marker Channel"), (5, "Analog Channel 0")])
@pytest.mark.parametrize("extension", ["txt", "csv"])
def test_the_guis_files_are_read(tmp_path: Path, version: int, column: str, extension: str) -> None:
    found = read_recording(write(tmp_path / f"a.{extension}", version=version))
    assert (found.ch_names, found.sfreq) == (tuple(f"EXG Channel {i}" for i in range(8)), 256.0)
    np.testing.assert_allclose(found.data, eeg_uv(8).T * 1e-6, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)
    assert found.gaps == ()
    assert f"events taken from column {column}" in found.notes
    assert any(note.startswith("electrodes not in the file") for note in found.notes)


@pytest.mark.parametrize("version", [3, 4])
def test_older_files_need_the_column_of_the_events(tmp_path: Path, version: int) -> None:
    path = write(tmp_path / "a.txt", version=version)
    refused = refusal(path)
    assert (refused.code, '{"event_column": "Aux Channel 0"}' in refused.message) == ("missing_stim", True)
    names = {f"EXG Channel {i}": name for i, name in enumerate(("Fz", "Cz", "Pz", "Oz", "P3", "P4", "PO7", "PO8"))}
    found = read_recording(path, sidecar={"event_column": "Aux Channel 0", "channel_names": names})
    assert found.ch_names == tuple(names.values())
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)
    assert not [note for note in found.notes if note.startswith("electrodes not in the file")]


@pytest.mark.parametrize("counts", [256, 201])
@pytest.mark.parametrize("n_lost", [1, 40, 200])
@pytest.mark.parametrize("at", [700, 2000])
def test_lost_samples_are_a_gap(tmp_path: Path, counts: int, n_lost: int, at: int) -> None:
    kept = np.r_[0:at, at + n_lost : N_SAMPLES]
    found = read_recording(write(tmp_path / "a.txt", kept=kept, counts=counts))
    assert found.gaps == (at,)
    assert f"{n_lost:,} samples lost, by the sample index" in found.notes
    np.testing.assert_array_equal(np.flatnonzero(found.stim), np.flatnonzero(stim()[kept]))


@pytest.mark.parametrize("n_lost", [256, 512])
def test_a_whole_turn_of_the_index_is_seen_by_the_times(tmp_path: Path, n_lost: int) -> None:
    kept = np.r_[0:700, 700 + n_lost : N_SAMPLES]
    found = read_recording(write(tmp_path / "a.txt", kept=kept, sfreq=250))
    assert found.gaps == (700,)
    assert any(f"{n_lost / 250:.3g} s missing" in note for note in found.notes)


def test_packets_of_two_samples_have_one_index(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")
    head, rows = path.read_text().split("\n")[:5], path.read_text().split("\n")[5:-1]
    rows = [f"{i // 2 % 201}{row[row.index(',') :]}" for i, row in enumerate(rows)]
    path.write_text("\n".join([*head, *rows, ""]))
    assert open_recording(path).gaps == ()
    path.write_text("\n".join([*head, *rows[:600], *rows[604:], ""]))
    found = open_recording(path)
    assert (found.gaps, "4 samples lost, by the sample index" in found.notes) == ((600,), True)


def test_an_index_that_stands_still_is_said(tmp_path: Path) -> None:
    found = open_recording(write(tmp_path / "a.txt", counts=1))
    assert "the sample index does not count: lost samples cannot be seen" in found.notes


def test_a_rate_that_the_times_contradict_is_refused_and_can_be_declared(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")
    path.write_text(path.read_text().replace("%Sample Rate = 256 Hz", "%Sample Rate = 125 Hz"))
    refused = refusal(path)
    assert (refused.code, '{"sfreq": 256}' in refused.message) == ("contradictory_rate", True)
    assert open_recording(path, sidecar={"sfreq": 256}).sfreq == 256
    path.write_text(path.read_text().replace("%Sample Rate = 125 Hz\n", ""))
    assert refusal(path).code == "missing_sfreq"


def test_several_columns_of_triggers_are_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", version=5)
    head, *rows = path.read_text().split("\n")[4:-1]
    moved = [row.replace(", 0.0, 0.0, 16", f", {i % 3}.0, 0.0, 16", 1) for i, row in enumerate(rows)]
    path.write_text("\n".join([*path.read_text().split("\n")[:4], head, *moved, ""]))
    refused = refusal(path)
    assert refused.code == "missing_stim"
    assert "2 columns that may be the triggers, Analog Channel 0, Analog Channel 1" in refused.message
    assert inspect(path).mapping == {"event_column": "Analog Channel 0"}
    found = open_recording(path, declared=Declared(event_column="Analog Channel 0"))
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)
    assert refusal(path, declared=Declared(event_column="Pin 7")).code == "missing_stim"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text[: len(text) // 2], "unreadable"),
        (lambda text: text.replace("\n5.0, ", "\n5.5, "), "unreadable"),
        (lambda text: text.replace("EXG Channel", "Channel"), "missing_eeg"),
        (lambda text: text.replace("Sample Index", "Index"), "missing_eeg"),
        (lambda text: text.replace("\n7.0, ", "\nx, "), "not_numeric"),
    ],
)
def test_damage_is_refused(tmp_path: Path, change: Any, code: str) -> None:
    path = write(tmp_path / "a.txt")
    path.write_text(change(path.read_text()))
    assert refusal(path).code == code


@pytest.mark.parametrize("stated", ["0", "40", "99999", "2.5"])
def test_a_number_of_channels_that_the_rows_contradict_is_refused(tmp_path: Path, stated: str) -> None:
    path = write(tmp_path / "a.txt", version=4)
    path.write_text(path.read_text().replace("channels = 8", f"channels = {stated}"))
    assert refusal(path, declared=Declared(event_column="Aux Channel 0")).code in {
        "unreadable",
        "wrong_unit",
        "no_events",
        "unknown_codes",
    }
