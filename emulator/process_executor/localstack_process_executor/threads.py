"""Releases the threads that Step Functions no longer needs.

LocalStack keeps a reference to each thread it starts, to stop it at the end: eight for an execution of five tasks.
Since Python 3.13 a thread's stack (8 MB of address space, and the memory that was used of it) stays until the thread is
joined or no longer referenced, and a process may have 65,530 mappings: after about 3,900 such executions, no further
thread can be started.
"""

import contextlib
import functools

from localstack.services.stepfunctions.backend.execution_worker import ExecutionWorker
from localstack.utils.threads import TMP_THREADS

from . import repairs


def install() -> None:
    """Release ended threads after every execution."""
    run = repairs.original(ExecutionWorker, "_execution_logic", parameters=("self",))

    @functools.wraps(run)
    def run_and_forget(worker: ExecutionWorker) -> None:
        try:
            run(worker)
        finally:
            forget_ended()

    repairs.replace(ExecutionWorker, "_execution_logic", lambda _usual: run_and_forget)


def forget_ended() -> None:
    """Remove ended threads from LocalStack's list; those that have not started yet stay."""
    for thread in list(TMP_THREADS):
        if getattr(thread, "ident", None) is not None and not thread.is_alive():
            with contextlib.suppress(ValueError):  # another execution has just removed it
                TMP_THREADS.remove(thread)
