"""When a training is due, in whatever order recordings come and executions end."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from p300.errors import ArtifactError
from p300_pipeline.contracts import ScheduleResult
from p300_pipeline.steps.scheduling import (
    CLAIM_LASTS_S,
    LONGEST_GATHERING_S,
    LOST_AFTER_S,
    MOST_GATHERED,
    SCHEDULE_KEY,
    check_due,
    settle,
)
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, MODELS
from tests.support.interruptions import Died
from tests.support.training import any_order

NOW = 1_800_000_000.0


def look(
    store: Store, execution: str, every: int, number: int = 0, etag: str = "a", now: float = NOW, took_s: float = 8
) -> ScheduleResult:
    """Ask once for a recording that has features; it took so many seconds to get there."""
    recording = f"subject_{number:02d}/run"
    store.put(FEATURES, f"{recording}/features.parquet", etag.encode())
    return check_due(
        store,
        FEATURES,
        MODELS,
        recording=recording,
        etag=etag,
        execution=execution,
        started=now - took_s,
        retrain_every=every,
        now=now,
    )


def due(store: Store, execution: str, every: int, number: int = 0, **how: Any) -> ScheduleResult:
    """Ask until there is an answer, as the state machine does."""
    while (answer := look(store, execution, every, number, **how))["look_again_s"]:
        pass
    return answer


def told(answer: ScheduleResult) -> tuple[bool, int]:
    return answer["outcome"] == "due", answer["new_recordings"]


def waiting(store: Store) -> list[str]:
    return [item.key for item in store.list(MODELS, "trainings/new/")]


def claims(store: Store) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.get(MODELS, SCHEDULE_KEY)[0])["claims"]
    return found


def test_every_fifth_new_recording_makes_training_due(store: Store) -> None:
    answers = [due(store, f"execution-{number}", 5, number) for number in range(12)]
    assert [answer["outcome"] == "due" for answer in answers] == [False] * 4 + [True] + [False] * 4 + [True] + [
        False
    ] * 2
    assert [answer["new_recordings"] for answer in answers] == [1, 2, 3, 4, 5] * 2 + [1, 2]
    assert {answer["retrain_every"] for answer in answers} == {5}


def test_what_was_claimed_is_not_looked_at_again(store: Store) -> None:
    """However many recordings there are, an execution lists the new ones only."""
    for number in range(12):
        due(store, f"execution-{number}", 5, number)
    assert waiting(store) == ["trainings/new/subject_10/run@a", "trainings/new/subject_11/run@a"]


def test_whether_any_montage_has_a_champion_is_said(store: Store) -> None:
    assert look(store, "a", 5)["has_champion"] is False
    store.put(MODELS, "aliases/challenger", b"v20260102030405")
    assert look(store, "b", 5, 1)["has_champion"] is False
    store.put(MODELS, "aliases/champion_8ch-1a2b3c4d", b"v20260102030405")
    assert look(store, "c", 5, 2)["has_champion"] is True


# ---- recordings that come together
def test_twelve_recordings_at_once_are_one_training_of_all(store: Store) -> None:
    first = [look(store, f"execution-{number}", 5, number) for number in range(7)]
    assert first[4] == {
        "outcome": "gathering", "has_champion": False, "montage": "0ch-4f53cda1", "new_recordings": 5, "retrain_every": 5,
        "look_again_s": 8, "gathered_by": None, "request": None,
    }  # fmt: skip
    assert [answer["gathered_by"] for answer in first] == [None] * 5 + ["execution-4"] * 2
    assert look(store, "execution-4", 5, 4, now=NOW + 8)["look_again_s"] == 8  # two have come meanwhile
    rest = [look(store, f"execution-{number}", 5, number, now=NOW + 9) for number in range(7, 12)]
    assert {answer["gathered_by"] for answer in rest} == {"execution-4"}
    assert look(store, "execution-4", 5, 4, now=NOW + 16)["look_again_s"] == 8
    assert told(look(store, "execution-4", 5, 4, now=NOW + 24)) == (True, 12)
    assert [answer["outcome"] == "due" for answer in [*first, *rest]] == [False] * 12
    assert waiting(store) == []


@pytest.mark.parametrize(("took_s", "pause_s"), [(8, 8), (0.1, 2), (-100, 2), (4000, 60)])
def test_the_pause_is_as_long_as_a_recording_takes(store: Store, took_s: float, pause_s: int) -> None:
    assert look(store, "a", 1, took_s=took_s)["look_again_s"] == pause_s


def test_recordings_that_never_stop_coming_do_not_put_a_training_off_for_ever(store: Store) -> None:
    seconds, number = 0, 0
    while (answer := look(store, "a", 1, now=NOW + seconds))["outcome"] != "due":
        seconds, number = seconds + 60, number + 1
        assert look(store, f"other-{number}", 1, number, now=NOW + seconds)["gathered_by"] == "a"
    assert seconds == LONGEST_GATHERING_S
    assert answer["new_recordings"] == number + 1


def test_many_recordings_are_not_listed_again_and_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p300_pipeline.steps.scheduling.MOST_GATHERED", 3)
    assert MOST_GATHERED == 1000  # as many as a listing has on a page
    look(store, "a", 1)
    for number in (1, 2):
        look(store, f"other-{number}", 1, number)
    assert told(look(store, "a", 1)) == (True, 3)


def test_n_recordings_lead_to_a_training_of_all_in_any_interleaving(
    store: Store, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None]
) -> None:
    @given(
        n=st.integers(1, 7),
        every=st.integers(1, 4),
        turns=st.lists(st.integers(0, 6), max_size=80),
        retried=st.lists(st.booleans(), min_size=7, max_size=7),
    )
    @example(n=2, every=2, turns=[0, 1] * 20, retried=[False] * 7)
    @example(n=7, every=3, turns=list(range(7)) * 16, retried=[True] * 7)
    @example(n=4, every=2, turns=[0] * 3 + [1] * 30 + [2] * 3 + [1] * 8 + [2, 3] * 9, retried=[False] * 7)
    @any_order
    def run(n: int, every: int, turns: list[int], retried: list[bool]) -> None:
        empty_buckets()

        def execution(number: int) -> Callable[[Store], bool]:
            def ask(at: Store) -> bool:
                answer = due(at, f"execution-{number}", every, number)
                if retried[number]:
                    again = due(at, f"execution-{number}", every, number)
                    assert again["outcome"] == "due" or answer["outcome"] != "due"
                return due(at, f"execution-{number}", every, number)["outcome"] == "due"

            return ask

        trainings = sum(interleave([execution(number) for number in range(n)], turns))
        claimed = [name for claim in claims(store).values() for name in claim["recordings"]] if trainings else []
        assert len(claimed) == len(set(claimed))
        assert (n >= every) <= trainings <= n // every
        # Nobody is left behind: those who have not been claimed are too few for a training.
        assert len(claimed) + len(waiting(store)) == n
        assert len(waiting(store)) < every

    run()


def test_a_recording_left_to_one_who_is_claiming_is_claimed_too(
    store: Store, interleave: Callable[..., list[Any]]
) -> None:
    """The others come between the claimant's last look and its claim, and have seen it gather."""
    for number in range(5):
        look(store, f"execution-{number}", 5, number)
    rest = [lambda at, n=n: due(at, f"execution-{n}", 5, n) for n in range(5, 10)]
    # The claimant: schedule, marker and list; then all the others; then its claim.
    answers = interleave([lambda at: due(at, "execution-4", 5, 4), *rest], [0] * 6 + [1] * 200)
    assert told(answers[0]) == (True, 10)
    assert waiting(store) == []


