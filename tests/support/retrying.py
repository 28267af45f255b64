"""A pipeline whose executions end as they are told to, and `p300 retry` on it."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.stepfunctions.models import stepfunctions_backends
from p300_cli.main import app
from typer.testing import CliRunner, Result

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

    def executions(self, machine: str = "StateMachineArn") -> list[Any]:
        listed = self.steps.list_executions(stateMachineArn=self.outputs[machine])["executions"]
        return [self.steps.describe_execution(executionArn=entry["executionArn"]) for entry in listed]

    def started_after(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        return [(one["name"], json.loads(one["input"])) for one in self.executions() if one["name"] != name]

    def end(self, arn: str, status: str = "FAILED", error: str | None = "Runtime.ExitError") -> None:
        for machine in stepfunctions_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].state_machines:
            for execution in machine.executions:
                if execution.execution_arn == arn:
                    execution.status, execution.error, execution.stop_date = status, error, execution.start_date

    def failed(
        self,
        name: str,
        body: dict[str, Any],
        *,
        kept: bool = True,
        error: str | None = "Runtime.ExitError",
        status: str = "FAILED",
    ) -> str:
        arn = str(
            self.steps.start_execution(
                stateMachineArn=self.outputs["StateMachineArn"], name=name, input=json.dumps(body)
            )["executionArn"]
        )
        self.end(arn, status=status, error=error)
        if kept:
            self.keep(arn, body, error=error, status=status)
        return arn

    def keep(self, arn: str, body: Any, *, error: str | None = "Runtime.ExitError", status: str = "FAILED") -> None:
        """Put into the queue what EventBridge does when an execution ends."""
        cause = json.dumps({"errorMessage": "signal: killed"}) if error else None
        self.send(status_change(arn, None if body is None else json.dumps(body), status, error, cause))

    def send(self, body: dict[str, Any]) -> None:
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=json.dumps(body))

    def waiting(self) -> int:
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
        return int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])


def status_change(arn: str, text: Any, status: str, error: str | None, cause: str | None) -> dict[str, Any]:
    """An event as Step Functions sends it when an execution ends; without its input where `text` is None."""
    machine, _, name = arn.rpartition(":")
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": DEFAULT_ACCOUNT_ID,
        "time": "2026-01-02T03:04:05Z",
        "region": "us-east-1",
        "resources": [arn],
        "detail": {
            "executionArn": arn,
            "stateMachineArn": machine.replace(":execution:", ":stateMachine:"),
            "name": name,
            "status": status,
            "startDate": 1551225271984,
            "stopDate": 1551225291984,
            "input": text,
            "inputDetails": {"included": text is not None},
            "output": None,
            "outputDetails": None,
            "error": error,
            "cause": cause,
        },
    }


def command_on(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return `p300 retry` with that stack as its target."""
    target = SimpleNamespace(outputs=stack.outputs, client=stack.client)
    monkeypatch.setattr("p300_cli.target.current", lambda: target)
    monkeypatch.setattr("p300_cli.terminal.out.width", 300)
    return lambda *arguments: CliRunner().invoke(app, ["retry", *arguments])
