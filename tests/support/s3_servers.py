"""The S3 servers that the conformance suite runs against, and what is known to differ in them.

moto and LocalStack always, ministack where `make audit` has installed it, and any other that ``P300_S3_ENDPOINT`` names (with
``P300_S3_ACCESS_KEY`` and ``P300_S3_SECRET_KEY``).
"""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from p300_cli import localstack
from p300_client.paths import ENVIRONMENTS
from p300_client.target import Target

PORT = int(os.environ.get("P300_TEST_PORT", "4576")) + 10
LOCALSTACK = f"http://127.0.0.1:{PORT}"
MINISTACK = f"http://127.0.0.1:{PORT + 1}"
MINISTACK_PROGRAM = ENVIRONMENTS / "s3" / "bin" / "ministack"
START_TIMEOUT_S = 60
SERVERS = [
    "moto",
    "localstack",
    *(["ministack"] if MINISTACK_PROGRAM.exists() else []),
    *(["endpoint"] if os.environ.get("P300_S3_ENDPOINT") else []),
]
# What a server is known to answer otherwise, by test.  Strict: a server that has learned it fails the suite until its line goes.
KNOWN: dict[str, dict[str, str]] = {
    "moto": {
        "test_put_refuses_bytes_that_miss_their_checksum": "stores them",
        "test_checksum_is_kept": "forgets the checksum of a put",
        "test_event_has_version_etag_and_size": "its events say eTag for etag",
    },
    "localstack": {
        "test_event_has_the_key_as_it_is": "the key is encoded as in a URL",
    },
    "ministack": {"test_event_has_version_etag_and_size": "its events have no version"},
}

SOMETIMES: dict[str, dict[str, str]] = {
    "moto": dict.fromkeys(
        ("test_of_writers_racing_if_absent_one_wins", "test_of_writers_racing_if_match_one_wins"),
        "another thread may come between its look at the object and its write",
    ),
}
"""What a server gets right unless it is unlucky."""


@dataclass
class Server:
    """One S3 server: the project's own client for it, and buckets that go with the suite."""

    name: str
    endpoint: str | None
    client: Any
    buckets: list[str] = field(default_factory=list)
    with_versions: set[str] = field(default_factory=set)

    def bucket(self, *, versions: bool) -> str:
        """Make a bucket; skip the test where the server keeps no versions and it has to."""
        name = f"p300-conformance-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        self.buckets.append(name)
        if versions:
            try:
                self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
                kept = self.client.get_bucket_versioning(Bucket=name).get("Status") == "Enabled"
            except self.client.exceptions.ClientError as error:
                pytest.skip(f"keeps no versions: {error}")
            if not kept:
                pytest.skip("keeps no versions, though it takes the setting")
            self.with_versions.add(name)
        return name

    def remove_buckets(self) -> None:
        """Empty and delete what the suite made: it may be somebody's own server."""
        for name in self.buckets:
            bucket = boto3.resource("s3", endpoint_url=self.endpoint).Bucket(name)
            (bucket.object_versions if name in self.with_versions else bucket.objects).delete()
            bucket.delete()

    def other(self, service: str) -> Any:
        """Return a client of another service on the same server."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint,
        )


@contextmanager
def _moto() -> Iterator[None]:
    from moto import mock_aws

    with mock_aws():
        yield


@contextmanager
def _localstack() -> Iterator[str]:
    target = Target(LOCALSTACK)
    localstack.up(target)
    yield LOCALSTACK
    localstack.down(target)


@contextmanager
def _ministack() -> Iterator[str]:
    port = MINISTACK.rpartition(":")[2]
    log = subprocess.DEVNULL
    environment = {**os.environ, "GATEWAY_PORT": port, "BIND_HOST": "127.0.0.1"}
    with subprocess.Popen([str(MINISTACK_PROGRAM)], env=environment, stdout=log, stderr=log) as process:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not localstack.health(Target(MINISTACK)):  # it answers as LocalStack does
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"ministack did not start on port {port}")
            time.sleep(0.1)
        yield MINISTACK
        process.terminate()


@contextmanager
def _endpoint() -> Iterator[str]:
    yield os.environ["P300_S3_ENDPOINT"]


STARTERS = {"moto": _moto, "localstack": _localstack, "ministack": _ministack, "endpoint": _endpoint}
