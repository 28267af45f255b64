"""What failed: executions, inputs in the failed-inputs queue, and events that started no execution."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from p300_pipeline import executions
from p300_pipeline.errors import InputError
from p300_pipeline.executions import UNKNOWN_INPUT

STATUS_CHANGE = "Step Functions Execution Status Change"
"""The `detail-type` of the events in which EventBridge reports that an execution ended."""
Describe = Callable[[str], Mapping[str, Any] | None]
"""From the name of a pipeline execution to the answer of `describe_execution`; None if there is no such execution."""
_EVENT_ID = re.compile(r"[\w-]{1,74}", re.ASCII)  # EventBridge's IDs; with "event-" in front they name executions


STOPPED = "it was aborted by hand: name it to retry it"


class Way(Enum):
    """How a failure is retried."""

    EXECUTION = "a retry of the execution"
    EVENT = "an execution for an event that started none"
    BACKFILL = "another backfill"
    NONE = "not at all"


@dataclass
class Failure:
    """An execution, input or event that failed.

    Attributes
    ----------
    name : str
        Name of the first execution, however often it has been retried; ``event-<id>`` for an event that started none; ``backfill``;
        ``message-<id>`` for any other message in the queue.
    source : str
        Landing key, or what else it was about.
    error : str
        Why it failed, the last time.
    at : datetime
        When it failed, the last time.
    input : dict
        The first execution's input; empty if no execution can be started with it.
    way : Way
        How it is retried.
    retries : int
        How many times it has already been retried.
    left_because : str
        Why it is not retried, or only when it is named; empty otherwise.
    """

    name: str
    source: str
    error: str
    at: datetime
    input: dict[str, Any]
    way: Way
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


def of_execution(entry: Mapping[str, Any], described: Mapping[str, Any], status: str) -> Failure:
    """Return the failure of an execution, from the answers of `list_executions` and `describe_execution`."""
    error = _error(described.get("error"), described.get("cause"), status)
    at = entry.get("stopDate") or entry["startDate"]
    try:
        body = executions.from_json(described.get("input"))
    except InputError as problem:
        return _unstartable(entry["name"], error, at, problem.message)
    return _failure(entry["name"], body, error, at, status)


def of_message(
    message: Mapping[str, Any], at: datetime, pipeline: str, backfill: str, describe: Describe = lambda _: None
) -> Failure:
    """Return the failure that a message in the failed-inputs queue reports; anyone with access to the queue may have sent it.

    Parameters
    ----------
    message : mapping
        ``Body`` and ``MessageId``.
    at : datetime
        When it was sent.
    pipeline, backfill : str
        ARNs of the state machines.
    describe : callable, optional
        Called if the event does not hold the input because it was too large.
    """
    body = executions.document(message["Body"])
    detail = body.get("detail")
    if body.get("detail-type") == STATUS_CHANGE and isinstance(detail, dict):
        found = _of_status_change(detail, at, executions_of(pipeline), executions_of(backfill), describe)
        return found or _unknown(message, at)
    identity, execution, failure = body.get("id"), body.get("execution"), body.get("failure")
    if isinstance(execution, str) and isinstance(failure, dict):
        # From a backfill, which reports the recordings that failed and continues, or from a stack older than the status events.
        error = _error(failure.get("Error"), failure.get("Cause"), "FAILED")
        machine, _, name = execution.rpartition(":")
        if machine == executions_of(pipeline) and name:
            return _failure(name, body.get("input"), error, at)
        items = executions_of(backfill)
        if machine == items or machine.startswith(f"{items}/"):
            return Failure("backfill", _text(body.get("input")) or "all recordings", error, at, {}, Way.BACKFILL)
    elif "execution" not in body and isinstance(identity, str) and _EVENT_ID.fullmatch(identity):
        # EventBridge could not deliver the event: the message is the event itself.
        return _failure(f"event-{identity}", body, "EventBridge could not start an execution", at, way=Way.EVENT)
    return _unknown(message, at)


def _of_status_change(
    detail: Mapping[str, Any], at: datetime, of_pipeline: str, of_backfill: str, describe: Describe
) -> Failure | None:
    """Return the failure that an event about the end of an execution reports; None if the execution is not one of the stack's."""
    machine, _, name = _text(detail.get("executionArn")).rpartition(":")
    status = _text(detail.get("status")) or "FAILED"
    error = _error(detail.get("error"), detail.get("cause"), status)
    if machine == of_backfill and name:
        left = STOPPED if status == "ABORTED" else ""
        return Failure("backfill", "all recordings", error, at, {}, Way.BACKFILL, left_because=left)
    if machine != of_pipeline or not name:
        return None
    body = detail.get("input")  # JSON text; an empty object from LocalStack where it is empty
    if body is None and (described := describe(name)):
        body = described.get("input")
    if body is None:
        return _unstartable(
            name, error, at, "Its input was too large for the event, and the execution no longer exists."
        )
    try:
        return _failure(name, executions.from_json(body) if isinstance(body, str) else body, error, at, status)
    except InputError as problem:
        return _unstartable(name, error, at, problem.message)


def _unknown(message: Mapping[str, Any], at: datetime) -> Failure:
    return _unstartable(
        f"message-{message['MessageId']}",
        "This message in the failed-inputs queue is not a failed input.",
        at,
        f"Expected the input of a failed execution or an event, found {message['Body'][:60]!r}.",
    )


def _failure(
    name: str, body: Any, error: str, at: datetime, status: str = "FAILED", way: Way = Way.EXECUTION
) -> Failure:
    try:
        found = executions.parse(body, None if way is Way.EVENT else name)
    except InputError as problem:
        return _unstartable(name, error, at, problem.message)
    left = ""
    if status == "ABORTED":
        left = STOPPED
    elif error.startswith(("TrainingError", "InputError")):
        left = "the request cannot be fulfilled: name it to try again"
    first = {field: value for field, value in body.items() if field != "retry_of"}
    root = name if way is Way.EVENT else found.retry_of or name
    return Failure(root, found.source, error, at, first, way, 0, left)


def _unstartable(name: str, error: str, at: datetime, problem: str) -> Failure:
    return Failure(name, UNKNOWN_INPUT, error, at, {}, Way.NONE, 0, f"it cannot be retried. {problem}")


def executions_of(machine: str) -> str:
    """Return the prefix of the ARNs of a state machine's executions."""
    return machine.replace(":stateMachine:", ":execution:")


def _error(error: Any, cause: Any, status: str) -> str:
    return " ".join(filter(None, (_text(error), executions.reason(_text(cause))))) or status.lower().replace("_", " ")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
