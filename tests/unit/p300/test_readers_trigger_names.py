"""A channel that its name says holds triggers is compared with the file's flashes, or holds them, whatever MNE-Python takes it for."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.inspection import inspect
from p300.readers import open_recording
from p300.readers.declared import Declared
from p300.recording import CLASS_NAMES

from tests.support.edf import write_edf_plus
from tests.support.labs import SFREQ, lab, write

MADE = lab(2)
ONSETS = np.flatnonzero(MADE.stim)
NAMES = ["STI", "STI 014", "TRIG", "Marker"]


def codes(labels: NDArray[np.int32] | None = None, later: int = 0) -> NDArray[np.float64]:
    line = np.zeros(len(MADE.stim))
    for width in range(4):
        line[ONSETS + later + width] = MADE.stim[ONSETS] if labels is None else labels
    return line


def edf(
    folder: Path,
    line: NDArray[np.float64],
    called: str,
    *,
    largest: float = 3276.7,
    annotated: bool = True,
    extension: str = "edf",
) -> Path:
    return write_edf_plus(
        folder / f"a.{extension}",
        [*MADE.uv, line],
        [*MADE.names, called],
        [int(SFREQ)] * (len(MADE.names) + 1),
        [(onset / SFREQ, CLASS_NAMES[int(MADE.stim[onset])]) for onset in ONSETS] if annotated else (),
        largest=[*[3276.7] * len(MADE.names), largest],
    )


SWAPPED = 3 - MADE.stim[ONSETS]


@pytest.mark.parametrize("called", [*NAMES, "Status"])
@pytest.mark.parametrize("line", [codes(SWAPPED), codes(later=40)], ids=["swapped", "late"])
@pytest.mark.parametrize("extension", ["edf", "bdf"])
def test_one_that_contradicts_the_annotations_is_refused(
    tmp_path: Path, called: str, line: NDArray[np.float64], extension: str
) -> None:
    largest = 2.0 ** (15 if extension == "edf" else 23) - 1 if called == "Status" else 3276.7
    path = edf(tmp_path, line, called, extension=extension, largest=largest)
    with pytest.raises(RecordingError, match="NonTarget flashes in the annotations") as refused:
        open_recording(path)
    assert refused.value.code == "contradictory_events"
    assert called in refused.value.message
    stream = open_recording(path, declared=Declared(channel_kinds={called: "misc"}))
    np.testing.assert_array_equal(stream.stim, MADE.stim)


@pytest.mark.parametrize("largest", [32767, 3276.7, 400, 187.5])
@pytest.mark.parametrize("called", NAMES)
def test_one_that_alone_holds_the_flashes_is_read_with_a_note(tmp_path: Path, called: str, largest: float) -> None:
    stream = open_recording(edf(tmp_path, codes(), called, largest=largest, annotated=False))
    np.testing.assert_array_equal(stream.stim, MADE.stim)
    assert f"{called} read as a trigger channel, by its name" in stream.notes


def test_one_that_agrees_or_holds_something_else_is_a_note(tmp_path: Path) -> None:
    agreeing = open_recording(edf(tmp_path, codes(), "STI"))
    assert any("STI says the same" in note for note in agreeing.notes)
    rows = open_recording(edf(tmp_path, codes(1 + np.arange(len(ONSETS), dtype=np.int32) % 12), "STI"))
    np.testing.assert_array_equal(rows.stim, MADE.stim)
    assert any("not used for flashes: STI (unknown_codes: 1 (" in note for note in rows.notes)
    light = open_recording(edf(tmp_path, np.random.default_rng(0).normal(size=len(MADE.stim)) * 50, "Photo"))
    np.testing.assert_array_equal(light.stim, MADE.stim)


def test_one_at_another_rate_is_compared_too(tmp_path: Path) -> None:
    path = write_edf_plus(
        tmp_path / "a.edf",
        [*MADE.uv, codes(SWAPPED)[::2]],
        [*MADE.names, "STI"],
        [*[int(SFREQ)] * len(MADE.names), int(SFREQ) // 2],
        [(onset / SFREQ, CLASS_NAMES[int(MADE.stim[onset])]) for onset in ONSETS],
    )
    with pytest.raises(RecordingError, match="in the stim channel STI"):
        open_recording(path)


@pytest.mark.parametrize("called", ["STI 013", "STI 015"])
def test_a_second_stim_channel_with_swapped_classes_contradicts_the_first(tmp_path: Path, called: str) -> None:
    path = write(tmp_path, MADE.with_channel(codes(SWAPPED) * 1e6, called, kind="stim"), "fif")
    with pytest.raises(RecordingError, match=rf"Target and .* NonTarget flashes in {called}") as refused:
        open_recording(path)
    assert refused.value.code == "contradictory_events"
    stream = open_recording(path, declared=Declared(channel_kinds={called: "misc"}))
    np.testing.assert_array_equal(stream.stim, MADE.stim)


@pytest.mark.parametrize("scale", [1.0, 1e6], ids=["microvolts", "volts"])
def test_a_channel_of_fif_typed_as_a_signal_is_compared_by_its_name(tmp_path: Path, scale: float) -> None:
    path = write(tmp_path, MADE.with_channel(codes(SWAPPED) * scale, "TRIG", kind="misc"), "fif")
    with pytest.raises(RecordingError, match="NonTarget flashes in TRIG"):
        open_recording(path)


@pytest.mark.parametrize("extension", ["parquet", "csv"])
@pytest.mark.parametrize("labels", [np.roll(MADE.stim[ONSETS], 1), SWAPPED], ids=["shuffled", "swapped"])
def test_a_stim_column_declared_misc_leaves_the_flashes_of_the_other(
    tmp_path: Path, extension: str, labels: NDArray[np.int32]
) -> None:
    wrong = MADE.stim.copy()
    wrong[ONSETS] = labels
    made = type(MADE)(MADE.uv, MADE.names, wrong).with_channel(codes(), "trigger", kind="eeg")
    path = write(tmp_path, made, extension)
    refusal = inspect(path).refusal
    assert refusal is not None
    if labels is not SWAPPED:
        assert '{"stim": "misc"}} those of trigger' in refusal.message
    stream = open_recording(path, declared=Declared(channel_kinds={"stim": "misc"}))
    np.testing.assert_array_equal(stream.stim, MADE.stim)
    assert "flashes taken from the column trigger, as stim is declared misc" in stream.notes
    alone = write(tmp_path, MADE, extension)
    with pytest.raises(RecordingError, match="no other column holds flashes"):
        open_recording(alone, declared=Declared(channel_kinds={"stim": "misc"}))


@pytest.mark.parametrize("latest", [False, True])
def test_a_matrix_without_events_names_the_channel_that_may_hold_them(tmp_path: Path, latest: bool) -> None:
    made = lab(0, n_channels=3)
    beside = dataclasses.replace(made, stim=np.zeros_like(made.stim)).with_channel(made.stim.astype(float), "Trigger")
    with pytest.raises(RecordingError) as refusal:
        open_recording(write(tmp_path, beside, "mat", latest=latest))
    assert refusal.value.code == "no_events"
    assert "'Trigger': 1 (50), 2 (10). If one does, put it last, in the stim's place." in refusal.value.message
