"""What the tests with real Docker and the real SAM CLI, and those with a real browser, share."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker import ENDPOINT, run
from tests.support.localstack import Stack, running_stack
from tests.support.paths import PROJECT


@pytest.fixture(scope="session")
def docker() -> None:
    """Skip where there is no Docker engine."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers: start one (Docker Desktop, or the docker service) to run these tests")


@pytest.fixture(scope="session")
def compose(docker: None) -> Iterator[None]:
    """The stack of `docker compose up --wait`, with its own command as docs/docker.md gives it."""
    os.environ["AWS_ENDPOINT_URL"] = ENDPOINT
    # A machine without a registry may have an image of its own by that name: no digest names it.
    tag = "localstack/localstack:4.14.0"
    if subprocess.run(["docker", "image", "inspect", tag], capture_output=True, check=False).returncode == 0:
        os.environ.setdefault("LOCALSTACK_IMAGE", tag)
    run("docker", "compose", "--profile", "minio", "down", "--volumes")
    run("make", "layers")
    try:
        run("docker", "compose", "up", "--wait")
        yield
    finally:
        print(run("docker", "compose", "logs", "--no-color", "--tail", "60", check=False))
    run("docker", "compose", "down", "--volumes")


@pytest.fixture(scope="session")
def built(docker: None) -> Path:
    """The output of `sam build`."""
    run(PROJECT / ".envs" / "sam" / "bin" / "sam", "build")
    return PROJECT / ".aws-sam" / "build"


@pytest.fixture(scope="module")  # a test may start LocalStack anew, which then has another key
def stack() -> Iterator[Stack]:
    """A stack with nothing in it, on LocalStack without Docker."""
    with running_stack() as found:
        yield found
