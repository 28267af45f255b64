"""Recordings of several files on the real services: in any order, told of when they stay incomplete, and by `p300 land`."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from p300.features import read_features

from tests.support.localstack import Stack, failures, run_p300, wait_for
from tests.support.readers import LABELS, ONSETS, write_brainvision

pytestmark = pytest.mark.localstack
SUBJECT = "subject_85"


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
