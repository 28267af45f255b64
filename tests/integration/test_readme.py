"""Every command of README and docs/commands.md, run in a shell as it is written there."""

import subprocess
from pathlib import Path

import pytest

from tests.support.bids import write_bids
from tests.support.labs import lab
from tests.support.localstack import Stack, run_shell, shell_blocks
from tests.support.paths import PROJECT
from tests.support.recordings import NO_RECORDINGS

pytestmark = pytest.mark.localstack
TOOLS = PROJECT / ".envs" / "localstack" / "bin"  # an AWS command line


def commands(page: str, section: str) -> list[str]:
    """Return the shell lines of one section of a page."""
    text = (PROJECT / page).read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = [line for block in shell_blocks(text) for line in block.splitlines()]
    assert found, f"{page} has no commands under {section!r}"
    return found


def command(line: str) -> str:
    """Return a shell line without its comment."""
    return line.partition("  #")[0].rstrip()


def test_readmes_commands_are_those_of_the_page_that_is_run() -> None:
    every = {command(line) for line in commands("docs/commands.md", "Everyday commands")}
    short = {command(line) for line in commands("README.md", "Use it")}
    assert short <= every


@pytest.mark.usefixtures("champion")  # "After `make run`"
def test_everyday_commands(stack: Stack, tmp_path: Path) -> None:
    stack.land(*NO_RECORDINGS)
    old_aws = b"aws-cli/1" in subprocess.run([TOOLS / "aws", "--version"], capture_output=True, check=True).stdout
    lines = commands("docs/commands.md", "Everyday commands")
    # `p300 fetch` needs the internet: tests/unit/cli/test_fetching.py runs it against a server of its own.
    # `p300 console` serves until it is stopped: tests/integration/test_console.py runs it.
    elsewhere = ("p300 fetch", "p300 console")
    script = [line for line in lines if not (old_aws and "AWS CLI 2" in line) and not line.startswith(elsewhere)]
    assert sum("p300 " in line for line in script) >= 9
    # The block's own $PWD is the checkout; what it writes goes to a folder of the test's.
    prepared = "\n".join(script).replace("$PWD/.venv", f"{PROJECT}/.venv")
    (tmp_path / "events.json").write_text(
        '{"event_id": {"1": 1, "2": 2}}'
    )  # as `p300 inspect` proposes, and the user saves it
    write_bids(tmp_path / "my-bids-data-set", lab(3, n_repetitions=10), subject="P07")
    done = run_shell(prepared, tmp_path, BROWSER="true")
    assert '"status":"ok"' in done.stdout
    assert "executionArn" in done.stdout
    assert "looked at" in done.stdout  # p300 decode
    assert "bits / min" in done.stdout  # p300 simulate
