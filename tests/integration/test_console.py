"""The console as the command starts it, against a real LocalStack."""

import socket
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from tests.support.localstack import Stack, console, enter, get

pytestmark = pytest.mark.localstack
PAGES = ("/executions", "/recordings", "/models", "/models/train", "/try")


def test_the_console_opens_by_its_address_once_and_shows_every_page(stack: Stack) -> None:
    with console() as address:
        assert address.startswith("http://127.0.0.1:")
        assert "/?token=" in address
        base = address.partition("/?")[0]
        for path in PAGES:
            assert get(base + path)[0] == 403
        base, cookie = enter(address)
        assert get(address)[0] == 403
        for path in PAGES:
            status, text, _ = get(base + path, cookie)
            assert status == 200
            assert "P300 console" in text
        _refuses_what_is_no_request(base, cookie)


def _refuses_what_is_no_request(base: str, cookie: str) -> None:
    """A socket that sends half a request, nonsense, or a request line without an end keeps nobody else out."""
    where = urlsplit(base)
    assert where.hostname is not None
    waiting = []
    for sent in (b"", b"GET /execut", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\x16\x03\x01\x00", b"GET /" + b"x" * 200_000):
        connection = socket.create_connection((where.hostname, where.port or 80), timeout=60)
        connection.sendall(sent)
        waiting.append(connection)
    assert get(f"{base}/models", cookie)[0] == 200
    for connection in waiting:
        with connection, suppress(ConnectionResetError):
            while connection.recv(4096):  # an answer or none: the console closes the connection by itself
                pass