# ---- what may happen twice
def test_a_retry_gets_the_same_answer(store: Store) -> None:
    first = [due(store, "a", 5, number) for number in range(5)][-1]
    assert told(first) == (True, 5)
    assert [due(store, "a", 5, 4) for _ in range(2)] == [first] * 2
    assert told(due(store, "b", 5)) == (False, 0)


def test_the_same_upload_again_is_not_new_and_another_under_its_key_is(store: Store) -> None:
    for number in range(5):
        due(store, "a", 5, number)
    assert due(store, "b", 1)["new_recordings"] == 0
    assert told(due(store, "c", 1, etag="b")) == (True, 1)


def test_a_late_event_of_what_was_claimed_meanwhile_counts_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert due(store, "a", 1)["outcome"] == "due"
    settle(store, MODELS, "a")
    monkeypatch.setattr("p300_pipeline.steps.scheduling._is_counted", lambda *_: False)  # it had looked before
    assert told(due(store, "b", 1)) == (False, 0)
    assert waiting(store) == []


def test_recordings_whose_features_are_gone_are_not_counted(store: Store) -> None:
    due(store, "a", 3, 0)
    due(store, "b", 3, 1)
    store.delete(FEATURES, "subject_00/run/features.parquet")
    assert told(due(store, "c", 3, 2)) == (False, 2)
    assert due(store, "d", 3, 3)["outcome"] == "due"


def test_what_is_taken_away_while_it_is_gathered_leaves_nobody_waiting(store: Store) -> None:
    look(store, "a", 2, 0)
    assert look(store, "b", 2, 1)["look_again_s"]
    store.delete(FEATURES, "subject_00/run/features.parquet")
    assert told(look(store, "b", 2, 1)) == (False, 1)
    assert look(store, "c", 2, 2)["look_again_s"]


