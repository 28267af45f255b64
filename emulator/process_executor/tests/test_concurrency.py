"""The limit on a function's environments: it holds for each function separately, and excludes provisioned ones."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from localstack.services.lambda_.invocation import event_manager
from localstack.services.lambda_.invocation.assignment import AssignmentService
from localstack.services.lambda_.invocation.lambda_models import InitializationType

from localstack_process_executor import concurrency

ON_DEMAND, PROVISIONED = InitializationType.on_demand, InitializationType.provisioned_concurrency


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the environments in use of each version, in place of LocalStack."""
    counts: Counter[str] = Counter()
    counting = threading.Lock()

    @contextlib.contextmanager
    def get_environment(
        self: object, version_manager_id: str, function_version: object, provisioning_type: object
    ) -> Iterator[SimpleNamespace]:
        version = version_manager_id
        with counting:
            counts[version] += 1
        try:
            yield SimpleNamespace()
        finally:
            with counting:
                counts[version] -= 1

    monkeypatch.setattr(AssignmentService, "get_environment", get_environment)
    monkeypatch.setattr(event_manager, "ThreadPoolExecutor", event_manager.ThreadPoolExecutor)  # type: ignore[attr-defined]
    concurrency.install(2)
    return counts


def use(version: str, kind: InitializationType, over: threading.Event) -> threading.Thread:
    """Use an environment until the event is set; return the thread."""
    began = threading.Event()

    def body() -> None:
        with AssignmentService.get_environment(None, version, None, kind):  # type: ignore[arg-type]
            began.set()
            over.wait(30)

    thread = threading.Thread(target=body)
    thread.start()
    began.wait(0.2)  # the third does not start
    return thread


def test_invocations_above_the_limit_wait(running: Counter[str]) -> None:
    over = threading.Event()
    threads = [use("a", ON_DEMAND, over) for _ in range(4)]
    other = use("b", ON_DEMAND, over)
    assert (running["a"], running["b"]) == (2, 1)
    over.set()
    for thread in (*threads, other):
        thread.join(30)
        assert not thread.is_alive()
    assert (running["a"], running["b"]) == (0, 0)


def test_provisioned_environments_are_not_counted(running: Counter[str]) -> None:
    over = threading.Event()
    threads = [use("a", PROVISIONED, over) for _ in range(3)]
    assert running["a"] == 3
    over.set()
    for thread in threads:
        thread.join(30)


def test_a_failure_frees_its_place(running: Counter[str]) -> None:
    for _ in range(3):
        with pytest.raises(ValueError, match="crash"), AssignmentService.get_environment(None, "a", None, ON_DEMAND):  # type: ignore[arg-type]
            raise ValueError("crash")
    over = threading.Event()
    thread = use("a", ON_DEMAND, over)
    assert running["a"] == 1
    over.set()
    thread.join(30)


@pytest.mark.usefixtures("running")
def test_events_stay_in_their_queue_until_an_environment_is_free() -> None:
    over, taken = threading.Event(), threading.Semaphore(0)
    queue = list(range(5))
    version: Any = SimpleNamespace(
        function_version=SimpleNamespace(id=SimpleNamespace(function_name="f", qualifier="1"))
    )
    poller = event_manager.Poller(version, "queue")

    def poll() -> None:
        while queue:
            poller.invoker_pool.submit(over.wait, 30)
            queue.pop()
            taken.release()

    thread = threading.Thread(target=poll)
    thread.start()
    assert taken.acquire(timeout=30)
    assert taken.acquire(timeout=30)
    assert not taken.acquire(timeout=0.2)
    assert len(queue) == 3
    over.set()
    thread.join(30)
    assert not queue
    poller.invoker_pool.shutdown(cancel_futures=True, wait=True)
    for _ in range(3):  # a poller that was stopped returns without waiting
        with pytest.raises(RuntimeError, match="shutdown"):
            poller.invoker_pool.submit(over.wait)
