"""`p300 console` as a user starts it, on the real stack; tests/e2e/test_browser.py goes through it with a browser."""

import urllib.request

import pytest

from tests.integration.conftest import Stack, console

pytestmark = pytest.mark.localstack


def test_every_page_answers(stack: Stack) -> None:
    with console() as address:
        assert address.startswith("http://127.0.0.1:")
        for path in ("/executions", "/recordings", "/models", "/models/train", "/try"):
            with urllib.request.urlopen(address + path, timeout=60) as answer:  # noqa: S310
                assert answer.status == 200
                assert "P300 console" in answer.read().decode()
