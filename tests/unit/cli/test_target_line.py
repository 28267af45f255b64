"""Where a command is: said on its first line, taken back with `p300 env --unset`."""

import os
import subprocess
from typing import Any

import pytest
from p300_cli import targets
from p300_cli.main import app
from p300_client.target import Target
from typer.testing import CliRunner


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "P300_"))]:
        monkeypatch.delenv(name)


def test_unset_is_for_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(app, ["env", "--unset"]).stdout == ""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("P300_API_URL", "http://api")
    done = CliRunner().invoke(app, ["env", "--unset"])
    assert (done.exit_code, done.stdout) == (0, "unset AWS_ENDPOINT_URL AWS_SECRET_ACCESS_KEY P300_API_URL\n")
    shell = f'eval "{done.stdout}"; echo "[$AWS_ENDPOINT_URL$AWS_SECRET_ACCESS_KEY$P300_API_URL]"'
    assert subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_contradiction_ends_every_command_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "config").write_text("[profile lab]\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    for command in (["env"], ["models"], ["watch"], ["console"], ["up"], ["quarantine", "list"]):
        targets.current.cache_clear()
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1, command
        assert "AWS_PROFILE is 'lab', which points to AWS" in " ".join(done.stderr.split()), command
        assert done.stdout == ""


def test_env_says_where_it_is_and_prints_only_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    target = type("At", (), {"environment": lambda _: {"A": "b"}, "__str__": lambda _: "LocalStack at http://x"})()
    monkeypatch.setattr("p300_cli.targets.choose", lambda: target)
    done = CliRunner().invoke(app, ["env"])
    assert done.stdout == "A=b\n"
    assert done.stderr.splitlines()[0] == "target: LocalStack at http://x"


def test_the_first_line_names_the_profile(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    monkeypatch.setattr("p300_cli.targets.choose", lambda: Target(None))
    targets.announced()
    assert capsys.readouterr().err == "target: AWS, region eu-west-3, profile lab\n"
