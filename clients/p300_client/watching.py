"""Follow executions of the state machine while they run: one for each recording, state by state."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from p300.errors import P300Error
from p300.text import n_of
from p300_pipeline import executions
from p300_pipeline.errors import InputError
from p300_pipeline.executions import UNKNOWN_INPUT

from p300_client.landing import Upload
from p300_client.target import Target

POLL_S = 0.4
TIMEOUT_S = 900
ENDED = {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}


@dataclass
class Execution:
    """One execution, as Step Functions describes it."""

    arn: str
    status: str
    started: datetime
    stopped: datetime | None = None
    source: str = ""
    etag: str = ""
    state: str = ""
    output: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def ended(self) -> bool:
        """Whether it has reached its final status."""
        return self.status in ENDED

    @property
    def seconds(self) -> float:
        """How long it ran, or has been running."""
        end = self.stopped or datetime.now(self.started.tzinfo)
        return (end - self.started).total_seconds()

    @property
    def outcome(self) -> str:
        """The outcome in words."""
        output = self.output
        match output.get("outcome"):
            case "features":
                return f"features{_personal(output)}{_notes(output)}{_until_training(output)}"
            case "model":
                made = (
                    "features, " if output.get("recording") else ""
                )  # without a recording, only a model was requested
                model = f"model {_field(output, 'training', 'version')} {_field(output, 'promotion', 'outcome')}"
                return f"{made}{model}{_of_montage(output)}{_personal(output)}{_notes(output)}{_left_out(output)}"
            case "quarantined" | "incomplete" | "unreadable" as stuck:
                return f"{stuck}: {output.get('detail') or _field(output, 'reason', 'message')}"
            case "unchanged" if "version" in output:
                return f"no new model: {output.get('why', '')}"
            case None:
                return self.error or self.status.lower()
            case other:
                return str(other)


def _until_training(output: dict[str, Any]) -> str:
    """Say how many more recordings of this montage make a training due; an empty string where one is due, or it is not known."""
    due = output.get("training_due")
    if not isinstance(due, dict) or due.get("outcome") != "counted" or due.get("gathered_by") or not due.get("montage"):
        return ""
    recording = output.get("recording")
    if isinstance(recording, dict) and recording.get("labelled") is False:
        return ""  # it is not counted
    new, every = due["new_recordings"], due["retrain_every"]
    return f"; {n_of(every - new, 'more new recording')} of montage {due['montage']}, then it trains ({new} of {every})"


def _personal(output: dict[str, Any]) -> str:  # noqa: PLR0911 - an answer an outcome
    """Say what became of the subject's personal model; an empty string where there was nothing to make one of."""
    personal = output.get("personal")
    if not isinstance(personal, dict):
        return ""
    match personal.get("outcome"):
        case "promoted" if "learned_from_use" in personal:
            return f", personal model {personal.get('version')}: {personal.get('why')}"
        case "refused":
            return f"; the personal model learned nothing from it: {personal.get('why')}"
        case "promoted":
            return f", personal model {personal.get('version')}"
        case "kept":
            return f"; personal model {personal.get('version')} does not serve: {personal.get('why')}"
        case None if "Error" in personal:
            return f"; no personal model: {executions.reason(str(personal.get('Cause') or personal['Error']))}"
        case _:
            return ""


def _of_montage(output: dict[str, Any]) -> str:
    alias = _field(output, "promotion", "alias")
    return f" as {alias}" if alias else ""


def _left_out(output: dict[str, Any]) -> str:
    """Say which recordings the training left out, and why: the first, as `p300 models` lists them all."""
    training = output.get("training")
    left_out = training.get("left_out") if isinstance(training, dict) else None
    if not isinstance(left_out, list) or not left_out or not isinstance(left_out[0], dict):
        return ""
    first, n = left_out[0], _field(output, "training", "n_left_out")
    more = f" ({n} in all: `p300 models`)" if n not in {"", "1"} else ""
    return f"; left out {first.get('recording')}: {first.get('reason')}{more}"


def _notes(output: dict[str, Any]) -> str:
    recording = output.get("recording")
    notes = recording.get("notes") if isinstance(recording, dict) else None
    return "".join(f"; {note}" for note in notes) if isinstance(notes, list) else ""


def _field(output: dict[str, Any], part: str, name: str) -> str:
    found = output.get(part)
    return str(found.get(name, "")) if isinstance(found, dict) else ""


