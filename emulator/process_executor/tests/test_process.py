"""One run of a function's process: how a wait for it ends."""

import os
import sys
import time
from pathlib import Path

import pytest

from localstack_process_executor.process import Ending, RuntimeProcess
from localstack_process_executor.reaper import Reaper


def start(argv: list[str], folder: Path, reaper: Reaper) -> RuntimeProcess:
    return RuntimeProcess(
        argv, dict(os.environ), folder, memory_limit_bytes=2**40, max_response_bytes=100, reaper=reaper
    )


def test_a_report_just_before_the_end_is_received(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reaper: Reaper
) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = start(argv, tmp_path, reaper)

    def meanwhile() -> bool:
        """Report and exit after the wait has found neither, and before it checks whether the process is alive."""
        process.api.fail_init(b"no module")
        process.kill()
        return False

    monkeypatch.setattr(process.memory, "exceeded", meanwhile)
    monkeypatch.setattr(process.memory, "pause_s", lambda: 0.0)
    try:
        assert process.wait_until(lambda api: api.init_error is not None, time.monotonic() + 60) is None
    finally:
        process.close()


def test_a_process_group_ends_before_its_id_can_be_reused(tmp_path: Path, reaper: Reaper) -> None:
    os.mkfifo(tmp_path / "held")
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    leave = "import subprocess; subprocess.Popen(['sleep', '600'], env={}, stdout=open('held', 'w'))"
    process = start([sys.executable, "-c", leave], tmp_path, reaper)
    assert process.wait_until(lambda _: False, time.monotonic() + 60) is Ending.EXITED
    assert process.returncode == 0
    os.set_blocking(held, True)
    assert os.read(held, 1) == b""  # returns when no process has it open any more
    os.close(held)
    process.close()


def test_a_process_id_that_may_have_been_reused_is_not_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reaper: Reaper
) -> None:
    process = start([sys.executable, "-c", ""], tmp_path, reaper)
    process.wait_until(lambda _: False, time.monotonic() + 60)
    assert process.returncode == 0
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _: killed.append(group))
    process.kill()
    process.close()
    assert not killed
