"""What failed: executions, inputs in the failed-inputs queue, and events that started nothing, as they are listed."""

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
"""Name of an execution of the pipeline -> what `describe_execution` says of it; None where there is none."""
_EVENT_ID = re.compile(r"[\w-]{1,74}", re.ASCII)  # as EventBridge makes them; with "event-" it has to name an execution


STOPPED = "somebody stopped it: name it to start it again"


class Way(Enum):
    """How a failure is started again."""

    EXECUTION = "a retry of the execution"
    EVENT = "an execution for an event that started none"
    BACKFILL = "another backfill"
    NONE = "not at all"


@dataclass
class Failure:
    """Something that did not come to its end.

    Attributes
    ----------
    name : str
        Of the first execution, whatever retries it has had; ``event-<id>`` for an event that started none; ``backfill``;
        ``message-<id>`` for a message of the queue that is none of these.
    source : str
        Landing key, or what else it was about.
    error : str
        Why it failed, the last time.
    at : datetime
        When.
    input : dict
        The first execution's input; empty where it is not one that can be started.
    way : Way
        How it is started again.
    retries : int
        How many times it was started again already.
    left_because : str
        Why it is not started, or only where it is named; empty where it is.
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
    """Return what failed with an execution, as `list_executions` and `describe_execution` show it."""
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
    """Return what a message of the failed-inputs queue is about: anybody may have sent it who may send to the queue.

    Parameters
    ----------
    message : mapping
        ``Body`` and ``MessageId``.
    at : datetime
        When it was sent.
    pipeline, backfill : str
        ARNs of the state machines.
    describe : callable, optional
        Asked where an event does not hold the input, which was too large for it.
    """
    body = executions.document(message["Body"])
    detail = body.get("detail")
    if body.get("detail-type") == STATUS_CHANGE and isinstance(detail, dict):
        found = _of_status_change(detail, at, executions_of(pipeline), executions_of(backfill), describe)
        return found or _unknown(message, at)
    identity, execution, failure = body.get("id"), body.get("execution"), body.get("failure")
    if isinstance(execution, str) and isinstance(failure, dict):
        # From a backfill, which keeps the recordings that failed in it and carries on, or from a stack of before there were events.
        error = _error(failure.get("Error"), failure.get("Cause"), "FAILED")
        machine, _, name = execution.rpartition(":")
        if machine == executions_of(pipeline) and name:
            return _failure(name, body.get("input"), error, at)
        items = executions_of(backfill)
        if machine == items or machine.startswith(f"{items}/"):
            return Failure("backfill", _text(body.get("input")) or "all recordings", error, at, {}, Way.BACKFILL)
    elif "execution" not in body and isinstance(identity, str) and _EVENT_ID.fullmatch(identity):
        # EventBridge gave up on it: it is the event itself.
        return _failure(f"event-{identity}", body, "EventBridge could not start an execution", at, way=Way.EVENT)
    return _unknown(message, at)


def _of_status_change(
    detail: Mapping[str, Any], at: datetime, of_pipeline: str, of_backfill: str, describe: Describe
) -> Failure | None:
    """Return what an event is about that reports the end of an execution; None where it is not one of ours."""
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
        return _unstartable(name, error, at, "Its input was too large for the event, and the execution is gone.")
    try:
        return _failure(name, executions.from_json(body) if isinstance(body, str) else body, error, at, status)
    except InputError as problem:
        return _unstartable(name, error, at, problem.message)


def _unknown(message: Mapping[str, Any], at: datetime) -> Failure:
    return _unstartable(
        f"message-{message['MessageId']}",
        "This message of the failed-inputs queue is not a failed input.",
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
        left = "the request could not be met: name it to try again"
    first = {field: value for field, value in body.items() if field != "retry_of"}
    root = name if way is Way.EVENT else found.retry_of or name
    return Failure(root, found.source, error, at, first, way, 0, left)


def _unstartable(name: str, error: str, at: datetime, problem: str) -> Failure:
    return Failure(name, UNKNOWN_INPUT, error, at, {}, Way.NONE, 0, f"it cannot be started again. {problem}")


def executions_of(machine: str) -> str:
    """Return what the ARNs of a state machine's executions begin with."""
    return machine.replace(":stateMachine:", ":execution:")


def _error(error: Any, cause: Any, status: str) -> str:
    return " ".join(filter(None, (_text(error), executions.reason(_text(cause))))) or status.lower().replace("_", " ")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
