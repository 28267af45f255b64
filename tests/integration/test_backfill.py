"""New preprocessing parameters, then `p300 backfill`: every recording gets features and a report of them, and none is moved."""

import io
from collections.abc import Iterator

import pytest
from p300.features import read_features
from p300.signals import Parameters

from tests.support.localstack import Stack, failures, run_p300
from tests.support.recordings import recording

pytestmark = pytest.mark.localstack
NAMES = ("subject_80/run_01", "subject_81/run_01")


@pytest.fixture(scope="module")
def landed(stack: Stack) -> Iterator[Stack]:
    """The stack with two recordings more; they and the parameters are gone afterwards."""
    uploads = [(f"{name}.parquet", recording(80 + number)) for number, name in enumerate(NAMES)]
    executions = stack.land(*uploads)
    assert not failures(executions)
    yield stack
    for name in NAMES:
        stack.forget(f"{name.partition('/')[0]}/")
    run_p300("deploy")


def parameters_of(stack: Stack, name: str) -> Parameters:
    body = stack.s3.get_object(Bucket=stack.features, Key=f"{name}/features.parquet")["Body"].read()
    return read_features(io.BytesIO(body)).parameters


def counts(printed: str) -> list[int]:
    """Return the numbers of the table: recordings, made, up to date, replaced, failed, reports."""
    (row,) = [line for line in printed.splitlines() if line.strip("│ ")[:1].isdigit() and line.count("│") == 7]
    return [int(cell) for cell in row.strip("│ ").split("│")]


def test_new_parameters_reach_every_recording_once(landed: Stack) -> None:
    n_recordings = len(landed.keys(landed.raw, "subject_"))
    assert parameters_of(landed, NAMES[0]) == Parameters()
    run_p300("deploy", "--parameter", 'Preprocessing={"h_freq": 12, "reject_peak_to_peak_uv": null}')
    recordings, made, kept, replaced, failed, _ = counts(run_p300("backfill").stdout)
    assert (recordings, made, kept, replaced, failed) == (n_recordings, n_recordings, 0, 0, 0)
    for name in NAMES:
        assert parameters_of(landed, name) == Parameters(h_freq=12, reject_peak_to_peak_uv=None)
        features = landed.s3.head_object(Bucket=landed.features, Key=f"{name}/features.parquet")["Metadata"]
        for drawn in ("erp.png", "report.html"):
            assert landed.s3.head_object(Bucket=landed.features, Key=f"{name}/{drawn}")["Metadata"] == features
    assert counts(run_p300("backfill").stdout) == [n_recordings, 0, n_recordings, 0, 0, 0]


def test_parameters_that_leave_no_epoch_are_told_and_move_nothing(landed: Stack) -> None:
    raw = landed.keys(landed.raw)
    before = parameters_of(landed, NAMES[0])
    run_p300("deploy", "--parameter", 'Preprocessing={"reject_peak_to_peak_uv": 0.001}')
    done = run_p300("backfill", check=False)
    assert done.returncode == 1
    assert f"{NAMES[0]}.parquet" in done.stdout
    assert "no_epochs_kept" in done.stdout
    assert landed.keys(landed.raw) == raw
    assert parameters_of(landed, NAMES[0]) == before
