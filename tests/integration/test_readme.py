"""Every command of README's "Use it", run in a shell as it stands there."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import ENDPOINT, PROJECT, Stack

pytestmark = pytest.mark.localstack
TOOLS = PROJECT / ".envs" / "localstack" / "bin"  # an AWS command line


def blocks(section: str) -> list[str]:
    """Return the shell blocks of one section of README."""
    text = (PROJECT / "README.md").read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = [part.partition("```")[0] for part in text.split("```sh\n")[1:]]
    assert found, f"README has no commands under {section!r}"
    return found


def test_use_it(stack: Stack, tmp_path: Path) -> None:
    old_aws = b"aws-cli/1" in subprocess.run([TOOLS / "aws", "--version"], capture_output=True, check=True).stdout
    lines = [line for block in blocks("Use it") for line in block.splitlines()]
    # `p300 fetch` needs the internet: tests/unit/test_fetching.py runs it against a server of its own.
    script = [line for line in lines if not (old_aws and "AWS CLI 2" in line) and not line.startswith("p300 fetch")]
    assert sum("p300 " in line for line in script) >= 9
    # The block's own $PWD is the checkout; what it writes goes to a folder of the test's.
    prepared = "\n".join(script).replace("$PWD/.venv", f"{PROJECT}/.venv")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", prepared],
        cwd=tmp_path,
        env={
            **os.environ,
            "AWS_ENDPOINT_URL": ENDPOINT,
            "BROWSER": "true",
            "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert '"status": "ok"' in done.stdout
    assert "executionArn" in done.stdout
