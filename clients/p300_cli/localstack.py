"""Start and stop LocalStack on this machine, without Docker."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from p300_cli.paths import ENVIRONMENTS, STATE
from p300_cli.target import Target
from p300_cli.terminal import err, fail, note

START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 15


def up(target: Target) -> bool:
    """Start LocalStack unless it runs already; return whether it was started now."""
    if health(target):
        note(f"LocalStack runs already at {target.endpoint}")
        return False
    if _port_taken(target.port):
        fail(
            f"Port {target.port} is taken by something that is not LocalStack. Stop it, or set AWS_ENDPOINT_URL to another local port."
        )
    python = ENVIRONMENTS / "localstack" / "bin" / "python"
    if not python.exists():
        fail(f"{python} is missing: run `make setup` first.")
    folder = _folder(target)
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    log = folder / "localstack.log"
    with err.status("starting LocalStack"), log.open("wb") as stream:
        process = subprocess.Popen(
            [str(python), "-m", "localstack.runtime.main"],
            env=_environment(target, folder),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        _pid_file(target).write_text(
            json.dumps({"pid": process.pid, "created": psutil.Process(process.pid).create_time()})
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not health(target):
            if process.poll() is not None:
                fail(f"LocalStack ended with exit code {process.returncode}. The end of {log}:\n{_tail(log)}")
            if time.monotonic() > deadline:
                process.terminate()
                fail(f"LocalStack was not ready after {START_TIMEOUT_S} s. The end of {log}:\n{_tail(log)}")
            time.sleep(0.1)
    note(f"LocalStack is ready at {target.endpoint} (log: {log})")
    return True


def down(target: Target) -> bool:
    """Stop the LocalStack that `up` started, with all that runs under it; return whether there was one."""
    process = _started(target)
    _pid_file(target).unlink(missing_ok=True)
    if process is None:
        return False
    family = [process, *process.children(recursive=True)]
    with err.status("stopping LocalStack"):
        os.kill(process.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)
        for survivor in alive:
            survivor.kill()
        psutil.wait_procs(alive, timeout=5)
    return True


def health(target: Target) -> dict[str, object] | None:
    """Return what LocalStack says of itself, or None where none answers."""
    try:
        with urllib.request.urlopen(f"{target.endpoint}/_localstack/health", timeout=2) as answer:  # noqa: S310
            return dict(json.load(answer))
    except (urllib.error.URLError, OSError, ValueError):
        return None


def _environment(target: Target, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAMBDA_", "PYTHON"))}
    return {
        **kept,
        "OVERRIDE_IN_DOCKER": "0",
        "FILESYSTEM_ROOT": str(folder / "state"),
        "TMPDIR": str(folder / "tmp"),
        "GATEWAY_LISTEN": f"127.0.0.1:{target.port}",
        "LAMBDA_RUNTIME_EXECUTOR": "process",
        "LAMBDA_PROCESS_PYTHON": str(ENVIRONMENTS / "runtime" / "bin" / "python"),
        # A flood of recordings waits its turn: two processes of a function keep a core busy, more only take memory.
        "LAMBDA_PROCESS_MAX_ENVIRONMENTS": str(max(4, 2 * (os.cpu_count() or 1))),
        # Nothing is asked of the network: no certificate, no analytics, no DNS server.
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
    }


def _folder(target: Target) -> Path:
    return STATE / "localstack" / str(target.port)


def _pid_file(target: Target) -> Path:
    return _folder(target) / "localstack.pid"


def _started(target: Target) -> psutil.Process | None:
    try:
        held = json.loads(_pid_file(target).read_text())
        process = psutil.Process(held["pid"])
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None
    return process if process.create_time() == held["created"] else None


def _port_taken(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _tail(path: Path, lines: int = 20) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
