"""Executions started with anything: each ends with an error that says what was expected, and nothing that lists them minds."""

import json
from typing import Any

import pytest
from p300_pipeline.executions import EXPECTED, UNKNOWN_INPUT

from tests.support.executions import ODD
from tests.support.localstack import Stack, console, enter, get, run_p300, wait_for

pytestmark = pytest.mark.localstack
DEEP, TOO_DEEP = (json.loads('{"a":' * depth + "1" + "}" * depth) for depth in (100, 900))
"""LocalStack's own state machine cannot hold the second; it refuses to start what is deeper still."""
ENDED = {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}


def ended(stack: Stack, machine: str, inputs: list[Any]) -> dict[str, dict[str, Any]]:
    """Start an execution with each input; return their descriptions by name once all have ended."""
    client = stack.target.client("stepfunctions")
    arns = [
        client.start_execution(stateMachineArn=stack.outputs[machine], input=json.dumps(value))["executionArn"]
        for value in inputs
    ]

    def look() -> dict[str, dict[str, Any]] | None:
        found = [client.describe_execution(executionArn=arn) for arn in arns]
        return {one["name"]: one for one in found} if all(one["status"] in ENDED for one in found) else None

    return wait_for(look, f"{len(arns)} executions of odd input")


def test_odd_input_fails_clearly_is_listed_and_stops_nothing(stack: Stack) -> None:
    foreign = {"detail": {"bucket": {"name": "foreign"}, "object": {"key": "subject_01/a.csv", "etag": "e"}}}
    found = ended(stack, "StateMachineArn", [*ODD, foreign, DEEP, {"train": DEEP}, TOO_DEEP])
    for name, one in found.items():
        if one["status"] == "FAILED" and "RecursionError" in one["cause"]:
            assert one["input"].count("{") > 500
            continue
        told = (name, one["input"][:200], one.get("cause"))
        assert (one["status"], one.get("error")) == ("FAILED", "InputError"), told
        assert "xpected" in one["cause"], told
    listed = {one["name"]: one for one in json.loads(run_p300("retry", "--list", "--json").stdout)}
    assert listed.keys() >= found.keys()
    unknown = [name for name in found if listed[name]["source"] == UNKNOWN_INPUT]
    assert len(unknown) >= len(ODD), "the event of another bucket is an event"
    assert EXPECTED in listed[unknown[0]]["left_because"]
    started = [one for one in json.loads(run_p300("retry", "--json").stdout) if one["name"] in found and one["started"]]
    assert started == []
    refused = run_p300("retry", unknown[0], check=False)
    assert refused.returncode == 1
    assert "--drop" in refused.stderr
    run_p300("retry", *unknown, "--drop")
    watched = run_p300("watch", "--all", check=False, COLUMNS="300")
    assert watched.returncode == 1
    assert watched.stdout.count(UNKNOWN_INPUT) >= len(unknown)
    with console() as address:
        base, cookie = enter(address)
        status, page, _ = get(f"{base}/executions?status=FAILED", cookie)
        assert status == 200
        assert UNKNOWN_INPUT in page
        for one in list(found.values())[:: len(found) // 6]:
            assert get(f"{base}/execution?arn={one['executionArn']}", cookie)[0] == 200


def test_a_backfill_takes_no_input(stack: Stack) -> None:
    for name, one in ended(stack, "BackfillStateMachineArn", [[], {"keys": []}, "x"]).items():
        assert (one["status"], one.get("error")) == ("FAILED", "InputError"), (name, one.get("cause"))
        assert "p300 backfill" in one["cause"]
    (done,) = ended(stack, "BackfillStateMachineArn", [{}]).values()
    assert done["status"] == "SUCCEEDED"
