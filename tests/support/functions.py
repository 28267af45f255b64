"""What the functions' handlers take: events as AWS sends them, an environment, a context."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import yaml
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, LANDING, MODELS, RAW
from tests.support.features import MADE_WITH
from tests.support.paths import PROJECT


@dataclass
class Context:
    """Stands for the Lambda context, with what Powertools reads."""

    function_name: str = "p300-test"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:p300-test"
    aws_request_id: str = "8d1d2a4f-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


class Stdout:
    """Whatever standard output is now: pytest puts a new one in its place between a test's setup and its call."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


STATES = yaml.safe_load((PROJECT / "statemachine/pipeline.asl.yaml").read_text())["States"]
FUNCTIONS_OF_STATES = {
    name: state["Parameters"]["FunctionName"].removeprefix("${").removesuffix("FunctionArn}").lower()
    for name, state in STATES.items()
    if state.get("Resource", "").endswith("lambda:invoke")
}
EXECUTION = "2f0c9a8e-0000-4000-8000-c0ffee000000"
ENVIRONMENT = {
    "P300_LANDING_BUCKET": LANDING,
    "P300_RAW_BUCKET": RAW,
    "P300_FEATURES_BUCKET": FEATURES,
    "P300_MODELS_BUCKET": MODELS,
    "P300_INFERENCE_FUNCTION": "p300-inference",
    "P300_PREPROCESSING": json.dumps(MADE_WITH),
    "P300_WAIT_FOR_FILES_S": "900",
    "P300_MODEL_KIND": "ensemble",
    "P300_SPREAD_FROM": "24",
    "P300_SPREAD_OVER": "8",
    "P300_RETRAIN_EVERY": "2",
    "P300_CORS_ORIGIN": "",
    "P300_WANDB_KEY_PARAMETER": "",
    "WANDB_MODE": "disabled",
    "WANDB_PROJECT": "p300-test",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
}
Load = Callable[..., ModuleType]


def payload(state: str, **values: Any) -> dict[str, Any]:
    """Return the state's payload with these values in place of its paths: neither more nor fewer."""
    fields = STATES[state]["Parameters"]["Payload"]
    paths = {name.removesuffix(".$") for name in fields if name.endswith(".$")}
    context: dict[str, Any] = {
        name: value for name, value in (("execution", EXECUTION), ("input", {"train": {}})) if name in paths
    }
    assert paths - context.keys() == values.keys() - context.keys()
    fixed = {name: value for name, value in fields.items() if not name.endswith(".$")}
    return json.loads(json.dumps({**context, **fixed, **values}))


def s3_event(key: str, etag: str, version_id: str | None, size: int) -> dict[str, Any]:
    """An "Object Created" event as EventBridge delivers it."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "000000000000",
        "time": "2026-01-02T03:04:05Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{LANDING}"],
        "detail": {
            "version": "0",
            "bucket": {"name": LANDING},
            "object": {"key": key, "size": size, "etag": etag, "sequencer": "00617F08299329D189"}
            | ({"version-id": version_id} if version_id else {}),
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "000000000000",
            "source-ip-address": "127.0.0.1",
            "reason": "PutObject",
        },
    }


def api_event(method: str, path: str, body: str | None = None, **changes: Any) -> dict[str, Any]:
    """An event of an API Gateway REST API."""
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": {"content-type": "application/json", "x-api-key": "k"},
        "multiValueHeaders": {"content-type": ["application/json"], "x-api-key": ["k"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "stage": "v1",
            "requestId": "request-1",
            "identity": {"sourceIp": "127.0.0.1"},
            "path": path,
        },
        "body": body,
        "isBase64Encoded": False,
    } | changes


def land(store: Store, key: str, body: bytes) -> dict[str, Any]:
    store.put(LANDING, key, body)
    item = store.head(LANDING, key)
    return s3_event(key, item.etag, item.version_id, item.size)


def selected(state: str, answer: Any) -> dict[str, Any]:
    """Return what the state keeps of an answer; a path that is not there would fail the execution."""
    answer = json.loads(json.dumps(answer, allow_nan=False))
    kept = {}
    for name, path in STATES[state]["ResultSelector"].items():
        kept[name.removesuffix(".$")] = answer if path == "$.Payload" else answer[path.removeprefix("$.Payload.")]
    return kept


def new_recording(number: int) -> dict[str, Any]:
    recording = f"subject_{number:02d}/run"
    return payload(
        "Count new recordings",
        recording=recording,
        etag="e",
        started="2026-01-02T03:04:05.678Z",
        channels=["C3", "C4"],
        labelled=True,
    )
