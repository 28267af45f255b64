"""A subject's personal model: made when a recording has features, and served only where it is not worse than the population's."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from p300.montages import name_of
from p300_pipeline import personal_models
from p300_pipeline.personal_models import held_by_subject, versions_of
from p300_pipeline.registry import Registry
from p300_pipeline.steps import training
from p300_pipeline.steps.training import personal
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, MODELS
from tests.support.features import make_features
from tests.support.training import finish, later, train

Make = Callable[..., dict[str, Any]]
NEW = "subject_07"


@pytest.fixture
def land(store: Store, put_features: Any) -> Callable[..., str]:
    """land("subject_07/run_1", seed=...): the features of a recording, at 100 Hz."""

    def land(name: str, **made: Any) -> str:
        features = make_features(**made)
        survey = {"sfreq": 100.0}
        put_features(name, features=dataclasses.replace(features, survey=survey))
        return name

    return land


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], bytes]:
    """Receives the buckets after the first training, so that one does for all tests."""
    return {}


@pytest.fixture
def population(store: Store, land: Callable[..., str], objects: dict[tuple[str, str], bytes]) -> str:
    """A champion of three subjects."""
    if not objects:
        for number in (1, 2, 3):
            land(f"subject_{number:02d}/run", seed=number)
        finish(store, train(store))
        objects |= {
            (bucket, item.key): store.get(bucket, item.key)[0]
            for bucket in (FEATURES, MODELS)
            for item in store.list(bucket)
        }
    for (bucket, key), body in objects.items():
        store.put(bucket, key, body)
    return Registry(store, MODELS).resolve("champion")


@pytest.fixture
def make(store: Store) -> Make:
    def make(recording: str, execution: str = "p", seconds: int = 60) -> dict[str, Any]:
        return dict(
            training.make_personal(
                store, FEATURES, MODELS, recording, execution=execution, started=later(seconds), memory_mb=3008
            )
        )

    return make


def test_without_a_population_model_there_is_nothing_to_stand_on(land: Any, make: Make, store: Store) -> None:
    answer = make(land(f"{NEW}/run_1"))
    assert answer["outcome"] == "none"
    assert "no population model yet" in answer["why"]
    assert list(store.list(MODELS)) == []


def test_the_only_recording_is_compared_on_blocks_of_time_and_the_manifest_says_all(
    land: Any, make: Make, registry: Registry, population: str
) -> None:
    answer = make(land(f"{NEW}/run_1", seed=7, n_epochs=300))
    assert (answer["outcome"], answer["alias"], answer["population"]) == ("promoted", NEW, population)
    assert held_by_subject(registry, NEW) == {NEW: answer["version"]}
    assert answer["version"].startswith(f"{NEW}/v2026")
    manifest = registry.manifest(registry.resolve(NEW))
    assert manifest["population"]["version"] == population
    assert manifest["population"]["sha256"] == registry.manifest(population)["artifacts"]["model.npz"]["sha256"]
    assert manifest["population"]["trained_on_subject"] is False
    assert [entry["recording"] for entry in manifest["recordings"]] == [f"{NEW}/run_1"]
    assert (manifest["n_epochs"], manifest["n_targets"]) == (300, 50)
    assert manifest["montage"]["group"] == name_of(manifest["channels"])
    metrics = manifest["metrics"]
    assert (metrics["scheme"], metrics["n_flashes"], metrics["margin"]) == ("other_blocks_of_time", 300, 0.01)
    assert metrics["auc_personal"] >= metrics["auc_population"] - 0.01
    (entry,) = registry.store.list(MODELS, f"aliases/history_{NEW}.json")
    assert entry.size
    assert registry.versions() == [population], "personal models are in no list of all models"


def test_the_event_again_and_a_retry_change_nothing(land: Any, make: Make, store: Store, population: str) -> None:
    name = land(f"{NEW}/run_1", seed=7)
    first = make(name)
    before = {item.key: item.etag for item in store.list(MODELS)}
    for execution in ("p", "another"):
        again = make(name, execution, 90)
        assert (again["outcome"], again["version"]) == ("unchanged", first["version"])
    assert {item.key: item.etag for item in store.list(MODELS)} == before


def test_what_died_before_the_promotion_is_promoted_by_the_retry(
    land: Any, make: Make, store: Store, registry: Registry, population: str
) -> None:
    name = land(f"{NEW}/run_1", seed=7)
    first = make(name)
    for key in (f"aliases/{NEW}", f"aliases/history_{NEW}.json", f"{first['version']}/promotion.json"):
        store.delete(MODELS, key)
    assert make(name) == first
    assert registry.resolve(NEW) == first["version"]


def test_a_second_recording_is_compared_by_recording(
    land: Any, make: Make, registry: Registry, population: str
) -> None:
    first = make(land(f"{NEW}/run_1", seed=7))
    second = make(land(f"{NEW}/run_2", seed=8), "q", 120)
    assert second["outcome"] == "promoted"
    manifest = registry.manifest(second["version"])
    assert manifest["metrics"]["scheme"] == "other_recordings"
    assert [one["recording"] for one in manifest["metrics"]["recordings"]] == [f"{NEW}/run_1", f"{NEW}/run_2"]
    assert versions_of(registry, NEW) == [first["version"], second["version"]]
    line = personal_models.line_of(registry, NEW, manifest["montage"]["group"])
    assert personal_models.before(registry, line) == first["version"]


def test_recordings_that_contradict_each_other_make_a_model_that_does_not_serve(
    land: Any, make: Make, registry: Registry, population: str
) -> None:
    """Electrodes of opposite polarity in one of two runs: each run teaches what is wrong of the other."""
    assert make(land(f"{NEW}/run_1", seed=7, n_epochs=300))["outcome"] == "promoted"
    serving = registry.resolve(NEW)
    answer = make(land(f"{NEW}/run_2", seed=8, n_epochs=300, effect_uv=-8.0), "q", 120)
    assert answer["outcome"] == "kept"
    assert "Worse than the population's model" in answer["why"]
    assert held_by_subject(registry, NEW) == {NEW: serving}
    assert versions_of(registry, NEW) == [serving, answer["version"]]


def test_a_copy_under_another_name_is_not_tested_on(land: Any, make: Make, registry: Registry, population: str) -> None:
    land(f"{NEW}/run_1", seed=7)
    answer = make(land(f"{NEW}/copy", seed=7))
    assert registry.manifest(answer["version"])["metrics"]["scheme"] == "other_blocks_of_time"
    assert [one["recording"] for one in answer["left_out"]] == [f"{NEW}/run_1"]
    assert "holds the same epochs" in answer["left_out"][0]["reason"]


def test_of_two_montages_each_has_an_alias_of_its_own(land: Any, make: Make, store: Store, registry: Registry) -> None:
    four = ("P3", "P4", "PO7", "PO8")
    for number in (1, 2, 3):
        land(f"subject_{number:02d}/run", seed=number)
    for number in (4, 5):
        land(f"subject_{number:02d}/run", seed=number, channels=four)
    first = finish(store, train(store, recording="subject_01/run"))["version"]
    second = finish(store, train(store, "b", later(30), recording="subject_04/run"))["version"]
    assert make(land(f"{NEW}/three", seed=7), "p", 60)["population"] == first
    answer = make(land(f"{NEW}/four", seed=8, channels=four), "q", 90)
    assert (answer["population"], answer["alias"]) == (second, f"{NEW}_{name_of(four)}")
    assert sorted(held_by_subject(registry, NEW)) == [NEW, f"{NEW}_{name_of(four)}"]
    manifest = registry.manifest(answer["version"])
    assert [entry["recording"] for entry in manifest["recordings"]] == [f"{NEW}/four"]


def test_a_model_of_fewer_of_the_recordings_does_not_replace_one_of_more(
    land: Any, make: Make, store: Store, registry: Registry, population: str
) -> None:
    """Two recordings landed together: the execution that saw only the first of them may be the last to promote."""
    land(f"{NEW}/run_1", seed=7)
    early = make(f"{NEW}/run_1")
    late = make(land(f"{NEW}/run_2", seed=8), "q", 120)
    store.delete(MODELS, f"{early['version']}/promotion.json")
    answer = personal._promote(registry, FEATURES, early["version"], NEW, "p", [])
    assert answer["outcome"] == "kept"
    assert "1 more" in answer["why"]
    assert registry.resolve(NEW) == late["version"]


def test_rolling_back_the_first_returns_to_the_population(
    land: Any, make: Make, registry: Registry, population: str
) -> None:
    answer = make(land(f"{NEW}/run_1", seed=7))
    line = personal_models.line_of(registry, NEW, registry.manifest(answer["version"])["montage"]["group"])
    assert personal_models.before(registry, line) == population
