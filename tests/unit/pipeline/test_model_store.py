"""Reads without boto3 (`tests/conformance` has them from real servers): signed as botocore signs; out of the ordinary, boto3 reads."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st
from p300_pipeline.serving import ModelStore, model_store
from p300_pipeline.serving.model_store import Reader

KEY, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-central-1"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LAMBDA = {
    "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}
CODE = Path(model_store.__file__).parents[2]


@settings(deadline=None)
@given(
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    token=st.sampled_from([None, "temporary/token+="]),
    address=st.sampled_from(["https://s3.eu-central-1.amazonaws.com", "http://127.0.0.1:4566"]),
)
def test_signatures_are_botocores(key: str, token: str | None, address: str) -> None:
    path = quote(f"/p300-models/{key}", safe="/~")
    reader = Reader(address, REGION, KEY, SECRET, token)
    request = AWSRequest("GET", address + path, headers={"X-Amz-Content-SHA256": "x"})

    class Clock:
        @staticmethod
        def get_current_datetime(*_: object, **__: object) -> datetime:
            return NOW.replace(tzinfo=None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", Clock.get_current_datetime)
        request.context["payload_signing_enabled"] = True
        botocore.auth.S3SigV4Auth(Credentials(KEY, SECRET, token), "s3", REGION).add_auth(request)
    assert reader.signed(path, NOW)["Authorization"] == request.headers["Authorization"]


class Unreliable(BaseHTTPRequestHandler):
    """Answers as `answers` says, request by request, and closes the connection after each."""

    protocol_version = "HTTP/1.1"
    answers: list[str]

    def do_GET(self) -> None:
        kind = self.answers.pop(0)
        self.close_connection = True
        if kind == "hang up":
            return
        body = b"" if kind == "500" else b"whole"
        self.send_response(500 if kind == "500" else 200)
        self.send_header("Content-Length", str(len(body) + (3 if kind == "cut off" else 0)))
        self.send_header("ETag", '"e"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def unreliable() -> Iterator[tuple[Reader, list[str]]]:
    answers: list[str] = []
    handler = type("Handler", (Unreliable,), {"answers": answers})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Reader(f"http://127.0.0.1:{server.server_address[1]}", REGION, KEY, SECRET), answers
        server.shutdown()


@pytest.mark.parametrize("first", ["whole", "hang up", "cut off"])
def test_a_connection_that_was_closed_is_opened_again(unreliable: tuple[Reader, list[str]], first: str) -> None:
    reader, answers = unreliable
    answers += [first, "whole"]
    found = [reader.get("b", "k") for _ in range(2 if first == "whole" else 1)]
    assert [answer and answer[0] for answer in found] == [b"whole"] * len(found)
    assert not answers


@pytest.mark.parametrize("answered", [["500"], ["hang up", "hang up"], ["cut off", "cut off"]])
def test_what_fails_is_left_to_boto3(
    unreliable: tuple[Reader, list[str]], answered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, answers = unreliable
    answers += answered
    monkeypatch.setattr(Reader, "from_environment", classmethod(lambda cls: reader))
    asked: list[dict[str, Any]] = []

    def get_object(**call: Any) -> dict[str, Any]:
        asked.append(call)
        body = SimpleNamespace(read=lambda most: b"by boto3")
        return {"Body": body, "ETag": '"e"', "ContentLength": 8, "LastModified": NOW}

    monkeypatch.setattr(model_store, "default_client", lambda: SimpleNamespace(get_object=get_object))
    assert ModelStore().get("b", "k")[0] == b"by boto3"
    assert asked == [{"Bucket": "b", "Key": "k"}]
    assert not answers


@pytest.mark.parametrize(
    "changes",
    [
        {"AWS_LAMBDA_RUNTIME_API": ""},
        {"AWS_SECRET_ACCESS_KEY": ""},
        {"AWS_REGION": "cn-north-1"},
        {"P300_S3_KEY_PARAMETER": "/p300/s3"},
    ],
)
def test_where_the_environment_does_not_tell_all_boto3_reads(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    for name, value in {**LAMBDA, **changes}.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    assert Reader.from_environment() is None


def test_the_address_is_aws_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LAMBDA.items():
        monkeypatch.setenv(name, value)
    reader = Reader.from_environment()
    assert reader is not None
    assert reader.endpoint.geturl() == "https://s3.us-east-1.amazonaws.com"


def test_reading_a_model_imports_no_boto3() -> None:
    script = (
        "import sys; from p300_pipeline.serving import ModelStore, Service; Service(ModelStore(), 'b');"
        "print([name for name in sys.modules if name.partition('.')[0] in ('boto3', 'botocore', 'urllib3')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **LAMBDA, "PYTHONPATH": str(CODE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
