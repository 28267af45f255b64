"""A LocalStack whose functions fail as told, and what must hold whatever failed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from p300_cli import servers

from tests.support.faults import COUNTS, Faults, deploy, kill, start_localstack
from tests.support.localstack import Stack, run_p300


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Faults:
    return Faults(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def stack(faults: Faults) -> Iterator[Stack]:
    """A stack with nothing in it, whose functions fail as `faults` says."""
    run_p300("down")
    start_localstack(faults.folder)
    deploy()
    stack = Stack()
    yield stack
    if servers.own_server(stack.target.port):  # a test may have failed between killing it and starting it again
        kill(stack)


@pytest.fixture(autouse=True)
def nothing_fails_afterwards(faults: Faults) -> Iterator[None]:
    yield
    faults.clear()


# ---- what must hold


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/faults/" in item.nodeid:
            item.add_marker(pytest.mark.timeout(3600))  # a flood on a machine that does other work as well


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many faults there were, and how much was looked at after them."""
    if COUNTS:
        terminalreporter.section("faults")
        for what, number in COUNTS.items():
            terminalreporter.line(f"{number:6d} {what}")


@pytest.fixture
def count() -> Callable[[str, int], None]:
    """count("what", n): add to the numbers that the summary prints."""

    def add(what: str, number: int) -> None:
        COUNTS[what] += number

    return add
