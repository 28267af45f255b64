"""One run of a function's process: what a wait for it ends with."""

import os
import sys
import time
from pathlib import Path

import pytest

from localstack_process_executor.process import RuntimeProcess
from localstack_process_executor.reaper import Reaper


def test_a_report_just_before_the_end_is_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reaper: Reaper) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = RuntimeProcess(
        argv, dict(os.environ), tmp_path, memory_limit_bytes=2**40, max_response_bytes=100, reaper=reaper
    )

    def meanwhile() -> bool:
        """Report and end after the wait has found neither, and before it looks whether the process lives."""
        process.api.fail_init(b"no module")
        process.kill()
        return False

    monkeypatch.setattr(process.memory, "exceeded", meanwhile)
    monkeypatch.setattr(process.memory, "pause_s", lambda: 0.0)
    try:
        assert process.wait_until(lambda api: api.init_error is not None, time.monotonic() + 60) is None
    finally:
        process.close()
