"""The storage on another S3 server: buckets there, PUTs told by MinIO's webhook, everything else on LocalStack."""

import importlib.util
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest
from p300_client import watching

from tests.support.localstack import Stack, run_p300, wait_for
from tests.support.other_storage import KEY, STORAGE, serving
from tests.support.paths import PROJECT
from tests.support.recordings import recording

pytestmark = pytest.mark.localstack


def load_bridge() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bridge", PROJECT / "emulator" / "compose" / "bridge.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def notification(bucket: str, key: str, version: str, etag: str) -> dict[str, Any]:
    """Return what MinIO posts to a webhook after a PUT."""
    item = {"key": key.replace("/", "%2F"), "size": 1, "eTag": etag, "versionId": version, "sequencer": "17A1"}
    return {
        "EventName": "s3:ObjectCreated:Put",
        "Key": f"{bucket}/{key}",
        "Records": [
            {
                "eventVersion": "2.0",
                "eventSource": "minio:s3",
                "eventTime": "2026-11-23T00:00:00.000Z",
                "eventName": "s3:ObjectCreated:Put",
                "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket}, "object": item},
            }
        ],
    }


@pytest.fixture(scope="module")
def storage() -> Iterator[Any]:
    with serving() as client:
        yield client


@pytest.fixture(scope="module")
def moved(stack: Stack, storage: Any) -> Iterator[Stack]:
    """The stack with its buckets on the second server, empty."""
    for bucket in (stack.landing, stack.raw, stack.features, stack.models):
        storage.create_bucket(Bucket=bucket)
        if bucket != stack.features:
            storage.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    stack.target.client("ssm").put_parameter(Name="/p300/storage-key", Value=json.dumps(KEY), Type="SecureString")
    run_p300("deploy", "--parameter", f"S3EndpointUrl={STORAGE}", "--parameter", "S3KeyParameter=/p300/storage-key")
    yield stack
    run_p300("deploy")


@pytest.fixture(scope="module")
def webhook(moved: Stack) -> Iterator[str]:
    """The bridge's address."""
    bridge = load_bridge()
    bridge.Bridge.step_functions = moved.target.client("stepfunctions")
    bridge.Bridge.state_machine_arn = moved.outputs["StateMachineArn"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), bridge.Bridge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def post(url: str, body: bytes) -> int:
    try:
        with urllib.request.urlopen(url, data=body, timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_put_there_becomes_features_there(moved: Stack, storage: Any, webhook: str) -> None:
    key, body = "subject_70/run_01.parquet", recording(70)
    put = storage.put_object(Bucket=moved.landing, Key=key, Body=body)
    told = json.dumps(notification(moved.landing, key, put["VersionId"], put["ETag"].strip('"'))).encode()
    watcher = watching.Watcher(moved.target, datetime.now(UTC).replace(microsecond=0))
    assert post(webhook, told) == 200
    assert post(webhook, told) == 200  # MinIO may tell twice

    def ended() -> list[watching.Execution] | None:
        watcher.refresh()
        found = [execution for execution in watcher.executions.values() if execution.source == key]
        return found if found and all(execution.ended for execution in found) else None

    (execution,) = wait_for(ended, "the execution of the PUT")
    assert execution.status == "SUCCEEDED", execution.error
    assert execution.output["outcome"] == "features"
    assert storage.get_object(Bucket=moved.raw, Key=key)["Body"].read() == body
    assert storage.head_object(Bucket=moved.features, Key="subject_70/run_01/features.parquet")["ContentLength"] > 1000
    assert storage.list_objects_v2(Bucket=moved.landing)["KeyCount"] == 0
    assert not moved.keys(moved.raw, "subject_70/")  # nothing of it on LocalStack


def test_what_is_no_notification_is_refused(webhook: str) -> None:
    assert post(webhook, b"not json") == 400
    assert post(webhook, b'{"Records": [{"s3": {}}]}') == 400
    assert post(webhook, b"{}") == 200  # MinIO's own test message
