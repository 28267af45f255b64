"""`p300 console` as a user starts it, on the real stack; tests/e2e/test_browser.py goes through it with a browser."""

import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from tests.integration.conftest import ENDPOINT, P300, Stack

pytestmark = pytest.mark.localstack


@pytest.fixture
def address(stack: Stack) -> Iterator[str]:
    """Where a console answers."""
    console = subprocess.Popen(
        [str(P300), "console", "--port", "0", "--no-open"],
        env={**os.environ, "AWS_ENDPOINT_URL": ENDPOINT},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert console.stdout is not None
    yield console.stdout.readline().strip()
    console.send_signal(signal.SIGINT)
    assert console.wait(20) in {0, 130, -signal.SIGINT}


def test_every_page_answers(address: str) -> None:
    assert address.startswith("http://127.0.0.1:")
    for path in ("/executions", "/recordings", "/models", "/models/train", "/try"):
        with urllib.request.urlopen(address + path, timeout=60) as answer:  # noqa: S310
            assert answer.status == 200
            assert "P300 console" in answer.read().decode()
