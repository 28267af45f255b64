"""How a command ends: one message for a person, an exit code for a script, no traceback for either."""

import errno
import os
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError
from p300.errors import P300Error
from p300_cli import errors
from p300_client.paths import STATE

P300 = Path(sys.executable).with_name("p300")
KNOWN: list[tuple[Exception, str]] = [
    (P300Error("code", "What was found."), "What was found."),
    (aws.ProfileNotFound(profile="nope"), "(nope) could not be found. Unset AWS_PROFILE"),
    (aws.ConfigParseError(path="/home/me/.aws/config", error="x"), "/home/me/.aws/config. Correct that file"),
    (aws.NoCredentialsError(), "Set AWS_PROFILE"),
    (aws.EndpointConnectionError(endpoint_url="http://localhost:1"), "http://localhost:1"),
    (aws.ConnectTimeoutError(endpoint_url="http://localhost:1"), "http://localhost:1"),  # an OSError as well
    (aws.InvalidRegionError(region_name="a b"), "a b"),
    (ResponseParserError("b'<html>...'"), "Check AWS_ENDPOINT_URL"),
    (
        aws.ClientError({"Error": {"Code": "AccessDenied", "Message": "Not\nyou. " + 9999 * "x"}}, "GetObject"),
        "GetObject was refused with AccessDenied: Not you.",
    ),
    (urllib.error.URLError("refused"), "refused"),
    (ModuleNotFoundError("No module named 'boto3'", name="boto3"), "boto3 is missing: run `make setup`"),
    (OSError(errno.ENOSPC, "No space left on device"), "P300_STATE_DIR"),
    (PermissionError(errno.EACCES, "Permission denied", str(STATE / "models")), "P300_STATE_DIR"),
    (PermissionError(errno.EACCES, "Permission denied", "/elsewhere/a.csv"), "/elsewhere/a.csv: Permission denied"),
    (MemoryError(), "memory"),
]


def ending(error: BaseException | type[BaseException], capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """Return the exit code of a command that ends with this, and what it says."""

    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        errors.run_command(command)
    return ended.value.code, capsys.readouterr().err


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Running a command in this process changes what signals do."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("error", "expected"), KNOWN, ids=lambda value: type(value).__name__)
def test_a_known_error_is_one_line(error: Exception, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = ending(error, capsys)
    assert code == 1
    assert expected in printed
    assert len(printed.splitlines()) == 1
    assert len(printed) < 1000


def test_an_unknown_error_leaves_its_traceback_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(errors, "STATE", tmp_path)
    code, printed = ending(KeyError("StackStatus"), capsys)
    assert code == 1
    assert len(printed.splitlines()) == 1
    (kept,) = (tmp_path / "errors").iterdir()
    assert str(kept) in printed
    assert "raise error" in kept.read_text()


def test_an_unknown_error_is_shown_where_no_file_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(errors, "STATE", tmp_path / "file")
    assert "raise error" in ending(KeyError("StackStatus"), capsys)[1]


def test_an_interrupt_has_its_own_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(KeyboardInterrupt, capsys) == (130, "")


def test_termination_runs_what_cleans_up_and_has_its_own_code() -> None:
    program = """
import os, signal
from p300_cli.errors import run_command
def command():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    finally:
        print("cleaned up")
run_command(command)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, "cleaned up\n", "")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AWS_PROFILE": "nope"}, "(nope) could not be found"),
        ({"AWS_ENDPOINT_URL": "localhost:4566"}, "expected http://<host>:<port>"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "does not answer"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "Frankfurt"}, "is not a region"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_CONFIG_FILE": "{broken}"}, "Correct that file"),
    ],
    ids=["profile", "scheme", "port", "region", "configuration"],
)
def test_a_wrong_environment_is_one_line(variables: dict[str, str], expected: str, tmp_path: Path) -> None:
    broken = tmp_path / "config"
    broken.write_text("[profile x")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [P300, "models"],
        env={**kept, **{name: value.format(broken=broken) for name, value in variables.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("target: ")]
    assert expected in line


def test_what_a_terminal_cannot_show_ends_nothing() -> None:
    program = "from p300_cli.errors import run_command; run_command(lambda: print('\\u2714'))"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "?\n"
