"""A headless Chromium for the tests of pages."""

import os
import shutil

import pytest

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PROGRAM = os.environ.get("P300_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# A mark rather than a skip in the fixture: the stack would be started first, for nothing.
needed = pytest.mark.skipif(
    not PROGRAM, reason="no Chromium: install Debian's package `chromium`, or set P300_CHROMIUM"
)
