"""Executions: the list, one execution with its graph, and the log lines of the functions it called."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from p300_console import graph, history, logs
from p300_console.executions import Row, new_row
from p300_console.history import Visit
from p300_console.logs import LogLine
from p300_console.query import Query
from p300_console.stack import Stack
from p300_console.web import MAX_PAGE, STATUS_WORDS, Console, console, page

MAX_EVENTS = 10_000
MAX_ITEMS = 1000
MAX_VISITS = 50  # to one state, each with its input and output
MAX_KEPT = 64
MACHINES = ("pipeline", "backfill")
STATUSES = tuple(status for status in STATUS_WORDS if status not in {"", "CAUGHT"})


def listing(request: Request) -> Response:
    """Show executions, newest first."""
    query = Query(request, "machine", "status", "subject", "page")
    chosen = {
        "machine": query.choice("machine", MACHINES),
        "status": query.choice("status", STATUSES),
        "subject": query.text("subject"),
    }
    selection = console(request).executions.select(**chosen, page=query.number("page", 1, MAX_PAGE, 1))
    return page(request, "executions", live=True, selection=selection, chosen=chosen, statuses=STATUSES)


# ---- one execution
@dataclass(frozen=True)
class Details:
    """Everything that the page on an execution shows."""

    row: Row
    definition: dict[str, Any]
    visits: list[Visit]
    input: str
    output: str
    error: str
    cause: str
    truncated: bool


@dataclass(frozen=True)
class Item:
    """One item of a distributed Map.

    Attributes
    ----------
    visit : int
        Number of the visit to the Map.
    arn : str
        ARN of its own execution; empty if the service lists none (LocalStack), and it was found in the logs.
    outcome : str
        Its outcome, if that is known without another request.
    """

    name: str
    status: str
    started: datetime | None
    seconds: float | None
    visit: int
    arn: str = ""
    outcome: str = ""


def one(request: Request) -> Response:
    """Show one execution."""
    shared, query = console(request), Query(request, "arn", "state")
    details = details_of(shared, query.text("arn"))
    states = dict(graph.all_states(details.definition))
    drawing, taken = graph.draw(details.definition), history.taken(details.visits)
    chosen = query.text("state")
    of_state = history.statuses(details.visits)
    if chosen not in states:
        chosen = _most_notable(details.visits)
    chosen_visits = [visit for visit in details.visits if visit.name == chosen]
    items = [
        item
        for visit in chosen_visits
        if visit.map_run
        for item in _items(shared.stack, details, visit, states[chosen])
    ]
    counts = next((_map_counts(shared.stack, visit.map_run) for visit in chosen_visits if visit.map_run), {})
    return page(
        request,
        "execution",
        live=not details.row.ended,
        details=details,
        row=details.row,
        drawing=drawing,
        lines=[(line, bool(line.transitions & taken)) for line in drawing.lines],
        statuses=of_state,
        state=chosen,
        definition=json.dumps(states.get(chosen, {}), indent=2, ensure_ascii=False),
        chosen_visits=chosen_visits[:MAX_VISITS],
        n_more=max(0, len(chosen_visits) - MAX_VISITS),
        items=items,
        counts=counts,
        bar=_bar(details.row),
    )


def _most_notable(visits: Sequence[Visit]) -> str:
    for wanted in (history.RUNNING, history.CAUGHT, history.FAILED, history.TIMED_OUT, history.ABORTED):
        for visit in visits:
            if visit.status == wanted:
                return visit.name
    return visits[-1].name if visits else ""


def _bar(row: Row) -> Any:
    """Return bar(from, to): where a bar of the timeline begins and how long it is, in per cent."""
    total = max(row.seconds, 0.001)

    def bar(begin: datetime, end: datetime | None) -> tuple[float, float]:
        start = (begin - row.started).total_seconds()
        stop = (end - row.started).total_seconds() if end else total
        left = min(99.5, max(0.0, 100 * start / total))
        return left, max(0.5, min(100 - left, 100 * (stop - start) / total))

    return bar


def details_of(shared: Console, arn: str) -> Details:
    """Return an execution of the stack's state machines; one that has ended is requested only once."""
    if arn in shared.details:
        return shared.details[arn]
    machine = next((name for name, of in shared.stack.machines.items() if _belongs(arn, of)), None)
    if machine is None:
        raise HTTPException(404, f"This stack has no execution {arn[:200]!r}.")
    details = _read(shared.stack, machine, arn)
    if details.row.ended:
        while len(shared.details) >= MAX_KEPT:
            shared.details.pop(next(iter(shared.details)), None)
        shared.details[arn] = details
    return details


def _belongs(arn: str, machine_arn: str) -> bool:
    executions = machine_arn.replace(":stateMachine:", ":execution:")
    # A child of a distributed Map has the Map's label after a slash.
    return bool(re.fullmatch(re.escape(executions) + r"(/[\w-]+)?:[\w-]+", arn))


