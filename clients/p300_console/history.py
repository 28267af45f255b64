"""Turn an execution's events into visits to states: when, how many attempts, with what input, output and error."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

SUCCEEDED, RUNNING, FAILED, CAUGHT, TIMED_OUT, ABORTED = (
    "SUCCEEDED", "RUNNING", "FAILED", "CAUGHT", "TIMED_OUT", "ABORTED"
)  # fmt: skip
# If a state was visited several times, as by the items of a Map, the graph shows the visit that needs attention most.
_WORST_FIRST = (RUNNING, FAILED, TIMED_OUT, ABORTED, CAUGHT, SUCCEEDED)
_TROUBLE = ("Failed", "TimedOut")


@dataclass
class Attempt:
    """One attempt at a task.

    Attributes
    ----------
    function : str
        Name of the Lambda function that it calls; empty for other services.
    resource : str
        What it calls, such as ``lambda invoke``.
    waited_for : bool
        Whether the task waits for the function to end; otherwise the function runs asynchronously.
    """

    number: int
    started: datetime
    ended: datetime | None = None
    status: str = RUNNING
    function: str = ""
    resource: str = ""
    parameters: str = ""
    error: str = ""
    cause: str = ""
    waited_for: bool = True


@dataclass
class Visit:
    """One visit to a state.

    Attributes
    ----------
    number : int
        ID of the event that entered it: unique in its execution.
    item : tuple of (int, int) or None
        For a state inside a Map: number of the visit to the Map, and the item's index.
    after : str or None
        Name of the state before it.
    """

    number: int
    name: str
    kind: str
    entered: datetime
    input: str = ""
    exited: datetime | None = None
    output: str = ""
    status: str = RUNNING
    error: str = ""
    cause: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    item: tuple[int, int] | None = None
    after: str | None = None
    map_run: str = ""

    @property
    def retries(self) -> int:
        """Attempts after the first."""
        return max(0, len(self.attempts) - 1)


def visits(events: Iterable[dict[str, Any]], status: str) -> list[Visit]:
    """Return an execution's visits in the order in which they began.

    Parameters
    ----------
    events : iterable of dict
        As `get_execution_history` returns them, oldest first.
    status : str
        Status of the execution, which is also that of a state that was never left.
    """
    found: list[Visit] = []
    # An event belongs to the same visit as the event that precedes it; with parallel branches that is not the one listed before it.
    belongs: dict[int, tuple[Visit | None, tuple[int, int] | None]] = {}
    for event in events:
        visit, item = belongs.get(event["previousEventId"], (None, None))
        kind, details = event["type"], _details(event)
        if kind.endswith("StateEntered"):
            visit = Visit(
                event["id"],
                details.get("name", ""),
                kind.removesuffix("StateEntered"),
                event["timestamp"],
                input=details.get("input", ""),
                item=item,
                after=visit.name if visit and visit.exited else None,
            )
            found.append(visit)
        elif kind.endswith("StateExited"):
            visit = _left(found, details.get("name", ""), item) or visit
            if visit:
                visit.exited, visit.output = event["timestamp"], details.get("output", "")
                visit.status = CAUGHT if visit.error else SUCCEEDED
                item = visit.item
        elif kind == "MapIterationStarted" and visit:
            item = (visit.number, int(details.get("index", 0)))
        elif kind.startswith("MapIteration") and item:
            if not kind.endswith("Succeeded"):
                inside = [one for one in found if one.item == item]
                _ended(inside, details, event["timestamp"], ABORTED if kind.endswith("Aborted") else FAILED)
            visit = next((one for one in found if one.number == item[0]), None)
            item = visit.item if visit else None
        elif visit:
            _happened(visit, kind, details, event["timestamp"])
        if kind.startswith("Execution") and kind != "ExecutionStarted":
            _ended(found, details, event["timestamp"], status)
        belongs[event["id"]] = visit, item
    return found


def _details(event: dict[str, Any]) -> dict[str, Any]:
    return next((value for name, value in event.items() if name.endswith("Details") and isinstance(value, dict)), {})


def _left(found: Sequence[Visit], name: str, item: tuple[int, int] | None) -> Visit | None:
    named = [visit for visit in found if visit.name == name and visit.exited is None]
    inside = [visit for visit in named if visit.item == item]
    return next(reversed(inside or named), None)


def _happened(visit: Visit, kind: str, details: dict[str, Any], at: datetime) -> None:
    """Record an event between entering and leaving a state."""
    if kind in {"TaskScheduled", "LambdaFunctionScheduled", "ActivityScheduled"}:
        resource = " ".join(filter(None, (details.get("resourceType", ""), details.get("resource", ""))))
        parameters = details.get("parameters") or details.get("input") or ""
        visit.attempts.append(
            Attempt(
                len(visit.attempts) + 1,
                at,
                function=_function(details, parameters),
                resource=resource,
                parameters=parameters,
                waited_for='"InvocationType": "Event"' not in parameters
                and '"InvocationType":"Event"' not in parameters,
            )
        )
    elif kind == "MapRunStarted":
        visit.map_run = details.get("mapRunArn", "")
    elif kind.endswith(_TROUBLE) and not kind.startswith("Execution"):
        visit.error, visit.cause = details.get("error", ""), details.get("cause", "")
        if visit.attempts and visit.attempts[-1].ended is None:
            last = visit.attempts[-1]
            last.ended, last.error, last.cause = at, visit.error, visit.cause
            last.status = TIMED_OUT if kind.endswith("TimedOut") else FAILED
    elif kind.endswith("Succeeded") and visit.attempts and visit.attempts[-1].ended is None:
        visit.attempts[-1].ended, visit.attempts[-1].status = at, SUCCEEDED
        visit.error = visit.cause = ""  # a retry made good what the try before it met


def _function(details: dict[str, Any], parameters: str) -> str:
    resource = str(details.get("resource", ""))
    if ":function:" in resource:
        return resource.partition(":function:")[2].partition(":")[0]
    if details.get("resourceType") != "lambda":
        return ""
    try:
        name = str(json.loads(parameters)["FunctionName"])
    except (ValueError, KeyError, TypeError):
        return ""
    return name.partition(":function:")[2].partition(":")[0] or name.partition(":")[0]


def _ended(found: Sequence[Visit], details: dict[str, Any], at: datetime, status: str) -> None:
    for visit in found:
        if visit.exited is None:
            visit.exited, visit.status = at, status
            visit.error = visit.error or details.get("error", "")
            visit.cause = visit.cause or details.get("cause", "")


def statuses(found: Iterable[Visit]) -> dict[str, str]:
    """Return the status that the graph shows for each state that was entered."""
    of_state: dict[str, str] = {}
    for visit in found:
        before = of_state.get(visit.name)
        if before is None or visit.item is None:  # in a loop, the last visit counts
            of_state[visit.name] = visit.status
        else:
            of_state[visit.name] = min(before, visit.status, key=_WORST_FIRST.index)
    return of_state


def taken(found: Iterable[Visit]) -> set[tuple[str, str]]:
    """Return the transitions between states that were taken."""
    return {(visit.after, visit.name) for visit in found if visit.after}
