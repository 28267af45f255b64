"""`p300 land` and `p300 watch`: a status for each outcome, in tables, in JSON and as the exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from p300.errors import P300Error
from p300_cli import targets
from p300_cli.main import app
from typer.testing import CliRunner, Result

from tests.support.pipelines import Pipeline
from tests.support.readers import write_parquet

FEATURES = {"outcome": "features", "recording": {"outcome": "features", "recording": "subject_01/a", "n_flashes": 3}}
A, B = "subject_01/a.parquet", "subject_02/b.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (A, B):
        (tmp_path / name).parent.mkdir()
        write_parquet(tmp_path / name)
    return tmp_path


@pytest.fixture
def command(
    store: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, dict[str, Any]], list[str]], Result]:
    for name in ("out", "err"):
        monkeypatch.setattr(f"p300_cli.terminal.{name}.width", 300)

    def run(outcomes: dict[str, dict[str, Any]], arguments: list[str]) -> Result:
        stack = Pipeline(outcomes)
        monkeypatch.setattr("p300_cli.targets.current", lambda: stack)
        return CliRunner().invoke(app, ["land", str(folder), *arguments])

    return run


@pytest.mark.parametrize(
    ("output", "status", "code"),
    [
        (FEATURES, "features", 0),
        ({"outcome": "quarantined", "reason": {"message": "no flashes"}}, "quarantined", 1),
        ({"outcome": "incomplete", "detail": "x.eeg is missing"}, "incomplete", 1),
        ({"outcome": "unreadable", "detail": "a key of its own"}, "unreadable", 1),
        ({"outcome": "superseded"}, "superseded", 0),
        ({"outcome": "ignored", "detail": "litter"}, "ignored", 0),
        ({"outcome": "features", "recording": {"outcome": "unchanged"}}, "unchanged", 0),
    ],
)
def test_each_outcome_is_a_status_and_an_exit_code(
    command: Any, output: dict[str, Any], status: str, code: int
) -> None:
    done = command({A: FEATURES, B: output}, ["--wait", "--json"])
    assert {row["recording"]: row["status"] for row in json.loads(done.stdout)} == {A: "features", B: status}
    assert done.exit_code == code
    assert f"{status} {B}" in done.stderr


@pytest.mark.parametrize(("outcome", "code"), [("features", 0), ("quarantined", 1)])
def test_watch_ends_with_the_outcome_of_what_it_lists(command: Any, outcome: str, code: int) -> None:
    outputs = {A: FEATURES, B: {**FEATURES, "outcome": outcome, "reason": {"message": "no flashes"}}}
    command(outputs, [])
    done = CliRunner().invoke(app, ["watch", "--all", "--json"])
    assert [row["status"] for row in json.loads(done.stdout)] == ["features", outcome]
    assert done.exit_code == code
    assert CliRunner().invoke(app, ["watch"]).exit_code == 0, "those had ended before"


def test_watch_ends_with_1_where_an_execution_still_runs(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    command({A: FEATURES, B: FEATURES}, [])
    stack: Any = targets.current()
    stack.steps.start_execution(stateMachineArn=stack.outputs["StateMachineArn"], input="{}")
    monkeypatch.setattr("p300_client.watching.Watcher.changes", stopped_following)
    done = CliRunner().invoke(app, ["watch"])
    assert done.exit_code == 1
    assert "the executions continue" in done.stderr


def stopped_following(watcher: Any, *_: Any) -> Any:
    watcher.refresh()
    yield []
    raise P300Error("timeout", "stopped following after 900 s; the executions continue")


def test_a_recording_that_another_one_s_training_left_out_says_so(command: Any) -> None:
    trained = {
        "outcome": "model",
        "recording": {"recording": "subject_02/b"},
        "training": {"version": "v1", "left_out": [{"recording": "subject_01/a", "reason": "other channels"}]},
    }
    done = command({A: FEATURES, B: trained}, ["--wait", "--json"])
    rows = {row["recording"]: row for row in json.loads(done.stdout)}
    assert (rows[A]["status"], rows[A]["detail"]) == ("left out", "other channels")
    assert rows[B]["status"] == "model"
    assert done.exit_code == 0


def test_the_table_names_the_status_and_not_that_of_the_execution(command: Any) -> None:
    done = command({A: FEATURES, B: {"outcome": "quarantined", "reason": {"message": "no flashes"}}}, ["--wait"])
    assert "quarantined: no flashes" in done.stdout
    assert "SUCCEEDED" not in done.stdout
    assert done.exit_code == 1


def test_without_waiting_json_says_what_landed(command: Any) -> None:
    done = command({A: FEATURES, B: FEATURES}, ["--json"])
    assert json.loads(done.stdout) == [{"recording": key, "status": "landed", "notes": []} for key in (A, B)]


def test_what_is_there_already_is_unchanged_and_starts_nothing(command: Any, folder: Path, store: Any) -> None:
    store.client.create_bucket(Bucket="raw")
    store.put("raw", A, (folder / A).read_bytes())
    done = command({B: FEATURES}, ["--wait", "--json"])
    assert [(row["recording"], row["status"]) for row in json.loads(done.stdout)] == [(A, "unchanged"), (B, "features")]
    assert done.exit_code == 0
    assert f"unchanged: {A}" in done.stderr
