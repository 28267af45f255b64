"""Storage that answers badly, clocks that jump, a full disk, events that come twice and in any order."""

import json
import random
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.faults import FULL, Faults, Landed, check, check_models, etag, finish, settle, small, train
from tests.support.localstack import Stack, run_p300

pytestmark = pytest.mark.localstack
Count = Callable[[str, int], None]
N = 12 if FULL else 2


def key(number: int) -> str:
    return f"subject_{number}/run_01.parquet"


def land_all_kinds(landed: Landed, first: int, n: int = N) -> None:
    """Land recordings, some of them again with a change, and what is none."""
    for number in range(first, first + n):
        landed.put(key(number), small(number))
    for number in range(first, first + n, 3):
        landed.put(key(number), small(1000 + number))
    landed.put(f"subject_{first}/cut.parquet", small(2000 + first)[:5000])
    landed.put(f"nowhere_{first}.txt", f"hello {first}".encode())


def test_a_fifth_of_all_calls_to_storage_fails(stack: Stack, faults: Faults, count: Count) -> None:
    landed = Landed(stack)
    faults.add("a fifth", "", kind="storage", rate=0.2)
    land_all_kinds(landed, 401, max(N, 4))  # enough calls for every kind of trouble
    settle(stack)
    for seed in range(3 if FULL else 1):
        train(stack, f"in-trouble-{seed}", {"seed": 400 + seed})
    settle(stack)
    check_models(stack)
    faults.clear()
    run_p300("retry", "--wait")  # four attempts in a row may have failed: nobody has to look for what did
    finish(stack, landed)
    check(stack, landed)
    kinds = Counter(line["kind"] for line in faults.noted("troubles"))
    assert set(kinds) == {"500", "503", "reset", "timeout", "answer lost", "cut"}
    for kind, number in kinds.items():
        count(f"S3 calls that failed: {kind}", number)


def test_clocks_that_jump(stack: Stack, faults: Faults, count: Count) -> None:
    landed = Landed(stack)
    faults.add("jumping", "", kind="clock")
    land_all_kinds(landed, 501)
    finish(stack, landed)
    assert train(stack, "another-time", {"seed": 500})["status"] == "SUCCEEDED"
    check(stack, landed)
    jumps = faults.noted("jumps")
    assert {line["function"] for line in jumps} >= {"ingestion", "preprocessing", "training", "tracking"}
    count("invocations whose clock had jumped", len(jumps))


def test_a_full_disk(stack: Stack, faults: Faults, count: Count) -> None:
    landed = Landed(stack)
    for number, function in ((601, "ingestion"), (602, "preprocessing")):
        faults.add(f"full for {function}", function, f'"{etag(small(number))}"', kind="disk", bytes=4096)
        landed.put(key(number), small(number))
    finish(stack, landed)
    for function in ("training", "tracking"):
        faults.add(f"full for {function}", function, '"full"', kind="disk", bytes=4096)
    assert train(stack, "full", {"seed": 600})["status"] == "SUCCEEDED"
    check(stack, landed)
    assert faults.fired() >= {rule["id"] for rule in faults.rules}
    count("full disks", len(faults.rules))


def test_events_that_come_twice_late_and_in_any_order(stack: Stack, count: Count) -> None:
    landed = Landed(stack)
    land_all_kinds(landed, 701)
    finish(stack, landed)
    steps, machine = stack.target.client("stepfunctions"), stack.outputs["StateMachineArn"]
    inputs = [
        steps.describe_execution(executionArn=entry["executionArn"])["input"]
        for page in steps.get_paginator("list_executions").paginate(stateMachineArn=machine)
        for entry in page["executions"]
    ]
    events = [event for event in inputs if any(f'"{name}"' in event for name in landed.bodies)]
    assert len(events) >= sum(map(len, landed.bodies.values()))
    stack.wait_for_reports("subject_70")
    before = {
        name: stack.s3.head_object(Bucket=stack.features, Key=name)["ETag"] for name in stack.keys(stack.features)
    }
    events *= 2
    random.Random(0).shuffle(events)  # noqa: S311
    changed = [key(number) for number in range(701, 701 + N, 2)]
    for number, event in enumerate(events):  # old events while changed recordings come under the same keys
        steps.start_execution(stateMachineArn=machine, input=json.dumps(json.loads(event)))
        if number < len(changed):
            landed.put(changed[number], small(3000 + number))
    finish(stack, landed)
    check(stack, landed)
    untouched = {
        name
        for name in before
        if name.startswith("subject_70") and f"{name.partition('/')[0]}/run_01.parquet" not in changed
    }
    after = {name: stack.s3.head_object(Bucket=stack.features, Key=name)["ETag"] for name in untouched}
    assert after == {name: before[name] for name in untouched}
    count("events that came again", len(events))
