"""BCI2000's files: old and new headers, every data format, states by bit, and what the speller showed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p300.errors import RecordingError
from p300.readers import open_recording, read_recording
from p300.readers.declared import Declared

from tests.support.bci2000 import SPELLER, write_bci2000
from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv
from tests.support.real_data import file

SAMPLE = file("formats/bci2000/eeg3_1.dat")


def states(groups: np.ndarray | None = None, labels: np.ndarray = LABELS) -> tuple[np.ndarray, np.ndarray]:
    """StimulusCode and whether it is a target at each sample: pulses of 20 samples."""
    code, target = np.zeros(N_SAMPLES, int), np.zeros(N_SAMPLES, bool)
    groups = np.arange(len(ONSETS)) % 6 + 1 if groups is None else groups
    for onset, group, label in zip(ONSETS, groups, labels, strict=True):
        code[onset : onset + 20] = group
        target[onset : onset + 20] = label == 2
    return code, target


def write(path: Path, **options: Any) -> Path:
    return write_bci2000(path, np.round(eeg_uv(3).T * 100), *states(), **options)


@pytest.mark.parametrize("version", [False, True])
def test_reads_old_and_new_headers(tmp_path: Path, version: bool) -> None:
    found = read_recording(write(tmp_path / "a.dat", version=version))
    assert (found.ch_names, found.sfreq) == (("Fz", "Cz", "Pz"), 256.0)
    np.testing.assert_allclose(found.data, np.round(eeg_uv(3).T * 100) * 1e-8, rtol=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


@pytest.mark.parametrize("data_format", ["int16", "int32", "float32"])
@pytest.mark.parametrize(("gain", "factor"), [("0.01", 1.0), ("0.01muV", 1.0), ("0.00001mV", 1.0), ("1e-8V", 1.0)])
def test_gains_and_offsets_make_volts_of_every_data_format(
    tmp_path: Path, data_format: str, gain: str, factor: float
) -> None:
    digital = np.round(eeg_uv(3).T * 100)
    path = write_bci2000(tmp_path / "a.dat", digital + 300, *states(), gain=gain, offset=300, data_format=data_format)
    np.testing.assert_allclose(read_recording(path).data, digital * 1e-8 * factor, rtol=1e-6, atol=1e-12)


@pytest.mark.real_data
def test_the_sample_of_bci2000_has_its_flashes_and_its_text() -> None:
    found = read_recording(SAMPLE)
    assert found.ch_names == ("Fz", "Cz", "P3", "Pz", "P4", "PO7", "Oz", "PO8")
    assert found.flash is not None
    assert found.speller is not None
    onsets = np.flatnonzero(found.stim)
    assert (len(onsets), int((found.stim == 2).sum()), set(found.flash[onsets].tolist())) == (
        720,
        120,
        set(range(1, 13)),
    )
    rows = found.speller.rows
    assert (len(rows), len(rows[0]), found.speller.text) == (6, 6, "T3OF")
    spelled = ""
    for trial in onsets.reshape(4, 180):
        column, row = sorted(set(found.flash[trial[found.stim[trial] == 2]].tolist()))
        spelled += rows[row - 7][column - 1]
    assert spelled == "T3OF"


@pytest.mark.parametrize("rows_first", [True, False])
def test_flashes_number_columns_first_whatever_the_software_did(tmp_path: Path, rows_first: bool) -> None:
    """I is the third symbol of the second row: the targets say how StimulusCode counts."""
    groups = np.resize(np.arange(1, 13), len(ONSETS))
    labels = np.where(np.isin(groups, (2, 9) if rows_first else (3, 8)), 2, 1)
    path = write_bci2000(tmp_path / "a.dat", np.round(eeg_uv(3).T * 100), *states(groups, labels), text="I")
    found = read_recording(path)
    assert found.flash is not None
    assert set(found.flash[found.stim == 2].tolist()) == {3, 8}
    expected = np.where(groups > 6, groups - 6, groups + 6) if rows_first else groups
    np.testing.assert_array_equal(found.flash[ONSETS], expected)


def test_a_text_that_the_targets_contradict_gives_no_layout(tmp_path: Path) -> None:
    groups = np.resize(np.arange(1, 13), len(ONSETS))
    labels = np.where(np.isin(groups, (2, 8)), 2, 1)
    digital = np.round(eeg_uv(3).T * 100)
    found = read_recording(write_bci2000(tmp_path / "a.dat", digital, *states(groups, labels), text="A"))
    assert found.speller is None
    assert "text to spell 'A' does not agree with the targets: no speller layout read" in found.notes


SHOWN = {"type": "grid", "rows": list(SPELLER)}
OTHER = {"type": "grid", "rows": ["123456", "789ABC", "DEFGHI", "JKLMNO", "PQRSTU", "VWXYZ_"]}
ONES = {str(group): [f"{group}", "x"] for group in range(1, 13)}
SETS = {"type": "sets", "symbols": [*map(str, range(1, 13)), "x"], "groups": ONES}


def spelling_i(folder: Path, is_target: bool = True, text: str = "I") -> Path:
    """Write a recording whose StimulusCode numbers rows first, and whose targets are those of I."""
    groups = np.resize(np.arange(1, 13), len(ONSETS))
    labels = np.where(np.isin(groups, (2, 9)) & is_target, 2, 1)
    return write_bci2000(folder / "a.dat", np.round(eeg_uv(3).T * 100), *states(groups, labels), text=text)


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ({"text": "I"}, ""),
        ({"layout": SHOWN}, ""),
        ({"layout": SHOWN, "text": "I"}, ""),
        ({"text": "O"}, "the sidecar's text is 'O', the labels spell 'I'"),
        (
            {"layout": OTHER},
            "in the sidecar's layout, which is used, group 1 lights 1 7 D J P V; in the file's 5 A G M S Y",
        ),
        ({"layout": SETS}, "group 1 lights 1 x; in the file's"),
    ],
)
def test_a_sidecar_is_compared_with_the_layout_of_the_file(tmp_path: Path, sidecar: Any, words: str) -> None:
    notes = [note for note in open_recording(spelling_i(tmp_path), sidecar=sidecar).notes if "sidecar's" in note]
    assert bool(notes) == bool(words)
    assert not words or words in notes[0]


@pytest.mark.parametrize("layout", [SHOWN, OTHER])
@pytest.mark.parametrize("labelled", [True, False])
def test_rows_are_not_numbered_first_twice(tmp_path: Path, layout: dict[str, Any], labelled: bool) -> None:
    """StimulusCode numbers rows first, flashes are renumbered: a layout with rows first would transpose every symbol."""
    path = spelling_i(tmp_path, labelled)
    said = {"layout": {**layout, "rows_first": True}} | ({} if labelled else {"labelled": False})
    with pytest.raises(RecordingError, match="Delete rows_first") as refused:
        open_recording(path, sidecar=said)
    assert refused.value.code == "bad_sidecar"
    open_recording(path, sidecar={**said, "layout": layout})


def test_rows_first_is_taken_where_the_labels_spell_the_text_with_it(tmp_path: Path) -> None:
    """Without a text of its own, the file cannot show that its StimulusCode numbers columns first."""
    groups = np.resize(np.arange(1, 13), len(ONSETS))
    path = write_bci2000(
        tmp_path / "a.dat", np.round(eeg_uv(3).T * 100), *states(groups, np.where(np.isin(groups, (3, 8)), 2, 1))
    )
    notes = open_recording(path, sidecar={"layout": {**SHOWN, "rows_first": True}, "text": "I"}).notes
    assert any("which is used, group 1 lights" in note for note in notes)


def test_channels_without_names_are_numbered(tmp_path: Path) -> None:
    found = read_recording(write(tmp_path / "a.dat", parameters={"list ChannelNames": "0"}))
    assert found.ch_names == ("ch01", "ch02", "ch03")
    assert "channel names not in the file: numbered" in found.notes


@pytest.mark.parametrize(("said", "noted"), [("8 32", True), ("1", False), ("9" * 400, False), ("x", False)])
def test_how_exact_flash_times_are_is_noted(tmp_path: Path, said: str, noted: bool) -> None:
    notes = read_recording(write(tmp_path / "a.dat", parameters={"int SampleBlockSize": said})).notes
    assert ("states change every 8 samples: flash times are known to within 31 ms" in notes) == noted


def test_a_declared_unit_wins(tmp_path: Path) -> None:
    found = read_recording(write(tmp_path / "a.dat", gain="0.00001"), declared=Declared(unit="mV"))
    np.testing.assert_allclose(found.data, np.round(eeg_uv(3).T * 100) * 1e-8, rtol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"floatlist SourceChGain": "2 0.01 0.01"}, "bad_metadata"),
        ({"floatlist SourceChGain": "3 0.01 0 0.01"}, "bad_metadata"),
        ({"floatlist SourceChGain": "3 0.01 0.01 1e999"}, "bad_metadata"),
        ({"list ChannelNames": "2 Fz Cz"}, "bad_metadata"),
        ({"int SamplingRate": ""}, "bad_metadata"),
        ({"int SamplingRate": "0Hz"}, "missing_sfreq"),
    ],
)
def test_refuses_contradictory_parameters(tmp_path: Path, parameters: dict[str, str], code: str) -> None:
    with pytest.raises(RecordingError) as refused:
        open_recording(write(tmp_path / "a.dat", parameters=parameters))
    assert refused.value.code == code


def test_refuses_a_recording_without_stimuli(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dat")
    path.write_bytes(path.read_bytes().replace(b"StimulusType 1", b"CursorPosX__ 1"))
    with pytest.raises(RecordingError, match=r"no state StimulusType, found .*StimulusCode") as refused:
        open_recording(path)
    assert refused.value.code == "missing_stim"


def test_refuses_a_file_that_ends_in_the_middle_of_a_sample(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dat")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(RecordingError, match="ends in the middle of a sample") as refused:
        open_recording(path)
    assert refused.value.code == "unreadable"


def test_refuses_another_dat_file_and_says_what_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(b"\1\2\3\4" * 100)
    with pytest.raises(RecordingError, match=r"not a BCI2000 file.*\.vhdr"):
        open_recording(tmp_path / "a.dat")