# ---- executions that die
@pytest.mark.parametrize("then", ["looks again", "another comes later"])
def test_a_death_while_claiming_forgets_nothing(
    store: Store, empty_buckets: Callable[[], None], dying: Callable[..., Store], then: str
) -> None:
    number = 0
    while True:
        empty_buckets()
        look(store, "before", 2, 1)
        try:
            due(dying(number), "a", 2)
        except Died:
            pass
        else:
            break
        if then == "looks again":
            assert told(due(store, "a", 2)) == (True, 2)
        else:
            look(store, "b", 2, 2)
            late = NOW + LOST_AFTER_S + CLAIM_LASTS_S + 100
            assert told(due(store, "c", 2, 3, now=late))[0]
            # Its features and its marker are its first two writes.
            assert {len(claim["recordings"]) for name, claim in claims(store).items() if name != "a"} == {
                4 if number > 2 else 3
            }
        assert waiting(store) == []
        number += 1
    assert number > 8


def test_recordings_that_a_dead_execution_gathered_are_gathered_by_the_next(store: Store) -> None:
    for number in range(5):
        look(store, f"execution-{number}", 5, number)  # the last gathers, and dies
    assert look(store, "soon", 5, 5, now=NOW + 60)["gathered_by"] == "execution-4"
    late = NOW + 8 + LOST_AFTER_S + 1
    assert look(store, "late", 5, 6, now=late)["look_again_s"]
    assert told(look(store, "execution-4", 5, 4, now=late)) == (False, 7)  # it was not dead, but slow
    assert told(look(store, "late", 5, 6, now=late + 8)) == (True, 7)


def test_recordings_of_a_training_that_never_ended_are_new_again(store: Store) -> None:
    """Its execution was stopped, and nobody retried it."""
    for number in range(5):
        due(store, "stopped", 5, number)
    assert told(due(store, "b", 5, 5, now=NOW + CLAIM_LASTS_S - 1)) == (False, 1)
    assert told(due(store, "c", 5, 6, now=NOW + CLAIM_LASTS_S + 1)) == (True, 7)
    assert due(store, "stopped", 5, now=NOW + CLAIM_LASTS_S + 2)["outcome"] == "due", "its retry still finds its claim"
    assert waiting(store) == []


def test_recordings_of_a_training_that_ended_are_not(store: Store) -> None:
    for number in range(5):
        due(store, "a", 5, number)
    settle(store, MODELS, "a")
    assert told(due(store, "b", 5, 5, now=NOW + CLAIM_LASTS_S + 1)) == (False, 1)
    assert told(due(store, "a", 5, now=NOW + CLAIM_LASTS_S + 1)) == (True, 5)


def test_settling_what_was_not_claimed_does_nothing(store: Store) -> None:
    settle(store, MODELS, "asked-for")
    assert not list(store.list(MODELS))
    due(store, "a", 1)
    settle(store, MODELS, "asked-for")
    assert claims(store)["a"]["recordings"]


def test_settling_and_a_claim_at_once_lose_neither(
    store: Store, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None]
) -> None:
    @given(st.lists(st.integers(0, 1), max_size=30))
    @any_order
    def run(turns: list[int]) -> None:
        empty_buckets()
        due(store, "a", 1, 0)
        interleave([lambda at: settle(at, MODELS, "a"), lambda at: due(at, "b", 1, 1)], turns)
        assert {name: claim["recordings"] for name, claim in claims(store).items()} == {
            "a": [],
            "b": ["subject_01/run@a"],
        }

    run()


def test_a_clock_that_is_a_day_wrong_claims_nothing_twice_and_stops_nobody(store: Store) -> None:
    for number in range(5):
        look(store, f"execution-{number}", 5, number, now=NOW + 86_400)
    assert look(store, "right", 5, 5)["look_again_s"]  # as good as dead, as far as anybody can tell
    assert told(look(store, "execution-4", 5, 4, now=NOW + 86_400)) != (True, 6)
    assert {told(due(store, name, 5, 5)) for name in ("right", "execution-4")} >= {(True, 6)}
    assert sum(len(claim["recordings"]) for claim in claims(store).values()) == 6


# ---- the document
def test_a_schedule_of_before_there_was_gathering_is_read(store: Store) -> None:
    store.put(MODELS, SCHEDULE_KEY, json.dumps({"claims": {"a": 5}, "taken": ["subject_00/run@a"]}).encode())
    assert told(due(store, "a", 5)) == (True, 5)
    assert told(due(store, "b", 1)) == (False, 0)
    assert told(due(store, "b", 1, 1)) == (True, 1)


@pytest.mark.parametrize(
    "broken",
    [
        {"claims": {"a": "x"}, "taken": []},
        {"claims": {"a": {"n": 1, "recordings": [1], "at": 0}}, "taken": []},
        {"claims": {}, "taken": [], "gathering": {"execution": "a"}},
        {
            "claims": {},
            "taken": [],
            "gathering": {"execution": "a", "seen": "", "since": 0, "looked": 0, "pause_s": 10**9},
        },
        {"taken": []},
    ],
)
def test_a_schedule_that_is_none_is_named(store: Store, broken: dict[str, Any]) -> None:
    store.put(MODELS, SCHEDULE_KEY, json.dumps(broken).encode())
    with pytest.raises(ArtifactError, match=SCHEDULE_KEY):
        due(store, "a", 1)
