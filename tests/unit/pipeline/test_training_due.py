"""When a training is due, in whatever order recordings come."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from p300_pipeline.steps.training import check_due
from p300_pipeline.storage import Store

from tests.conftest import FEATURES, MODELS
from tests.unit.pipeline.training_support import any_order


def due(store: Store, execution: str, retrain_every: int, number: int = 0, etag: str = "a") -> dict[str, Any]:
    """Ask for a recording that has features."""
    recording = f"subject_{number:02d}/run"
    store.put(FEATURES, f"{recording}/features.parquet", etag.encode())
    return check_due(
        store,
        FEATURES,
        MODELS,
        recording=recording,
        etag=etag,
        execution=execution,
        retrain_every=retrain_every,
    )


def waiting(store: Store) -> list[str]:
    return [item.key for item in store.list(MODELS, "trainings/new/")]


def test_every_fifth_new_recording_makes_training_due(store: Store) -> None:
    answers = [due(store, f"execution-{number}", 5, number) for number in range(12)]
    assert [answer["due"] for answer in answers] == [False] * 4 + [True] + [False] * 4 + [True] + [False] * 2
    assert [answer["new_recordings"] for answer in answers] == [1, 2, 3, 4, 5] * 2 + [1, 2]
    assert {answer["retrain_every"] for answer in answers} == {5}


def test_what_was_counted_is_not_looked_at_again(store: Store) -> None:
    """However many recordings there are, an execution lists the new ones only."""
    for number in range(12):
        due(store, f"execution-{number}", 5, number)
    assert waiting(store) == ["trainings/new/subject_10/run@a", "trainings/new/subject_11/run@a"]


def test_a_retry_gets_the_same_answer(store: Store) -> None:
    first = [due(store, "a", 5, number) for number in range(5)][-1]
    assert first == {"due": True, "new_recordings": 5, "retrain_every": 5}
    assert [due(store, "a", 5) for _ in range(2)] == [first] * 2
    assert due(store, "b", 5) == {"due": False, "new_recordings": 0, "retrain_every": 5}


def test_the_same_upload_again_is_not_new_and_another_under_its_key_is(store: Store) -> None:
    for number in range(5):
        due(store, "a", 5, number)
    assert due(store, "b", 1)["new_recordings"] == 0
    assert due(store, "c", 1, etag="b") == {"due": True, "new_recordings": 1, "retrain_every": 1}


def test_a_late_event_of_what_was_counted_meanwhile_counts_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert due(store, "a", 1)["due"]
    monkeypatch.setattr("p300_pipeline.steps.training.due._is_counted", lambda *_: False)  # it had looked before
    assert due(store, "b", 1) == {"due": False, "new_recordings": 0, "retrain_every": 1}
    assert waiting(store) == []


def test_recordings_whose_features_are_gone_are_not_counted(store: Store) -> None:
    due(store, "a", 3, 0)
    due(store, "b", 3, 1)
    store.delete(FEATURES, "subject_00/run/features.parquet")
    assert due(store, "c", 3, 2) == {"due": False, "new_recordings": 2, "retrain_every": 3}
    assert due(store, "d", 3, 3)["due"]


def test_n_recordings_lead_to_a_claim_for_every_few_in_any_interleaving(
    store: Store, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None]
) -> None:
    @given(
        n=st.integers(1, 7),
        every=st.integers(1, 4),
        turns=st.lists(st.integers(0, 6), max_size=56),
        retried=st.lists(st.booleans(), min_size=7, max_size=7),
    )
    @example(n=2, every=2, turns=[0, 1] * 20, retried=[False] * 7)
    @example(n=7, every=3, turns=list(range(7)) * 16, retried=[True] * 7)
    @any_order
    def claims(n: int, every: int, turns: list[int], retried: list[bool]) -> None:
        empty_buckets()

        def execution(number: int) -> Callable[[Store], bool]:
            def run(at: Store) -> bool:
                answer = due(at, f"execution-{number}", every, number)
                if retried[number]:
                    again = due(at, f"execution-{number}", every, number)
                    assert again == answer or not answer["due"]
                    answer = again
                return bool(answer["due"])

            return run

        assert sum(interleave([execution(number) for number in range(n)], turns)) == n // every

    claims()


def test_a_death_while_claiming_claims_once(
    store: Store, after_any_death: Callable[..., None], empty_buckets: Callable[[], None]
) -> None:
    def prepare() -> None:
        empty_buckets()
        due(store, "before", 2, 1)

    after_any_death(prepare, lambda at: due(at, "a", 2), lambda: (due(store, "b", 2), waiting(store)))
