"""Starting and stopping LocalStack: this checkout's own, and nobody else's. A small server plays LocalStack."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from p300.errors import P300Error
from p300_cli import localstack, servers
from p300_client import credential
from p300_client.target import Target

STAND_IN = """
import json, os, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
json.dump(dict(os.environ), open(os.environ["TMPDIR"] + "/environment", "w"))
print("starting", flush=True)
open(os.environ["TMPDIR"] + "/function", "w").write(str(subprocess.Popen(["sleep", "600"], start_new_session=True).pid))
what = open("behaviour").read()
if what == "ends":
    sys.exit("no such thing")
if what == "waits":
    threading.Event().wait()
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        is_refused = self.path != "/_localstack/health" and what != "serves all"
        self.send_response(403 if is_refused else 200)
        self.end_headers()
        self.wfile.write(b"{}")
HTTPServer(("127.0.0.1", int(os.environ["P300_LOCALSTACK_PORT"])), Handler).serve_forever()
"""


class Checkout:
    """A folder that has what starting LocalStack takes."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, patch
        module = folder / "localstack" / "runtime"
        module.mkdir(parents=True)
        (module / "main.py").write_text(STAND_IN)
        python = folder / ".envs" / "localstack" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        self.behaves("serves")
        self.enter()

    def behaves(self, how: str) -> None:
        (self.folder / "behaviour").write_text(how)

    def enter(self) -> None:
        """Make this the checkout that the command is run from."""
        self._patch.setattr(servers, "PROJECT", self.folder)
        self._patch.setattr(localstack, "PROJECT", self.folder)
        for module in (credential, localstack):
            self._patch.setattr(module, "STATE", self.folder / ".local")
        self._patch.setattr(localstack, "ENVIRONMENTS", self.folder / ".envs")

    def scratch(self, port: int) -> Path:
        return self.folder / ".local" / "localstack" / str(port) / "tmp"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    made = Checkout(tmp_path / "a checkout", monkeypatch)
    yield made
    made.enter()
    localstack.down_all()


@pytest.fixture
def target() -> Target:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Target(f"http://127.0.0.1:{probe.getsockname()[1]}")


