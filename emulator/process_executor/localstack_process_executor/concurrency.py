"""Limits how many environments a function has at once: what comes meanwhile waits instead of starting one more.

AWS has machines enough for a thousand environments, one laptop has not: two hundred events at once would be two
hundred interpreters that start, each with its imports, and leave memory and processors to nobody. The limit is each
function's own, so that a function which waits for another one cannot keep it from running.

An asynchronous event waits in its queue for that. LocalStack would take all events out at once, and those that waited
for longer than the function's timeout and a minute came back from the queue and ran twice.
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
    """A pool that lets whoever submits wait until a thread is free."""

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
    """Let each function version have up to `limit` environments that were not provisioned."""
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
