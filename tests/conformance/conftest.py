"""The S3 servers that the suite runs against, and the table of what each of them answered.

moto and LocalStack always, ministack where `make audit` has installed it, and any other that ``P300_S3_ENDPOINT`` names (with
``P300_S3_ACCESS_KEY`` and ``P300_S3_SECRET_KEY``).
"""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from p300_cli import localstack
from p300_cli.paths import ENVIRONMENTS
from p300_cli.target import Target
from p300_pipeline.storage import Store, default_client

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
_OUTCOMES = pytest.StashKey[dict[str, dict[str, str]]]()


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
        return boto3.client(service, endpoint_url=self.endpoint)


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


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    start = {"moto": _moto, "localstack": _localstack, "ministack": _ministack, "endpoint": _endpoint}[request.param]
    with ExitStack() as stack, pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
            environment.delenv(name, raising=False)
        user, secret = "test", "test"
        if request.param == "endpoint":
            user = os.environ.get("P300_S3_ACCESS_KEY", user)
            secret = os.environ.get("P300_S3_SECRET_KEY", secret)
        environment.setenv("AWS_ACCESS_KEY_ID", user)
        environment.setenv("AWS_SECRET_ACCESS_KEY", secret)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        endpoint = stack.enter_context(start())
        if endpoint:
            environment.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        # The very client that the functions make from their environment, though not the one that other tests share.
        found = Server(request.param, endpoint, default_client.__wrapped__())
        yield found
        found.remove_buckets()


@pytest.fixture(scope="session")
def store(server: Server) -> Store:
    return Store(server.client)


@pytest.fixture(scope="session")
def plain(server: Server) -> str:
    """A bucket without versions."""
    return server.bucket(versions=False)


@pytest.fixture(scope="session")
def versioned(server: Server) -> str:
    """A bucket that keeps versions."""
    return server.bucket(versions=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        known = KNOWN.get(_server_of(item.nodeid), {}).get(_test_of(item.nodeid))
        if known and "conformance" in item.nodeid:
            item.add_marker(pytest.mark.xfail(reason=known, strict=True))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if _server_of(item.nodeid) and (report.when == "call" or report.outcome == "skipped"):
        words = {
            "passed": "yes",
            "failed": "**no**",
            "skipped": "**no**" if hasattr(report, "wasxfail") else "not offered",
        }
        row = item.config.stash[_OUTCOMES].setdefault(_test_of(item.nodeid), {})
        if row.get(_server_of(item.nodeid)) != words["failed"]:  # one case that fails is a promise that is not kept
            row[_server_of(item.nodeid)] = words[report.outcome]
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table that docs/storage.md holds."""
    if outcomes := config.stash[_OUTCOMES]:
        terminalreporter.section("what each server answered")
        terminalreporter.line(f"| call | {' | '.join(SERVERS)} |\n|---|{'---|' * len(SERVERS)}")
        for test, row in outcomes.items():
            words = test.removeprefix("test_").replace("_", " ")
            terminalreporter.line(f"| {words} | {' | '.join(row.get(server, '-') for server in SERVERS)} |")


def _test_of(node: str) -> str:
    return node.rpartition("::")[2].partition("[")[0]


def _server_of(node: str) -> str:
    return node.partition("[")[2].rstrip("]").partition("-")[0]
