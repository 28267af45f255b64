"""Preprocess every raw recording again with the parameters that the stack has now, and draw its report; follow it."""

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from p300_cli.terminal import fail, note, out, progress, table
from p300_pipeline.keys import is_recording

from p300_client.target import Target
from p300_client.watching import ENDED, POLL_S


@dataclass(frozen=True)
class Backfill:
    """What a backfill came to.

    Attributes
    ----------
    status : str
        Of its execution.
    counts : dict
        The execution's output: ``n_recordings``, how many came to each of the ``outcomes``, ``reports_drawn``.
    failures : list of dict
        ``key``, ``outcome`` and ``reason`` of the recordings that are not up to date.
    error : str
        Why the execution failed, where it did.
    """

    status: str
    counts: dict[str, Any] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    error: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether every recording is up to date."""
        return self.status == "SUCCEEDED" and not self.failures


def backfill(target: Target) -> Backfill:
    """Start a backfill and follow it to its end."""
    if os.environ.get("AWS_ENDPOINT_URL_S3"):
        fail("The recordings lie on another S3 server (AWS_ENDPOINT_URL_S3), which Step Functions cannot list.")
    n_recordings = _count(target)
    if not n_recordings:
        fail(f"There are no recordings in s3://{target.outputs['RawBucketName']}: nothing to do.")
    client = target.client("stepfunctions")
    arn = client.start_execution(stateMachineArn=target.outputs["BackfillStateMachineArn"])["executionArn"]
    with progress() as display:
        task = display.add_task("backfill", total=n_recordings, detail="")
        try:
            while (described := client.describe_execution(executionArn=arn))["status"] not in ENDED:
                counts = _counts(client, arn)
                running = f"{counts.get('running', 0)} at once"
                display.update(task, completed=_done(counts), detail=running)
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            note(f"not followed any more; {arn} goes on")
            raise
        display.update(task, completed=_done(_counts(client, arn)), detail=described["status"].lower())
    error = " ".join(filter(None, (described.get("error"), described.get("cause"))))
    if described["status"] != "SUCCEEDED":
        return Backfill(described["status"], error=error)
    counts = json.loads(described["output"])
    where = {"Bucket": target.outputs["FeaturesBucketName"], "Key": counts["failures"]}
    failures = json.load(target.client("s3").get_object(**where)["Body"])
    return Backfill(described["status"], counts, failures)


def show(result: Backfill) -> None:
    """Print what a backfill came to."""
    if result.status != "SUCCEEDED":
        fail(f"The backfill ended as {result.status.lower()}: {result.error}")
    outcomes = Counter(result.counts["outcomes"])
    columns = ["recordings", "features made", "up to date before", "replaced meanwhile", "failed", "reports drawn"]
    shown = [outcomes["features"], outcomes["unchanged"], outcomes["superseded"], len(result.failures)]
    row = [result.counts["n_recordings"], *shown, result.counts["reports_drawn"]]
    out.print(table("Backfill", columns, [row]))
    if result.failures:
        rows = [[failure["key"], failure["outcome"], failure["reason"]] for failure in result.failures]
        out.print(
            table("Not up to date: these keep the features that they had", ["recording", "outcome", "reason"], rows)
        )
    if outcomes["features"]:
        note("models are still those of the features before: `p300 train` makes one of these")


def _count(target: Target) -> int:
    pages = target.client("s3").get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=target.outputs["RawBucketName"], Prefix="subject_")
    return sum(is_recording(entry["Key"]) for page in found for entry in page.get("Contents", []))


def _counts(client: Any, arn: str) -> dict[str, int]:
    try:
        runs = client.list_map_runs(executionArn=arn)["mapRuns"]
    except client.exceptions.ClientError:  # LocalStack's answer in the moment before the execution's first state
        return {}
    return dict(client.describe_map_run(mapRunArn=runs[0]["mapRunArn"])["itemCounts"]) if runs else {}


def _done(counts: dict[str, int]) -> int:
    return sum(counts.get(name, 0) for name in ("succeeded", "failed", "timedOut", "aborted"))
