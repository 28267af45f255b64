"""The S3 servers one after the other, and the table of what each of them answered."""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
from p300_client import credential
from p300_pipeline.storage import Store, default_client

from tests.support.s3_servers import KNOWN, LOCALSTACK, SERVERS, SOMETIMES, STARTERS, Server

_OUTCOMES = pytest.StashKey[dict[str, dict[str, str]]]()


@pytest.fixture(scope="package", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with ExitStack() as stack, pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
            environment.delenv(name, raising=False)
        user, secret = "test", "test"
        if request.param == "endpoint":
            user = os.environ.get("P300_S3_ACCESS_KEY", user)
            secret = os.environ.get("P300_S3_SECRET_KEY", secret)
        endpoint = stack.enter_context(STARTERS[request.param]())
        if request.param == "localstack":
            keys = credential.for_endpoint(LOCALSTACK)
            user, secret = keys.access_key_id, keys.secret_access_key
        environment.setenv("AWS_ACCESS_KEY_ID", user)
        environment.setenv("AWS_SECRET_ACCESS_KEY", secret)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setattr(boto3, "DEFAULT_SESSION", None)  # it would go on with the key of the server before
        if endpoint:
            environment.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        # The very client that the functions make from their environment, though not the one that other tests share.
        found = Server(request.param, endpoint, default_client.__wrapped__())
        yield found
        found.remove_buckets()


@pytest.fixture(scope="package")
def store(server: Server) -> Store:
    return Store(server.client)


@pytest.fixture(scope="package")
def plain(server: Server) -> str:
    """A bucket without versions."""
    return server.bucket(versions=False)


@pytest.fixture(scope="package")
def versioned(server: Server) -> str:
    """A bucket that keeps versions."""
    return server.bucket(versions=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for differences, strict in ((KNOWN, True), (SOMETIMES, False)):
            known = differences.get(_server_of(item.nodeid), {}).get(_test_of(item.nodeid))
            if known and "conformance" in item.nodeid:
                item.add_marker(pytest.mark.xfail(reason=known, strict=strict))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
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