def _read(stack: Stack, machine: str, arn: str) -> Details:
    client = stack.client("stepfunctions")
    try:
        described = client.describe_execution(executionArn=arn)
    except client.exceptions.ExecutionDoesNotExist as error:
        raise HTTPException(404, "This execution no longer exists.") from error
    pages = client.get_paginator("get_execution_history").paginate(
        executionArn=arn, PaginationConfig={"PageSize": 1000, "MaxItems": MAX_EVENTS}
    )
    events = [event for part in pages for event in part["events"]]
    row = new_row(machine, described)
    return Details(
        row=row,
        definition=_definition(stack, machine, arn),
        visits=history.visits(events, row.status),
        input=described.get("input", ""),
        output=described.get("output", ""),
        error=described.get("error", ""),
        cause=described.get("cause", ""),
        truncated=len(events) >= MAX_EVENTS,
    )


def _definition(stack: Stack, machine: str, arn: str) -> dict[str, Any]:
    client = stack.client("stepfunctions")
    text = client.describe_state_machine_for_execution(executionArn=arn)["definition"]
    definition: dict[str, Any] = json.loads(text)
    return definition


# ---- items of a distributed Map
def _map_counts(stack: Stack, map_run: str) -> dict[str, int]:
    found = stack.client("stepfunctions").describe_map_run(mapRunArn=map_run)["itemCounts"]
    return {name: found.get(name, 0) for name in ("total", "succeeded", "failed", "running", "pending")}


def _items(stack: Stack, details: Details, visit: Visit, state: dict[str, Any]) -> list[Item]:
    if (
        stack.is_local
    ):  # the community edition lists no children of a Map; the logs of the functions they called show them
        return _items_from_logs(stack, details, visit, state)
    pages = (
        stack.client("stepfunctions")
        .get_paginator("list_executions")
        .paginate(mapRunArn=visit.map_run, PaginationConfig={"PageSize": MAX_ITEMS, "MaxItems": MAX_ITEMS})
    )
    found = []
    for part in pages:
        for entry in part["executions"]:
            stopped = entry.get("stopDate")
            seconds = (stopped - entry["startDate"]).total_seconds() if stopped else None
            found.append(
                Item(entry["name"], entry["status"], entry["startDate"], seconds, visit.number, entry["executionArn"])
            )
    return sorted(found, key=lambda item: (item.started, item.name))


def _items_from_logs(stack: Stack, details: Details, visit: Visit, state: dict[str, Any]) -> list[Item]:
    lines_of: dict[str, list[LogLine]] = {}
    for function in _functions_in(state):
        for line in logs.lines(stack, function, details.row.name, visit.entered, visit.exited):
            if key := line.fields.get("key"):
                lines_of.setdefault(str(key), []).append(line)
    return [
        Item(
            key,
            history.FAILED
            if any(line.fields.get("outcome") in {"failed", "unusable"} for line in lines)
            else history.SUCCEEDED,
            lines[0].at,
            None,
            visit.number,
            outcome=", ".join(f"{line.message}: {line.fields.get('outcome', '')}" for line in lines),
        )
        for key, lines in sorted(lines_of.items())
    ]


def _functions_in(state: dict[str, Any]) -> list[str]:
    found = [_function_of(inner) for part in graph.inner(state) for _, inner in graph.all_states(part)]
    return list(dict.fromkeys(function for function in found if function))


def _item_lines(stack: Stack, details: Details, visit: Visit, key: str) -> dict[str, list[LogLine]]:
    """Return each function's log lines about one item of a Map."""
    state = dict(graph.all_states(details.definition)).get(visit.name, {})
    found = {}
    for function in _functions_in(state):
        lines = logs.lines(stack, function, details.row.name, visit.entered, visit.exited)
        requests = {line.request for line in lines if line.fields.get("key") == key}
        found[function] = [line for line in lines if line.request in requests]
    return found


def _function_of(state: dict[str, Any]) -> str:
    arn = str(state.get("Parameters", {}).get("FunctionName", ""))
    return arn.partition(":function:")[2].partition(":")[0]


# ---- logs
def log_lines(request: Request) -> Response:
    """Show the log lines of one invocation, or of all invocations of a state."""
    shared, query = console(request), Query(request, "arn", "visit", "attempt", "item")
    details = details_of(shared, query.text("arn"))
    number, attempt = query.text("visit"), query.text("attempt")
    visit = next((one for one in details.visits if str(one.number) == number), None)
    if visit is None:
        raise HTTPException(404, "This execution has no such visit to a state.")
    if item := query.text("item"):
        parts = list(_item_lines(shared.stack, details, visit, item).items())
    else:
        parts = [
            (
                f"{one.function}, attempt {one.number}" if visit.retries else one.function,
                logs.lines(
                    shared.stack, one.function, details.row.name, one.started, one.ended if one.waited_for else None
                ),
            )
            for one in visit.attempts
            if one.function and attempt in {"", str(one.number)}
        ]
    return page(request, "logs", live=not details.row.ended, row=details.row, visit=visit, item=item, parts=parts)
