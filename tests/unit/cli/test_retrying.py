"""`p300 retry`: what failed and was not put right is started again, once, under the name of what it goes on with."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.stepfunctions.models import stepfunctions_backends
from p300_cli.main import app
from typer.testing import CliRunner, Result

EVENT = {"id": "7f", "detail": {"object": {"key": "subject_01/run+1.parquet", "etag": "e"}}}
BUCKETS = {"LandingBucketName": "landing", "RawBucketName": "raw", "FeaturesBucketName": "features"}
Command = Callable[..., Result]


class Stack:
    """A pipeline, a backfill and a queue; executions end as they are told to."""

    def __init__(self) -> None:
        self.steps, self.sqs, self.s3 = boto3.client("stepfunctions"), boto3.client("sqs"), boto3.client("s3")
        pass_through = {"StartAt": "S", "States": {"S": {"Type": "Succeed"}}}
        machines = [
            self.steps.create_state_machine(
                name=name, definition=json.dumps(pass_through), roleArn=f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/r"
            )["stateMachineArn"]
            for name in ("p300-pipeline", "p300-backfill")
        ]
        self.queue = self.sqs.create_queue(QueueName="failed")["QueueUrl"]
        self.outputs = {
            "StateMachineArn": machines[0],
            "BackfillStateMachineArn": machines[1],
            "FailedInputsQueueUrl": self.queue,
        }
        for name, bucket in BUCKETS.items():
            self.s3.create_bucket(Bucket=bucket)
            self.outputs[name] = bucket

    def client(self, service: str) -> Any:
        return {"stepfunctions": self.steps, "sqs": self.sqs, "s3": self.s3}[service]

    def executions(self, machine: str = "StateMachineArn") -> list[dict[str, Any]]:
        listed = self.steps.list_executions(stateMachineArn=self.outputs[machine])["executions"]
        return [self.steps.describe_execution(executionArn=entry["executionArn"]) for entry in listed]

    def started_after(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        return [(one["name"], json.loads(one["input"])) for one in self.executions() if one["name"] != name]

    def end(self, arn: str, status: str = "FAILED", error: str = "Runtime.ExitError") -> None:
        for machine in stepfunctions_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].state_machines:
            for execution in machine.executions:
                if execution.execution_arn == arn:
                    execution.status, execution.error, execution.stop_date = status, error, execution.start_date

    def failed(self, name: str, body: dict[str, Any], *, kept: bool = True, error: str = "Runtime.ExitError") -> str:
        arn = str(
            self.steps.start_execution(
                stateMachineArn=self.outputs["StateMachineArn"], name=name, input=json.dumps(body)
            )["executionArn"]
        )
        self.end(arn, error=error)
        if kept:
            cause = json.dumps({"errorMessage": "signal: killed"})
            self.send({"execution": arn, "input": body, "failure": {"Error": error, "Cause": cause}})
        return arn

    def send(self, body: dict[str, Any]) -> None:
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=json.dumps(body))

    def waiting(self) -> int:
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
        return int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])


@pytest.fixture
def stack() -> Iterator[Stack]:
    with mock_aws():
        yield Stack()


@pytest.fixture
def command(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Command:
    target = SimpleNamespace(outputs=stack.outputs, client=stack.client)
    monkeypatch.setattr("p300_cli.target.current", lambda: target)
    monkeypatch.setattr("p300_cli.terminal.out.width", 300)
    return lambda *arguments: CliRunner().invoke(app, ["retry", *arguments])


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
    stack.send({"execution": told["started"], "input": {**EVENT, "retry_of": "first"}, "failure": {"Error": "Last"}})
    (again,) = json.loads(command("--json").stdout)
    assert (again["name"], again["retries"]) == ("first", 1)
    assert again["started"] != told["started"]
    assert {body["retry_of"] for _, body in stack.started_after("first")} == {"first"}
    assert stack.waiting() == 0


def test_what_a_retry_put_right_is_forgotten(stack: Stack, command: Command) -> None:
    arn = stack.failed("first", EVENT)
    (told,) = json.loads(command("--json").stdout)
    stack.end(told["started"], status="SUCCEEDED")
    stack.send({"execution": arn, "input": EVENT, "failure": {"Error": "late"}})
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
