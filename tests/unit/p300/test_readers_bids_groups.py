"""The flash column of a BIDS table of events: what it says is checked as in any other format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.recording import RecordingStream

from tests.support.bids import events_tsv, without_events, write_bids
from tests.support.generated import Session
from tests.support.labs import SFREQ, Lab, generated

SESSION = Session(n_repetitions=25)
GROUPS = SESSION.groups


def made(session: Session = SESSION) -> Lab:
    return Lab(session.eeg_uv, ["Fz", "Cz", "Pz"], session.line(session.labels).astype(np.int32))


def opened(folder: Path, groups: list[object], more: str = "", session: Session = SESSION) -> RecordingStream:
    recording = made(session)
    table = events_tsv(recording, flash=groups) + more
    return open_recording(write_bids(folder, recording, "vhdr", in_file=without_events(recording), events=table))


def groups_of(stream: RecordingStream, session: Session = SESSION) -> NDArray[np.int32] | None:
    return None if stream.flash is None else stream.flash[session.onsets]


@generated(usually=15)
@given(seed=st.integers(0, 99), n_repetitions=st.integers(5, 30), more=st.booleans(), first=st.sampled_from([0, 1]))
def test_groups_are_read_as_from_one(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n_repetitions: int, more: bool, first: int
) -> None:
    session = Session(n_repetitions=n_repetitions, seed=seed)
    groups = (session.groups - 1 + first).tolist()
    rest = f"0.5\tn/a\tstart\t{round(0.5 * SFREQ)}\tn/a\n" if more else ""
    stream = opened(tmp_path_factory.mktemp("groups"), groups, rest, session)
    np.testing.assert_array_equal(groups_of(stream, session), session.groups)
    assert any("read as 1 to 12" in note for note in stream.notes) is (first == 0)


@pytest.mark.parametrize("shift", [1, -1])
def test_groups_of_another_flash_contradict_the_classes(tmp_path: Path, shift: int) -> None:
    with pytest.raises(RecordingError, match="one class throughout a trial") as refusal:
        opened(tmp_path, np.roll(GROUPS, shift).tolist())
    assert refusal.value.code == "implausible_events"


@pytest.mark.parametrize(
    ("groups", "note"),
    [
        (lambda: range(1, 301), "300 different numbers for 300 flashes"),
        (lambda: ["n/a"] * 300, "none of the flashes has a group"),
    ],
    ids=["a counter", "none"],
)
def test_a_column_that_says_no_groups_is_set_aside(tmp_path: Path, groups: Callable[[], object], note: str) -> None:
    stream = opened(tmp_path, list(groups()))  # type: ignore[call-overload]
    assert stream.flash is None
    assert any(note in one for one in stream.notes)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("more", ["", f"0.5\tn/a\tstart\t{round(0.5 * SFREQ)}\tn/a\n"], ids=["", "other rows"])
def test_flashes_without_a_group_are_counted(tmp_path: Path, more: str, first: int) -> None:
    """A zero among them is a group where it flashes as often as the others, and no group where it does not."""
    groups: list[object] = (GROUPS - 1 + first).tolist()
    missing = [5, 50, 77, 130, 200, 299]
    for place in missing:
        groups[place] = "n/a" if first == 0 or place < 100 else 0
    expected = GROUPS.copy()
    expected[missing] = 0
    stream = opened(tmp_path, groups, more)
    np.testing.assert_array_equal(groups_of(stream), expected)
    assert any("6 of 300 flashes without a group" in note for note in stream.notes)


def test_a_number_that_hardly_ever_flashes_is_no_group(tmp_path: Path) -> None:
    groups = GROUPS.copy()
    groups[7] = 13
    stream = opened(tmp_path, groups.tolist())
    assert (groups_of(stream) == 0).sum() == 1  # type: ignore[union-attr]
    assert any("13 (1) ignored" in note for note in stream.notes)


def test_groups_on_target_rows_alone_are_counted(tmp_path: Path) -> None:
    groups = [group if label == 2 else "n/a" for group, label in zip(GROUPS.tolist(), SESSION.labels, strict=True)]
    stream = opened(tmp_path, groups)
    assert any("250 of 300 flashes without a group" in note for note in stream.notes)


def test_flashes_outside_of_the_recording_keep_no_other_ones_group(tmp_path: Path) -> None:
    """Rows before the first sample, and rows that do not follow the order of time."""
    rows = events_tsv(made(), flash=GROUPS.tolist()).splitlines()
    table = "\n".join([rows[0], *rows[:0:-1], f"{-1.0:.6f}\tn/a\tTarget\tn/a\t5", ""])
    recording = made()
    stream = open_recording(write_bids(tmp_path, recording, "vhdr", events=table))
    np.testing.assert_array_equal(groups_of(stream), GROUPS)
    assert "1 flash outside of the recording ignored" in stream.notes
