"""The steps of a training on the buckets in memory, with what the template gives them."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from p300.signals import Parameters
from p300_pipeline.registry import Registry
from p300_pipeline.serving import Service
from p300_pipeline.steps import training
from p300_pipeline.steps.training import TrainingRequest
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, MODELS
from tests.support.features import MADE_WITH

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
any_order = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def train(
    store: Store,
    execution: str = "a",
    started: datetime = STARTED,
    *,
    preprocessing: dict[str, Any] | None = None,
    memory_mb: int = 3008,
    spread: training.Spread | None = None,
    **request: Any,
) -> dict[str, Any]:
    parsed = TrainingRequest.parse(request, "lda")
    parameters = Parameters.from_dict(MADE_WITH | (preprocessing or {}))
    return dict(
        training.train(
            store,
            FEATURES,
            MODELS,
            parsed,
            parameters,
            execution=execution,
            started=started,
            memory_mb=memory_mb,
            spread=spread,
        )
    )


def evaluate(
    store: Store, version: str, predict: training.Predict | None = None, memory_mb: int = 3008
) -> dict[str, Any]:
    return dict(training.evaluate(store, FEATURES, MODELS, version, predict or served(store), memory_mb=memory_mb))


def promote(registry: Registry, version: str, execution: str = "a") -> dict[str, Any]:
    return dict(training.promote(registry.store, MODELS, version, execution=execution))


def finish(store: Store, answer: dict[str, Any]) -> dict[str, Any]:
    """Go through what comes after a training; return the training's answer."""
    registry, version = Registry(store, MODELS), answer["version"]
    evaluate(store, version)
    promote(registry, version)
    registry.keep_picture(version, "subjects.png", b"")
    return answer


def later(seconds: int) -> datetime:
    return STARTED + timedelta(seconds=seconds)


def served(store: Store, calls: list[tuple[str, int]] | None = None) -> training.Predict:
    """Return what asks the serving code, as the function does."""
    service = Service(store, MODELS)

    def predict(version: str, X: Any) -> Any:
        if calls is not None:
            calls.append((version, len(X)))
        body = {"epochs_b64": base64.b64encode(X.astype("<f4").tobytes()).decode(), "n_epochs": len(X)}
        answer = service.predict(json.dumps(body), version)
        assert answer["model_version"] == version
        return np.array([one["probability_target"] for one in answer["predictions"]])

    return predict


def reasons(answer: dict[str, Any]) -> dict[str, str]:
    return {entry["recording"]: entry["reason"] for entry in answer["left_out"]}
