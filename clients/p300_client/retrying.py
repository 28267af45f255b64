"""Retry what failed: failed executions, inputs in the failed-inputs queue, and events that started no execution."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from p300.errors import P300Error
from p300_pipeline import executions
from p300_pipeline.executions import Upload, retry_name
from p300_pipeline.keys import RecordingKey, is_litter
from p300_pipeline.steps.raw_data import recordings_in
from p300_pipeline.storage import Item, Store, find

from p300_client.failures import Failure, Way, executions_of, of_execution, of_message
from p300_client.progress import Progress, no_progress
from p300_client.target import Target

DAYS = 14  # how long the queue keeps a failed input
BAD_ENDS = ("FAILED", "TIMED_OUT", "ABORTED")
_HIDDEN_S = 60  # while a message is examined here, no other reader receives it
_UNSTARTABLE = {"InvalidExecutionInput", "ValidationException", "InvalidName"}


class Failures:
    """What failed within the last `DAYS` days and has not succeeded since.

    Parameters
    ----------
    target : Target
        Where it ran.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._queue = target.outputs["FailedInputsQueueUrl"]
        self._machine = target.outputs["StateMachineArn"]
        self._steps = target.client("stepfunctions")
        self._settled: list[str] = []
        self._found: dict[tuple[bool, str], Failure] = {}
        for failure in [*self._failed_executions(), *self._messages()]:
            # An execution of the pipeline may also be named "backfill".
            held = self._found.setdefault((failure.way is Way.BACKFILL, failure.name), failure)
            held._receipts += [receipt for receipt in failure._receipts if receipt not in held._receipts]
            if failure.at > held.at and failure.way is held.way:
                held.at, held.error, held.left_because = failure.at, failure.error, failure.left_because
        for key in list(self._found):
            if self._is_settled(self._found[key]):
                self._settled += self._found.pop(key)._receipts

    @property
    def waiting(self) -> list[Failure]:
        """The failures, oldest first."""
        return sorted(self._found.values(), key=lambda failure: failure.at)

    def start(self, failure: Failure) -> str:
        """Retry a failure and remove it from the queue; return the new execution's ARN, or an empty string if it cannot be started.

        The new execution's name holds the name of the original and the number of the retry: if two users retry at once, only one starts.
        """
        if failure.way is Way.NONE:
            return ""
        if failure.way is Way.BACKFILL:
            arn = self._start(self._target.outputs["BackfillStateMachineArn"], {})
        elif failure.way is Way.EVENT:
            arn = self._start(self._machine, failure.input, failure.name)
        else:
            again = {**failure.input, "retry_of": failure.name}
            try:
                arn = self._start(self._machine, again, retry_name(failure.name, failure.retries + 1))
            except self._steps.exceptions.ClientError as error:
                if error.response["Error"]["Code"] not in _UNSTARTABLE:
                    raise
                failure.left_because = f"it cannot be retried: {error}"
                return ""
        self._delete(failure._receipts)
        return arn

    def drop(self, failure: Failure) -> None:
        """Remove a failure from the queue without retrying it."""
        self._delete(failure._receipts)

    def close(self) -> None:
        """Return the examined messages to the queue, and delete those that a later execution has made obsolete."""
        self._delete(self._settled)
        sqs = self._target.client("sqs")
        for failure in self._found.values():
            for receipt in failure._receipts:
                with suppress(sqs.exceptions.ClientError):  # it has already returned to the queue, after `_HIDDEN_S`
                    sqs.change_message_visibility(QueueUrl=self._queue, ReceiptHandle=receipt, VisibilityTimeout=0)

    # -- inner
    def _start(self, machine: str, body: dict[str, Any], name: str | None = None) -> str:
        named = {"name": name} if name else {}
        try:
            started = self._steps.start_execution(stateMachineArn=machine, input=json.dumps(body), **named)
        except self._steps.exceptions.ExecutionAlreadyExists:  # another user has just started it
            return f"{executions_of(machine)}:{name}"
        return str(started["executionArn"])

    def _delete(self, receipts: list[str]) -> None:
        sqs = self._target.client("sqs")
        while receipts:
            sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=receipts.pop())

    def _failed_executions(self) -> Iterator[Failure]:
        oldest = datetime.now(UTC) - timedelta(days=DAYS)
        pages = self._steps.get_paginator("list_executions")
        for status in BAD_ENDS:
            for page in pages.paginate(stateMachineArn=self._machine, statusFilter=status):
                for entry in page["executions"]:
                    if entry["startDate"] < oldest:
                        break
                    with suppress(self._steps.exceptions.ExecutionDoesNotExist):  # deleted since it was listed
                        described = self._steps.describe_execution(executionArn=entry["executionArn"])
                        yield of_execution(entry, described, status)

    def _messages(self) -> Iterator[Failure]:
        sqs = self._target.client("sqs")
        seen: set[str] = set()
        while True:
            answer = sqs.receive_message(
                QueueUrl=self._queue,
                MaxNumberOfMessages=10,
                VisibilityTimeout=_HIDDEN_S,
                WaitTimeSeconds=1,
                MessageSystemAttributeNames=["SentTimestamp"],
            )
            new = [message for message in answer.get("Messages", []) if message["MessageId"] not in seen]
            if not new:  # the queue is empty, or reading took so long that the first messages came back
                return
            for message in new:
                seen.add(message["MessageId"])
                at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
                backfill = self._target.outputs["BackfillStateMachineArn"]
                failure = of_message(message, at, self._machine, backfill, self._execution)
                failure._receipts.append(message["ReceiptHandle"])
                yield failure

    def _is_settled(self, failure: Failure) -> bool:
        """Return whether the failure's last retry, or the redriven execution itself, is running or succeeded; count the retries."""
        if failure.way not in {Way.EXECUTION, Way.EVENT}:
            return False
        if last := self._execution(failure.name):
            failure.way = Way.EXECUTION  # the event had started none, but one has been started since
        while again := self._execution(retry_name(failure.name, failure.retries + 1)):
            last = again
            failure.retries += 1
        return last is not None and last["status"] not in BAD_ENDS

    def _execution(self, name: str) -> Any:
        """Return the pipeline's execution of this name, or None if there is none."""
        try:
            return self._steps.describe_execution(executionArn=f"{executions_of(self._machine)}:{name}")
        except (self._steps.exceptions.ExecutionDoesNotExist, self._steps.exceptions.InvalidArn):
            return None


