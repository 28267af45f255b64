"""Start again what failed: executions that ended badly, inputs in the queue of failed inputs, events that started nothing."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

from p300_pipeline.keys import RecordingKey, is_litter, is_recording
from p300_pipeline.storage import Item, Store, find

from p300_cli.target import Target
from p300_cli.terminal import fail, note, out, print_json, progress, table

DAYS = 14  # as long as the queue keeps a failed input
BAD_ENDS = ("FAILED", "TIMED_OUT", "ABORTED")
_HIDDEN_S = 60  # nobody else is given a message that is looked at here


@dataclass
class Failure:
    """Something that did not come to its end.

    Attributes
    ----------
    name : str
        Of the first execution, whatever retries it has had; ``event-<id>`` for an event that started none; ``backfill``.
    source : str
        Landing key, or what else it was about.
    error : str
        Why it failed, the last time.
    at : datetime
        When.
    input : dict
        The first execution's input.
    retries : int
        How many times it was started again already.
    left_because : str
        Why it is started only where it is named; empty where it is not so.
    """

    name: str
    source: str
    error: str
    at: datetime
    input: dict[str, Any]
    retries: int = 0
    left_because: str = ""
    _receipts: list[str] = field(default_factory=list, repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "name": self.name,
            "source": self.source,
            "error": self.error,
            "at": self.at.isoformat(),
            "retries": self.retries,
            "left_because": self.left_because or None,
        }


class Failures:
    """What failed within the last `DAYS` days and was not put right since.

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
        self._found: dict[str, Failure] = {}
        for failure in [*self._failed_executions(), *self._messages()]:
            held = self._found.setdefault(failure.name, failure)
            held._receipts += [receipt for receipt in failure._receipts if receipt not in held._receipts]
            if failure.at > held.at:
                held.at, held.error, held.left_because = failure.at, failure.error, failure.left_because
        for name in list(self._found):
            if self._is_settled(self._found[name]):
                self._settled += self._found.pop(name)._receipts

    @property
    def waiting(self) -> list[Failure]:
        """The failures, oldest first."""
        return sorted(self._found.values(), key=lambda failure: failure.at)

    def start(self, failure: Failure) -> str:
        """Start it again and take it off the queue; return the new execution's ARN.

        The name tells of which execution it is a retry, and how many there were: of two people who retry at once, one starts it.
        """
        if failure.name == "backfill":
            arn = self._steps.start_execution(stateMachineArn=self._target.outputs["BackfillStateMachineArn"])
        elif failure.name.startswith("event-") and not failure.retries:
            arn = self._start(failure.name, failure.input)
        else:
            again = {**failure.input, "retry_of": failure.name}
            arn = self._start(_retry_name(failure.name, failure.retries + 1), again)
        self._delete(failure._receipts)
        return str(arn["executionArn"])

    def drop(self, failure: Failure) -> None:
        """Take it off the queue without starting it."""
        self._delete(failure._receipts)

    def close(self) -> None:
        """Give back what was looked at, and forget what a later execution has put right."""
        self._delete(self._settled)
        sqs = self._target.client("sqs")
        for failure in self._found.values():
            for receipt in failure._receipts:
                sqs.change_message_visibility(QueueUrl=self._queue, ReceiptHandle=receipt, VisibilityTimeout=0)

    # -- inner
    def _start(self, name: str, body: dict[str, Any]) -> Any:
        return self._steps.start_execution(stateMachineArn=self._machine, name=name, input=json.dumps(body))

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
                    described = self._steps.describe_execution(executionArn=entry["executionArn"])
                    body = json.loads(described.get("input") or "{}")
                    error = " ".join(filter(None, (described.get("error"), _reason(described.get("cause")))))
                    yield _failure(entry["name"], body, error or status.lower(), entry["stopDate"], status)

    def _messages(self) -> Iterator[Failure]:
        sqs = self._target.client("sqs")
        while True:
            answer = sqs.receive_message(
                QueueUrl=self._queue,
                MaxNumberOfMessages=10,
                VisibilityTimeout=_HIDDEN_S,
                WaitTimeSeconds=1,
                MessageSystemAttributeNames=["SentTimestamp"],
            )
            if not answer.get("Messages"):
                return
            for message in answer["Messages"]:
                at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
                failure = self._kept_input(json.loads(message["Body"]), at)
                failure._receipts.append(message["ReceiptHandle"])
                yield failure

    def _kept_input(self, body: dict[str, Any], at: datetime) -> Failure:
        if "execution" not in body:  # EventBridge gave up on it: it is the event itself
            return _failure(f"event-{body['id']}", body, "EventBridge could not start an execution", at)
        error = " ".join(filter(None, (body["failure"].get("Error"), _reason(body["failure"].get("Cause")))))
        pipeline = self._machine.replace(":stateMachine:", ":execution:") + ":"
        if not body["execution"].startswith(pipeline):
            return Failure("backfill", str(body["input"]), error, at, {})
        return _failure(body["execution"].rpartition(":")[2], body["input"], error, at)

    def _is_settled(self, failure: Failure) -> bool:
        """Say whether its last retry runs or went well, and count the retries."""
        if failure.name == "backfill":
            return False
        names = [failure.name] if failure.name.startswith("event-") else []
        last = None
        while True:
            name = names.pop() if names else _retry_name(failure.name, failure.retries + 1)
            arn = f"{self._machine.replace(':stateMachine:', ':execution:')}:{name}"
            try:
                last = self._steps.describe_execution(executionArn=arn)
            except self._steps.exceptions.ExecutionDoesNotExist:
                break
            failure.retries += 1
        return last is not None and last["status"] not in BAD_ENDS


