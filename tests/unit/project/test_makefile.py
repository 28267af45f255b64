"""Setting up and running by `make`, in a checkout of stand-ins: what is started, with which arguments, and what never at the same time."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
UV = """#!/bin/sh
# Notes its command; makes what an environment needs to look like one.
echo "begin $*" >> uv.log
if [ "$1" = venv ]; then
  for folder; do :; done
  mkdir -p "$folder/bin"
  printf '#!/bin/sh\\n' > "$folder/bin/python"
  printf '#!/bin/sh\\nfor one; do echo "<$one>"; done\\n' > "$folder/bin/p300"
  chmod +x "$folder/bin/python" "$folder/bin/p300"
fi
[ ! -e slow ] || while [ -e slow ]; do :; done
echo end >> uv.log
"""


class Checkout:
    """The real Makefile and installer with a stand-in for uv."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "requirements").mkdir(parents=True)
        (folder / "emulator" / "process_executor").mkdir(parents=True)
        for name in ("Makefile", ".python-version", "pyproject.toml", "requirements/install.py"):
            shutil.copy(PROJECT / name, folder / name)
        for name in ("dev", "localstack", "runtime", "build", "uv"):
            (folder / "requirements" / f"{name}.txt").touch()
        (folder / "emulator" / "process_executor" / "pyproject.toml").touch()
        tools = folder / "tools"
        tools.mkdir()
        (tools / "uv").write_text(UV)
        (tools / "uv").chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "RECORDINGS"}
        }
        return {**kept, "PATH": f"{self.folder / 'tools'}{os.pathsep}{kept['PATH']}", "HOME": str(self.folder / "home")}

    def make(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *arguments],
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def commands(self) -> list[str]:
        """What uv was asked for since the last look."""
        log = self.folder / "uv.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line.removeprefix("begin ") for line in lines if line != "end"]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a chéckout (1)")


def test_environments_are_made_once_from_hashed_locks(checkout: Checkout) -> None:
    assert checkout.make("setup").returncode == 0
    commands = checkout.commands()
    assert len([command for command in commands if command.startswith("venv")]) == 3
    installs = [command for command in commands if command.startswith("pip")]
    assert len(installs) == 5
    assert all("--build-constraints requirements/build.txt" in command for command in installs)
    assert all("--require-hashes" in command or "--no-deps --editable" in command for command in installs)
    assert checkout.make("setup").returncode == 0
    assert checkout.commands() == []


def test_a_changed_lock_changes_its_environment_only(checkout: Checkout) -> None:
    checkout.make("setup")
    checkout.commands()
    later = (checkout.folder / ".envs" / "runtime.stamp").stat().st_mtime + 60
    os.utime(checkout.folder / "requirements" / "runtime.txt", (later, later))
    checkout.make("setup")
    (sync,) = checkout.commands()
    assert sync.endswith("requirements/runtime.txt")


def test_a_moved_checkout_is_set_up_again(checkout: Checkout, tmp_path: Path) -> None:
    checkout.make("setup")
    checkout.commands()
    checkout.folder = checkout.folder.rename(tmp_path / "moved")
    assert checkout.make("setup").returncode == 0
    assert len([command for command in checkout.commands() if command.startswith("venv --quiet --clear")]) == 3


def test_a_checkout_reached_by_a_link_is_the_same(checkout: Checkout, tmp_path: Path) -> None:
    checkout.make("setup")
    checkout.commands()
    link = tmp_path / "link"
    link.symlink_to(checkout.folder)
    checkout.folder = link
    checkout.make("setup", PWD=str(link))
    assert checkout.commands() == []


def test_an_environment_whose_python_is_gone_is_made_again(checkout: Checkout) -> None:
    checkout.make("setup")
    checkout.commands()
    python = checkout.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/such/python")
    checkout.make("setup")
    assert next(command for command in checkout.commands() if command.startswith("venv")).endswith(".venv")


def test_an_interrupted_set_up_is_taken_up_again(checkout: Checkout) -> None:
    (checkout.folder / "tools" / "uv").write_text("#!/bin/sh\nkill -INT $PPID\n")
    assert checkout.make("setup").returncode != 0
    (checkout.folder / "tools" / "uv").write_text(UV)
    done = checkout.make("setup")
    assert done.returncode == 0, done.stderr
    assert (checkout.folder / ".venv" / "bin" / "p300").exists()


