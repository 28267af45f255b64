"""Every command of README's "Use it", run in a shell as it stands there."""

import subprocess
from pathlib import Path

import pytest

from tests.support.localstack import Stack, run_shell, shell_blocks
from tests.support.paths import PROJECT
from tests.support.recordings import NO_RECORDINGS

pytestmark = pytest.mark.localstack
TOOLS = PROJECT / ".envs" / "localstack" / "bin"  # an AWS command line


def blocks(section: str) -> list[str]:
    """Return the shell blocks of one section of README."""
    text = (PROJECT / "README.md").read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = shell_blocks(text)
    assert found, f"README has no commands under {section!r}"
    return found


@pytest.mark.usefixtures("champion")  # "After `make run`"
def test_use_it(stack: Stack, tmp_path: Path) -> None:
    stack.land(*NO_RECORDINGS)
    old_aws = b"aws-cli/1" in subprocess.run([TOOLS / "aws", "--version"], capture_output=True, check=True).stdout
    lines = [line for block in blocks("Use it") for line in block.splitlines()]
    # `p300 fetch` needs the internet: tests/unit/cli/test_fetching.py runs it against a server of its own.
    # `p300 console` serves until it is stopped: tests/integration/test_console.py runs it.
    elsewhere = ("p300 fetch", "p300 console")
    script = [line for line in lines if not (old_aws and "AWS CLI 2" in line) and not line.startswith(elsewhere)]
    assert sum("p300 " in line for line in script) >= 9
    # The block's own $PWD is the checkout; what it writes goes to a folder of the test's.
    prepared = "\n".join(script).replace("$PWD/.venv", f"{PROJECT}/.venv")
    done = run_shell(prepared, tmp_path, BROWSER="true")
    assert '"status":"ok"' in done.stdout
    assert "executionArn" in done.stdout
    assert "looked at" in done.stdout  # p300 decode
    assert "bits / min" in done.stdout  # p300 simulate
