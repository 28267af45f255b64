"""A training whose folds are computed by several functions: the same model as in one, whatever dies on the way."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from p300 import evaluation_parts
from p300.errors import TrainingError
from p300.models import draw, prepared
from p300_pipeline.registry import Registry
from p300_pipeline.steps.training import Spread, SpreadTraining, finish
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, MODELS
from tests.support.functions import ENVIRONMENT, EXECUTION, Load, payload, selected
from tests.support.training import later, reasons, train

TWO = Spread(from_subjects=2, at_once=2)
TIMES = {"created", "version", "execution", "fingerprint"}


@pytest.fixture
def subjects(put_features: Callable[..., Any]) -> list[str]:
    names = [f"subject_{number:02d}/run_{run}" for number in (1, 2, 3, 4) for run in ((1, 2) if number == 2 else (1,))]
    for name in names:
        put_features(name)
    return names


def spread(store: Store, execution: str = "a", **how: Any) -> dict[str, Any]:
    begun = train(store, execution, spread=TWO, model="ensemble", **how)
    assert begun["outcome"] == "spread"
    return begun


def compute(store: Store, begun: dict[str, Any]) -> None:
    training = SpreadTraining(store, MODELS, begun["version"])
    for item in [*begun["fits"], *begun["adapted"]]:
        training.compute(FEATURES, item)


def without_times(manifest: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in manifest.items() if name not in TIMES}
    return {**told, "artifacts": {"model.npz": manifest["artifacts"]["model.npz"]}}


@pytest.mark.parametrize("bounded", [False, True])
def test_the_model_is_that_of_a_training_in_one_function(
    store: Store, registry: Registry, subjects: list[str], monkeypatch: pytest.MonkeyPatch, bounded: bool
) -> None:
    if bounded:  # groups of subjects, drawn epochs, and side figures on some subjects
        monkeypatch.setattr(evaluation_parts, "MOST_FOLDS", 3)
        monkeypatch.setattr(evaluation_parts, "MOST_SUBJECTS_OF_A_PART", 3)
        monkeypatch.setattr(prepared, "MOST_FITTED_EPOCHS", 150)
        monkeypatch.setattr(draw, "MOST_TANGENT_EPOCHS", 100)
    begun = spread(store)
    compute(store, begun)
    answer = dict(finish(store, MODELS, begun["version"], execution="a"))
    found = registry.manifest(begun["version"])
    registry.discard(begun["version"])
    whole = train(store, "b", later(60), model="ensemble")
    expected = registry.manifest(whole["version"])
    assert expected["metrics"]["folds"]["largest"] == (2 if bounded else 1)
    assert without_times(found) == without_times(expected), "to the bit"
    assert answer["outcome"] == whole["outcome"] == "trained"
    assert {name: answer[name] for name in answer if name != "version"} == {
        name: whole[name] for name in whole if name != "version"
    }
    assert registry.held_by("challenger") == whole["version"]


def test_few_subjects_and_kinds_that_subtract_are_trained_in_one_function(store: Store, subjects: list[str]) -> None:
    assert train(store, model="ensemble", spread=Spread(5, 2))["outcome"] == "trained"
    assert train(store, "b", later(60), model="lda", spread=TWO)["outcome"] == "trained"


def test_an_item_is_computed_once_and_tried_again_from_any_point(
    store: Store, registry: Registry, subjects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = spread(store)
    again = spread(store)
    assert again == begun, "a retry begins the same training"
    training = SpreadTraining(store, MODELS, begun["version"])
    with pytest.raises(TrainingError, match=r"fits/0.npz is missing"):
        training.compute(FEATURES, "adapted/0.npz")
    compute(store, begun)
    state = {item.key: item.etag for item in store.list(MODELS, "spread/")}
    monkeypatch.setattr(SpreadTraining, "plan", lambda _: pytest.fail("nothing is computed again"))
    compute(store, begun)
    assert {item.key: item.etag for item in store.list(MODELS, "spread/")} == state
    monkeypatch.undo()
    first, second = (finish(store, MODELS, begun["version"], execution="a") for _ in range(2))
    assert first["version"] == second["version"] == begun["version"]
    assert registry.versions() == [begun["version"]]


def test_features_that_changed_meanwhile_fail_the_training_by_name(
    store: Store, registry: Registry, subjects: list[str], put_features: Callable[..., Any]
) -> None:
    begun = spread(store)
    put_features("subject_04/run_1", seed=99)
    training = SpreadTraining(store, MODELS, begun["version"])
    with pytest.raises(TrainingError, match=r"features of subject_04/run_1 were recomputed or deleted") as refused:
        for item in begun["fits"]:
            training.compute(FEATURES, item)
    assert refused.value.code == "features_changed"
    assert registry.versions() == [], "nothing is published"
    assert registry.held_by("challenger") is None


def test_what_is_left_out_is_told_by_a_spread_training_too(
    store: Store, registry: Registry, subjects: list[str], put_features: Callable[..., Any]
) -> None:
    put_features("subject_05/run", made_by={"code_digest": "other"})
    begun = spread(store)
    compute(store, begun)
    answer = finish(store, MODELS, begun["version"], execution="a")
    assert set(reasons(dict(answer))) == {"subject_05/run"}
    assert len(registry.manifest(begun["version"])["left_out"]) == 1


def test_every_fold_is_in_one_batch(store: Store, subjects: list[str]) -> None:
    begun = train(store, spread=Spread(2, 3), model="ensemble")
    plan = SpreadTraining(store, MODELS, begun["version"]).plan()
    batches = [plan.batch(number) for number in range(plan.n_batches)]
    assert sorted(itertools.chain(*batches)) == ["subject_01", "subject_02", "subject_03", "subject_04"]
    assert json.loads(store.get(MODELS, f"spread/{begun['version']}/plan.json")[0])["n_batches"] == 3
    assert np.isclose(sum(map(len, batches)), 4)
    many = train(store, "b", later(60), spread=Spread(2, 40), model="ensemble", seed=1)
    assert many["at_once"] == 4, "no batch is empty"


def test_the_function_begins_computes_and_finishes(
    store: Store, subjects: list[str], load_function: Load, context: Any, logged: Any
) -> None:
    module = load_function("training", **ENVIRONMENT | {"P300_SPREAD_FROM": "4", "P300_SPREAD_OVER": "2"})
    begun = selected("Train", module.handler(payload("Train", request={}, started="2026-01-02T03:04:05Z"), context))
    version = begun["result"]["version"]
    assert begun["result"]["outcome"] == "spread"
    common = {"execution": EXECUTION, "input": {"train": {}}}
    for item in [*begun["result"]["fits"], *begun["result"]["adapted"]]:
        event = common | {"spread": {"step": "compute", "version": version, "item": item}}
        assert module.handler(event, context) == {"outcome": "computed", "version": version, "item": item}
    event = common | {"spread": {"step": "finish", "version": version, "item": ""}}
    finished = selected("Finish the training", module.handler(event, context))["result"]
    assert (finished["outcome"], finished["version"]) == ("trained", version)
    lines = [line for line in logged() if line.get("message") == "trained"]
    assert [line["correlation_id"] for line in lines] == [EXECUTION]
