"""The handlers: events as AWS sends them in, answers as the state machine and API Gateway take them out, logs and metrics beside."""

import base64
import io
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from p300_pipeline.executions import retry_name
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS, RAW
from tests.support.functions import (
    ENVIRONMENT,
    EXECUTION,
    STATES,
    Load,
    api_event,
    land,
    new_recording,
    payload,
    selected,
)

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")  # of requests that were refused


def emitted(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the metrics among the lines, with the service they are told of."""
    blobs = [line for line in lines if "_aws" in line]
    assert all(blob["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "P300" for blob in blobs)
    names = {metric["Name"] for blob in blobs for metric in blob["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    (service,) = {blob["service"] for blob in blobs}
    return {"service": service} | {name: blob[name] for blob in blobs for name in names if name in blob}


def message(lines: list[dict[str, Any]], text: str) -> dict[str, Any]:
    (line,) = [line for line in lines if line.get("message") == text]
    return line


# ---- the chain
@pytest.mark.parametrize("with_version", [True, False])
def test_ingestion(
    store: Store, load_function: Load, context: Any, logged: Any, recording_bytes: Any, *, with_version: bool
) -> None:
    module = load_function("ingestion", **ENVIRONMENT)
    event = land(store, "subject_11/a+b c.parquet", recording_bytes())
    if not with_version:
        del event["detail"]["object"]["version-id"]
    answer = module.handler(payload("Ingest", event=event), context)
    kept = selected("Ingest", answer)["result"]
    assert (kept["outcome"], kept["key"]) == ("stored", "subject_11/a+b c.parquet")
    lines = logged()
    line = message(lines, "ingested")
    assert (line["correlation_id"], line["service"], line["outcome"]) == (EXECUTION, "ingestion", "stored")
    assert emitted(lines) == {"RecordingsStored": [1.0], "service": "ingestion"}


def test_ingestion_tells_the_reason_of_a_quarantine(
    store: Store, load_function: Load, context: Any, logged: Any
) -> None:
    module = load_function("ingestion", **ENVIRONMENT)
    answer = module.handler(payload("Ingest", event=land(store, "subject_11/x.parquet", b"")), context)
    details = selected("Ingest", answer)["result"]
    assert details["reason"]["code"] == "empty_object"
    lines = logged()
    assert message(lines, "ingested")["reason"]["message"] == details["reason"]["message"]
    assert emitted(lines)["RecordingsQuarantined"] == [1.0]


def test_preprocessing(store: Store, load_function: Load, context: Any, logged: Any, recording_bytes: Any) -> None:
    module = load_function("preprocessing", **ENVIRONMENT)
    etag = store.put(RAW, "subject_11/x.parquet", recording_bytes())
    event = payload("Preprocess", key="subject_11/x.parquet", etag=etag)
    answer = module.handler(event, context)
    assert selected("Preprocess", answer)["result"]["recording"] == "subject_11/x"
    lines = logged()
    assert message(lines, "preprocessed")["correlation_id"] == EXECUTION
    assert emitted(lines) == {"EpochsKept": [24.0], "service": "preprocessing"}
    quarantined = store.put(RAW, "subject_11/y.parquet", recording_bytes(scale_uv=300.0))
    answer = module.handler(payload("Preprocess", key="subject_11/y.parquet", etag=quarantined), context)
    assert selected("Preprocess", answer)["result"]["outcome"] == "quarantined"
    superseded = module.handler(payload("Preprocess", key="subject_11/x.parquet", etag="0"), context)
    assert selected("Preprocess", superseded)["result"]["outcome"] == "superseded"


class InferenceClient:
    """Stands for the Lambda API: invokes the inference handler."""

    def __init__(self, handler: Callable[..., Any], context: Any) -> None:
        self._handler, self._context = handler, context
        self.sizes: list[int] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        assert FunctionName == "p300-inference"
        self.sizes.append(len(Payload))
        answer = json.dumps(self._handler(json.loads(Payload), self._context)).encode()
        return {"StatusCode": 200, "Payload": io.BytesIO(answer)}


def test_the_steps_of_a_training(
    store: Store,
    trained: ModuleType,
    load_function: Load,
    context: Any,
    logged: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = logged()
    line = message(lines, "trained")
    assert (line["correlation_id"], line["version"]) == (EXECUTION, "v20260102030405")
    assert emitted(lines)["LeftOutAuc"] == [pytest.approx(line["auc_mean"])]
    client = InferenceClient(load_function("inference", **ENVIRONMENT).handler, context)
    evaluation = load_function("evaluation", **ENVIRONMENT)
    monkeypatch.setattr(evaluation, "_lambda_client", lambda: client)
    monkeypatch.setattr(evaluation, "EPOCHS_A_REQUEST", 25)
    event = payload("Evaluate", version="v20260102030405")
    evaluated = selected("Evaluate", evaluation.handler(event, context))["result"]
    assert (evaluated["seen_in_training"], evaluated["pooled"]["n_epochs"]) == (False, 60)
    assert len(client.sizes) == 3
    assert message(logged(), "evaluated")["correlation_id"] == EXECUTION
    promotion = load_function("promotion", **ENVIRONMENT)
    event = payload("Promote", version="v20260102030405")
    promoted = selected("Promote", promotion.handler(event, context))["result"]
    assert promoted["outcome"] == "promoted"
    assert message(logged(), "compared")["correlation_id"] == EXECUTION
    reporting = load_function("reporting", **ENVIRONMENT)
    event = payload("Draw plots", version="v20260102030405")
    drawn = selected("Draw plots", reporting.handler(event, context))
    assert drawn == {"outcome": "drawn", "names": ["calibration.png", "learning_curve.png", "subjects.png"]}
    tracking = load_function("tracking", **ENVIRONMENT)
    event = payload("Track", version="v20260102030405", promotion=promoted)
    assert selected("Track", tracking.handler(event, context))["outcome"] == "disabled"
    again = payload("Train", request={"held_out": ["subject_03"]}, started="2026-01-02T04:00:00Z")
    again["execution"] = "another"
    assert selected("Train", trained.handler(again, context))["result"]["outcome"] == "unchanged"


def test_scheduling(store: Store, load_function: Load, context: Any, logged: Any, put_features: Any) -> None:
    for number in (1, 2):
        put_features(f"subject_{number:02d}/run")
    module = load_function("scheduling", **ENVIRONMENT)
    module.handler(new_recording(1) | {"execution": "before"}, context)
    logged()
    schedule = selected("Count new recordings", module.handler(new_recording(2), context))["result"]
    common = {
        "new_recordings": 2, "retrain_every": 2, "gathered_by": None, "montage": "2ch-d73d6e97", "has_champion": False,
    }  # fmt: skip
    assert schedule == {**common, "outcome": "gathering", "look_again_s": 60, "request": None}
    line = message(logged(), "counted")
    assert (line["correlation_id"], line["service"], line["outcome"]) == (EXECUTION, "scheduling", "gathering")
    schedule = selected("Count new recordings", module.handler(new_recording(2), context))["result"]
    assert schedule == {**common, "outcome": "due", "look_again_s": 0, "request": {"recording": "subject_02/run"}}


def test_a_request_that_cannot_be_met_has_the_error_type_that_is_not_retried(
    store: Store, load_function: Load, context: Any
) -> None:
    module = load_function("training", **ENVIRONMENT)
    (not_retried,) = [rule["ErrorEquals"] for rule in STATES["Train"]["Retry"] if rule.get("MaxAttempts") == 0]
    for request in ({}, {"model": "svm"}, None, [1]):
        with pytest.raises(Exception) as raised:
            module.handler(payload("Train", request=request, started="2026-01-02T03:04:05Z"), context)
        assert type(raised.value).__name__ in not_retried


def test_a_retry_goes_on_with_what_the_execution_that_failed_had_claimed(
    trained: ModuleType, store: Store, load_function: Load, context: Any
) -> None:
    scheduling = load_function("scheduling", **ENVIRONMENT)
    again = {"execution": retry_name(EXECUTION, 1), "input": {"train": {}, "retry_of": EXECUTION}}
    scheduling.handler(new_recording(1) | {"execution": "before"}, context)
    assert scheduling.handler(new_recording(2), context)["outcome"] == "gathering"
    first = scheduling.handler(new_recording(2) | again, context)
    assert first["outcome"] == "due"
    assert scheduling.handler(new_recording(2) | again, context) == first
    assert scheduling.handler(new_recording(2) | {"execution": "another"}, context)["outcome"] == "counted"
    when = "2026-01-03T03:04:05Z"
    request = {"held_out": ["subject_03"]}
    event = payload("Train", request=request, started=when, **again)
    assert trained.handler(event, context)["outcome"] == "trained"
    event = payload("Train", request=request, started=when, execution="another")
    assert "did not come to its end" in trained.handler(event, context)["why"]


def test_tracking_passes_the_key_on(
    store: Store, load_function: Load, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    boto3.client("ssm").put_parameter(Name="/p300/wandb", Value="secret", Type="SecureString")
    module = load_function(
        "tracking", **ENVIRONMENT | {"WANDB_MODE": "online", "P300_WANDB_KEY_PARAMETER": "/p300/wandb"}
    )
    seen: dict[str, Any] = {}
    monkeypatch.setattr(module, "track", lambda *_, **how: seen.update(how) or {"outcome": "tracked"})
    event = payload("Track", version="v1", promotion={"outcome": "kept"})
    module.handler(event, context)
    assert (seen["api_key"], seen["mode"]) == ("secret", "online")
    assert seen["promotion"] == {"outcome": "kept"}


def test_tracking_without_a_key(store: Store, load_function: Load, context: Any) -> None:
    assert load_function("tracking", **ENVIRONMENT)._api_key() is None


# ---- the API


EPOCH = [1e-5, -1e-5] * 15


def test_predict(api: Any, logged: Any) -> None:
    logged()
    status, answer = api("POST", "/predict", {"features": EPOCH})
    assert status == 200
    assert set(answer) == {"predicted_label_code", "predicted_class_name", "probability_target", "model_version"}
    metrics = emitted(logged())
    assert metrics["EpochsPredicted"] == [1.0]
    packed = {"epochs_b64": base64.b64encode(np.zeros((3, 30), "<f4").tobytes()).decode(), "n_epochs": 3}
    status, answer = api("POST", "/predict", packed)
    assert (status, answer["n_epochs"]) == (200, 3)
    assert emitted(logged())["EpochsPredicted"] == [3.0]


def test_decode(api: Any, logged: Any) -> None:
    logged()
    flashes = [{"group": 1 + number % 4, "features": EPOCH} for number in range(8)]
    request = {"layout": {"type": "grid", "rows": ["AB", "CD"]}, "flashes": flashes}
    status, answer = api("POST", "/decode", request)
    assert status == 200
    assert set(answer) == {"model_version", "symbol", "confidence", "stop", "n_flashes", "posterior", "adapted"}
    assert answer["adapted"] is True, "training wrote a response into the model"
    lines = logged()
    assert emitted(lines)["SymbolsDecoded"] == [1.0]
    assert next(line["model_version"] for line in lines if "_aws" in line) == answer["model_version"]
    assert api("POST", "/decode", request, queryStringParameters={"alias": "best"})[0] == 400
    status, answer = api("POST", "/decode", {"layout": {"type": "hex"}})
    assert (status, answer["error"]["code"]) == (422, "bad_layout")
    assert api("POST", "/decode", "{}", headers={"Content-Type": "text/csv"})[0] == 415


def test_predict_with_another_alias(api: Any) -> None:
    for alias in ("challenger", "v20260102030405"):
        assert api("POST", "/predict", {"features": EPOCH}, queryStringParameters={"alias": alias})[0] == 200
    status, answer = api("POST", "/predict", {"features": EPOCH}, queryStringParameters={"alias": "best"})
    assert (status, answer["error"]["code"]) == (400, "unknown_alias")


@pytest.mark.parametrize(
    ("body", "changes", "status", "code"),
    [
        (None, {}, 400, "not_json"),
        ("{", {}, 400, "not_json"),
        ("////", {"isBase64Encoded": True}, 400, "not_json"),
        ("/", {"isBase64Encoded": True}, 400, "not_json"),
        ("[]", {}, 400, "not_an_object"),
        ("{}", {"headers": {"Content-Type": "text/csv"}}, 415, "not_json"),
        ("{}", {}, 422, "which_epochs"),
        ('{"features": [1]}', {}, 422, "wrong_length"),
        (json.dumps({"epochs": [[]] * 3000}), {}, 413, "too_many_epochs"),
    ],
)
def test_refusals_are_json_with_a_status(
    api: Any, logged: Any, body: Any, changes: dict[str, Any], status: int, code: str
) -> None:
    logged()
    found, answer = api("POST", "/predict", body, **changes)
    assert (found, answer["error"]["code"]) == (status, code)
    assert answer["error"]["message"]
    (line,) = [line for line in logged() if line.get("level") == "WARNING"]
    assert (line["code"], line["correlation_id"]) == (code, "request-1")


def test_a_base64_body_is_read(api: Any) -> None:
    body = base64.b64encode(json.dumps({"features": EPOCH}).encode()).decode()
    assert api("POST", "/predict", body, isBase64Encoded=True)[0] == 200


@pytest.mark.parametrize(
    "headers", [None, {}, {"Content-Type": "application/json; charset=utf-8"}, {"CONTENT-TYPE": "Application/JSON"}]
)
def test_json_is_json_however_it_is_declared(api: Any, headers: Any) -> None:
    assert api("POST", "/predict", {"features": EPOCH}, headers=headers, multiValueHeaders=None)[0] == 200


def test_health_and_models(api: Any) -> None:
    status, answer = api("GET", "/health")
    assert (status, answer["status"], answer["model_version"]) == (200, "ok", "v20260102030405")
    status, answer = api("GET", "/models")
    assert (status, answer["aliases"]["champion"]) == (200, "v20260102030405")
    json.dumps(answer, allow_nan=False)


def _broken_champion(store: Store, how: str) -> None:
    """Make the champion one that cannot serve."""
    good, bad = "v20260102030405", "v20260102030406"
    manifest, model = (store.get(MODELS, f"{good}/{name}")[0] for name in ("manifest.json", "model.npz"))
    if how == "alias to nothing":
        store.delete(MODELS, "aliases/champion")
        return
    if how == "newer format":
        manifest = json.dumps(json.loads(manifest) | {"format": 2}).encode()
    if how != "missing":
        store.put(MODELS, f"{bad}/model.npz", model + b"x" if how == "altered" else model)
    store.put(MODELS, f"{bad}/manifest.json", manifest)
    store.put(MODELS, "aliases/champion", bad.encode())


@pytest.mark.parametrize("how", ["altered", "missing", "newer format", "alias to nothing"])
def test_a_model_that_cannot_serve_raises_the_alarms_metric_while_the_last_good_one_answers(
    api: Any, store: Store, logged: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("p300_pipeline.serving.cache.ALIAS_CHECK_S", 0.0)
    assert api("GET", "/health")[1]["status"] == "ok"
    assert not any("_aws" in line for line in logged())
    _broken_champion(store, how)
    status, answer = api("POST", "/predict", {"features": EPOCH})
    assert (status, answer["model_version"]) == (200, "v20260102030405")
    lines = logged()
    assert emitted(lines)["ModelUnavailable"] == [1.0]
    line = message(lines, "model unavailable")
    status, answer = api("GET", "/health")
    assert (status, answer["status"], answer["problem"]) == (200, "degraded", line["problem"])
    assert emitted(logged()) == {"ModelUnavailable": [1.0], "service": "inference"}


@pytest.mark.parametrize(("method", "path"), [("GET", "/predict"), ("POST", "/health"), ("GET", "/"), ("DELETE", "/x")])
def test_other_routes(api: Any, method: str, path: str) -> None:
    status, answer = api(method, path)
    assert (status, answer["error"]["code"]) == (404, "no_such_route")
    assert "POST /predict" in answer["error"]["message"]


def test_another_origin_is_let_in_only_where_asked_for(store: Store, load_function: Load, context: Any) -> None:
    origin = "https://speller.example.org"
    preflight = api_event("OPTIONS", "/predict", headers={"Origin": origin}, multiValueHeaders={"Origin": [origin]})
    closed = load_function("inference", **ENVIRONMENT)
    answers = [
        closed.handler(event, context)
        for event in (
            preflight,
            api_event("GET", "/health", headers={"Origin": origin}, multiValueHeaders={"Origin": [origin]}),
        )
    ]
    assert answers[0]["statusCode"] == 404
    assert not any("access-control" in name.lower() for answer in answers for name in answer["multiValueHeaders"])
    opened = load_function("inference", **ENVIRONMENT | {"P300_CORS_ORIGIN": origin})
    answer = opened.handler(preflight, context)
    assert answer["statusCode"] == 204
    assert answer["multiValueHeaders"]["Access-Control-Allow-Origin"] == [origin]
    assert "X-Api-Key" in str(answer["multiValueHeaders"]["Access-Control-Allow-Headers"])
    refused = opened.handler(
        api_event("GET", "/health", headers={"Origin": origin}, multiValueHeaders={"Origin": [origin]}), context
    )
    assert refused["multiValueHeaders"]["Access-Control-Allow-Origin"] == [origin]


def test_a_body_that_lambda_would_not_take_is_refused(api: Any) -> None:
    status, answer = api("POST", "/predict", "[" + " " * 6_000_000)
    assert (status, answer["error"]["code"]) == (413, "too_large")


def test_without_a_model(store: Store, load_function: Load, context: Any) -> None:
    module = load_function("inference", **ENVIRONMENT)
    for event in (api_event("POST", "/predict", json.dumps({"features": EPOCH})), api_event("GET", "/health")):
        assert module.handler(event, context)["statusCode"] == 503


def test_an_unknown_step_is_refused(store: Store, load_function: Load, context: Any) -> None:
    module = load_function("inventory", **ENVIRONMENT)
    with pytest.raises(ValueError, match="Unknown step 'sum up': expected list or sum_up"):
        module.handler({"step": "sum up", "execution": "backfill-1"}, context)
