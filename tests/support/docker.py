"""Docker and the SAM CLI, run as a user does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import PROJECT

ENDPOINT = "http://localhost:4566"
# What somebody types into a shell before `sam local`: the local stack's credentials, and the Python that SAM builds for on the PATH.
ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).resolve().parent}{os.pathsep}{os.environ['PATH']}",
    "SAM_CLI_TELEMETRY": "0",
    "AWS_MAX_ATTEMPTS": "1",  # SAM asks AWS who these credentials are, and would ask again and again
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}


def run(*command: str | Path, check: bool = True, timeout_s: float = 600, **environment: str) -> str:
    """Run a command in the checkout and return what it printed, both streams in order."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=PROJECT,
        env={**os.environ, **ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout
