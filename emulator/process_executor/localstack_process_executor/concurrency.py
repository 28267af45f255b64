"""Limits how many environments a function has at once: further invocations wait instead of starting another.

AWS has enough machines for a thousand environments, a laptop does not: two hundred events at once would start two
hundred interpreters, each with its imports, and use up all memory and processors. Each function has its own limit, so
that a function waiting for another one cannot keep it from running.

Asynchronous events wait in their queue. LocalStack would take all events out at once, and those that then waited
longer than the function's timeout plus a minute would return to the queue and run twice.
"""

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from localstack.services.lambda_.invocation import event_manager
from localstack.services.lambda_.invocation.assignment import AssignmentService
from localstack.services.lambda_.invocation.execution_environment import ExecutionEnvironment
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InitializationType

from . import repairs


class Pool(ThreadPoolExecutor):
    """A pool whose `submit` waits until a thread is free."""

    def __init__(self, max_workers: int, thread_name_prefix: str = "") -> None:
        super().__init__(max_workers, thread_name_prefix)
        self._free = threading.Semaphore(max_workers)

    def submit[**P, T](self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self._free.acquire()
        try:
            future = super().submit(call, *args, **kwargs)
        except BaseException:  # no more calls are taken
            self._free.release()
            raise
        future.add_done_callback(lambda _: self._free.release())
        return future


def install(limit: int) -> None:
    """Limit each function version to `limit` environments, not counting provisioned ones."""
    repairs.replace(event_manager, "ThreadPoolExecutor", lambda _usual: partial(Pool, max_workers=limit))
    parameters = ("self", "version_manager_id", "function_version", "provisioning_type")
    usual = repairs.original(AssignmentService, "get_environment", parameters=parameters)
    slots: defaultdict[str, threading.Semaphore] = defaultdict(partial(threading.Semaphore, limit))
    looking = threading.Lock()

    @contextlib.contextmanager
    def get_environment(
        self: AssignmentService,
        version_manager_id: str,
        function_version: FunctionVersion,
        provisioning_type: InitializationType,
    ) -> Iterator[ExecutionEnvironment]:
        with looking:
            slot = slots[version_manager_id]
        waits = provisioning_type == InitializationType.on_demand
        with (
            slot if waits else contextlib.nullcontext(),
            usual(self, version_manager_id, function_version, provisioning_type) as environment,
        ):
            yield environment

    repairs.replace(AssignmentService, "get_environment", lambda _usual: get_environment)
