"""The flash column: groups of flashes are right, noted, or set aside; a flash without a group never gets one."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers.declared import Declared
from p300.readers.events import Stimulation, from_codes
from p300.readers.sidecar import check_groups, unused_events
from p300.text import n_of

SFREQ, N_GROUPS, N_REPETITIONS, STEP = 256.0, 12, 40, 40
ONSET = 100 + STEP * np.arange(N_GROUPS * N_REPETITIONS)
N_SAMPLES = int(ONSET[-1]) + 200
GROUP = np.concatenate([np.random.default_rng(n).permutation(N_GROUPS) + 1 for n in range(N_REPETITIONS)])
CODES = np.zeros(N_SAMPLES, np.int32)
CODES[ONSET] = np.where(np.isin(GROUP, (3, 9)), 2, 1)


def column(values: NDArray[np.int_], none: int = 0, lag: int = 0) -> NDArray[np.int32]:
    whole = np.full(N_SAMPLES, none, np.int32)
    whole[ONSET + lag] = values
    return whole


def read(groups: NDArray[np.int32]) -> tuple[NDArray[np.int32] | None, str]:
    found: Stimulation = from_codes(CODES, "a", SFREQ, Declared(), groups=groups)
    return None if found.flash is None else found.flash[ONSET], "; ".join(found.notes)


@pytest.mark.parametrize("none", [0, -1])
def test_groups_from_one_are_read_as_they_are(none: int) -> None:
    group, notes = read(column(GROUP, none))
    np.testing.assert_array_equal(group, GROUP)
    assert not notes


@pytest.mark.parametrize("none", [0, -1])
def test_groups_from_zero_are_read_as_from_one_and_noted(none: int) -> None:
    group, notes = read(column(GROUP - 1, none))
    np.testing.assert_array_equal(group, GROUP)
    assert "read as 1 to 12" in notes


def test_flashes_without_a_group_are_counted_and_get_none() -> None:
    half = np.where(np.arange(len(GROUP)) < 240, 0, GROUP)
    group, notes = read(column(half))
    np.testing.assert_array_equal(group, half)
    assert "240 of 480 flashes without a group" in notes


def test_zeros_that_are_no_group_of_each_repetition_are_flashes_without_one() -> None:
    some = GROUP.copy()
    some[np.random.default_rng(0).choice(len(GROUP), 40, replace=False)] = 0
    group, notes = read(column(some))
    np.testing.assert_array_equal(group, some)
    assert "40 of 480 flashes without a group" in notes


@pytest.mark.parametrize(
    ("groups", "note"),
    [
        (column(GROUP, lag=-5), "none at any of 480 flashes: set aside. They begin 5 samples before"),
        (column(np.arange(len(GROUP)) + 1), "480 different numbers for 480 flashes, 480 of them once"),
        (np.zeros(N_SAMPLES, np.int32), "no group in the column"),
    ],
)
def test_a_column_that_says_no_groups_is_set_aside(groups: NDArray[np.int32], note: str) -> None:
    group, notes = read(groups)
    assert group is None
    assert note in notes


def test_a_number_that_hardly_ever_flashes_is_no_group() -> None:
    slip = GROUP.copy()
    slip[7] = 99
    group, notes = read(column(slip))
    assert group is not None and group[7] == 0
    assert "99 (1) ignored" in notes and "1 of 480 flashes without a group" in notes


def test_groups_of_the_flash_before_contradict_the_classes_also_where_some_flashes_have_none() -> None:
    with pytest.raises(RecordingError, match="one class throughout a trial"):
        read(column(np.r_[0, GROUP[:-1]]))


def test_other_negative_numbers_are_refused() -> None:
    with pytest.raises(RecordingError, match="holds -7"):
        read(column(np.r_[-7, GROUP[1:]]))


# ---- what a sidecar says of groups and events
GRID = {"layout": {"type": "grid", "rows": ["AB", "CD"]}}


def test_a_layout_of_other_groups_than_flashed_is_refused() -> None:
    check_groups(GRID, range(1, 5), "a.csv")
    check_groups(GRID, (), "a.csv")
    for n in (2, 12):
        with pytest.raises(RecordingError, match=rf"layout has 4 groups .* {n} groups flashed"):
            check_groups(GRID, range(1, n + 1), "a.csv")


def test_sets_need_not_all_flash_in_one_recording() -> None:
    said = {"layout": {"type": "sets", "symbols": ["A", "B"], "groups": {"1": ["A"], "2": ["B"]}}}
    check_groups(said, {1}, "a.csv")
    with pytest.raises(RecordingError, match="1 group flashed"):
        check_groups(said, {3}, "a.csv")


def test_an_entry_of_event_id_that_no_event_has_is_named() -> None:
    said = {"event_id": {"S  1": 1, "target": 2, "7": 1, "Nothing": 2}}
    assert unused_events(said, ["Stimulus/S  1", "Target", "S 7"]) == ("event_id declares Nothing: no such event",)
    assert unused_events({}, ["1"]) == ()


@pytest.mark.parametrize("declared", ["10", "10.0"])
@pytest.mark.parametrize("event", ["10", "10.0", "Stimulus/10", "S 10", "10.00"])
def test_a_whole_number_is_the_same_event_with_a_point(declared: str, event: str) -> None:
    assert unused_events({"event_id": {declared: 1}}, [event]) == ()
    assert unused_events({"event_id": {"1": 1}}, [event, "0.5"]) != ()


def test_a_sidecars_unused_event_is_a_note_of_the_recording(tmp_path: Path) -> None:
    from p300.readers import open_recording

    from tests.support.readers import write_parquet

    path = tmp_path / "a.parquet"
    write_parquet(path)
    stream = open_recording(path, sidecar={"event_id": {"1": 1, "2": 2, "7": 1}})
    assert "event_id declares 7: no such event" in stream.notes


@pytest.mark.parametrize(("n", "text"), [(1, "1 flash"), (2, "2 flashes"), (1200, "1,200 flashes")])
def test_nouns_follow_their_number(n: int, text: str) -> None:
    assert n_of(n, "flash") == text


@pytest.mark.parametrize(("lag", "where"), [(9, "9 samples after"), (-9, "9 samples before"), (30, "30 samples after")])
def test_groups_beside_the_flashes_are_set_aside_with_the_direction_in_which_they_are(lag: int, where: str) -> None:
    group, notes = read(column(GROUP, lag=lag))
    assert group is None
    assert f"They begin {where} stim rises" in notes


def test_the_direction_is_not_guessed_where_some_groups_are_missing() -> None:
    some = column(GROUP, lag=9)
    some[ONSET[5] + 9] = 0
    assert "The nearest begins 9 samples before or after stim rises" in read(some)[1]
