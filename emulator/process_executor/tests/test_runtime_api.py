"""The Runtime API's protocol, seen by a plain HTTP client."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, RemoteDisconnected
from threading import Thread

import pytest

from localstack_process_executor import runtime_api
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
    connection = HTTPConnection(host(api), timeout=30)
    connection.secret = api.secret  # type: ignore[attr-defined]
    yield connection
    connection.close()


def host(api: RuntimeApi) -> str:
    return api.address.partition("/")[0]


def path(client: HTTPConnection, below: str) -> str:
    return f"/{client.secret}{PREFIX}{below}"  # type: ignore[attr-defined]


def get_next(client: HTTPConnection) -> tuple[dict[str, str], bytes]:
    client.request("GET", path(client, "/invocation/next"))
    response = client.getresponse()
    assert response.status == 200
    return dict(response.headers), response.read()


def post(client: HTTPConnection, below: str, body: bytes) -> tuple[int, dict[str, str]]:
    client.request("POST", path(client, below), body)
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


def test_a_response_that_is_too_large_is_refused(api: RuntimeApi, client: HTTPConnection) -> None:
    api.submit(INVOCATION)
    get_next(client)
    status, error = post(client, "/invocation/id-1/response", b"x" * 11)
    assert (status, error["errorType"]) == (413, "RequestEntityTooLarge")
    assert api.response == Response(b"", too_large=True)


def test_an_init_error_is_kept(api: RuntimeApi, client: HTTPConnection) -> None:
    assert post(client, "/init/error", b"{}")[0] == 202
    assert api.init_error == b"{}"
    assert not api.ready


@pytest.mark.parametrize(("method", "below"), [("GET", "/invocation/id-1"), ("POST", "/restore/error")])
def test_other_paths_do_not_exist(client: HTTPConnection, method: str, below: str) -> None:
    client.request(method, path(client, below))
    assert client.getresponse().status == 404


def test_close_disconnects_a_waiting_client(api: RuntimeApi, client: HTTPConnection) -> None:
    client.request("GET", path(client, "/invocation/next"))
    with api.changed:
        assert api.changed.wait_for(lambda: api.ready, timeout=30)
    closing = Thread(target=api.close)
    closing.start()
    with pytest.raises(RemoteDisconnected):
        client.getresponse()
    closing.join(30)
    with pytest.raises(ConnectionRefusedError):
        HTTPConnection(host(api)).connect()


@pytest.mark.parametrize("secret", ["", "/guess", "/2018-06-01", "//", "/%00", "/\xff"])
@pytest.mark.parametrize(
    ("method", "below"),
    [
        ("GET", "/invocation/next"),
        ("POST", "/invocation/id-1/response"),
        ("POST", "/invocation/id-1/error"),
        ("POST", "/init/error"),
    ],
)
def test_another_process_can_neither_read_events_nor_answer(
    api: RuntimeApi, client: HTTPConnection, method: str, below: str, secret: str
) -> None:
    api.submit(INVOCATION)
    get_next(client)
    stranger = HTTPConnection(host(api), timeout=30)
    stranger.putrequest(method, "/", skip_accept_encoding=True)
    stranger._buffer[0] = f"{method} {secret}{PREFIX}{below} HTTP/1.1".encode("latin-1")  # type: ignore[attr-defined]
    stranger.putheader("Content-Length", "2")
    stranger.endheaders(b"{}")
    assert stranger.getresponse().status == 404
    stranger.close()
    assert (api.response, api.init_error) == (None, None)


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "9" * 30])
def test_an_invalid_or_excessive_length_is_refused_unread(api: RuntimeApi, client: HTTPConnection, length: str) -> None:
    api.submit(INVOCATION)
    get_next(client)
    client.putrequest("POST", path(client, "/invocation/id-1/response"))
    client.putheader("Content-Length", length)
    client.endheaders()
    assert client.getresponse().status == 413
    assert api.response == Response(b"", too_large=True)


def test_a_silent_connection_is_closed_but_the_runtime_clients_is_not(
    api: RuntimeApi, client: HTTPConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_api._Handler, "timeout", 0.05)
    api.submit(INVOCATION)
    get_next(client)
    with socket.create_connection(host(api).split(":"), timeout=30) as stranger:  # type: ignore[arg-type]
        assert stranger.recv(1) == b""  # it connected after the client, and its time is over
    assert post(client, "/invocation/id-1/response", b"answer")[0] == 202
