"""The Runtime API's protocol, seen by a plain HTTP client."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection, RemoteDisconnected
from threading import Thread

import pytest

from localstack_process_executor.runtime_api import Invocation, Response, RuntimeApi

PREFIX = "/2018-06-01/runtime"
INVOCATION = Invocation("id-1", "arn:f", b'{"a": 1}', deadline_ms=123, trace_id="Root=1")


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    api = RuntimeApi(max_response_bytes=10)
    yield api
    api.close()


@pytest.fixture
def client(api: RuntimeApi) -> Iterator[HTTPConnection]:
    connection = HTTPConnection(api.address, timeout=30)
    yield connection
    connection.close()


def get_next(client: HTTPConnection) -> tuple[dict[str, str], bytes]:
    client.request("GET", f"{PREFIX}/invocation/next")
    response = client.getresponse()
    assert response.status == 200
    return dict(response.headers), response.read()


def post(client: HTTPConnection, path: str, body: bytes) -> tuple[int, dict[str, str]]:
    client.request("POST", PREFIX + path, body)
    response = client.getresponse()
    return response.status, json.loads(response.read() or b"{}")


def test_an_invocation_arrives_with_its_headers(api: RuntimeApi, client: HTTPConnection) -> None:
    api.submit(INVOCATION)
    headers, body = get_next(client)
    assert body == b'{"a": 1}'
    assert headers.items() >= {
        ("Lambda-Runtime-Aws-Request-Id", "id-1"),
        ("Lambda-Runtime-Invoked-Function-Arn", "arn:f"),
        ("Lambda-Runtime-Deadline-Ms", "123"),
        ("Lambda-Runtime-Trace-Id", "Root=1"),
    }
    assert api.ready


@pytest.mark.parametrize(("kind", "is_error"), [("response", False), ("error", True)])
def test_responses_and_errors_are_collected_on_one_connection(
    api: RuntimeApi, client: HTTPConnection, kind: str, is_error: bool
) -> None:
    for number in range(2):
        api.submit(Invocation(f"id-{number}", "arn:f", b"", 0))
        get_next(client)
        assert post(client, f"/invocation/id-{number}/{kind}", b"answer") == (202, {"status": "OK"})
        assert api.response == Response(b"answer", is_error=is_error)


def test_the_answer_to_another_invocation_is_refused(api: RuntimeApi, client: HTTPConnection) -> None:
    api.submit(INVOCATION)
    get_next(client)
    status, error = post(client, "/invocation/id-0/response", b"late")
    assert (status, error["errorType"]) == (400, "InvalidRequestID")
    assert api.response is None


def test_a_larger_response_than_allowed_is_refused(api: RuntimeApi, client: HTTPConnection) -> None:
    api.submit(INVOCATION)
    get_next(client)
    status, error = post(client, "/invocation/id-1/response", b"x" * 11)
    assert (status, error["errorType"]) == (413, "RequestEntityTooLarge")
    assert api.response == Response(b"", too_large=True)


def test_an_init_error_is_kept(api: RuntimeApi, client: HTTPConnection) -> None:
    assert post(client, "/init/error", b"{}")[0] == 202
    assert api.init_error == b"{}"
    assert not api.ready


@pytest.mark.parametrize(("method", "path"), [("GET", "/invocation/id-1"), ("POST", "/restore/error")])
def test_other_paths_do_not_exist(client: HTTPConnection, method: str, path: str) -> None:
    client.request(method, PREFIX + path)
    assert client.getresponse().status == 404


def test_close_disconnects_a_waiting_client(api: RuntimeApi, client: HTTPConnection) -> None:
    client.request("GET", f"{PREFIX}/invocation/next")
    with api.changed:
        assert api.changed.wait_for(lambda: api.ready, timeout=30)
    closing = Thread(target=api.close)
    closing.start()
    with pytest.raises(RemoteDisconnected):
        client.getresponse()
    closing.join(30)
    with pytest.raises(ConnectionRefusedError):
        HTTPConnection(api.address).connect()
