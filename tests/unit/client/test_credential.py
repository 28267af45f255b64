"""The local stack's credential: who can read it, and which key a command signs with."""

import os
import stat
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.stub import Stubber
from p300.errors import P300Error
from p300_cli import gateway, localstack
from p300_client import credential
from p300_client.target import NoStackError, Target

PORT = 4599
HERE = f"http://localhost:{PORT}"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(credential, "STATE", tmp_path)
    # Making a client sets both; afterwards they are as before.
    monkeypatch.setenv("AWS_ENDPOINT_URL", HERE)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3", "P300_OPEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_can_read_it(state: Path) -> None:
    (state / "localstack" / str(PORT)).mkdir(parents=True, mode=0o755)
    before = os.umask(0)
    try:
        path = credential.make(PORT)
    finally:
        os.umask(before)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def test_each_stack_has_its_own_and_keeps_it_until_it_ends() -> None:
    credential.make(PORT)
    first = credential.read(PORT)
    assert first is not None
    assert len(first.secret_access_key) == 40
    credential.make(PORT)  # LocalStack did not end by `p300 down`, and shells still hold its key
    assert credential.read(PORT) == first
    credential.make(PORT + 1)
    assert credential.read(PORT + 1) != first
    credential.remove(PORT)
    credential.remove(PORT)
    assert credential.read(PORT) is None
    credential.make(PORT)
    assert credential.read(PORT) not in {None, first}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"access_key_id": "x"}', "null"])
def test_a_file_that_is_no_credential_is_replaced(content: str) -> None:
    path = credential.make(PORT)
    path.write_text(content)
    credential.make(PORT)
    assert credential.read(PORT) is not None


def test_another_users_is_named_and_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", deny)
    with pytest.raises(P300Error, match="belongs to another user"):
        credential.for_endpoint(HERE)


def test_a_command_signs_with_the_stacks_own_key_whatever_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert credential.for_endpoint(HERE) == credential.Credential("test", "test")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "EXPORTED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert credential.for_endpoint(HERE).access_key_id == "EXPORTED"  # another checkout's stack
    credential.make(PORT)
    own = credential.read(PORT)
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert credential.for_endpoint(f"http://{host}:{PORT}") == own
    assert credential.for_endpoint(f"http://localstack:{PORT}").access_key_id == "EXPORTED"
    signed_with = Target(HERE).client("sts")._request_signer._credentials
    assert own is not None
    assert (signed_with.access_key, signed_with.secret_key) == (own.access_key_id, own.secret_access_key)


def test_exported_keys_of_another_stack_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    credential.make(PORT)
    own = credential.read(PORT)
    assert own is not None
    assert credential.mismatch(HERE) is None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", own.access_key_id)
    assert credential.mismatch(HERE) is None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "P300OLDER")
    assert "P300OLDER" in (credential.mismatch(HERE) or "")
    assert "export $(p300 env)" in (credential.mismatch(HERE) or "")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://localhost:9000")  # the exported key is that server's
    assert credential.mismatch(HERE) is None


@pytest.mark.parametrize("code", sorted(credential.REFUSALS))
def test_a_refusal_is_one_message_that_says_what_to_do(code: str) -> None:
    target = Target(HERE)
    with Stubber(target.client("cloudformation")) as stub:
        stub.add_client_error("describe_stacks", code, "Not this key.")
        with pytest.raises(NoStackError, match=r"refuses this command's key. If another checkout started it, export"):
            _ = target.outputs


def test_open_is_asked_for_and_leaves_no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = localstack._guard(Target(HERE))
    assert guarded["GATEWAY_GUARD_CREDENTIAL"] == str(credential.file_of(PORT))
    assert "GATEWAY_GUARD_OPEN" not in guarded
    monkeypatch.setenv("P300_OPEN", "1")
    assert localstack._guard(Target(HERE)) == {"GATEWAY_GUARD_OPEN": "1"}
    assert credential.read(PORT) is None


def test_what_a_shell_happens_to_export_does_not_open_the_gateway(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setenv("GATEWAY_GUARD_OPEN", "1")
    monkeypatch.setenv("GATEWAY_LISTEN", "0.0.0.0:4566")
    environment = localstack._environment(Target(HERE), state)
    assert "GATEWAY_GUARD_OPEN" not in environment
    assert environment["GATEWAY_LISTEN"].startswith(f"127.0.0.1:{PORT}")


class Socket:
    def __init__(self, ip: str, port: int = PORT, status: str = "LISTEN") -> None:
        self.laddr = type("Address", (), {"ip": ip, "port": port})
        self.status = status


@pytest.mark.parametrize(
    ("sockets", "message"),
    [
        ([Socket("0.0.0.0")], "0.0.0.0:4599, which other machines can reach"),  # noqa: S104
        ([Socket("127.0.0.1"), Socket("::")], ":::4599"),
        ([Socket("127.0.0.1"), Socket("192.168.1.2", 5000)], "192.168.1.2:5000"),
        ([Socket("127.0.0.1"), Socket("10.0.0.1", 5000, "ESTABLISHED")], "does not answer a request"),
    ],
)
def test_a_localstack_that_others_can_reach_is_refused(
    monkeypatch: pytest.MonkeyPatch, sockets: list[Socket], message: str
) -> None:
    monkeypatch.setattr(psutil.Process, "net_connections", lambda *_: sockets)
    with pytest.raises(P300Error, match=message):
        gateway.verify(Target(HERE), psutil.Process())


@pytest.mark.parametrize(("status", "is_guarded"), [(403, True), (200, False), (404, False), (500, False)])
def test_a_localstack_without_its_guard_is_refused(
    monkeypatch: pytest.MonkeyPatch, status: int, is_guarded: bool
) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # it is asked directly
        target = Target(f"http://127.0.0.1:{server.server_port}")
        if is_guarded:
            gateway.verify(target, psutil.Process())
        else:
            with pytest.raises(P300Error, match="its guard is not installed"):
                gateway.verify(target, psutil.Process())
        server.shutdown()
