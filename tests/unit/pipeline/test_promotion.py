"""Champion against challenger."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300_pipeline.feature_store import subject_of
from p300_pipeline.registry import Registry
from p300_pipeline.steps.training import PROMOTION_MARGIN_AUC
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS
from tests.support.interruptions import Died
from tests.support.training import any_order, promote, train


def publish(
    registry: Registry,
    version: str,
    aucs: dict[str, float | None] | dict[str, float],
    scheme: str = "leave_one_subject_out",
    recordings: list[dict[str, str]] | None = None,
    **more: Any,
) -> str:
    """Publish a model with these figures of left-out people."""
    folds = {name: {"roc_auc": auc} for name, auc in aucs.items()}
    metrics: dict[str, Any] = {
        "leave_one_subject_out": None,
        "within_subject_blocks": None,
        "pooled_random_split_optimistic": {"roc_auc": 0.9},
        **more,
    }
    inner = "subjects" if scheme == "leave_one_subject_out" else "blocks"
    metrics[scheme] = {inner: folds, "mean": {"roc_auc": 0.8}, "sd": {"roc_auc": 0.1}}
    manifest = {
        "kind": "lda", "channels": ["Fz", "Cz", "Pz"], "n_times": 2, "sfreq": 100.0, "tmin": 0.0, "subjects": sorted(aucs),
        "held_out": [], "recordings": recordings or [], "n_epochs": 1, "metrics": metrics, "created": "", "execution": version,
    }  # fmt: skip
    registry.publish(version, version, {}, manifest)
    return version


def test_the_first_model_is_promoted(registry: Registry) -> None:
    answer = promote(registry, publish(registry, "v1", {"a": 0.5}))
    assert answer == {"outcome": "promoted", "champion": "v1", "replaced": None, "why": "There was no champion."}
    assert registry.alias("champion") == "v1"


@pytest.mark.parametrize("champion", [False, True])
def test_a_model_at_chance_is_not_promoted_not_even_as_the_first(registry: Registry, *, champion: bool) -> None:
    if champion:
        promote(registry, publish(registry, "v1", {"a": 0.4}))
    chance = {"at_chance": True, "p_value": 0.342}
    answer = promote(registry, publish(registry, "v2", {"a": 0.6}, chance=chance), "b")
    assert (answer["outcome"], answer["p_chance"]) == ("kept", 0.342)
    assert answer["why"] == (
        "It is at chance (p = 0.34) on left-out subjects. `p300 promote v2 --force` makes it the champion."
    )
    assert registry.alias("champion") == ("v1" if champion else None)


def test_a_model_above_chance_is_promoted(registry: Registry) -> None:
    chance = {"at_chance": False, "p_value": 0.01}
    assert promote(registry, publish(registry, "v1", {"a": 0.6}, chance=chance))["outcome"] == "promoted"


def test_people_without_a_response_make_a_model_at_chance(
    registry: Registry, store: Store, put_features: Callable[..., Any]
) -> None:
    for number in (1, 2, 3):
        put_features(f"subject_{number}/run", effect_uv=0.0)
    trained = train(store)
    assert trained["at_chance"]
    assert trained["p_chance"] >= 0.05
    assert promote(registry, trained["version"])["outcome"] == "kept"
    assert registry.champion() is None


@pytest.mark.parametrize(
    ("ours", "outcome"),
    [
        ({"a": 0.9, "b": 0.8}, "promoted"),
        ({"a": 0.8, "b": 0.7}, "promoted"),
        ({"a": 0.8, "b": 0.7 - 1.9 * PROMOTION_MARGIN_AUC}, "promoted"),
        ({"a": 0.8, "b": 0.7 - 2.1 * PROMOTION_MARGIN_AUC}, "kept"),
        ({"a": 0.7, "b": 0.6}, "kept"),
        ({"a": 0.8, "c": 0.1}, "promoted"),  # compared on the common person alone
        ({"a": 0.7, "c": 1.0}, "kept"),
        ({"c": 0.1, "d": 0.2}, "promoted"),  # nobody in common
        ({"c": 0.1}, "kept"),  # nor as many
        ({"a": None, "b": 0.7}, "promoted"),
    ],
)
def test_promotion_if_not_worse_on_common_people(
    registry: Registry, ours: dict[str, float | None], outcome: str
) -> None:
    theirs: dict[str, float | None] = {"a": 0.8, "b": 0.7}
    promote(registry, publish(registry, "v1", theirs))
    answer = promote(registry, publish(registry, "v2", ours), "b")
    assert answer["outcome"] == outcome
    assert registry.alias("champion") == answer["champion"] == ("v2" if outcome == "promoted" else "v1")
    common = sorted(name for name in theirs.keys() & ours.keys() if ours[name] is not None)
    assert answer.get("compared_on", []) == common
    if common:
        expected = np.mean([(ours[name] or 0.0) - (theirs[name] or 0.0) for name in common])
        assert answer["auc_difference"] == pytest.approx(expected, abs=1e-4)
    assert len(registry.history()) == (2 if outcome == "promoted" else 1)


def test_figures_within_one_person_are_not_compared(registry: Registry) -> None:
    promote(registry, publish(registry, "v1", {"block_1": 0.9}, "within_subject_blocks"))
    answer = promote(registry, publish(registry, "v2", {"block_1": 0.5}, "within_subject_blocks"), "b")
    assert answer["outcome"] == "promoted"
    assert "nothing to compare" in answer["why"]


def test_a_champion_that_changes_in_between_is_compared_with_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(registry, publish(registry, "v1", {"a": 0.5}))
    publish(registry, "v2", {"a": 0.6})
    publish(registry, "v3", {"a": 0.9})
    real = Registry.promote

    def overtaken(self: Registry, version: str, **how: Any) -> bool:
        monkeypatch.setattr(Registry, "promote", real)
        registry.promote("v3", expected="v1", entry={"execution": "c"})
        return real(self, version, **how)

    monkeypatch.setattr(Registry, "promote", overtaken)
    answer = promote(registry, "v2", "b")
    assert (answer["outcome"], answer["champion"]) == ("kept", "v3")
    assert [entry["version"] for entry in registry.history()] == ["v1", "v3"]


@pytest.mark.parametrize(
    ("ours", "outcome"),
    [({"a": 0.8}, "kept"), ({"a": 0.8 + 2 * PROMOTION_MARGIN_AUC}, "promoted"), ({"b": 1.0}, "kept")],
)
def test_an_overtaken_challenger_must_be_better(registry: Registry, ours: dict[str, float], outcome: str) -> None:
    promote(registry, publish(registry, "v2", {"a": 0.8}))
    answer = promote(registry, publish(registry, "v1", ours), "late")
    assert answer["outcome"] == outcome


def test_a_retry_of_a_promotion_gives_the_same_answer(
    registry: Registry, after_any_death: Callable[..., None], empty_buckets: Callable[[], None]
) -> None:
    def prepare() -> None:
        empty_buckets()
        promote(registry, publish(registry, "v1", {"a": 0.8}))
        publish(registry, "v2", {"a": 0.85})

    def state() -> Any:
        pointer = registry.store.get(MODELS, "active_model_pointer.txt")[0]
        return registry.alias("champion"), pointer, [{**entry, "at": ""} for entry in registry.history()]

    after_any_death(prepare, lambda at: promote(Registry(at, MODELS), "v2", "b"), state)
    before = state()
    assert promote(registry, "v2", "b") == promote(registry, "v2", "b")
    assert state() == before
    assert before[2][-1]["auc_difference"] == 0.05


@pytest.mark.parametrize("next_step", ["training of the same", "promotion of a worse one"])
def test_a_promotion_that_died_behind_its_alias_is_finished_by_the_next_execution(
    store: Store, registry: Registry, people: list[str], monkeypatch: pytest.MonkeyPatch, next_step: str
) -> None:
    def die(_: Registry) -> None:
        raise Died

    first = train(store)["version"]
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(Registry, "follow_champion", die)
        promote(registry, first)
    assert (registry.alias("champion"), registry.history()) == (first, [])
    if next_step == "training of the same":
        assert train(store, execution="another")["outcome"] == "trained"
        assert promote(registry, first, "another")["outcome"] == "promoted"
    else:
        worse = dict.fromkeys(registry.manifest(first)["subjects"], 0.0)
        assert promote(registry, publish(registry, "v20270101000000", worse), "another")["outcome"] == "kept"
    assert [(entry["version"], entry["replaced"]) for entry in registry.history()] == [(first, None)]
    assert store.get(MODELS, "active_model_pointer.txt")[0].decode() == first


def test_two_promotions_at_once_end_with_the_newer(
    registry: Registry, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None]
) -> None:
    @given(st.lists(st.integers(0, 1), max_size=24))
    @settings(any_order, max_examples=5)
    def race(turns: list[int]) -> None:
        empty_buckets()
        promote(registry, publish(registry, "v1", {"a": 0.8}))
        for version in ("v2", "v3"):
            publish(registry, version, {"a": 0.8})
        answers = interleave([lambda at, v=v: promote(Registry(at, MODELS), v, v) for v in ("v2", "v3")], turns)
        assert answers[1]["outcome"] == "promoted"
        assert registry.alias("champion") == "v3"
        assert registry.store.get(MODELS, "active_model_pointer.txt")[0] == b"v3"

    race()


# ---- on the same recordings
def publish_recordings(
    registry: Registry, version: str, aucs: dict[str, float | None], content: dict[str, str] | None = None
) -> str:
    """Publish a model with these figures of left-out recordings, each of the content that its name says or `content` does."""
    subjects: dict[str, list[float]] = {}
    for name, auc in aucs.items():
        subjects.setdefault(subject_of(name), []).append(auc or 0.0)
    return publish(
        registry,
        version,
        {name: float(np.mean(found)) for name, found in subjects.items()},
        recordings=[{"recording": name, "raw": (content or {}).get(name, name)} for name in aucs],
        left_out_recordings=aucs,
    )


def test_further_recordings_of_the_same_people_do_not_count_in_the_comparison(registry: Registry) -> None:
    """Easy recordings landed for everybody, and a model that does worse on all that there was before."""
    promote(registry, publish_recordings(registry, "v1", {"a/1": 0.8, "b/1": 0.7}))
    worse: dict[str, float | None] = {"a/1": 0.75, "b/1": 0.65, "a/easy": 1.0, "b/easy": 1.0}
    answer = promote(registry, publish_recordings(registry, "v2", worse), "b")
    assert (answer["outcome"], answer["auc_difference"]) == ("kept", -0.05)
    assert answer["compared_on"] == ["a", "b"]
    assert answer["auc_challenger"] == 0.7


def test_a_recording_that_was_replaced_is_another(registry: Registry) -> None:
    promote(registry, publish_recordings(registry, "v1", {"a/1": 0.8, "b/1": 0.7}))
    version = publish_recordings(registry, "v2", {"a/1": 0.7, "b/1": 1.0}, {"b/1": "an easier one"})
    answer = promote(registry, version, "b")
    assert (answer["outcome"], answer["compared_on"], answer["auc_difference"]) == ("kept", ["a"], -0.1)


def test_each_subject_counts_once_however_many_recordings_there_are(registry: Registry) -> None:
    promote(registry, publish_recordings(registry, "v1", {"a/1": 0.8, "a/2": 0.8, "a/3": 0.8, "b/1": 0.8}))
    better_in_one: dict[str, float | None] = {"a/1": 0.81, "a/2": 0.81, "a/3": 0.81, "b/1": 0.7}
    assert promote(registry, publish_recordings(registry, "v2", better_in_one), "b")["auc_difference"] == -0.045


def test_recordings_of_one_class_are_not_compared(registry: Registry) -> None:
    promote(registry, publish_recordings(registry, "v1", {"a/1": 0.8, "b/1": None}))
    answer = promote(registry, publish_recordings(registry, "v2", {"a/1": 0.8, "b/1": 0.1}), "b")
    assert (answer["outcome"], answer["compared_on"]) == ("promoted", ["a"])


def test_with_a_model_of_before_recordings_had_figures_subjects_are_compared(registry: Registry) -> None:
    promote(registry, publish(registry, "v1", {"a": 0.8, "b": 0.7}))
    answer = promote(registry, publish_recordings(registry, "v2", {"a/1": 0.7, "c/1": 0.9}), "b")
    assert (answer["outcome"], answer["compared_on"]) == ("kept", ["a"])


@pytest.mark.parametrize("broken", [[], {"a/1": "high"}, {"a/1": math.inf}, 3])
def test_a_champion_whose_figures_are_none_is_named_and_replaced(registry: Registry, broken: Any) -> None:
    promote(registry, publish(registry, "v1", {"a": 0.8}, left_out_recordings=broken))
    answer = promote(registry, publish_recordings(registry, "v2", {"a/1": 0.7}), "b")
    assert (answer["outcome"], "no numbers" in answer["why"]) == ("promoted", True)


def test_what_was_decided_is_kept_beside_the_model(registry: Registry) -> None:
    promote(registry, publish(registry, "v1", {"a": 0.8}))
    answer = promote(registry, publish(registry, "v2", {"a": 0.5}), "b")
    kept = [json.loads(registry.store.get(MODELS, f"{version}/promotion.json")[0]) for version in ("v1", "v2")]
    assert (kept[0]["outcome"], kept[1]) == ("promoted", answer)
