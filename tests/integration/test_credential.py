"""The stack's credential as a shell user meets it."""

import os
import subprocess
from pathlib import Path

import pytest
from p300_client import credential

from tests.support.localstack import ENDPOINT, PORT, Stack, run_p300, run_shell
from tests.support.paths import PROJECT

pytestmark = pytest.mark.localstack
AWS = PROJECT / ".envs" / "localstack" / "bin" / "aws"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def lines(text: str) -> str:
    """Return a message as one line, however the terminal broke it."""
    return " ".join(text.split())


def test_env_gives_other_programs_the_key(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("by aws")
    script = f'export $(p300 env)\naws s3 cp notes.txt "s3://{stack.features}/notes.txt"'
    run_shell(script, tmp_path, **dict.fromkeys(KEYS, "test"))
    where = {"Bucket": stack.features, "Key": "notes.txt"}
    assert stack.s3.get_object(**where)["Body"].read() == b"by aws"
    stack.s3.delete_object(**where)


@pytest.mark.parametrize(
    "command", [("s3", "ls"), ("sts", "get-caller-identity"), ("stepfunctions", "list-state-machines")]
)
def test_other_programs_are_told_what_comes_first(stack: Stack, command: tuple[str, str]) -> None:
    environment = {**os.environ, **dict.fromkeys(KEYS, "test"), "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(
        [str(AWS), *command, "--endpoint-url", ENDPOINT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "does not know the access key test. First run: export $(p300 env)" in lines(done.stderr)


def test_the_command_uses_its_own_key_and_names_an_older_one(stack: Stack) -> None:
    own = credential.read(PORT)
    assert own is not None
    older = run_p300("models", AWS_ACCESS_KEY_ID="P300OLDER", AWS_SECRET_ACCESS_KEY="x")
    assert "(P300OLDER) belongs to another or an earlier stack" in lines(older.stderr)
    assert "earlier stack" not in run_p300("models", AWS_ACCESS_KEY_ID=own.access_key_id).stderr
    exported = run_p300("env", AWS_ACCESS_KEY_ID="P300OLDER", AWS_SECRET_ACCESS_KEY="x").stdout
    assert f"AWS_ACCESS_KEY_ID={own.access_key_id}\nAWS_SECRET_ACCESS_KEY={own.secret_access_key}\n" in exported


def test_another_checkout_needs_the_key(stack: Stack, tmp_path: Path) -> None:
    own = credential.read(PORT)
    assert own is not None
    elsewhere = str(tmp_path)
    refused = run_p300("models", check=False, P300_STATE_DIR=elsewhere)
    assert refused.returncode == 1
    assert "refuses this command's key" in lines(refused.stderr)
    assert "export what `p300 env` prints there" in lines(refused.stderr)
    assert "Traceback" not in refused.stderr
    run_p300(
        "models",
        P300_STATE_DIR=elsewhere,
        AWS_ACCESS_KEY_ID=own.access_key_id,
        AWS_SECRET_ACCESS_KEY=own.secret_access_key,
    )
