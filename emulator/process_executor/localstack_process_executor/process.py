"""One run of a function's runtime: the process, its Runtime API, its log and its limits."""

import enum
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .log_pipe import LogPipe
from .memory import MemoryMeter
from .reaper import Reaper, kill_tree
from .runtime_api import RuntimeApi

_KILL_TIMEOUT_S = 10
_EXIT_POLL_S = 0.002


class Ending(enum.Enum):
    """Why a wait for the function ended before the awaited event."""

    TIMED_OUT = enum.auto()
    EXITED = enum.auto()
    OUT_OF_MEMORY = enum.auto()


class RuntimeProcess:
    """A runtime client in a process group of its own.

    Parameters
    ----------
    argv, env, cwd
        The process to start; AWS_LAMBDA_RUNTIME_API and the reaper's mark are added to `env`.
    memory_limit_bytes, max_response_bytes
        The function's limits.
    reaper
        Ends the process if this one is killed.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        *,
        memory_limit_bytes: int,
        max_response_bytes: int,
        reaper: Reaper,
    ):
        self.started_at = time.monotonic()
        self.api = RuntimeApi(max_response_bytes)
        self._log = LogPipe(on_end=self._note_exit)
        self._close_lock = threading.Lock()
        self._closed = False
        try:
            self._process = subprocess.Popen(
                argv,
                env={**env, **reaper.mark, "AWS_LAMBDA_RUNTIME_API": self.api.address},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=self._log.write_fd,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            self._log.abandon()
            self.api.close()
            raise
        self.memory = MemoryMeter(self._process.pid, memory_limit_bytes)
        self._log.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while the process lives."""
        if self._process.returncode is None and self._ended():
            self._reap()
        return self._process.returncode

    def wait_until(self, done: Callable[[RuntimeApi], bool], deadline: float) -> Ending | None:
        """Wait for `done`, the deadline (in `time.monotonic` seconds), the process's exit, or too much memory.

        Memory is also checked after `done`: a function that exceeded its limit does not count as done.
        """
        while True:
            with self.api.changed:
                pause_s = min(deadline - time.monotonic(), self.memory.pause_s())
                self.api.changed.wait_for(lambda: done(self.api) or self._exited(), max(pause_s, 0))
                exited = self._exited()  # checked first: a process may report just before it ends
                is_done = done(self.api)
            if self.memory.exceeded():
                return Ending.OUT_OF_MEMORY
            if is_done:
                return None
            if exited:
                return Ending.EXITED
            if time.monotonic() >= deadline:
                return Ending.TIMED_OUT

    def take_log(self) -> str:
        return self._log.take()

    def kill(self) -> None:
        """Kill the process and all its descendants, and wait for it to end; its log can still be taken."""
        self._reap()

    def close(self) -> None:
        """Kill the process and release everything; may be called more than once, and while another thread waits."""
        with self._close_lock:
            if self._closed:
                return
            self._closed = True
            self.kill()
            self._log.close()
            self.api.close()

    def _exited(self) -> bool:
        return self.returncode is not None

    def _reap(self) -> None:
        # The process group first: once the process has been reaped, its ID may be that of another process's group.
        kill_tree(self.memory.process)
        self._process.wait(_KILL_TIMEOUT_S)

    def _ended(self) -> bool:
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # reaped by now
            return True

    def _note_exit(self) -> None:
        # The log has ended, and the process is about to end: wake the thread that waits for the function.
        deadline = time.monotonic() + _KILL_TIMEOUT_S
        while self.returncode is None:
            if time.monotonic() > deadline:
                return  # it closed its stdout and stderr and lives on
            time.sleep(_EXIT_POLL_S)
        with self.api.changed:
            self.api.changed.notify_all()
