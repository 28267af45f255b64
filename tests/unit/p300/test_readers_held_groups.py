"""Unlabelled groups that stay until the next: one that follows itself is one flash, which a note says as in labelled recordings."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.readers import open_recording

from tests.support.generated import LINES, Session, write_csv, write_parquet
from tests.support.labs import generated

SAID = {"labelled": False, "layout": {"type": "brain_invaders"}}


def held(session: Session, values: NDArray[np.integer], width: int = 10_000) -> NDArray[np.int64]:
    line = np.zeros(session.n_samples, np.int64)
    for begin, end, value in zip(
        session.onsets, np.r_[session.onsets[1:], session.onsets[-1] + 20], values, strict=True
    ):
        line[begin : min(end, begin + width)] = value
    return line


def notes_on_holding(path: Path, n_flashes: int) -> list[str]:
    stream = open_recording(path, sidecar=SAID)
    assert len(stream.flashes) == n_flashes
    return [note for note in stream.notes if "a code that follows itself is one flash" in note]


@generated(usually=12)
@given(seed=st.integers(0, 99), n_repetitions=st.integers(3, 8), name=st.sampled_from(sorted(LINES)))
def test_a_group_that_follows_itself_is_lost_with_a_note(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n_repetitions: int, name: str
) -> None:
    session = Session(n_repetitions=n_repetitions, seed=seed)
    groups = session.groups.copy()
    other = 12 + int(np.flatnonzero(groups[12:24] == groups[11])[0])
    groups[[12, other]] = groups[[other, 12]]
    path = LINES[name](tmp_path_factory.mktemp("held") / name, session, held(session, groups))
    n_read = 1 + int((groups[1:] != groups[:-1]).sum())
    assert notes_on_holding(path, n_read) == [
        f"stim: {n_read - 1} flashes without a return to 0 before; a code that follows itself is one flash"
    ]


@pytest.mark.parametrize("write", [write_csv, write_parquet])
@pytest.mark.parametrize("held_samples", [1, 10_000])
def test_groups_beside_one_code_that_stays_are_noted(tmp_path: Path, write: object, held_samples: int) -> None:
    session = Session(n_repetitions=4)
    one = held(session, np.ones(len(session.groups), int))
    name = "a.csv" if write is write_csv else "a.parquet"
    path = LINES[name](tmp_path / name, session, one, held(session, session.groups, held_samples))
    assert len(notes_on_holding(path, len(session.groups))) == 1


@pytest.mark.parametrize("name", sorted(LINES))
def test_groups_that_return_to_0_need_no_note(tmp_path: Path, name: str) -> None:
    session = Session(n_repetitions=4)
    path = LINES[name](tmp_path / name, session, session.line(session.groups, width=10))
    assert notes_on_holding(path, len(session.groups)) == []


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_groups_in_stim_are_read_beside_a_column_without_any(tmp_path: Path, name: str) -> None:
    session = Session(n_repetitions=4)
    empty = np.zeros(session.n_samples, np.int64)
    stream = open_recording(LINES[name](tmp_path / name, session, session.line(session.groups), empty), sidecar=SAID)
    np.testing.assert_array_equal(stream.flashes.flash, session.groups)
