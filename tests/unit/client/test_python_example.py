"""The example of the Python client runs, and the code in its page does: on buckets and state machines in memory."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from p300.errors import P300Error
from p300_client import api
from p300_client.api import Answer
from p300_client.watching import Watcher, all_ended

from tests.support.paths import PROJECT
from tests.support.pipelines import Pipeline
from tests.support.readers import write_parquet


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example", PROJECT / "examples" / "pipeline_from_python.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("subject_01/a.parquet", "subject_02/b.parquet"):
        (tmp_path / name).parent.mkdir()
        write_parquet(tmp_path / name)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    paths: list[str] = []

    def ask(_self: api.Api, _method: str, path: str, body: dict[str, Any]) -> Answer:
        paths.append(path)
        predictions = [{"probability_target": float(p)} for p in np.linspace(0, 1, body["n_epochs"])]
        return Answer(200, {"predictions": predictions, "model_version": "v20260102030405"})

    monkeypatch.setattr(api.Api, "ask", ask)
    yield paths


def test_the_example_lands_follows_and_predicts(
    put_features: Callable[..., Any], folder: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    put_features("subject_01/a")
    stack: Any = Pipeline(
        {
            "subject_01/a.parquet": {"outcome": "features"},
            "subject_02/b.parquet": {"outcome": "quarantined", "detail": "no flashes"},
        }
    )
    stack.outputs["FeaturesBucketName"] = "p300-processed-features"
    example().main(stack, folder)
    printed = capsys.readouterr().out
    assert "subject_01/a.parquet: features (features)" in printed
    assert "subject_02/b.parquet: quarantined (quarantined: no flashes)" in printed
    assert re.search(r"^subject_01/a: AUC 0\.\d+ by v20260102030405$", printed, re.M)
    assert asked == ["/predict"]


def test_the_code_in_the_page_runs(
    put_features: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_features("subject_01/a")
    code = re.search(r"```python\n(.*?)```", (PROJECT / "docs" / "python-client.md").read_text(), re.S)
    assert code
    stack = Pipeline({key: {"outcome": "features"} for key in ("subject_01/a.parquet", "subject_02/b.parquet")})
    monkeypatch.setattr("p300_client.target.choose", lambda: stack)
    folder.rename(folder.with_name("my-recordings"))
    monkeypatch.chdir(folder.parent)
    names: dict[str, Any] = {}
    exec(code[1], names)  # noqa: S102
    assert [upload.key for upload in names["landed"].uploads] == ["subject_01/a.parquet", "subject_02/b.parquet"]
    assert len(stack.executions()) == 2


def test_following_gives_up_with_an_error(store: Any) -> None:
    stack: Any = Pipeline({})
    watcher = Watcher(stack, datetime.now(UTC).replace(microsecond=0))
    with pytest.raises(P300Error, match="the executions continue") as refused:
        list(watcher.changes(lambda _: False, timeout_s=-1))
    assert refused.value.code == "timeout"


def test_changes_are_told_once(store: Any) -> None:
    stack: Any = Pipeline({})
    since = datetime.now(UTC).replace(microsecond=0)
    arn = stack.steps.start_execution(stateMachineArn=stack.outputs["StateMachineArn"], input='{"train": {}}')
    watcher = Watcher(stack, since)
    looks = watcher.changes(all_ended(), pause_s=0)
    assert [one.status for one in next(looks)] == ["RUNNING"]
    assert next(looks) == []
    stack.end(arn["executionArn"])
    assert [one.status for one in next(looks)] == ["FAILED"]
    assert list(looks) == []
