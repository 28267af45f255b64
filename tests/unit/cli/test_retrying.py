"""`p300 retry`: what failed and was not put right is started again, once, under the name of what it goes on with."""

import json
from collections.abc import Iterator

import pytest
from moto import mock_aws

from tests.support.retrying import Command, Stack, command_on

EVENT = {"id": "7f", "detail": {"object": {"key": "subject_01/run+1.parquet", "etag": "e"}}}


@pytest.fixture
def stack() -> Iterator[Stack]:
    with mock_aws():
        yield Stack()


@pytest.fixture
def command(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Command:
    return command_on(stack, monkeypatch)


def test_a_failed_execution_goes_on_under_its_own_name_and_leaves_the_queue(stack: Stack, command: Command) -> None:
    stack.failed("first", EVENT)
    (told,) = json.loads(command("--json").stdout)
    assert (told["name"], told["source"], told["retries"]) == ("first", "subject_01/run 1.parquet", 0)
    assert "signal: killed" in told["error"]
    ((name, body),) = stack.started_after("first")
    assert told["started"].endswith(name)
    assert body == {**EVENT, "retry_of": "first"}
    assert stack.waiting() == 0
    assert json.loads(command("--json").stdout) == []  # the retry runs
    assert len(stack.executions()) == 2


def test_a_retry_that_failed_is_retried_as_the_first_was(stack: Stack, command: Command) -> None:
    stack.failed("first", EVENT, kept=False)
    (told,) = json.loads(command("--json").stdout)
    stack.end(told["started"], error="Sandbox.Timedout")
    stack.keep(told["started"], {**EVENT, "retry_of": "first"}, error="Last")
    (again,) = json.loads(command("--json").stdout)
    assert (again["name"], again["retries"]) == ("first", 1)
    assert again["started"] != told["started"]
    assert {body["retry_of"] for _, body in stack.started_after("first")} == {"first"}
    assert stack.waiting() == 0


def test_what_a_retry_put_right_is_forgotten(stack: Stack, command: Command) -> None:
    arn = stack.failed("first", EVENT)
    (told,) = json.loads(command("--json").stdout)
    stack.end(told["started"], status="SUCCEEDED")
    stack.keep(arn, EVENT, error="late")
    assert "nothing that failed is waiting" in command().stderr
    assert stack.waiting() == 0


def test_list_starts_nothing_and_gives_the_messages_back(stack: Stack, command: Command) -> None:
    stack.failed("first", EVENT)
    done = command("--list")
    assert "subject_01/run 1.parquet" in done.stdout
    assert "waits" in done.stdout
    assert len(stack.executions()) == 1
    assert len(stack.sqs.receive_message(QueueUrl=stack.queue).get("Messages", [])) == 1


def test_requests_that_cannot_be_met_and_what_was_stopped_want_to_be_named(stack: Stack, command: Command) -> None:
    stack.failed("hopeless", {"train": {"subjects": ["subject_99"]}}, error="TrainingError")
    stack.end(stack.failed("stopped", EVENT, kept=False), status="ABORTED")
    told = {one["name"]: one for one in json.loads(command("--json").stdout)}
    assert told.keys() == {"hopeless", "stopped"}
    assert all(one["left_because"] and not one["started"] for one in told.values())
    assert told["hopeless"]["source"] == "training request"
    assert json.loads(command("hopeless", "--json").stdout)[0]["started"]
    assert json.loads(command("subject_01/run 1.parquet", "--json").stdout)[0]["started"]


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_an_execution_that_eventbridge_reports_twice_is_started_once(
    stack: Stack, command: Command, status: str
) -> None:
    error = "Runtime.ExitError" if status == "FAILED" else None
    arn = stack.failed("first", EVENT, error=error, status=status)
    stack.keep(arn, EVENT, error=error, status=status)
    assert stack.waiting() == 2
    (told,) = json.loads(command("first", "--json").stdout)
    assert told["started"]
    assert len(stack.started_after("first")) == 1
    assert stack.waiting() == 0
    stack.keep(arn, EVENT, error=error, status=status)  # once more, late
    assert json.loads(command("--json").stdout) == []
    assert (len(stack.started_after("first")), stack.waiting()) == (1, 0)


def test_what_somebody_stopped_wants_to_be_named_however_it_is_learned(stack: Stack, command: Command) -> None:
    stack.failed("stopped", EVENT, error=None, status="ABORTED")
    backfill = stack.outputs["BackfillStateMachineArn"].replace(":stateMachine:", ":execution:") + ":b"
    stack.keep(backfill, {}, error=None, status="ABORTED")
    told = json.loads(command("--json").stdout)
    assert {one["name"]: one["error"] for one in told} == {"stopped": "aborted", "backfill": "aborted"}
    assert all("aborted" in one["left_because"] and not one["started"] for one in told)
    assert stack.waiting() == 2


def test_an_input_too_large_for_its_event_is_taken_from_the_execution(
    stack: Stack, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p300_client.retrying.DAYS", 0)  # too old to be listed: only the queue tells of it
    arn = stack.failed("first", EVENT, kept=False)
    stack.keep(arn, None)
    stack.keep(arn.replace("first", "gone"), None)
    told = {one["name"]: one for one in json.loads(command("--json").stdout)}
    assert told["first"]["started"]
    assert stack.started_after("first")[0][1] == {**EVENT, "retry_of": "first"}
    assert "too large" in told["gone"]["left_because"]
    assert stack.waiting() == 1


def test_a_backfill_that_failed_as_a_whole_is_started_again(stack: Stack, command: Command) -> None:
    arn = stack.outputs["BackfillStateMachineArn"].replace(":stateMachine:", ":execution:") + ":b"
    stack.keep(arn, {})
    assert json.loads(command("--json").stdout)[0]["started"]
    assert len(stack.executions("BackfillStateMachineArn")) == 1
    assert stack.waiting() == 0


def test_what_was_redriven_and_went_well_is_forgotten(stack: Stack, command: Command) -> None:
    arn = stack.failed("first", EVENT)
    stack.end(arn, status="SUCCEEDED")
    assert json.loads(command("--json").stdout) == []
    assert stack.waiting() == 0


def test_an_event_that_started_nothing_is_started_once(stack: Stack, command: Command) -> None:
    stack.send(EVENT)
    assert json.loads(command("--json").stdout)[0]["name"] == "event-7f"
    assert stack.started_after("") == [("event-7f", EVENT)]
    stack.send(EVENT)  # told twice
    assert json.loads(command("--json").stdout) == []
    assert stack.waiting() == 0
    stack.end(stack.executions()[0]["executionArn"])
    assert json.loads(command("--json").stdout)[0]["started"]
    assert [body.get("retry_of") for _, body in stack.started_after("event-7f")] == ["event-7f"]


def test_failed_recordings_of_a_backfill_start_one_backfill(stack: Stack, command: Command) -> None:
    child = stack.outputs["BackfillStateMachineArn"].replace(":stateMachine:", ":execution:") + "/Map:1"
    for key in ("subject_01/a.csv", "subject_02/b.csv"):
        stack.send({"execution": child, "input": key, "failure": {"Error": "Sandbox.Timedout"}})
    assert len(json.loads(command("--json").stdout)) == 1
    assert len(stack.executions("BackfillStateMachineArn")) == 1
    assert stack.executions() == []
    assert stack.waiting() == 0


def test_drop_empties_the_queue_of_what_is_named(stack: Stack, command: Command) -> None:
    stack.failed("first", EVENT)
    assert command("--drop").exit_code == 2
    assert command("first", "--drop").exit_code == 0
    assert stack.waiting() == 0
    assert len(stack.executions()) == 1


def test_an_unknown_name_is_refused(stack: Stack, command: Command) -> None:
    stack.failed("first", EVENT)
    done = command("second")
    assert done.exit_code == 1
    assert "second" in done.stderr
    assert len(stack.executions()) == 1


def test_recordings_whose_events_were_lost_are_started(stack: Stack, command: Command) -> None:
    def put(bucket: str, key: str, **metadata: str) -> str:
        return str(stack.s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata=metadata)["ETag"].strip('"'))

    landed = put("landing", "subject_01/landed.csv")
    put("landing", "subject_01/run 1.parquet")  # its execution failed: it is started again as that one
    stack.failed("first", EVENT)
    put("raw", "subject_02/bare.csv", **{"landing-etag": "a"})
    put("raw", "subject_02/replaced.csv", **{"landing-etag": "b"})
    put("features", "subject_02/replaced/features.parquet", **{"raw-etag": "of the one before"})
    done = put("raw", "subject_02/done.csv", **{"landing-etag": "c"})
    put("features", "subject_02/done/features.parquet", **{"raw-etag": done})
    put("raw", "quarantine/x/subject_03/bad.csv")
    told = command("--unfinished")
    assert "3 recordings were not finished" in told.stderr
    objects = [body["detail"]["object"] for _, body in stack.started_after("first")]
    assert {(one["key"], one["etag"]) for one in objects} == {
        ("subject_01/landed.csv", landed),
        ("subject_01/run+1.parquet", "e"),
        ("subject_02/bare.csv", "a"),
        ("subject_02/replaced.csv", "b"),
    }
    assert command("--unfinished", "--list").exit_code == 2
