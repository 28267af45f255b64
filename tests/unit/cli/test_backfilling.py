"""`p300 backfill`: what it starts, and what it says of each end."""

import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from p300_cli.commands.upkeep import show_backfill
from p300_cli.main import app
from p300_client import backfilling
from p300_client.backfilling import Backfill
from typer.testing import CliRunner

FAILED = {"outcome": "failed", "key": "subject_01/a.parquet", "reason": "Sandbox.Timedout"}
UNUSABLE = {"outcome": "unusable", "key": "subject_02/b.csv", "reason": "no_epochs_kept"}

OBJECT = {"ETag": '"0"', "LastModified": datetime(2026, 1, 1, tzinfo=UTC)}


def output(**counts: Any) -> str:
    """Return the output of an execution that made features of one recording and found another up to date."""
    return json.dumps(
        {
            "n_recordings": 2,
            "outcomes": {"features": 1, "unchanged": 1},
            "reports_drawn": 1,
            **counts,
            "failures": "x.json",
        }
    )


class Target:
    """Two recordings, and an execution that has the stated end at the third look."""

    outputs: ClassVar = {
        "RawBucketName": "raw",
        "FeaturesBucketName": "features",
        "BackfillStateMachineArn": "arn:backfill",
    }

    def __init__(
        self,
        status: str = "SUCCEEDED",
        keys: tuple[str, ...] = ("subject_1/a.vhdr", "subject_1/a.eeg", "subject_1/b.csv"),
        failures: tuple[dict[str, str], ...] = (),
        **end: Any,
    ):
        self._failures = failures
        self._end = {"status": status, **end}
        self._keys = keys
        self.started: list[str] = []
        self.looks = 0

    def client(self, service: str) -> Any:
        return self

    def get_paginator(self, name: str) -> Any:
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:
        assert (Bucket, Prefix) == ("raw", "subject_")
        return [{"Contents": [{"Key": key, **OBJECT, "Size": 1} for key in self._keys]}] if self._keys else [{}]

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        metadata = {"header": "subject_1/c.vhdr"} if Key == "subject_1/c.dat" else {}
        return {**OBJECT, "ContentLength": 1, "Metadata": metadata}

    def start_execution(self, stateMachineArn: str) -> dict[str, str]:
        self.started.append(stateMachineArn)
        return {"executionArn": "arn:execution"}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        self.looks += 1
        return self._end if self.looks > 2 else {"status": "RUNNING"}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        assert (Bucket, Key) == ("features", "x.json")
        return {"Body": io.BytesIO(json.dumps(self._failures).encode())}

    class exceptions:  # noqa: N801 - botocore's name
        ClientError = ConnectionError

    def list_map_runs(self, executionArn: str) -> dict[str, Any]:
        if self.looks == 1:
            raise ConnectionError("'NoneType' object has no attribute 'map_run_record_pool_manager'")
        return {"mapRuns": [{"mapRunArn": "arn:run"}] if self.looks > 1 else []}

    def describe_map_run(self, mapRunArn: str) -> dict[str, Any]:
        return {"itemCounts": {"running": 1, "succeeded": self.looks - 1, "failed": 0}}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Target], tuple[int, str, str]]:
    def run(target: Target) -> tuple[int, str, str]:
        monkeypatch.setattr("p300_cli.targets.current", lambda: target)
        monkeypatch.setattr(backfilling, "POLL_S", 0)
        done = CliRunner().invoke(app, ["backfill"])
        return done.exit_code, done.stdout, " ".join(done.stderr.split())

    return run


def test_it_is_started_once_and_followed_to_its_end(command: Callable[[Target], tuple[int, str, str]]) -> None:
    target = Target(output=output())
    code, out, err = command(target)
    assert code == 0
    assert target.started == ["arn:backfill"]
    assert target.looks == 3
    assert re.search(r"2 \W+ 1 \W+ 1 \W+ 0 \W+ 0 \W+ 1", out)
    assert "p300 train" in err


def test_the_signal_file_of_a_brainvision_recording_is_not_counted_as_a_recording() -> None:
    target: Any = Target(keys=("subject_1/bci2000.dat", "subject_1/c.dat", "subject_1/c.vhdr", "subject_1/c.vmrk"))
    assert backfilling.start_backfill(target)[1] == 2


def test_recordings_that_failed_are_named(command: Callable[[Target], tuple[int, str, str]]) -> None:
    code, out, _ = command(
        Target(
            output=output(n_recordings=3, outcomes={"features": 1, "failed": 1, "unusable": 1}),
            failures=(FAILED, UNUSABLE),
        )
    )
    assert code == 1
    assert re.search(r"3 \W+ 1 \W+ 0 \W+ 0 \W+ 2 \W+ 1", out)
    for text in ("subject_01/a.parquet", "Sandbox.Timedout", "subject_02/b.csv", "no_epochs_kept"):
        assert text in out


def test_an_execution_that_fails_is_told(command: Callable[[Target], tuple[int, str, str]]) -> None:
    code, _, err = command(Target("FAILED", error="States.ItemReaderFailed", cause="no such bucket"))
    assert code == 1
    assert "ended as failed: States.ItemReaderFailed no such bucket" in err


def test_without_recordings_nothing_is_started(command: Callable[[Target], tuple[int, str, str]]) -> None:
    target = Target(keys=())
    code, _, err = command(target)
    assert code == 1
    assert "no recordings in s3://raw" in err
    assert target.started == []


def test_recordings_on_another_server_cannot_be_listed(
    command: Callable[[Target], tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://minio:9000")
    target = Target()
    code, _, err = command(target)
    assert code == 1
    assert "another S3 server" in err
    assert target.started == []


def test_nothing_made_anew_asks_for_no_training(capsys: pytest.CaptureFixture[str]) -> None:
    show_backfill(Backfill("SUCCEEDED", {"n_recordings": 1, "outcomes": {"unchanged": 1}, "reports_drawn": 0}))
    assert "p300 train" not in capsys.readouterr().err


def test_wrong_parameters_are_refused_before_anything_is_deployed() -> None:
    done = CliRunner().invoke(app, ["deploy", "--parameter", 'Preprocessing={"h_freq": "fast"}'])
    assert done.exit_code == 2
    assert "h_freq" in done.stderr
