"""The API's description: kept in docs/ as the code makes it, of the routes that there are, and true of what they answer."""

import base64
import io
import json
import os
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from p300 import models
from p300.decoding import Response
from p300.models import RecordingEpochs
from p300.signals import Parameters
from p300_pipeline.registry import Registry
from p300_pipeline.serving import openapi
from p300_pipeline.storage import Store
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode

from tests.support.buckets import MODELS
from tests.support.functions import ENVIRONMENT, api_event
from tests.support.paths import PROJECT
from tests.support.template import FUNCTIONS

DOCUMENT = openapi.document()
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")  # of requests that were refused
EXAMPLES = int(os.environ.get("P300_FUZZ_EXAMPLES", "40"))
"""Of each route, of bodies that fit the description and of bodies that do not; `make fuzz-api` asks for 2,500 each."""
CHANNELS, N_TIMES = ["Cz", "Pz"], 5


def routes() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}


def test_docs_hold_what_the_code_says() -> None:
    kept = json.loads((PROJECT / "docs" / "openapi.json").read_text())
    assert kept == json.loads(json.dumps(DOCUMENT)), "run `make openapi`"


def test_it_is_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    references = set(_references(DOCUMENT))
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert references == known, "nothing is missing, nothing is left over"
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        mapped = value.get("mapping", {}).values() if "propertyName" in value else ()
        own = [value["$ref"]] if "$ref" in value else []
        return [*own, *mapped, *(ref for one in value.values() for ref in _references(one))]
    return [ref for one in value for ref in _references(one)] if isinstance(value, list) else []


def test_the_template_has_these_routes() -> None:
    events = [event["Properties"] for event in FUNCTIONS["InferenceFunction"]["Events"].values()]
    assert {(one["Method"].upper(), one["Path"]) for one in events if one["Method"] != "options"} == routes()


Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(store: Store, load_function: Any, context: Any, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """ask(method, path, body, query): status and body of the handler's answer, with a champion that everything can be asked."""
    parameters = Parameters(tmin=0.0, tmax=N_TIMES / 100, baseline=None)
    rng = np.random.default_rng(0)
    X, y = rng.normal(0, 1e-5, (60, len(CHANNELS) * N_TIMES)), np.tile([1, 1, 2], 20)
    fitted = models.make("lda", n_channels=len(CHANNELS), n_times=N_TIMES).fit(X, y)
    response = Response.fit([RecordingEpochs("a", "a", X, y, len(CHANNELS))], sfreq=100.0)
    buffer = io.BytesIO()
    np.savez(buffer, **dict[str, Any](fitted.to_arrays() | response.to_arrays()))
    manifest = {
        "kind": "lda", "channels": CHANNELS, "n_times": N_TIMES, "sfreq": 100.0, "tmin": 0.0, "subjects": [], "held_out": [],
        "recordings": [], "n_epochs": 60, "metrics": {"leave_one_subject_out": None}, "created": "2026", "execution": "a",
        "preprocessing": parameters.to_dict(),
    }  # fmt: skip
    registry = Registry(store, MODELS)
    registry.publish("v20260101000001", "a", {"model.npz": (buffer.getvalue(), "application/octet-stream")}, manifest)
    for alias in ("champion", "challenger"):
        registry.set_alias(alias, "v20260101000001")
    module = load_function("inference", **ENVIRONMENT)

    def ask(method: str, path: str, body: str | None = None, query: dict[str, str] | None = None) -> tuple[int, Any]:
        answer = module.handler(api_event(method, path, body, queryStringParameters=query), context)
        return answer["statusCode"], json.loads(answer["body"])

    return ask


def check_described(method: str, path: str, status: int, body: Any) -> None:
    """The status is one that the description tells of, and the body what it says of that."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(status) in responses, f"{method} {path} answered {status}: {body}"
    schema = responses[str(status)]["content"]["application/json"]["schema"]
    jsonschema.validate(body, schema | {"components": DOCUMENT["components"]}, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("path", ["/health", "/models", "/openapi.json"])
def test_what_can_be_asked_without_a_body(ask: Ask, path: str) -> None:
    status, body = ask("GET", path)
    assert status == 200
    check_described("GET", path, status, body)
    if path == "/openapi.json":
        assert body == json.loads(json.dumps(DOCUMENT))


EPOCH = [0.0] * len(CHANNELS) * N_TIMES
ZEROS = base64.b64encode(bytes(4 * len(EPOCH))).decode()
GRID = {"type": "grid", "rows": ["AB", ["C", "D"]]}
USED = {
    "one epoch": ("/predict", {"features": EPOCH}),
    "epochs": ("/predict", {"epochs": [EPOCH]}),
    "packed epochs": ("/predict", {"epochs_b64": ZEROS, "n_epochs": 1}),
    "raw epochs": ("/predict", {"epochs_uv": [[[0.0] * 20] * 2], "sfreq": 128, "channels": CHANNELS}),
    "session": (
        "/decode",
        {"layout": GRID, "flashes": [{"group": 1, "features": EPOCH}, {"group": ["A"]}], "trials": [1, 1]},
    ),
    "scored session": (
        "/decode",
        {"layout": GRID, "flashes": [{"group": 1, "features": EPOCH}, {"group": 3}], "flash_scores": "causal"},
    ),
    "probabilities": ("/decode", {"layout": {"type": "brain_invaders"}, "flashes": [{"group": 1, "probability": 0.5}]}),
    "packed session": (
        "/decode",
        {
            "layout": {"type": "sets", "symbols": ["A", "B"], "groups": {"1": ["A"]}},
            "groups": [1],
            "epochs_b64": ZEROS,
            "confidence": 0.9,
            "prior": {"A": 0.5, "B": 0.5},
            "adapt": False,
        },
    ),
}


@pytest.mark.parametrize("case", USED)
def test_what_is_answered_is_described(ask: Ask, case: str) -> None:
    path, request = USED[case]
    status, body = ask("POST", path, json.dumps(request))
    assert status == 200, body
    check_described("POST", path, status, body)
    schema = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(request, schema | {"components": DOCUMENT["components"]}, jsonschema.Draft202012Validator)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("path", ["/predict", "/decode"])
def test_fuzzed_bodies_are_answered_as_described(ask: Ask, path: str, mode: GenerationMode) -> None:
    """Never a 500; what breaks the description is refused."""
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path]["POST"]

    @seed(1)
    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        body = case.body
        text = body.decode("latin-1") if isinstance(body, bytes) else json.dumps(body)
        query = {name: str(value) for name, value in case.query.items()}
        status, answer = ask("POST", path, text, query)
        check_described("POST", path, status, answer)
        if case.meta.components[ParameterLocation.BODY].mode is GenerationMode.NEGATIVE:
            assert 400 <= status < 500, answer

    check()
