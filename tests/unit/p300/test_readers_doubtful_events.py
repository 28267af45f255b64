"""Markers written twice, events counted at another rate than the signal, and channels with one name, in every format that can hold them."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.readers.declared import Declared

from tests.support.labs import FORMATS, SFREQ, Lab, generated, lab, write


def flashing(made: Lab, onsets: np.ndarray, labels: np.ndarray) -> Lab:
    stim = np.zeros(len(made.stim), np.int32)
    stim[onsets] = labels
    return Lab(made.uv, made.names, stim)


@given(st.sampled_from(FORMATS), st.integers(0, 50), st.integers(10, 40))
@generated(16)
def test_flashes_with_an_event_at_their_end_are_refused(tmp_path: Path, extension: str, seed: int, later: int) -> None:
    made = lab(seed, n_repetitions=8)
    on, label = made.onsets, made.stim[made.onsets]
    doubled = flashing(made, np.r_[on, on + later], np.r_[label, label])
    with pytest.raises(RecordingError) as refused:
        open_recording(write(tmp_path, doubled, extension))
    assert refused.value.code == "implausible_events"
    assert f"come in twos of one class, some {1e3 * later / SFREQ:.0f} ms apart" in refused.value.message
    assert not open_recording(write(tmp_path, made, extension, stem="b")).notes or extension in ("hdf5", "gdf", "dat")


def test_declared_events_in_twos_are_noted(tmp_path: Path) -> None:
    made = lab(3, n_repetitions=8)
    on, label = made.onsets, made.stim[made.onsets]
    path = write(tmp_path, flashing(made, np.r_[on, on + 20], np.r_[label, label]), "parquet")
    stream = open_recording(path, declared=Declared(event_id={1: 1, 2: 2}))
    assert any("come in twos" in note for note in stream.notes)


@pytest.mark.parametrize("extension", ["vhdr", "set", "fif", "xdf", "gdf", "parquet", "hdf5"])
def test_events_counted_at_half_the_rate_are_noted(tmp_path: Path, extension: str) -> None:
    made = lab(1, n_repetitions=12)
    on, label = made.onsets, made.stim[made.onsets]
    notes = open_recording(write(tmp_path, flashing(made, on // 2, label), extension)).notes
    assert any("the last flash is at 15 s of 33 s. Check that events and signal" in note for note in notes), notes
    assert not any(
        "the last flash" in note for note in open_recording(write(tmp_path, made, extension, stem="b")).notes
    )


def test_events_counted_at_twice_the_rate_are_noted(tmp_path: Path) -> None:
    path = write(tmp_path, lab(1), "vhdr")
    markers = path.with_suffix(".vmrk")
    markers.write_text(
        re.sub(r"(Mk\d+=Stimulus,\w+,)(\d+)", lambda found: f"{found[1]}{2 * int(found[2])}", markers.read_text())
    )
    assert any("48 % of the flashes lie outside of the recording" in note for note in open_recording(path).notes)


@pytest.mark.parametrize("extension", ["edf", "bdf", "set", "vhdr", "xdf", "gdf", "hdf5", "dat"])
def test_channels_with_one_name_are_refused(tmp_path: Path, extension: str) -> None:
    made = lab(1)
    twice = Lab(made.uv, ["Fz", "Fz", *made.names[2:]], made.stim)
    with pytest.raises(RecordingError, match="channel names occur twice: Fz") as refused:
        open_recording(write(tmp_path, twice, extension))
    assert refused.value.code == "duplicate_channels"
    numbered = Lab(made.uv, ["A-0", "A-1", *made.names[2:]], made.stim)
    assert open_recording(write(tmp_path, numbered, extension, stem="b")).ch_names[:2] == ("A-0", "A-1")


def test_names_that_differ_in_capitals_alone_are_refused_as_such(tmp_path: Path) -> None:
    made = lab(1)
    path = write(tmp_path, Lab(made.uv, ["Fz", "FZ", *made.names[2:]], made.stim), "edf")
    with pytest.raises(RecordingError, match=r"same name: Fz, FZ\. Upper and lower case") as refused:
        open_recording(path)
    assert refused.value.code == "duplicate_channels"


def test_a_new_name_that_another_channel_has_is_refused_as_such(tmp_path: Path) -> None:
    made = lab(1)
    path = write(tmp_path, made, "edf")
    first, second = made.names[:2]
    with pytest.raises(
        RecordingError, match=f"channel_names renames {first} to {second}, and another channel"
    ) as refused:
        open_recording(path, sidecar={"channel_names": {first: second}})
    assert refused.value.code == "duplicate_channels"
    swapped = open_recording(path, sidecar={"channel_names": {first: second, second: first}})
    assert swapped.ch_names[:2] == (second, first)


@pytest.mark.parametrize(("interval", "noted"), [(20, True), (26, False)])
def test_flashes_faster_than_spellers_are_noted(tmp_path: Path, interval: int, noted: bool) -> None:
    made = lab(1)
    on = 512 + interval * np.arange(len(made.onsets))
    path = write(tmp_path, flashing(made, on, made.stim[made.onsets]), "parquet")
    sampled = open_recording(path)
    assert not any("follow each other within" in note for note in sampled.notes)
    (tmp_path / "b").mkdir()
    text = write(tmp_path / "b", flashing(made, on, made.stim[made.onsets]), "csv")
    lines = [line for line in text.read_text().splitlines(keepends=True) if not line.startswith("#")]
    text.write_text("".join(lines))
    notes = open_recording(text, sidecar={"sfreq": 512}).notes
    assert any("follow each other within 39 ms. Check the sampling rate, 512 Hz" in note for note in notes) == noted


def test_a_stim_column_that_rests_below_0_is_refused_with_what_to_write(tmp_path: Path) -> None:
    made = lab(1)
    path = write(tmp_path, Lab(made.uv, made.names, (made.stim - 1).astype(np.int32)), "parquet")
    with pytest.raises(RecordingError, match="Between flashes it is -1: write 0 there") as refused:
        open_recording(path)
    assert refused.value.code == "no_events"


@pytest.mark.parametrize("label", [0, 3, "Target"])
def test_a_class_that_does_not_exist_is_refused(tmp_path: Path, label: object) -> None:
    with pytest.raises(RecordingError, match="event_id declares") as refused:
        open_recording(write(tmp_path, lab(1), "parquet"), event_id={"2": label})  # type: ignore[dict-item]
    assert refused.value.code == "bad_declaration"