def retry(target: Target, names: Sequence[str], *, only_list: bool, drop: bool) -> list[tuple[Failure, str]]:
    """Start failures again: those named, or all for which that may help.

    Parameters
    ----------
    target : Target
        Where they ran.
    names : sequence of str
        Names or ARNs of executions, or landing keys; none for all.
    only_list : bool
        Start nothing.
    drop : bool
        Take the named ones off the queue and start nothing.

    Returns
    -------
    list of tuple of (Failure, str)
        Each with the ARN of the execution that was started for it; empty where none was.
    """
    failures = Failures(target)
    try:
        chosen = failures.waiting
        if names:
            wanted = {name.rpartition(":")[2] for name in names}
            chosen = [one for one in chosen if wanted & {one.name, one.source}]
            if missing := wanted - {one.name for one in chosen} - {one.source for one in chosen}:
                fail(f"Nothing that failed is named {', '.join(sorted(missing))}; `p300 retry --list` shows what did.")
        done = []
        with progress() as display:
            task = display.add_task("retry", total=len(chosen), detail="")
            for failure in chosen:
                arn = ""
                if drop:
                    failures.drop(failure)
                elif not only_list and (names or not failure.left_because):
                    arn = failures.start(failure)
                done.append((failure, arn))
                display.update(task, advance=1, detail=failure.source)
        return done
    finally:
        failures.close()


def start_unfinished(target: Target, but: set[str]) -> list[str]:
    """Start an execution for every recording that lies in the landing zone or has no features of its own; return their ARNs.

    Whatever lost their events: with another S3 server, storage outlives a LocalStack. An execution that is under way meanwhile does no
    harm, as each step may run twice.

    Parameters
    ----------
    target : Target
        Where to look and start.
    but : set of str
        Landing keys to leave out: what failed and was started again already.
    """
    store, outputs = Store(target.client("s3")), target.outputs
    landing, raw, features = (outputs[f"{name}BucketName"] for name in ("Landing", "Raw", "Features"))
    events = [_event(landing, item) for item in store.list(landing) if not is_litter(item.key, item.size)]
    keys = [item.key for item in store.list(raw, "subject_") if is_recording(item.key)]

    def without_features(key: str) -> dict[str, Any] | None:
        item = find(store, raw, key)
        made = find(store, features, RecordingKey.parse(key).features)
        if item is None or (made and made.metadata.get("raw-etag") == item.etag):
            return None
        # Ingestion looks for what it took from the landing zone, and finds that it has it already.
        return _event(landing, replace(item, etag=item.metadata.get("landing-etag", item.etag), version_id=None))

    with ThreadPoolExecutor(16) as pool:
        events += filter(None, pool.map(without_features, keys))
    steps = target.client("stepfunctions")
    return [
        steps.start_execution(stateMachineArn=outputs["StateMachineArn"], input=json.dumps(event))["executionArn"]
        for event in events
        if event["detail"]["object"]["key"] not in but
    ]


def _event(bucket: str, item: Item) -> dict[str, Any]:
    """Return the event that told of an object."""
    version = {"version-id": item.version_id} if item.version_id else {}
    told = {"key": item.key, "etag": item.etag, "size": item.size, **version}
    return {
        "source": "p300.retry",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": bucket}, "object": told},
    }


def show(done: Sequence[tuple[Failure, str]], *, as_json: bool) -> None:
    """Print what failed, and what was started for it."""
    if as_json:
        print_json([failure.as_json() | {"started": arn or None} for failure, arn in done])
        return
    if not done:
        note("nothing that failed is waiting")
        return
    rows = [
        [
            failure.name,
            failure.source,
            f"{failure.at.astimezone():%Y-%m-%d %H:%M}",
            failure.retries,
            failure.error,
            f"started as {arn.rpartition(':')[2]}" if arn else failure.left_because or "waits",
        ]
        for failure, arn in done
    ]
    out.print(table("Failed", ["name", "about", "at", "retries", "error", "now"], rows))


def _failure(name: str, body: dict[str, Any], error: str, at: datetime, status: str = "FAILED") -> Failure:
    body = dict(body)
    root = body.pop("retry_of", name)
    left = ""
    if status == "ABORTED":
        left = "somebody stopped it: name it to start it again"
    elif error.startswith(("TrainingError", "UnknownInput")):
        left = "the request could not be met: name it to try again"
    key = body.get("detail", {}).get("object", {}).get("key", "")
    source = unquote_plus(key) or ("training request" if "train" in body else "unknown input")
    return Failure(root, source, error, at, body, 0, left)


def _retry_name(name: str, number: int) -> str:
    """Return a retry's name: the first execution's does not fit beside anything else into 80 characters."""
    return f"retry-{number}-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def _reason(cause: str | None) -> str:
    try:
        return str(json.loads(cause or "")["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause or ""
