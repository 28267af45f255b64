"""Limits how many environments a function has at once: what comes meanwhile waits instead of starting one more.

AWS has machines enough for a thousand environments, one laptop has not: two hundred events at once would be two
hundred interpreters that start, each with its imports, and leave memory and processors to nobody. The limit is each
function's own, so that a function which waits for another one cannot keep it from running.
"""

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from localstack.services.lambda_.invocation.assignment import AssignmentService
from localstack.services.lambda_.invocation.execution_environment import ExecutionEnvironment
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InitializationType


def install(limit: int) -> None:
    """Let each function version have up to `limit` environments that were not provisioned."""
    usual = AssignmentService.get_environment
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

    AssignmentService.get_environment = get_environment
