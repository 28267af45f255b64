"""Start and stop LocalStack on this machine, without Docker."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

import psutil
from p300_client import credential
from p300_client.paths import ENVIRONMENTS, PROJECT, STATE, require_checkout
from p300_client.target import STACK, Target

from p300_cli import gateway, servers
from p300_cli.locking import alone
from p300_cli.terminal import err, fail, note

START_TIMEOUT_S = 300  # on a busy machine; a process that ends is noticed at once
STOP_TIMEOUT_S = 3
POLL_S = 0.05
_PASSED_ON = {"HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TZ", "USER"}
"""Of the user's environment: LocalStack takes its settings from variables with names like SERVICES and DEBUG, which may mean anything."""


def up(target: Target) -> bool:
    """Start LocalStack unless this checkout's runs already; return whether it was started now.

    Anything else on the port is named and left alone: neither used nor stopped.
    """
    if running := servers.own_server(target.port):
        _wait_until_ready(target, running)
        note(f"LocalStack runs already at {target.endpoint}{_other_door(target)}")
        return False
    require_checkout()
    if servers.taken(target.port):
        _refuse_port(target)
    python = ENVIRONMENTS / "localstack" / "bin" / "python"
    if not python.exists():
        fail(f"{python} is missing: run `make setup` first.")
    folder = _folder(target.port)
    _clear(folder)
    (folder / "tmp").mkdir(parents=True)
    process = None
    with err.status("starting LocalStack"), _log(target.port).open("wb") as stream:
        try:
            process = psutil.Popen(
                [str(python), "-m", servers.MODULE],
                cwd=PROJECT,
                env=_environment(target, folder),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            _wait_until_ready(target, process)
        except BaseException:  # interrupted, too
            if process:
                _kill(process)
            credential.remove(target.port)  # it opens nothing any more, and the next start makes another
            raise
    note(f"LocalStack is ready at {target.endpoint} (log: {_log(target.port)})")
    return True


def down(target: Target) -> bool:
    """Stop this checkout's LocalStack on the target's port; return whether there was one."""
    return _stop(target.port)


def down_all() -> int:
    """Stop all of this checkout's LocalStacks; return how many there were."""
    return sum(map(_stop, servers.own_servers()))


def _stop(port: int) -> bool:
    process = servers.own_server(port)
    if process:
        with err.status("stopping LocalStack"):
            _kill(process)
    credential.remove(port)
    _clear(_folder(port))
    return process is not None


def _kill(process: psutil.Process) -> None:
    """End LocalStack and all that runs under it.

    Asked to end it would take seconds, with nothing to save. Functions end at once; the process executor's helper, which takes no signal to
    end, first ends what functions have left running.
    """
    try:
        children = process.children(recursive=True)
        process.kill()
    except psutil.NoSuchProcess:
        return
    _signal(children, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while left := [one for one in (process, *children) if _runs(one)]:
        if time.monotonic() > deadline:
            _signal(left, signal.SIGKILL)
        time.sleep(POLL_S)


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(number)


def health(target: Target) -> dict[str, object] | None:
    """Return what LocalStack says of itself, or None where none answers."""
    try:
        with urllib.request.urlopen(f"{target.endpoint}/_localstack/health", timeout=2) as answer:  # noqa: S310
            return dict(json.load(answer))
    except (urllib.error.URLError, OSError, ValueError):
        return None


def expect(target: Target) -> None:
    """End the command unless a LocalStack answers, this checkout's or another."""
    if health(target) is None:
        other = f"it is {servers.occupant(target.port)} that does" if servers.taken(target.port) else "nothing does"
        fail(f"No LocalStack answers at {target.endpoint}; {other}. Start one with `p300 up`, or set AWS_ENDPOINT_URL.")


def stack_lock(target: Target) -> AbstractContextManager[None]:
    """Return what keeps two commands from starting, deploying or running the same stack at once."""
    return alone(_folder(target.port) / "lock", f"the stack at {target.endpoint}")


def _wait_until_ready(target: Target, process: psutil.Process) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    end_of_log = f"The end of {_log(target.port)}:\n"
    while True:
        if not _runs(process):
            fail(f"LocalStack ended while it was starting. {end_of_log}{_tail(_log(target.port))}")
        if servers.taken(target.port):
            # Two LocalStacks can be started for one port: the second goes on, without it, and says that it is ready.
            if not servers.listens(process, target.port):
                _refuse_port(target)
            if health(target) is not None:
                gateway.verify(target, process)
                return
        if time.monotonic() > deadline:
            fail(
                f"LocalStack was not ready after {START_TIMEOUT_S} s, but it still runs. Is the machine busy? Run the same command to "
                f"go on waiting; `p300 down` ends it. {end_of_log}{_tail(_log(target.port)) or '(nothing yet)'}"
            )
        time.sleep(POLL_S)


def _refuse_port(target: Target) -> NoReturn:
    fail(
        f"Port {target.port} is taken by {servers.occupant(target.port)}, which this checkout did not start. "
        f"Stop that, or use another port: AWS_ENDPOINT_URL=http://localhost:{servers.free_port(target.port)} make run"
    )


def _environment(target: Target, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("LC_")}
    return {
        **kept,
        servers.PORT_VARIABLE: str(target.port),
        servers.STATE_VARIABLE: servers.state_named(),
        "OVERRIDE_IN_DOCKER": "0",
        "FILESYSTEM_ROOT": str(folder / "state"),
        "TMPDIR": str(folder / "tmp"),
        "XDG_CACHE_HOME": str(folder / "state" / "cache"),
        "GATEWAY_LISTEN": f"127.0.0.1:{target.port}" + (f",[::1]:{target.port}" if gateway.has_ipv6() else ""),
        **_guard(target),
        "LAMBDA_RUNTIME_EXECUTOR": "process",
        "LAMBDA_PROCESS_SANDBOX": os.environ.get("LAMBDA_PROCESS_SANDBOX", "auto"),
        "LAMBDA_PROCESS_PYTHON": str(ENVIRONMENTS / "runtime" / "bin" / "python"),
        # A flood of recordings waits its turn: two processes of a function keep a core busy, more only take memory.
        "LAMBDA_PROCESS_MAX_ENVIRONMENTS": str(max(4, 2 * (os.cpu_count() or 1))),
        # Reports are drawn while nobody waits for them: the way from a recording to a model goes first.
        "LAMBDA_PROCESS_BACKGROUND": f"{STACK}-reporting",
        # Nothing is asked of the network: no certificate, no analytics, no DNS server.
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
    }


def _folder(port: int) -> Path:
    return STATE / "localstack" / str(port)


def _guard(target: Target) -> dict[str, str]:
    if _asked_to_be_open():
        credential.remove(target.port)
        return {"GATEWAY_GUARD_OPEN": "1"}
    return {"GATEWAY_GUARD_CREDENTIAL": str(credential.make(target.port)), "GATEWAY_GUARD_HINT": credential.HINT}


def _asked_to_be_open() -> bool:
    return os.environ.get("P300_OPEN") == "1"


def _other_door(target: Target) -> str:
    """Return what to add about a LocalStack that was started with another P300_OPEN than this command's."""
    is_open = credential.read(target.port) is None
    if is_open == _asked_to_be_open():
        return ""
    state = "takes any key" if is_open else "takes its own key only"
    return f"; it {state}, as when it was started: `p300 down` first to change that"


def _log(port: int) -> Path:
    return _folder(port) / "localstack.log"


def _clear(folder: Path) -> None:
    """Remove what is of no use once LocalStack has ended: objects and functions' code; what makes the next start faster stays."""
    shutil.rmtree(folder / "tmp", ignore_errors=True)


def _runs(process: psutil.Process) -> bool:
    """Whether a process has not ended. One that has may still wait for its parent to notice, but not for threads: they hold its port."""
    try:
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def _tail(path: Path, lines: int = 20) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