def retry(
    target: Target,
    names: Sequence[str],
    *,
    only_list: bool = False,
    drop: bool = False,
    progress: Progress = no_progress,
) -> list[tuple[Failure, str]]:
    """Retry failures: the named ones, or all that a retry may help.

    Parameters
    ----------
    target : Target
        Where they ran.
    names : sequence of str
        Names or ARNs of executions, or landing keys; empty for all.
    only_list : bool
        Only list the failures.
    drop : bool
        Remove the named ones from the queue without retrying them.
    progress : callable, optional
        Called after each failure with its source.

    Returns
    -------
    list of tuple of (Failure, str)
        Each failure with the ARN of the execution that was started for it; an empty string if none was.

    Raises
    ------
    P300Error
        ``nothing_named`` if no failure has such a name, ``not_startable`` if it cannot be retried.
    """
    failures = Failures(target)
    try:
        chosen = failures.waiting
        if names:
            wanted = {name.rpartition(":")[2] for name in names}
            chosen = [one for one in chosen if wanted & {one.name, one.source}]
            if missing := wanted - {one.name for one in chosen} - {one.source for one in chosen}:
                raise P300Error(
                    "nothing_named",
                    f"No failure is named {', '.join(sorted(missing))}. `p300 retry --list` shows what failed.",
                )
            if not (only_list or drop) and (stuck := [one for one in chosen if one.way is Way.NONE]):
                raise P300Error(
                    "not_startable",
                    f"{stuck[0].name}: {stuck[0].left_because} Remove it from the queue with `p300 retry {stuck[0].name} --drop`.",
                )
        done: list[tuple[Failure, str]] = []
        for failure in chosen:
            arn = ""
            if drop:
                failures.drop(failure)
            elif not only_list and (names or not failure.left_because):
                arn = failures.start(failure)
            done.append((failure, arn))
            progress(len(done), len(chosen), failure.source)
        return done
    finally:
        failures.close()


def start_unfinished(target: Target, but: set[str]) -> list[str]:
    """Start an execution for every recording that is still in the landing zone or has no features; return the ARNs.

    The events of such recordings were lost: with another S3 server, for instance, storage outlives LocalStack. If an execution is already
    running for one of them, no harm is done: each step may run twice.

    Parameters
    ----------
    target : Target
        Where to look, and where to start the executions.
    but : set of str
        Landing keys to leave out: those that failed and have already been retried.
    """
    store, outputs = Store(target.client("s3")), target.outputs
    landing, raw, features = (outputs[f"{name}BucketName"] for name in ("Landing", "Raw", "Features"))
    events = [_event(landing, item, item.etag) for item in store.list(landing) if not is_litter(item.key, item.size)]
    keys = [item.key for item in recordings_in(store, raw)]

    def without_features(key: str) -> dict[str, Any] | None:
        item = find(store, raw, key)
        made = find(store, features, RecordingKey.parse(key).features)
        if item is None or (made and made.metadata.get("raw-etag") == item.etag):
            return None
        # Ingest compares this ETag with what it took from the landing zone, and finds that it already has the recording.
        return _event(landing, item, item.metadata.get("landing-etag", item.etag))

    with ThreadPoolExecutor(16) as pool:
        events += filter(None, pool.map(without_features, keys))
    steps = target.client("stepfunctions")
    return [
        steps.start_execution(stateMachineArn=outputs["StateMachineArn"], input=json.dumps(event))["executionArn"]
        for event in events
        if event["detail"]["object"]["key"] not in but
    ]


def _event(bucket: str, item: Item, etag: str) -> dict[str, Any]:
    return executions.upload_event(Upload(item.key, etag, bucket=bucket), item.size)
