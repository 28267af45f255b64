"""Synthetic recordings, as the demo's, and those of people: never in one model, and the demo's model gives way."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from p300.recording import SYNTHETIC
from p300_cli.model_details import montage_lines
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.features import make_features
from tests.support.training import finish, later, promote, reasons, train


def put_synthetic(put_features: Callable[..., Any], number: int, **how: Any) -> None:
    name = f"subject_{number:02d}/demo"
    put_features(name, features=replace(make_features(seed=number, **how), notes=(SYNTHETIC,)))


def test_synthetic_recordings_are_not_mixed_with_measured_ones(
    store: Store, registry: Registry, people: list[str], put_features: Callable[..., Any]
) -> None:
    for number in (11, 12, 13, 14):
        put_synthetic(put_features, number)
    answer = train(store)
    assert answer["subjects"] == ["subject_01", "subject_02", "subject_03"]
    assert answer["n_synthetic"] == 0
    assert all("it is synthetic" in reason for reason in reasons(answer).values())
    assert len(reasons(answer)) == 4


def test_a_model_of_synthetic_recordings_says_so_and_gives_way_to_one_of_measured_ones(
    store: Store, registry: Registry, put_features: Callable[..., Any]
) -> None:
    for number in (11, 12, 13, 14):
        put_synthetic(put_features, number, effect_uv=30.0)
    demo = finish(store, train(store))
    manifest = registry.manifest(demo["version"])
    assert (manifest["n_synthetic"], demo["n_synthetic"]) == (4, 4)
    assert all(entry["synthetic"] for entry in manifest["recordings"])
    assert registry.champion() == demo["version"]
    for number in (1, 2):  # fewer people than the demo has
        put_features(f"subject_{number:02d}/run")
    own = finish(store, train(store, "b", later(60)))
    assert registry.champion() == own["version"]
    assert registry.history()[-1]["why"] == "The champion was trained on synthetic recordings alone."
    put_synthetic(put_features, 15)
    again = train(store, "c", later(120), subjects=["subject_11", "subject_12", "subject_15"])
    assert promote(registry, again["version"], "c")["outcome"] == "kept"


def test_the_default_montage_moves_from_synthetic_to_measured_recordings(
    store: Store, registry: Registry, put_features: Callable[..., Any]
) -> None:
    for number in (11, 12, 13, 14):
        put_synthetic(put_features, number)
    finish(store, train(store))
    for number in (1, 2):
        put_features(f"subject_{number:02d}/run", channels=("C3", "C4"))
    own = finish(store, train(store, "b", later(60), recording="subject_01/run"))
    assert registry.champion() == own["version"]


def test_training_says_what_is_synthetic_and_sums_up_other_montages() -> None:
    others = [{"recording": f"subject_{n:02d}/run", "reason": "its montage lacks Cz"} for n in range(20)]
    told = list(montage_lines({"n_synthetic": 2, "other_montages": others, "n_other_montages": 25}))
    assert len(told) == 3
    assert told[0].startswith("trained on 2 synthetic recordings")
    assert told[1].startswith("of another montage: 20 recordings (subject_00/run, ")
    assert told[2].startswith("of another montage: 5 more")
