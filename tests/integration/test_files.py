"""Recordings of several files on the real services: in any order, told of when they stay incomplete, and by `p300 land`."""

import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from p300.features import read_features

from tests.support.localstack import ENDPOINT, Stack, failures, run_p300, wait_for
from tests.support.paths import PROJECT
from tests.support.readers import LABELS, ONSETS, write_brainvision

pytestmark = pytest.mark.localstack
SUBJECT = "subject_85"
AWS = PROJECT / ".envs" / "localstack" / "bin" / "aws"


@pytest.fixture(scope="module")
def impatient(stack: Stack) -> Iterator[Stack]:
    """The stack, which waits a few seconds for files; what landed here and the parameter are gone afterwards."""
    run_p300("deploy", "--parameter", "WaitForFiles=5")
    yield stack
    stack.forget(f"{SUBJECT}/")
    run_p300("deploy")


def files(folder: Path, name: str) -> dict[str, bytes]:
    """Return a BrainVision recording with numbered markers by landing key."""
    markers = [(f"S  {label}", int(onset)) for label, onset in zip(LABELS, ONSETS, strict=True)]
    path = write_brainvision(folder / f"{name}.vhdr", markers)
    return {f"{SUBJECT}/{name}.{e}": path.with_suffix(f".{e}").read_bytes() for e in ("vhdr", "eeg", "vmrk")}


def features_of(stack: Stack, name: str) -> dict[str, str]:
    body = stack.s3.get_object(Bucket=stack.features, Key=f"{SUBJECT}/{name}/features.parquet")["Body"].read()
    features = read_features(io.BytesIO(body))
    assert (features.rejection.n_flashes, features.ch_names) == (len(ONSETS), ("Fz", "Cz", "Pz"))
    return dict(features.provenance)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)], ids=["header first", "header last"])
def test_files_land_in_any_order(impatient: Stack, tmp_path: Path, order: tuple[int, ...]) -> None:
    landed = files(tmp_path, f"order_{order[0]}")
    uploads = [list(landed.items())[number] for number in order]
    executions = impatient.land(*uploads)
    assert not failures(executions)
    assert {execution.output["outcome"] for execution in executions.values()} == {"features"}
    for key, body in landed.items():
        assert impatient.s3.get_object(Bucket=impatient.raw, Key=key)["Body"].read() == body
    assert impatient.keys(impatient.landing, SUBJECT) == []
    named = json.loads(features_of(impatient, f"order_{order[0]}")["raw_companions"])
    assert {f"{SUBJECT}/{name}" for name in named} == set(landed) - {f"{SUBJECT}/order_{order[0]}.vhdr"}


def test_what_is_missing_is_told_and_may_still_come(impatient: Stack, tmp_path: Path) -> None:
    header, *others = files(tmp_path, "late").items()
    execution = impatient.land(header)[header[0]]
    assert (execution.status, execution.output["outcome"]) == ("SUCCEEDED", "incomplete")
    assert execution.output["missing"] == [key for key, _ in others]
    history = impatient.target.client("stepfunctions").get_execution_history(executionArn=execution.arn)["events"]
    entered = [one["stateEnteredEventDetails"]["name"] for one in history if "stateEnteredEventDetails" in one]
    assert {"Wait for other files", "Incomplete", "Notify"} <= set(entered)
    assert impatient.keys(impatient.landing, SUBJECT) == [header[0]]
    assert {one.output["outcome"] for one in impatient.land(*others).values()} == {"features"}
    assert impatient.keys(impatient.landing, SUBJECT) == []


def test_the_command_lands_a_folder_of_them(impatient: Stack, tmp_path: Path) -> None:
    folder = tmp_path / SUBJECT
    folder.mkdir()
    files(folder, "by command")
    done = run_p300("land", folder, "--wait")
    assert "landed 1 recordings" in done.stderr
    assert features_of(impatient, "by command")
    wait_for(lambda: impatient.keys(impatient.landing, SUBJECT) == [] or None, "an empty landing zone")


def test_a_sidecar_lands_with_its_recording_by_aws_s3_cp(impatient: Stack, tmp_path: Path) -> None:
    names = {1: "S 44", 2: "S 33"}
    write_brainvision(
        tmp_path / "named.vhdr", [(names[label], int(at)) for label, at in zip(LABELS.tolist(), ONSETS, strict=True)]
    )
    said = {"event_id": {"S 44": 1, "S 33": 2}, "reference": "linked mastoids"}
    (tmp_path / "named.p300.json").write_text(json.dumps(said))
    landing = f"s3://{impatient.landing}/{SUBJECT}/"
    for what in (
        ["--exclude", "*", "--include", "*.json"],
        ["--exclude", "*.json"],
    ):  # as the docs say: the sidecar first
        command = [str(AWS), "s3", "cp", "--recursive", str(tmp_path), landing, *what, "--endpoint-url", ENDPOINT]
        subprocess.run(command, env={**os.environ, **impatient.target.environment()}, check=True, capture_output=True)
    key = f"{SUBJECT}/named/features.parquet"
    wait_for(lambda: key in impatient.keys(impatient.features, SUBJECT) or None, "features of the recording")
    body = impatient.s3.get_object(Bucket=impatient.features, Key=key)["Body"].read()
    features = read_features(io.BytesIO(body))
    expected = dict(zip(ONSETS.tolist(), LABELS.tolist(), strict=True))
    assert features.label.tolist() == [expected[at] for at in features.onset_sample.tolist()]
    assert features.rejection.n_flashes == len(ONSETS)
    assert dict(features.sidecar) == said
    wait_for(lambda: impatient.keys(impatient.landing, SUBJECT) == [] or None, "an empty landing zone")
    raw = impatient.s3.get_object(Bucket=impatient.raw, Key=f"{SUBJECT}/named.p300.json")["Body"].read()
    assert json.loads(raw) == said
