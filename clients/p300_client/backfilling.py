"""Run a backfill: preprocess every raw recording again with the stack's current parameters, and draw its report."""

import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

from p300.errors import P300Error
from p300_pipeline.steps.raw_data import recordings_in
from p300_pipeline.storage import Store

from p300_client.progress import Progress, no_progress
from p300_client.target import Target
from p300_client.watching import ENDED, POLL_S


@dataclass(frozen=True)
class Backfill:
    """The outcome of a backfill.

    Attributes
    ----------
    status : str
        Status of its execution.
    counts : dict
        The execution's output: ``n_recordings``, how many recordings had each of the ``outcomes``, ``reports_drawn``.
    failures : list of dict
        ``key``, ``outcome`` and ``reason`` of the recordings that are not up to date.
    error : str
        Why the execution failed, if it did.
    """

    status: str
    counts: dict[str, Any] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    error: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether every recording is up to date."""
        return self.status == "SUCCEEDED" and not self.failures


def start_backfill(target: Target) -> tuple[str, int]:
    """Start a backfill; return its execution's ARN and how many recordings there are.

    Raises
    ------
    P300Error
        ``storage_elsewhere`` or ``no_recordings``.
    """
    if os.environ.get("AWS_ENDPOINT_URL_S3"):
        raise P300Error(
            "storage_elsewhere",
            "The recordings are on another S3 server (AWS_ENDPOINT_URL_S3), which Step Functions cannot list.",
        )
    n_recordings = sum(1 for _ in recordings_in(Store(target.client("s3")), target.outputs["RawBucketName"]))
    if not n_recordings:
        raise P300Error(
            "no_recordings",
            f"There are no recordings in s3://{target.outputs['RawBucketName']}: there is nothing to do.",
        )
    client = target.client("stepfunctions")
    started = client.start_execution(stateMachineArn=target.outputs["BackfillStateMachineArn"])
    return str(started["executionArn"]), n_recordings


def follow_backfill(target: Target, arn: str, n_recordings: int, progress: Progress = no_progress) -> Backfill:
    """Follow a backfill until it ends.

    Parameters
    ----------
    target : Target
        Where it runs.
    arn : str
        ARN of its execution.
    n_recordings : int
        How many recordings there are.
    progress : callable, optional
        Called at each poll with how many recordings are done.

    Returns
    -------
    Backfill
    """
    client = target.client("stepfunctions")
    while (described := client.describe_execution(executionArn=arn))["status"] not in ENDED:
        counts = _counts(client, arn)
        progress(_done(counts), n_recordings, f"{counts.get('running', 0)} at once")
        time.sleep(POLL_S)
    progress(_done(_counts(client, arn)), n_recordings, described["status"].lower())
    error = " ".join(filter(None, (described.get("error"), described.get("cause"))))
    if described["status"] != "SUCCEEDED":
        return Backfill(described["status"], error=error)
    counts = json.loads(described["output"])
    where = {"Bucket": target.outputs["FeaturesBucketName"], "Key": counts["failures"]}
    failures = json.load(target.client("s3").get_object(**where)["Body"])
    return Backfill(described["status"], counts, failures)


def _counts(client: Any, arn: str) -> dict[str, int]:
    try:
        runs = client.list_map_runs(executionArn=arn)["mapRuns"]
    except client.exceptions.ClientError:  # LocalStack's answer until the execution has entered its first state
        return {}
    return dict(client.describe_map_run(mapRunArn=runs[0]["mapRunArn"])["itemCounts"]) if runs else {}


def _done(counts: dict[str, int]) -> int:
    return sum(counts.get(name, 0) for name in ("succeeded", "failed", "timedOut", "aborted"))
