"""Resident memory of a process and its descendants, watched closely enough to stop a fast allocator near its limit."""

import contextlib
import threading
import time

import psutil

# Faster than a process can touch new pages (2-3 GB/s measured): gives the earliest time that the limit can be reached.
_FASTEST_GROWTH_BYTES_PER_S = 4e9
_SHORTEST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.05
_FAMILY_REFRESH_S = 0.1


class MemoryMeter:
    """Sample one process tree's resident memory against a limit.

    Pages that several processes of the tree share are counted once for each of them.

    Attributes
    ----------
    process : psutil.Process
        The tree's root.
    peak_bytes : int
        Largest sample so far.
    """

    def __init__(self, pid: int, limit_bytes: int):
        self.limit_bytes = limit_bytes
        self.peak_bytes = 0
        self._last_bytes = 0
        self.process = psutil.Process(pid)

    def exceeded(self) -> bool:
        """Take a sample; return whether it is above the limit."""
        family = (self.process, *_family.descendants(self.process.pid))
        self._last_bytes = sum(map(_resident_bytes, family))
        self.peak_bytes = max(self.peak_bytes, self._last_bytes)
        return self._last_bytes > self.limit_bytes

    def pause_s(self) -> float:
        """How long the next sample can wait: the closer to the limit, the shorter."""
        until_limit_s = (self.limit_bytes - self._last_bytes) / _FASTEST_GROWTH_BYTES_PER_S
        return min(max(until_limit_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss) if process.is_running() else 0
    except psutil.Error:  # it has just ended
        return 0


class _Family:
    """The tree of processes, scanned once for all environments: a scan reads every process on the machine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scanned_at = float("-inf")
        self._children: dict[int, list[psutil.Process]] = {}

    def descendants(self, pid: int) -> list[psutil.Process]:
        with self._lock:
            if time.monotonic() - self._scanned_at > _FAMILY_REFRESH_S:
                self._scan()
            found = list(self._children.get(pid, ()))
            for process in found:  # grows while it is walked
                found.extend(self._children.get(process.pid, ()))
            return found

    def _scan(self) -> None:
        children: dict[int, list[psutil.Process]] = {}
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                children.setdefault(process.ppid(), []).append(process)
        self._children, self._scanned_at = children, time.monotonic()


_family = _Family()
