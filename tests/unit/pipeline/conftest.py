"""Fixtures of several modules: a training, and the API with a champion."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from p300_pipeline.registry import Registry
from p300_pipeline.serving import Service, cache
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS
from tests.support.functions import ENVIRONMENT, Load, api_event, payload, selected
from tests.support.serving import V1, Clock, publish


@pytest.fixture
def trained(store: Store, load_function: Load, context: Any, put_features: Any, logged: Any) -> ModuleType:
    """The training function, after a training on two people with a third held out."""
    for number in (1, 2, 3):
        put_features(f"subject_{number:02d}/run")
    module = load_function("training", **ENVIRONMENT)
    request = {"held_out": ["subject_03"]}
    event = payload("Train", request=request, started="2026-01-02T03:04:05.678Z")
    kept = selected("Train", module.handler(event, context))["result"]
    assert (kept["outcome"], kept["version"]) == ("trained", "v20260102030405")
    return module


@pytest.fixture(scope="module")
def champion() -> dict[str, bytes]:
    """Receives the models bucket of the first test that asks for `api`, so that one training does for all of them."""
    return {}


@pytest.fixture
def api(
    store: Store,
    request: pytest.FixtureRequest,
    champion: dict[str, bytes],
    load_function: Load,
    context: Any,
    logged: Any,
) -> Callable[..., tuple[int, Any]]:
    """api("POST", "/predict", body, ...): status and body of an answer, with a champion."""
    if not champion:
        request.getfixturevalue("trained")
        load_function("promotion", **ENVIRONMENT).handler(payload("Promote", version="v20260102030405"), context)
        champion |= {item.key: store.get(MODELS, item.key)[0] for item in store.list(MODELS)}
    for key, body in champion.items():
        store.put(MODELS, key, body)
    module = load_function("inference", **ENVIRONMENT)
    logged()  # what the training said, where this was the first to need one

    def ask(method: str, path: str, body: Any = None, **changes: Any) -> tuple[int, Any]:
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        answer = module.handler(api_event(method, path, text, **changes), context)
        headers = {name.lower(): value for name, value in answer["multiValueHeaders"].items()}
        assert headers["content-type"] == ["application/json"]
        return answer["statusCode"], json.loads(answer["body"])

    return ask


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(cache, "time", clock)
    return clock


@pytest.fixture
def service(store: Store, clock: Clock) -> Service:
    """One model is champion."""
    Registry(store, MODELS).set_alias("champion", publish(store, V1))
    return Service(store, MODELS)
