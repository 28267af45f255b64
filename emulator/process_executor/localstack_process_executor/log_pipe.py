"""Collects what a process writes to stdout and stderr."""

import contextlib
import os
import re
import select
import threading
from collections.abc import Callable

_READ_BYTES = 1 << 16
# A function that prints endlessly must not fill LocalStack's memory: only the newest output is kept.
_KEPT_BYTES = 8 << 20
_POLL_MS = 1000


class LogPipe:
    """A pipe that is read continuously, so that its writers never block.

    Parameters
    ----------
    on_end
        Called from the pipe's own thread once the last writer has closed its end.
    """

    def __init__(self, on_end: Callable[[], None]):
        self._read_fd, self.write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        self._on_end = on_end
        self._lock = threading.Lock()
        self._buffer = bytearray()
        self._open = True
        self._thread = threading.Thread(target=self._pump, name="lambda-log-pipe", daemon=True)

    def start(self) -> None:
        """Begin to read, after the process that inherits `write_fd` has been started."""
        os.close(self.write_fd)
        self._thread.start()

    def abandon(self) -> None:
        """Release a pipe that no process has used."""
        os.close(self.write_fd)
        os.close(self._read_fd)

    def take(self) -> str:
        """Return everything that was written since the last call."""
        with self._lock:
            self._drain()
            text = self._buffer.decode("utf-8", "replace")
            self._buffer.clear()
        # Without AWS's telemetry pipe, the runtime client separates the lines of a traceback with carriage returns.
        return re.sub(r"\r\n?", "\n", text)

    def close(self) -> None:
        """Stop reading, even if processes that left the function's process group still hold the write end."""
        with self._lock:
            self._open = False
        self._thread.join(timeout=2 * _POLL_MS / 1000)

    def _pump(self) -> None:
        poller = select.poll()
        poller.register(self._read_fd, select.POLLIN)
        ended = False
        while not ended:
            poller.poll(_POLL_MS)
            with self._lock:
                ended = not (self._open and self._drain())
        with self._lock:
            os.close(self._read_fd)
            self._read_fd = -1
        self._on_end()

    def _drain(self) -> bool:
        """Read what is available; return False at the end of the stream."""
        if self._read_fd < 0:
            return False
        with contextlib.suppress(BlockingIOError):
            for _ in range(_KEPT_BYTES // _READ_BYTES):  # limited, or a fast writer would hold the lock forever
                data = os.read(self._read_fd, _READ_BYTES)
                if not data:
                    return False
                self._buffer += data
                if len(self._buffer) > 2 * _KEPT_BYTES:
                    del self._buffer[:-_KEPT_BYTES]
        return True
