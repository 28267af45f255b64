"""Whose server is on a port: this checkout's own LocalStacks, and a name for anything else.

A LocalStack belongs to the checkout that is its working directory, and to the state folder that was named when it started. The system keeps
track of that: nothing can be stale, however a command ended, and it stays true when the checkout is moved, or copied with its state.
"""

import contextlib
import os
import socket
from pathlib import Path

import psutil
from p300_client.paths import PROJECT

MODULE = "localstack.runtime.main"
PORT_VARIABLE = "P300_LOCALSTACK_PORT"
"""In the environment of each LocalStack that `p300` starts: the port it is for."""


STATE_VARIABLE = "P300_LOCALSTACK_STATE"
"""In the same environment: the folder that P300_STATE_DIR named, empty for the checkout's own."""


def state_named() -> str:
    """Return the folder that P300_STATE_DIR names; nothing where it names none."""
    named = os.environ.get("P300_STATE_DIR")
    return str(Path(named).resolve()) if named else ""


def own_server(port: int) -> psutil.Process | None:
    """Return this checkout's LocalStack for a port, listening already or not yet."""
    return own_servers().get(port)


def own_servers() -> dict[int, psutil.Process]:
    """Return this checkout's LocalStacks by port."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        # Other users' processes cannot be looked into, and others may end at any moment.
        with contextlib.suppress(psutil.Error, OSError, ValueError, KeyError):
            if process.cmdline()[1:] == ["-m", MODULE] and process.cwd() == str(PROJECT):
                environment = process.environ()
                if environment.get(STATE_VARIABLE, "") == state_named():
                    port = int(environment[PORT_VARIABLE])
                    found.setdefault(port, process)  # by increasing number: never what it is just forking
    return found


def listens(process: psutil.Process, port: int) -> bool:
    """Whether a process of this user's has a port open."""
    try:
        return port in _listening(process)
    except psutil.Error:
        return False


def taken(port: int) -> bool:
    """Whether anything answers on a port of this machine, over IPv4 or IPv6."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with contextlib.suppress(OSError), socket.socket(family) as probe:
            probe.settimeout(1)
            if probe.connect_ex((address, port)) == 0:
                return True
    return False


def occupant(port: int) -> str:
    """Return who has a port open, as far as this user may know."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if port in _listening(process):
                is_localstack = MODULE in process.cmdline()
                return (
                    f"{'a LocalStack' if is_localstack else process.name()} (process {process.pid} in {process.cwd()})"
                )
    return "a process of another user, or of Docker"


def free_port(after: int) -> int:
    """Return the next port that nothing listens on."""
    return next(port for port in range(min(after + 1, 65_000), 65_536) if not taken(port))


def _listening(process: psutil.Process) -> set[int]:
    connections = process.net_connections(kind="tcp")
    return {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}
