"""Two commands on one stack: the second says whom it waits for, and goes on when the first has ended, however it ended."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = """
import sys
from pathlib import Path
from p300_cli.locking import alone
with alone(Path(sys.argv[2]), "the stack"):
    print("holds it", flush=True)
    sys.stdin.read()
"""


def start(name: str, lock: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", COMMAND, name, str(lock)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize("end", ["by itself", "killed"])
def test_the_second_waits_and_says_for_whom(end: str, tmp_path: Path) -> None:
    lock = tmp_path / "not there yet" / "lock"
    with start("run", lock) as first:
        assert first.stdin and first.stdout
        assert first.stdout.readline() == "holds it\n"
        with start("deploy", lock) as second:
            assert second.stdin and second.stdout and second.stderr
            assert f"`p300 run` (process {first.pid}) is working on the stack: waiting" in second.stderr.readline()
            first.send_signal(signal.SIGKILL) if end == "killed" else first.stdin.close()
            assert second.stdout.readline() == "holds it\n"
            second.stdin.close()
            assert second.wait() == 0


def test_ctrl_c_ends_the_waiting(tmp_path: Path) -> None:
    with start("run", tmp_path / "lock") as first:
        assert first.stdin and first.stdout
        first.stdout.readline()
        with start("deploy", tmp_path / "lock") as second:
            assert second.stderr
            second.stderr.readline()
            second.send_signal(signal.SIGINT)
            assert second.wait() == -signal.SIGINT
        first.stdin.close()
