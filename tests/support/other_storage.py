"""A second S3 server, which knows other keys than LocalStack."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from p300_cli import localstack
from p300_client.paths import ENVIRONMENTS
from p300_client.target import Target

from tests.support.localstack import PORT, wait_for

STORAGE = f"http://127.0.0.1:{PORT + 1}"
KEY = {"aws_access_key_id": "storage-key", "aws_secret_access_key": "storage-secret"}
SERVER = ENVIRONMENTS / "s3" / "bin" / "ministack"


@contextmanager
def serving() -> Iterator[Any]:
    """Run the server and give a client of it; skip where it is not installed."""
    if not SERVER.exists():
        pytest.skip("no second S3 server here: `make test` installs one into .envs/s3")
    environment = {**os.environ, "GATEWAY_PORT": STORAGE.rpartition(":")[2], "BIND_HOST": "127.0.0.1"}
    with subprocess.Popen(
        [str(SERVER)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: localstack.health(Target(STORAGE)), "the second S3 server", timeout_s=60)
        config = Config(s3={"addressing_style": "path"})
        yield boto3.client("s3", endpoint_url=STORAGE, region_name="us-east-1", config=config, **KEY)  # type: ignore[call-overload]
        process.terminate()
