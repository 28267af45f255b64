"""Ends the functions' processes when LocalStack is gone, even if it was killed and could not clean up.

A helper process holds the read end of a pipe from LocalStack, and the pipe ends with LocalStack, however it ends.
The helper then kills all processes that carry LocalStack's mark in their environment. This works the same on Linux
and macOS and reaches the processes that functions start, even those whose parents are gone. PR_SET_PDEATHSIG does
neither, and also kills a process when the thread that started it ends.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

MARK_VARIABLE = "LAMBDA_PROCESS_OWNER"


class Reaper:
    """LocalStack's side: the mark, and the directory for all private files.

    Attributes
    ----------
    directory : Path
        Removed with everything in it when LocalStack is gone.
    mark : dict
        To be added to the environment of every process that must not outlive LocalStack.
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="lambda-process-"))
        self.mark = {MARK_VARIABLE: str(self.directory)}
        self._helper = subprocess.Popen(
            [sys.executable, "-I", __file__, str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in LocalStack's terminal must not reach the helper
        )

    def close(self) -> None:
        """End all marked processes and the helper."""
        self._helper.communicate()


def kill_tree(process: psutil.Process) -> None:
    """Kill a process, all its descendants and, if it leads a process group, that group; nothing once it is reaped."""
    with contextlib.suppress(psutil.Error):
        family = (*process.children(recursive=True), process)
        if process.is_running():  # and not merely its ID, which another process may have by now
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: PermissionError for zombies
                if os.getpgid(process.pid) == process.pid:
                    os.killpg(process.pid, signal.SIGKILL)
        for each in family:
            with contextlib.suppress(psutil.Error):
                each.kill()


def _marked(owner: str) -> list[psutil.Process]:
    born = psutil.Process().create_time()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            # Processes older than this helper cannot carry the mark: leave them alone, whatever their environment says.
            if process.create_time() >= born and process.environ().get(MARK_VARIABLE) == owner:
                found.append(process)
    return found


def main(owner: str) -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.read()
    while processes := _marked(owner):  # until none is left: one may have started another in the meantime
        for process in processes:
            kill_tree(process)
        psutil.wait_procs(processes, timeout=1)
    shutil.rmtree(owner, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
