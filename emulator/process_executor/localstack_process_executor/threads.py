"""Lets go of the threads that Step Functions has done with.

LocalStack keeps each thread it starts, to stop it at the end: eight for an execution of five tasks. Since Python 3.13 a
thread's stack (8 MB of addresses, what was used of them in memory) stays until somebody joins or forgets the thread,
and a process has 65,530 mappings: after some 3,900 such executions none can be started any more.
"""

import contextlib
import functools

from localstack.services.stepfunctions.backend.execution_worker import ExecutionWorker
from localstack.utils.threads import TMP_THREADS

from . import repairs


def install() -> None:
    """Forget ended threads after every execution."""
    run = repairs.original(ExecutionWorker, "_execution_logic", parameters=("self",))

    @functools.wraps(run)
    def run_and_forget(worker: ExecutionWorker) -> None:
        try:
            run(worker)
        finally:
            forget_ended()

    repairs.replace(ExecutionWorker, "_execution_logic", lambda _usual: run_and_forget)


def forget_ended() -> None:
    """Take ended threads from LocalStack's list; those that are to be started stay."""
    for thread in list(TMP_THREADS):
        if getattr(thread, "ident", None) is not None and not thread.is_alive():
            with contextlib.suppress(ValueError):  # another execution's end came first
                TMP_THREADS.remove(thread)
