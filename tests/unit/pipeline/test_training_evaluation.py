"""Evaluation through inference."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, MODELS
from tests.support.training import evaluate, served, train


def test_evaluation_on_held_out_people(store: Store, people: list[str]) -> None:
    version = train(store, held_out=["subject_03"])["version"]
    calls: list[tuple[str, int]] = []
    answer = evaluate(store, version, served(store, calls))
    assert answer["seen_in_training"] is False
    assert [row["recording"] for row in answer["recordings"]] == ["subject_03/run_1"]
    assert answer["recordings"][0]["roc_auc"] == answer["pooled"]["roc_auc"] > 0.9
    assert answer["pooled"]["n_epochs"] == 60
    assert calls == [(version, 60)]
    json.dumps(answer, allow_nan=False)
    kept = Registry(store, MODELS).evaluation(version)
    assert kept is not None
    assert kept["recordings"][0]["recording"] == "subject_03/run_1"
    assert kept["overall"]["roc_auc"] == answer["pooled"]["roc_auc"]
    assert {"average_precision", "brier", "confusion_matrix"} <= set(kept["recordings"][0])
    assert set(kept["curves"]) == {"roc", "precision_recall", "calibration"}


def test_evaluation_on_the_newest_seen_recordings(store: Store, put_features: Callable[..., Any]) -> None:
    for number in range(1, 8):
        put_features(f"subject_{number:02d}/run", n_epochs=36)
        _made_at(f"subject_{number:02d}/run/features.parquet", number)
    version = train(store)["version"]
    put_features("subject_09/run")  # came after the training
    answer = evaluate(store, version, served(store))
    assert answer["seen_in_training"] is True
    assert [row["recording"] for row in answer["recordings"]] == [
        f"subject_0{number}/run" for number in (3, 4, 5, 6, 7)
    ]
    assert answer["pooled"]["n_epochs"] == 5 * 36


def _made_at(key: str, minute: int) -> None:
    from moto.s3.models import s3_backends

    stored = s3_backends["123456789012"]["aws"].buckets[FEATURES].keys[key]
    stored.last_modified = datetime(2026, 1, 1, 0, minute, tzinfo=UTC)


@pytest.mark.parametrize("how", [{"channels": ("C3", "C4")}, {"n_times": 12}])
def test_held_out_recordings_that_the_model_cannot_score_are_named(
    store: Store, people: list[str], put_features: Callable[..., Any], how: dict[str, Any]
) -> None:
    put_features("subject_04/run", **how)
    version = train(store, held_out=["subject_04"])["version"]
    answer = evaluate(store, version, served(store))
    assert [entry["recording"] for entry in answer["skipped"]] == ["subject_04/run"]
    assert answer["seen_in_training"] is True
    assert [row["recording"] for row in answer["recordings"]] == people


def test_evaluation_twice_is_the_same(store: Store, people: list[str]) -> None:
    version = train(store)["version"]
    first, second = (evaluate(store, version, served(store)) for _ in range(2))
    assert first == second


def test_nothing_left_to_evaluate_on(store: Store, people: list[str]) -> None:
    version = train(store)["version"]
    for name in people:
        store.delete(FEATURES, f"{name}/features.parquet")
    answer = evaluate(store, version, served(store))
    assert (answer["recordings"], answer["pooled"]) == ([], None)
    assert (Registry(store, MODELS).evaluation(version) or {})["curves"] == {}