@pytest.fixture
def stranger(target: Target) -> Iterator[ThreadingHTTPServer]:
    """Another program's server on the port, which answers as LocalStack does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    with ThreadingHTTPServer(("127.0.0.1", target.port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_it_is_started_once_and_stopped_with_its_functions_and_files(checkout: Checkout, target: Target) -> None:
    assert localstack.up(target)
    process = servers.own_server(target.port)
    assert process
    function = int((checkout.scratch(target.port) / "function").read_text())
    assert not localstack.up(target)
    assert servers.own_server(target.port) == process
    assert localstack.down(target)
    assert ended(process.pid)
    assert ended(function)
    assert not checkout.scratch(target.port).exists()
    assert not servers.taken(target.port)
    assert not localstack.down(target)


def test_one_that_is_not_guarded_is_refused_and_ended(checkout: Checkout, target: Target) -> None:
    checkout.behaves("serves all")
    with pytest.raises(P300Error, match="its guard is not installed"):
        localstack.up(target)
    assert not servers.taken(target.port)
    assert not servers.own_servers()


def test_its_credential_is_gone_with_it(checkout: Checkout, target: Target) -> None:
    localstack.up(target)
    first = credential.read(target.port)
    localstack.up(target)
    assert first
    assert credential.read(target.port) == first
    localstack.down(target)
    assert credential.read(target.port) is None
    localstack.up(target)
    assert credential.read(target.port) not in {None, first}


def test_one_that_was_started_with_another_door_says_so(
    checkout: Checkout, target: Target, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    localstack.up(target)
    monkeypatch.setenv("P300_OPEN", "1")
    localstack.up(target)
    assert "it takes its own key only, as when it was started: `p300 down` first" in said(capsys)
    localstack.down(target)
    localstack.up(target)
    monkeypatch.delenv("P300_OPEN")
    localstack.up(target)
    assert "it takes any key, as when it was started: `p300 down` first" in said(capsys)


def test_all_of_them_are_stopped(checkout: Checkout, target: Target) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        other = Target(f"http://127.0.0.1:{probe.getsockname()[1]}")
    localstack.up(target)
    localstack.up(other)
    assert localstack.down_all() == 2
    assert not servers.own_servers()


def test_it_keeps_everything_below_the_state_folder(
    checkout: Checkout, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    monkeypatch.setenv("SERVICES", "s3")  # LocalStack's own settings, as another project's shell may hold them
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("LC_ALL", "C")
    localstack.up(target)
    given = json.loads((checkout.scratch(target.port) / "environment").read_text())
    state = str(checkout.folder / ".local")
    assert all(given[name].startswith(state) for name in ("FILESYSTEM_ROOT", "TMPDIR", "XDG_CACHE_HOME"))
    assert given["LC_ALL"] == "C"
    assert not {"SERVICES", "HTTP_PROXY"} & given.keys()


@pytest.mark.usefixtures("stranger")
def test_another_server_on_the_port_is_named_and_left_alone(
    checkout: Checkout, target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        localstack.up(target)
    message = said(capsys)
    assert f"process {os.getpid()}" in message
    assert f"AWS_ENDPOINT_URL=http://localhost:{servers.free_port(target.port)}" in message
    assert not localstack.down(target)
    assert localstack.health(target) is not None


def test_another_checkout_is_named_and_left_alone(
    checkout: Checkout,
    target: Target,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    localstack.up(target)
    process = servers.own_server(target.port)
    assert process
    Checkout(tmp_path / "another", monkeypatch)
    with pytest.raises(SystemExit):
        localstack.up(target)
    assert f"a LocalStack (process {process.pid} in {checkout.folder})" in said(capsys)
    assert not localstack.down(target)
    assert localstack.down_all() == 0
    assert process.is_running()


def test_a_server_started_with_another_state_folder_is_left_alone(
    checkout: Checkout,
    target: Target,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    localstack.up(target)
    process = servers.own_server(target.port)
    assert process
    monkeypatch.setenv("P300_STATE_DIR", str(tmp_path / "other state"))
    with pytest.raises(SystemExit):
        localstack.up(target)
    assert f"a LocalStack (process {process.pid} in {checkout.folder})" in said(capsys)
    assert not localstack.down(target)
    assert process.is_running()
    monkeypatch.delenv("P300_STATE_DIR")
    assert localstack.down(target)


def test_a_moved_checkout_still_has_its_server(checkout: Checkout, target: Target, tmp_path: Path) -> None:
    localstack.up(target)
    checkout.folder = checkout.folder.rename(tmp_path / "moved")
    checkout.enter()
    assert localstack.down(target)


def test_a_server_that_lost_its_port_to_another_is_not_taken_for_ready(
    checkout: Checkout, target: Target, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.behaves("waits")
    taken = servers.taken

    def taken_meanwhile(port: int) -> bool:
        if servers.own_server(port):
            request.getfixturevalue("stranger")
        return taken(port)

    monkeypatch.setattr(servers, "taken", taken_meanwhile)
    with pytest.raises(SystemExit):
        localstack.up(target)
    assert not servers.own_server(target.port)


def test_the_end_of_the_log_says_why_it_did_not_start(
    checkout: Checkout, target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.behaves("ends")
    with pytest.raises(SystemExit):
        localstack.up(target)
    assert "no such thing" in said(capsys)


def test_an_interrupted_start_leaves_nothing(
    checkout: Checkout, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_port: int) -> bool:
        if servers.own_server(target.port):
            raise KeyboardInterrupt
        return False

    with monkeypatch.context() as patch:
        patch.setattr(servers, "taken", interrupt)
        with pytest.raises(KeyboardInterrupt):
            localstack.up(target)
    assert not servers.own_servers()
    assert localstack.up(target)


def test_a_start_whose_command_was_killed_is_waited_for(checkout: Checkout, target: Target) -> None:
    folder = checkout.scratch(target.port)
    folder.mkdir(parents=True)
    started = subprocess.Popen(
        [str(checkout.folder / ".envs/localstack/bin/python"), "-m", servers.MODULE],
        cwd=checkout.folder,
        env={**os.environ, **localstack._environment(target, folder.parent)},
    )
    while not servers.own_server(target.port):
        assert started.poll() is None
    assert not localstack.up(target)
    assert localstack.health(target) is not None
    localstack.down(target)
    started.wait()


@pytest.mark.parametrize("behaviour", ["ends", "serves all"])
def test_a_start_that_is_refused_leaves_no_key_behind(checkout: Checkout, target: Target, behaviour: str) -> None:
    checkout.behaves(behaviour)
    with pytest.raises((P300Error, SystemExit)):
        localstack.up(target)
    assert not credential.file_of(target.port).exists()
