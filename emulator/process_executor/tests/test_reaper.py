"""Nothing survives the process that owns the reaper, however it ends."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

OWNER = """
import json, os, subprocess, sys
from localstack_process_executor.reaper import Reaper
reaper = Reaper()
wait = [sys.executable, "-c", "import threading; threading.Event().wait()"]
leave = f"import subprocess; print(subprocess.Popen({wait}, start_new_session=True, stdout=subprocess.DEVNULL).pid)"
orphan = int(subprocess.check_output([sys.executable, "-c", leave], env=os.environ | reaper.mark))
child = subprocess.Popen(wait, start_new_session=True, env=os.environ | reaper.mark)
bystander = subprocess.Popen(wait, start_new_session=True)
doomed = [orphan, child.pid, reaper._helper.pid]
print(json.dumps({"doomed": doomed, "bystander": bystander.pid, "directory": str(reaper.directory)}), flush=True)
input()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_marked_processes_end_with_their_owner(end: signal.Signals) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    told = json.loads(owner.stdout.readline())
    doomed = [psutil.Process(pid) for pid in told["doomed"]]
    bystander = psutil.Process(told["bystander"])
    assert Path(told["directory"]).is_dir()
    owner.send_signal(end)
    owner.wait(30)
    assert not psutil.wait_procs(doomed, timeout=30)[1]
    assert not Path(told["directory"]).exists()
    assert bystander.is_running()
    bystander.kill()