class Watcher:
    """Executions of the pipeline since a point in time.

    Parameters
    ----------
    target : Target
        Where they run.
    since : datetime
        Executions that started earlier are ignored.
    """

    def __init__(self, target: Target, since: datetime) -> None:
        self._client = target.client("stepfunctions")
        self._machine = target.outputs["StateMachineArn"]
        self._since = since
        self.executions: dict[str, Execution] = {}

    def refresh(self) -> None:
        """Find new executions, and update the state of those that are running."""
        for page in self._client.get_paginator("list_executions").paginate(stateMachineArn=self._machine):
            entries = [entry for entry in page["executions"] if entry["startDate"] >= self._since]
            for entry in entries:
                if entry["executionArn"] not in self.executions and (found := self._first_look(entry)):
                    self.executions[found.arn] = found
            if len(entries) < len(page["executions"]):
                break
        for execution in self.executions.values():
            if not execution.ended:
                self._look(execution)

    def changes(
        self, until: "Callable[[Watcher], bool]", timeout_s: float = TIMEOUT_S, pause_s: float = POLL_S
    ) -> Iterator[list[Execution]]:
        """Poll, and yield each time the executions that are new or have changed their state.

        Parameters
        ----------
        until : callable
            Called after each poll; returns whether to stop: `all_ended` or `each_ended`, for instance.
        timeout_s : float
            How long to poll.
        pause_s : float
            Seconds between two polls.

        Yields
        ------
        list of Execution
            Empty if nothing changed.

        Raises
        ------
        P300Error
            ``timeout``.
        """
        deadline = time.monotonic() + timeout_s
        seen: dict[str, tuple[str, str]] = {}
        while True:
            self.refresh()
            now = {arn: (one.status, one.state) for arn, one in self.executions.items()}
            yield [one for arn, one in self.executions.items() if seen.get(arn) != now[arn]]
            if until(self):
                return
            if time.monotonic() > deadline:
                raise P300Error("timeout", f"stopped following after {timeout_s:.0f} s; the executions continue")
            seen = now
            time.sleep(pause_s)

    def _first_look(self, entry: dict[str, Any]) -> Execution | None:
        try:
            execution = from_description(self._client.describe_execution(executionArn=entry["executionArn"]))
        except self._client.exceptions.ExecutionDoesNotExist:  # deleted since it was listed
            return None
        execution.status = "RUNNING"  # so that `refresh` looks at it next
        return execution

    def _look(self, execution: Execution) -> None:
        try:
            now = from_description(self._client.describe_execution(executionArn=execution.arn))
        except self._client.exceptions.ExecutionDoesNotExist:
            execution.status, execution.error = "ABORTED", "it no longer exists"
            return
        execution.status, execution.stopped = now.status, now.stopped
        execution.output, execution.error = now.output, now.error
        execution.state = current_state(self._client, execution.arn) or execution.state


def current_state(client: Any, arn: str) -> str:
    """Return the state that an execution entered last; an empty string if its latest events do not show it.

    Parameters
    ----------
    client : botocore client
        For Step Functions.
    arn : str
        The execution's.

    Returns
    -------
    str
    """
    history = client.get_execution_history(executionArn=arn, reverseOrder=True, maxResults=20)
    entered = (
        event["stateEnteredEventDetails"]["name"] for event in history["events"] if "stateEnteredEventDetails" in event
    )
    return next(entered, "")


def from_description(described: dict[str, Any]) -> Execution:
    """Return the execution that an answer of `describe_execution` describes."""
    source, etag = about(described.get("input"), described.get("name"))
    execution = Execution(
        described["executionArn"],
        described["status"],
        described["startDate"],
        described.get("stopDate"),
        source=source,
        etag=etag,
    )
    if execution.ended:
        execution.output = executions.document(described.get("output"))
        execution.error = " ".join(filter(None, (described.get("error"), executions.reason(described.get("cause")))))
    return execution


def about(text: str | None, name: str | None = None) -> tuple[str, str]:
    """Return what an execution's input refers to, and the ETag of the upload that started it, empty if no upload did."""
    try:
        found = executions.parse_text(text, name)
    except InputError:
        return UNKNOWN_INPUT, ""
    return found.source, found.etag if isinstance(found, executions.Upload) else ""


def all_ended(uploads: Sequence[Upload] = ()) -> Callable[[Watcher], bool]:
    """Return a condition for `Watcher.changes`: each upload has an execution that ended, and none is running."""
    wanted = Counter((unquote_plus(upload.key), upload.etag) for upload in uploads)

    def ended(seen: Watcher) -> bool:
        found = Counter((one.source, one.etag) for one in seen.executions.values() if one.ended)
        return all(one.ended for one in seen.executions.values()) and wanted <= found

    return ended


def each_ended(arns: Collection[str]) -> Callable[[Watcher], bool]:
    """Return a condition for `Watcher.changes`: each of these executions has ended."""
    return lambda seen: all(arn in seen.executions and seen.executions[arn].ended for arn in arns)
