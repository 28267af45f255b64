"""BIDS data sets on the real services: `p300 land` and `aws s3 sync` end in the same raw data."""

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from p300.bids.tree import bundle_in_place
from p300.features import read_features

from tests.support.bids import write_bids
from tests.support.labs import Lab, lab
from tests.support.localstack import ENDPOINT, Stack, run_p300, wait_for
from tests.support.paths import PROJECT

pytestmark = pytest.mark.localstack
AWS = PROJECT / ".envs" / "localstack" / "bin" / "aws"
BY_COMMAND, BY_SYNC = "Q86", "087"
SUBJECTS = ("subject_q86/", "subject_87/")


@pytest.fixture(scope="module")
def made() -> Lab:
    return lab(5)


@pytest.fixture(scope="module", autouse=True)
def forgotten(stack: Stack) -> Iterator[None]:
    """Take the recordings away afterwards: other modules count theirs."""
    yield
    for subject in SUBJECTS:
        stack.forget(subject)
    for key in stack.keys(stack.landing):
        stack.s3.delete_object(Bucket=stack.landing, Key=key)


def data_set(root: Path, made: Lab, subject: str) -> list[Path]:
    """Return two recordings of one subject, in two sessions and formats."""
    return [
        write_bids(root, made, extension, subject=subject, session=session, run="1", inherited=True)
        for session, extension in (("a", "edf"), ("b", "vhdr"))
    ]


def check(stack: Stack, subject: str, recordings: list[Path], made: Lab) -> None:
    raw = {key: stack.s3.get_object(Bucket=stack.raw, Key=key)["Body"].read() for key in stack.keys(stack.raw, subject)}
    expected = {
        f"{subject}{file.name}": file.read_bytes() for one in recordings for file in one.parent.glob(f"{one.stem}.*")
    }
    for one in recordings:
        said = bundle_in_place(one)
        assert said
        expected[f"{subject}{one.stem}.bids.json"] = said.to_bytes()
    assert raw == expected
    for one in recordings:
        body = stack.s3.get_object(Bucket=stack.features, Key=f"{subject}{one.stem}/features.parquet")["Body"].read()
        features = read_features(io.BytesIO(body))
        assert features.rejection.n_flashes == len(made.onsets)
        assert (features.bids["task"], features.bids["session"]) == (
            "p300",
            one.stem.split("_")[1].removeprefix("ses-"),
        )


def test_the_command_lands_a_data_set(stack: Stack, tmp_path: Path, made: Lab) -> None:
    recordings = data_set(tmp_path, made, BY_COMMAND)
    done = run_p300("land", tmp_path, "--wait")
    assert "landed 2 recordings" in done.stderr
    check(stack, SUBJECTS[0], recordings, made)
    assert "landed 0 recordings" in run_p300("land", tmp_path).stderr


def test_a_sync_of_a_data_set_gives_the_same(stack: Stack, tmp_path: Path, made: Lab) -> None:
    recordings = data_set(tmp_path, made, BY_SYNC)
    (tmp_path / "derivatives").mkdir()
    (tmp_path / "derivatives" / "sub-087_task-p300_eeg.edf").write_bytes(b"x")
    environment = {**os.environ, **stack.target.environment()}
    command = [str(AWS), "s3", "sync", str(tmp_path), f"s3://{stack.landing}/", "--endpoint-url", ENDPOINT]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    stays = {
        "README",
        "dataset_description.json",
        "participants.tsv",
        "task-p300_eeg.json",
        "task-p300_channels.tsv",
        "derivatives/sub-087_task-p300_eeg.edf",
    }
    wait_for(lambda: set(stack.keys(stack.landing)) == stays or None, "a landing zone with shared files alone")
    run_p300("watch")
    check(stack, SUBJECTS[1], recordings, made)
    assert stack.keys(stack.raw, "quarantine/sub-") == []
