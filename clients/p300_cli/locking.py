"""Let one command at a time change a thing: the others say whom they wait for, and wait."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p300_cli.terminal import note


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file until the block ends; the system lets go of it if the process dies.

    Parameters
    ----------
    path : Path
        The lock; it stays when it is released, with the name of its last holder in it.
    what : str
        What is locked, for the message of a command that has to wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            note(f"{lock.read().strip() or 'another command'} is working on {what}: waiting until it has finished")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f"`p300 {' '.join(sys.argv[1:2])}` (process {os.getpid()})\n")
        lock.flush()
        yield
