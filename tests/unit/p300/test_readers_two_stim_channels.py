"""A second stim channel or column that can be read as flashes says the same, or the recording is refused with the way out."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.inspection import inspect
from p300.readers import open_recording
from p300.readers.declared import Declared

from tests.support.edf import write_edf_plus
from tests.support.labs import SFREQ, Lab, generated, lab, write

MADE = lab(2)
NAMES = {"edf": "Trigger", "bdf": "Trigger"}
"""Labels that MNE-Python takes for a stim channel."""
EXTENSIONS = ("parquet", "csv", "mat", "fif", "edf", "bdf", "xdf", "gdf", "hdf5")
CONTRADICTING = ("swapped", "shuffled", "late", "half")
FAULTS = ("none", "a sample late", "one missing", "row and column codes", "nothing", *CONTRADICTING)


def line(fault: str, seed: int) -> NDArray[np.float64]:
    """Return what the second channel holds."""
    rng = np.random.default_rng(seed)
    onsets, labels = MADE.onsets.copy(), MADE.stim[MADE.onsets].copy()
    if fault == "swapped":
        some = rng.choice(len(labels), 3, replace=False)
        labels[some] = 3 - labels[some]
    elif fault == "shuffled":
        labels = np.roll(labels, 1)
    elif fault == "late":
        onsets = onsets + round(0.06 * SFREQ)
    elif fault == "a sample late":
        onsets = onsets + 1
    elif fault == "row and column codes":
        labels = 1 + np.arange(len(labels), dtype=np.int32) % 12
    elif fault == "nothing":
        labels[:] = 0
    kept = slice(None, len(onsets) // 2) if fault == "half" else slice(1 if fault == "one missing" else 0, None)
    codes = np.zeros(len(MADE.stim))
    for width in range(4):
        codes[onsets[kept] + width] = labels[kept]
    return codes


def two(folder: Path, extension: str, fault: str, seed: int = 0) -> tuple[Path, str]:
    called = NAMES.get(extension, "TRIG")
    if extension in NAMES:
        highest = 2 ** (23 if extension == "bdf" else 15) - 1
        return write_edf_plus(
            folder / f"a.{extension}",
            [*MADE.uv, line("none", 0), line(fault, seed)],
            [*MADE.names, "Status", called],
            [int(SFREQ)] * (len(MADE.names) + 2),
            largest=[3276.7] * len(MADE.names) + [highest] * 2,
        ), called
    unit = "" if extension == "gdf" else "uV"
    kind = "stim" if extension in ("fif", "xdf") else "eeg"
    codes = line(fault, seed)
    codes = codes * 1e6 if extension == "fif" else codes  # which writes microvolts as volts
    return write(folder, MADE.with_channel(codes, called, unit, kind), extension), called


@given(st.sampled_from(EXTENSIONS), st.sampled_from(FAULTS), st.integers(0, 99))
@generated(60)
def test_two_stim_channels_say_the_same_or_are_refused(tmp_path: Path, extension: str, fault: str, seed: int) -> None:
    path, called = two(tmp_path, extension, fault, seed)
    called = called if extension != "hdf5" else "the stim channel"  # beside named events, the only one
    try:
        stream = open_recording(path)
    except RecordingError as refusal:
        assert fault in CONTRADICTING, refusal
        assert refusal.code == "contradictory_events"
        assert called in refusal.message
        assert "channel_kinds" in refusal.message or "event_id" in refusal.message
        return
    assert fault not in CONTRADICTING
    late = (stream.stim != MADE.stim).any()
    assert not late or fault in ("a sample late", "one missing"), "of two that may differ by that, either is taken"
    told = [note for note in stream.notes if called in note and ("says the same" in note or "not used" in note)]
    assert bool(told) == (fault != "nothing"), stream.notes


@pytest.mark.parametrize("extension", ["parquet", "csv", "mat", "fif", "edf", "xdf", "gdf"])
def test_one_that_is_declared_to_be_something_else_is_not_read(tmp_path: Path, extension: str) -> None:
    path, called = two(tmp_path, extension, "shuffled")
    stream = open_recording(path, declared=Declared(channel_kinds={called: "misc"}))
    np.testing.assert_array_equal(stream.stim, MADE.stim)
    assert not any("no such channel" in note for note in stream.notes)


def test_inspection_does_not_choose_between_two_that_contradict_each_other(tmp_path: Path) -> None:
    path, called = two(tmp_path, "parquet", "shuffled")
    found = inspect(path)
    assert found.refusal is not None
    assert found.refusal.code == "contradictory_events"
    assert f'{{"channel_kinds": {{"{called}": "misc"}}}}' in found.refusal.message
    assert (found.mapping, found.with_mapping) == ({}, None)


def test_a_column_of_words_is_no_stim_column(tmp_path: Path) -> None:
    path = write(tmp_path, MADE, "csv")
    comment, header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([comment, f"{header},marker", *(f"{row},go" for row in rows)]) + "\n")
    stream = open_recording(path)
    np.testing.assert_array_equal(stream.stim, MADE.stim)
    assert "not used for flashes: marker (not_numeric)" in stream.notes


def test_a_line_that_only_the_second_channel_explains_is_named(tmp_path: Path) -> None:
    codes = line("row and column codes", 0)
    made = Lab(MADE.uv, MADE.names, MADE.stim).with_channel(codes * 1e6, "STI 013", kind="stim")
    stream = open_recording(write(tmp_path, made, "fif"))
    np.testing.assert_array_equal(stream.stim, MADE.stim)
    assert "flashes taken from STI 014" in stream.notes
    assert any("not used for flashes: STI 013 (unknown_codes: 1 (5), 2 (5)" in note for note in stream.notes)


@pytest.mark.parametrize("extension", ["parquet", "csv"])
def test_a_shuffled_stim_column_with_groups_contradicts_the_trigger_before_it_is_implausible(
    tmp_path: Path, extension: str
) -> None:
    rng = np.random.default_rng(5)
    onsets, labels = MADE.onsets, MADE.stim[MADE.onsets]
    groups = np.zeros(len(MADE.stim), np.int32)
    for repetition in onsets.reshape(-1, 12):
        targets, others = iter(rng.permutation([4, 10])), iter(rng.permutation([1, 2, 3, 5, 6, 7, 8, 9, 11, 12]))
        groups[repetition] = [next(targets if MADE.stim[at] == 2 else others) for at in repetition]
    stim = np.zeros(len(MADE.stim), np.int32)
    stim[onsets] = rng.permutation(labels)

    def written(**more: NDArray[np.generic]) -> Path:
        columns = {f"eeg_{name}": row for name, row in zip(MADE.names, MADE.uv, strict=True)}
        table = pa.table({**columns, "stim": stim, "flash": groups, **more})
        path = tmp_path / f"a.{extension}"
        if extension == "parquet":
            pq.write_table(table.replace_schema_metadata({"sfreq": f"{SFREQ:g}"}), path)
            return path
        with path.open("wb") as file:
            file.write(f"# sfreq={SFREQ:g}\n".encode())
            pa.csv.write_csv(table, file)
        return path

    with pytest.raises(RecordingError) as refused:
        open_recording(written())
    assert refused.value.code == "implausible_events"
    path = written(trigger=MADE.stim)
    with pytest.raises(RecordingError) as refused:
        open_recording(path)
    assert refused.value.code == "contradictory_events"
    stream = open_recording(path, declared=Declared(channel_kinds={"stim": "misc"}))
    np.testing.assert_array_equal(stream.stim, MADE.stim)


def test_what_was_repaired_on_a_channel_that_agrees_is_told(tmp_path: Path) -> None:
    codes = line("none", 0)
    codes[MADE.onsets[3] + 1] = 0
    made = MADE.with_channel(codes, "TRIG", "uV", "eeg")
    stream = open_recording(write(tmp_path, made, "parquet"))
    np.testing.assert_array_equal(stream.stim, MADE.stim)
    assert "TRIG: drop-outs within a pulse closed (1)" in stream.notes


def test_what_was_repaired_on_a_stim_channel_beside_annotations_is_told(tmp_path: Path) -> None:
    codes = line("none", 0)
    codes[MADE.onsets[3] + 1] = 0
    rows = [*MADE.uv, codes]
    names = {1: "NonTarget", 2: "Target"}
    events = [(at / SFREQ, names[int(MADE.stim[at])]) for at in MADE.onsets.tolist()]
    largest = [3276.7] * len(MADE.names) + [2**15 - 1]
    path = write_edf_plus(
        tmp_path / "a.edf", rows, [*MADE.names, "Status"], [int(SFREQ)] * len(rows), events, largest=largest
    )
    assert "the stim channel Status: drop-outs within a pulse closed (1)" in open_recording(path).notes
