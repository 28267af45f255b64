"""Follow executions of the state machine while they run: each recording, each state."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from p300_cli.terminal import err, escape, note
from p300_pipeline import executions
from p300_pipeline.errors import InputError
from p300_pipeline.executions import UNKNOWN_INPUT
from rich.live import Live
from rich.table import Table

from p300_client.landing import Upload
from p300_client.target import Target

POLL_S = 0.4
MARKS = {"SUCCEEDED": "[green]✔[/green]", "RUNNING": "[cyan]…[/cyan]"}
ENDED = {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}


@dataclass
class Execution:
    """One execution as it is seen from outside."""

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
        """Whether it will not change any more."""
        return self.status in ENDED

    @property
    def seconds(self) -> float:
        """How long it ran, or has run."""
        end = self.stopped or datetime.now(self.started.tzinfo)
        return (end - self.started).total_seconds()

    @property
    def outcome(self) -> str:
        """What came of it, in words."""
        output = self.output
        match output.get("outcome"):
            case "features":
                return "features"
            case "model":
                made = "features, " if output.get("recording") else ""  # nothing else than a model was asked for
                return f"{made}model {_field(output, 'training', 'version')} {_field(output, 'promotion', 'outcome')}"
            case "quarantined" | "incomplete" | "unreadable" as stuck:
                return f"{stuck}: {output.get('detail') or _field(output, 'reason', 'message')}"
            case "unchanged" if "version" in output:
                return f"no new model: {output.get('why', '')}"
            case None:
                return self.error or self.status.lower()
            case other:
                return str(other)


def _field(output: dict[str, Any], part: str, name: str) -> str:
    found = output.get(part)
    return str(found.get(name, "")) if isinstance(found, dict) else ""


class Watcher:
    """Executions of the pipeline since a moment.

    Parameters
    ----------
    target : Target
        Where they run.
    since : datetime
        Executions that started before are not looked at.
    """

    def __init__(self, target: Target, since: datetime) -> None:
        self._client = target.client("stepfunctions")
        self._machine = target.outputs["StateMachineArn"]
        self._since = since
        self.executions: dict[str, Execution] = {}

    def refresh(self) -> None:
        """Ask for new executions and for the state of those that run."""
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

    def _first_look(self, entry: dict[str, Any]) -> Execution | None:
        try:
            execution = from_description(self._client.describe_execution(executionArn=entry["executionArn"]))
        except self._client.exceptions.ExecutionDoesNotExist:  # gone since it was listed
            return None
        execution.status = "RUNNING"  # until it is looked at
        return execution

    def _look(self, execution: Execution) -> None:
        try:
            now = from_description(self._client.describe_execution(executionArn=execution.arn))
        except self._client.exceptions.ExecutionDoesNotExist:
            execution.status, execution.error = "ABORTED", "it is not there any more"
            return
        execution.status, execution.stopped = now.status, now.stopped
        execution.output, execution.error = now.output, now.error
        history = self._client.get_execution_history(executionArn=execution.arn, reverseOrder=True, maxResults=20)
        for event in history["events"]:
            if "stateEnteredEventDetails" in event:
                execution.state = event["stateEnteredEventDetails"]["name"]
                break


def from_description(described: dict[str, Any]) -> Execution:
    """Return an execution as `describe_execution` tells of it."""
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
    """Return what an execution's input is about, and the ETag of the upload that started it, empty where none did."""
    try:
        found = executions.parse_text(text, name)
    except InputError:
        return UNKNOWN_INPUT, ""
    return found.source, found.etag if isinstance(found, executions.Upload) else ""


def follow(
    target: Target,
    since: datetime,
    uploads: Sequence[Upload] = (),
    *,
    until: Callable[[Watcher], bool] | None = None,
    timeout_s: float = 900,
) -> list[Execution]:
    """Show executions until `until` says so: by default until each upload has an execution that ended and none runs."""
    watcher = Watcher(target, since)
    deadline = time.monotonic() + timeout_s

    def all_done(seen: Watcher) -> bool:
        ended = Counter((one.source, one.etag) for one in seen.executions.values() if one.ended)
        wanted = Counter((unquote_plus(upload.key), upload.etag) for upload in uploads)
        return all(one.ended for one in seen.executions.values()) and wanted <= ended

    until = until or all_done
    told: set[str] = set()
    with Live(console=err, refresh_per_second=4, transient=True) as live:
        while True:
            watcher.refresh()
            live.update(_display(watcher, uploads))
            if not err.is_terminal:  # a log file gets one line for each that ended
                for execution in watcher.executions.values():
                    if execution.ended and execution.arn not in told:
                        told.add(execution.arn)
                        note(
                            f"{execution.status.lower()} {execution.source} ({execution.seconds:.1f} s): {execution.outcome}"
                        )
            if until(watcher):
                break
            if time.monotonic() > deadline:
                note(f"gave up following after {timeout_s:.0f} s; the executions go on")
                break
            time.sleep(POLL_S)
    return sorted(watcher.executions.values(), key=lambda execution: execution.started)


def _display(watcher: Watcher, uploads: Sequence[Upload]) -> Table:
    grid = Table.grid(padding=(0, 2))
    executions = sorted(watcher.executions.values(), key=lambda execution: execution.started)
    for execution in executions[-30:]:
        mark = MARKS.get(execution.status, "[red]✘[/red]")
        text = execution.outcome if execution.ended else execution.state
        grid.add_row(mark, escape(execution.source), f"{execution.seconds:5.1f} s", escape(text[:90]))
    waiting = len(uploads) - len([execution for execution in executions if execution.etag])
    if waiting > 0:
        grid.add_row("[dim]·[/dim]", f"[dim]{waiting} not started yet[/dim]", "", "")
    return grid
