"""Events to visits, definitions to drawings."""

import json
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from p300_console import graph
from p300_console.history import statuses, taken, visits

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:p300-training"


def events(*told: tuple[int, str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a history from (previous event, type, details): event 1 is the first, each a second after the one before."""
    return [
        {
            "id": number,
            "previousEventId": previous,
            "type": kind,
            "timestamp": BEGAN + timedelta(seconds=number),
            "someEventDetails": details,
        }
        for number, (previous, kind, details) in enumerate(told, start=1)
    ]


def call(previous: int, *outcomes: str) -> list[tuple[int, str, dict[str, Any]]]:
    """Return the events of a task's tries."""
    told: list[tuple[int, str, dict[str, Any]]] = []
    for outcome in outcomes:
        details = {"resourceType": "lambda", "resource": "invoke", "parameters": json.dumps({"FunctionName": FUNCTION})}
        told.append((previous, "TaskScheduled", details))
        told.append((previous + 1, "TaskStarted", {}))
        error = {} if outcome == "TaskSucceeded" else {"error": "Oops", "cause": f"try after {previous}"}
        told.append((previous + 2, outcome, error))
        previous += 3
    return told


def test_a_task_that_is_retried_and_then_caught() -> None:
    found = visits(
        events(
            (0, "ExecutionStarted", {"input": "{}"}),
            (0, "TaskStateEntered", {"name": "Train", "input": '{"a": 1}'}),
            *call(2, "TaskFailed", "TaskTimedOut"),
            (8, "TaskStateExited", {"name": "Train", "output": "{}"}),
            (9, "FailStateEntered", {"name": "Failed", "input": "{}"}),
            (10, "ExecutionFailed", {"error": "Oops", "cause": "whole"}),
        ),
        "FAILED",
    )
    train, failed = found
    assert (train.status, train.retries, train.error) == ("CAUGHT", 1, "Oops")
    assert [(one.status, one.function) for one in train.attempts] == [
        ("FAILED", "p300-training"),
        ("TIMED_OUT", "p300-training"),
    ]
    assert train.attempts[0].cause == "try after 2"
    assert (failed.status, failed.error, failed.cause) == ("FAILED", "Oops", "whole")
    assert taken(found) == {("Train", "Failed")}
    assert statuses(found) == {"Train": "CAUGHT", "Failed": "FAILED"}


def test_a_retry_that_makes_good_and_a_state_that_still_runs() -> None:
    done, running = visits(
        events(
            (0, "ExecutionStarted", {}),
            (0, "TaskStateEntered", {"name": "A"}),
            *call(2, "TaskFailed", "TaskSucceeded"),
            (8, "TaskStateExited", {"name": "A", "output": "1"}),
            (9, "TaskStateEntered", {"name": "B"}),
            (10, "TaskScheduled", {"resourceType": "sns", "resource": "publish", "parameters": "{}"}),
        ),
        "RUNNING",
    )
    assert (done.status, done.retries, done.error) == ("SUCCEEDED", 1, "")
    assert (running.status, running.exited, running.attempts[0].status) == ("RUNNING", None, "RUNNING")
    assert running.attempts[0].function == ""


def test_items_of_a_map_that_run_at_once_are_told_apart() -> None:
    found = visits(
        events(
            (0, "ExecutionStarted", {}),
            (0, "MapStateEntered", {"name": "All"}),
            (2, "MapStateStarted", {"length": 2}),
            (3, "MapIterationStarted", {"name": "All", "index": 0}),
            (3, "MapIterationStarted", {"name": "All", "index": 1}),
            (4, "PassStateEntered", {"name": "One", "input": "a"}),
            (5, "PassStateEntered", {"name": "One", "input": "b"}),
            (7, "PassStateExited", {"name": "One", "output": "B"}),
            (8, "MapIterationSucceeded", {"name": "All", "index": 1}),
            (6, "MapIterationFailed", {"name": "All", "index": 0}),
            (10, "MapStateExited", {"name": "All", "output": "[]"}),
            (11, "SucceedStateEntered", {"name": "End"}),
            (12, "SucceedStateExited", {"name": "End"}),
            (13, "ExecutionSucceeded", {}),
        ),
        "SUCCEEDED",
    )
    everything, first, second, end = found
    assert (first.input, first.status, first.item) == ("a", "FAILED", (2, 0))
    assert (second.input, second.output, second.status, second.item) == ("b", "B", "SUCCEEDED", (2, 1))
    assert (everything.status, everything.item, end.item) == ("SUCCEEDED", None, None)
    assert statuses(found)["One"] == "FAILED"
    assert ("All", "End") in taken(found)


# ---- drawings
def definition(name: str) -> dict[str, Any]:
    machine: dict[str, Any] = yaml.safe_load(
        (Path(__file__).parents[3] / "statemachine" / f"{name}.asl.yaml").read_text()
    )
    return machine


def apart(a: graph.Node, b: graph.Node) -> bool:
    return a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y


def inside(a: graph.Node, b: graph.Node) -> bool:
    return b.x <= a.x and b.y <= a.y and a.x + a.width <= b.x + b.width and a.y + a.height <= b.y + b.height


def check(machine: dict[str, Any]) -> graph.Drawing:
    drawing = graph.draw(machine)
    assert {node.name for node in drawing.nodes} == {name for name, _ in graph.all_states(machine)}
    for a, b in combinations(drawing.nodes, 2):
        assert apart(a, b) or (b.box and inside(a, b)) or (a.box and inside(b, a)), (a, b)
    for node in drawing.nodes:
        assert 0 <= node.x <= node.x + node.width <= drawing.width + 0.2
        assert 0 <= node.y <= node.y + node.height <= drawing.height + 0.2
    return drawing


@pytest.mark.parametrize("name", ["pipeline", "backfill"])
def test_the_stacks_machines_are_drawn_whole(name: str) -> None:
    machine = definition(name)
    drawing = check(machine)
    place = {node.name: node for node in drawing.nodes}
    drawn = {way for line in drawing.lines for way in line.transitions}
    backwards = set()
    for part in [machine, *(part for state in machine["States"].values() for part in graph.inner(state))]:
        for transition in graph.transitions(part["States"]):
            assert (transition.source, transition.target) in drawn
            if place[transition.source].y >= place[transition.target].y:
                backwards.add((transition.source, transition.target))
    waits = {("Wait for other files", "Ingest"), ("Wait for more recordings", "Count new recordings")}
    loops = {"pipeline": waits | {("Finish the training", "Is there a new model?")}}
    assert backwards == loops.get(name, set())


def test_a_line_through_several_layers_has_no_gap() -> None:
    drawing = check(definition("pipeline"))
    for way in {way for line in drawing.lines for way in line.transitions}:
        paths = [line.path.split() for line in drawing.lines if way in line.transitions]
        begins, ends = ({tuple(path[at]) for path in paths} for at in (slice(1, 3), slice(-2, None)))
        # Where one piece ends another begins, but at the two states.
        assert len(begins - ends) == len(ends - begins) == 1, way


@settings(deadline=None)
@given(
    st.integers(1, 9).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=16))
    )
)
def test_any_machine_is_drawn(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    n, arrows = drawn
    machine: dict[str, Any] = {"StartAt": "0", "States": {str(k): {"Type": "Choice", "Choices": []} for k in range(n)}}
    for a, b in arrows:
        machine["States"][str(a)]["Choices"].append({"Next": str(b)})
    drawing = check(machine)
    assert {way for line in drawing.lines for way in line.transitions} == {
        (str(a), str(b)) for a, b in arrows if a != b
    }


def test_places_keep_order_and_distance() -> None:
    placed = graph._spaced([5.0, 0.0, 100.0], [1.0, 1.0, 1.0], [10.0, 20.0, 10.0])
    for (a, width), (b, other) in pairwise(zip(placed, (10.0, 20.0, 10.0), strict=True)):
        assert b - a >= (width + other) / 2 + graph.GAP_PX - 1e-9
