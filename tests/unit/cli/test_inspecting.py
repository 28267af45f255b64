"""`p300 inspect`, as it is printed: in 80 columns, as JSON, with an exit code that a script can trust."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p300_cli.main import app
from typer.testing import CliRunner, Result

from tests.support.pipelines import Pipeline
from tests.support.readers import stim, write_parquet


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "run.parquet", stim=stim(33, 44).astype(np.int32))
    return tmp_path


def inspect(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)])


def test_a_usable_recording_ends_with_0(tmp_path: Path) -> None:
    shown = inspect(write_parquet(tmp_path / "run.parquet"))
    assert shown.exit_code == 0
    assert "7 Target and 33 NonTarget flashes, 0.234 s apart, 3 EEG channels" in shown.stdout


def test_a_refused_recording_ends_with_1_and_shows_the_mapping(foreign: Path) -> None:
    long = "x" * 60 + " \x1b[31mred"
    columns: dict[str, Any] = {f"eeg_{long}{n}": stim() for n in range(12)}
    write_parquet(foreign / "wide.parquet", **columns)
    shown = inspect(foreign)
    assert shown.exit_code == 1
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "\x1b[31mred" not in shown.stdout
    assert json.dumps({"event_id": {"33": 1, "44": 2}})[1:-1] in shown.stdout
    assert "2 recordings: 0 can land, 2 would be refused" in shown.stdout


def test_json_has_everything(foreign: Path) -> None:
    shown = inspect(foreign, "--json")
    assert shown.exit_code == 1
    (one,) = json.loads(shown.stdout)
    assert (one["refusal"]["code"], one["mapping"]) == ("unknown_codes", {"event_id": {"33": 1, "44": 2}})
    assert [event["n"] for event in one["events"]] == [33, 7]


def test_a_mapping_and_the_stacks_preprocessing_can_be_tried(foreign: Path) -> None:
    answer = foreign / "events.json"
    answer.write_text('{"event_id": {"33": 1, "44": 2}}')
    assert inspect(foreign, "--map", answer).exit_code == 0
    assert inspect(foreign, "--preprocessing", answer.read_text()).exit_code == 0
    answer.write_text('{"event": 3}')
    assert inspect(foreign, "--map", answer).exit_code == 1


def test_land_refuses_what_inspect_refuses_and_takes_its_mapping(
    store: Any, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = foreign / "subject_01"
    folder.mkdir()
    (foreign / "run.parquet").rename(folder / "run.parquet")
    key, sidecar = "subject_01/run.parquet", "subject_01/run.p300.json"
    stack = Pipeline({name: {"outcome": "features"} for name in (key, sidecar)})
    monkeypatch.setattr("p300_cli.targets.current", lambda: stack)

    def land(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["land", str(folder), *map(str, arguments)])

    refused = land("--wait", "--json")
    assert refused.exit_code == 1
    assert [(row["recording"], row["status"]) for row in json.loads(refused.stdout)] == [(key, "refused")]
    assert "refused: unknown_codes" in " ".join(refused.stderr.split())
    answer = foreign / "events.json"
    answer.write_text(json.dumps(json.loads(inspect(folder, "--json").stdout)[0]["mapping"]))
    landed = land("--map", answer, "--json")
    assert landed.exit_code == 0, landed.stderr
    said = ["run.p300.json: events 33 is NonTarget, 44 is Target"]
    assert json.loads(landed.stdout) == [{"recording": key, "status": "landed", "notes": said}]
    assert f"{key}: {said[0]}" in " ".join(landed.stderr.split())
    assert "landed 1 recordings and 1 sidecars" in landed.stderr
    assert json.loads((folder / "run.p300.json").read_text()) == json.loads(answer.read_text())


def test_the_hint_replaces_a_sidecar_that_says_something_else(foreign: Path) -> None:
    assert "--replace" not in inspect(foreign).stdout
    (foreign / "run.p300.json").write_text('{"reference": "average"}')
    assert "p300 land FILE --map events.json --replace" in " ".join(inspect(foreign).stdout.split())


def test_the_unit_of_a_refused_recording_is_said_once(tmp_path: Path) -> None:
    shown = inspect(write_parquet(tmp_path / "run.parquet", {"sfreq": "256", "unit": "mV"})).stdout
    assert "read as mV, the median EEG channel" in " ".join(shown.split())
    assert shown.count("read as") == 1