def test_a_failed_installation_is_named_and_leaves_no_stamp(checkout: Checkout) -> None:
    (checkout.folder / "tools" / "uv").write_text("#!/bin/sh\nexit 3\n")
    done = checkout.make("setup")
    assert done.returncode == 2
    assert "exit code 3" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((checkout.folder / ".envs").glob("*.stamp"))


def test_a_folder_that_cannot_be_written_is_named(checkout: Checkout) -> None:
    (checkout.folder / ".envs").touch()  # mode bits would not hold up root
    done = checkout.make("setup")
    assert done.returncode == 2
    assert f"{checkout.folder}/.envs" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_at_once_take_turns(checkout: Checkout) -> None:
    (checkout.folder / "slow").touch()
    first = subprocess.Popen(["make", "setup"], cwd=checkout.folder, env=checkout.environment, stdout=subprocess.PIPE)
    assert first.stdout
    assert first.stdout.readline() == b"setting up .venv\n"
    second = subprocess.Popen(["make", "setup"], cwd=checkout.folder, env=checkout.environment, stdout=subprocess.PIPE)
    assert second.stdout
    assert b"another `make` is setting up" in second.stdout.readline()
    (checkout.folder / "slow").unlink()
    for process in (first, second):
        process.communicate()
        assert process.returncode == 0
    lines = (checkout.folder / "uv.log").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["begin", "end"] * (len(lines) // 2)


def test_uv_keeps_its_cache_here_where_home_cannot_be_written(checkout: Checkout) -> None:
    (checkout.folder / "tools" / "uv").write_text('#!/bin/sh\necho "cache: $UV_CACHE_DIR"; exit 1\n')
    (checkout.folder / "home").touch()
    assert f"cache: {checkout.folder}/.envs/cache" in checkout.make("setup").stdout
    (checkout.folder / "home").unlink()
    assert "cache: \n" in checkout.make("setup").stdout


@pytest.mark.parametrize(
    "recordings",
    ["my recordings", "$HOME", "a'b\"c", "a;b", "--help", "päth", "$(shell touch made)", "`touch made`", "*"],
)
@pytest.mark.parametrize("how", ["argument", "environment"])
def test_recordings_are_one_argument_whatever_is_in_the_name(checkout: Checkout, recordings: str, how: str) -> None:
    named = {"RECORDINGS": recordings} if how == "environment" else {}
    done = checkout.make("run", *([] if named else [f"RECORDINGS={recordings}"]), **named)
    assert done.stdout.splitlines()[-3:] == ["<run>", "<-->", f"<{recordings}>"], done.stderr
    assert not (checkout.folder / "made").exists()


def test_no_recordings_are_no_argument(checkout: Checkout) -> None:
    assert checkout.make("run").stdout.splitlines()[-1] == "<run>"
    assert checkout.make("run", "RECORDINGS=").stdout.splitlines()[-1] == "<run>"


def test_another_pythons_variables_do_not_reach_the_command(checkout: Checkout) -> None:
    checkout.make("setup")
    (checkout.folder / ".venv" / "bin" / "p300").write_text('#!/bin/sh\necho "[$PYTHONPATH$PYTHONHOME]"\n')
    done = checkout.make("run", PYTHONPATH="/other/packages")
    assert done.stdout == "[]\n"


def test_stopping_what_was_never_started_sets_nothing_up(checkout: Checkout) -> None:
    done = checkout.make("stop")
    assert (done.returncode, done.stdout) == (0, "")
    assert checkout.commands() == []


def test_stopping_works_after_the_checkout_was_moved(checkout: Checkout, tmp_path: Path) -> None:
    checkout.make("setup")
    (checkout.folder / ".local" / "localstack").mkdir(parents=True)
    checkout.folder = checkout.folder.rename(tmp_path / "moved")
    done = checkout.make("stop")
    assert done.stdout.splitlines()[-2:] == ["<down>", "<--all>"], done.stderr
