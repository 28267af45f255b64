"""What the tests with real Docker and the real SAM CLI share."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ENDPOINT = "http://localhost:4566"
# What somebody types into a shell before `sam local`: the local stack's credentials, and the Python that SAM builds for on the PATH.
ENVIRONMENT = {
    **os.environ,
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
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


@pytest.fixture(scope="session")
def docker() -> None:
    """Skip where there is no Docker engine."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers: start one (Docker Desktop, or the docker service) to run these tests")


@pytest.fixture(scope="session")
def compose(docker: None) -> Iterator[None]:
    """The stack of `docker compose up --wait`, with its own command as README gives it."""
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
