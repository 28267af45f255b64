"""Ask for a training and follow it."""

import json
from datetime import UTC, datetime
from typing import Any

from p300_cli.model_details import used
from p300_cli.terminal import fail, note

from p300_client import watching
from p300_client.target import Target


def start_training(target: Target, request: dict[str, Any]) -> str:
    """Start an execution that trains; return its ARN."""
    started = target.client("stepfunctions").start_execution(
        stateMachineArn=target.outputs["StateMachineArn"], input=json.dumps({"train": request})
    )
    return str(started["executionArn"])


def request_training(target: Target, request: dict[str, Any]) -> watching.Execution:
    """Start an execution that trains, and follow it to its end."""
    since = datetime.now(UTC).replace(microsecond=0)
    arn = start_training(target, request)
    executions = watching.follow(
        target, since, until=lambda watcher: arn in watcher.executions and watcher.executions[arn].ended
    )
    for execution in executions:
        if execution.arn == arn:
            return execution
    fail(f"The execution {arn} is not listed.")


def tell_what_was_used(output: Any) -> None:
    """Say which recordings a training left out and why, and which subjects it takes for one person, from an execution's output."""
    training = output.get("training", output) if isinstance(output, dict) else None
    if not isinstance(training, dict):
        return
    for line in used(training.get("left_out") or [], training.get("one_person") or [], training.get("n_left_out")):
        note(line)


def parse_request(subjects: str, held_out: str, model: str, seed: int) -> dict[str, Any]:
    """Return the training request that the command's options state."""
    request: dict[str, Any] = {"seed": seed, "held_out": _names(held_out)}
    try:
        request["subjects"] = float(subjects)
    except ValueError:
        request["subjects"] = _names(subjects)
    return {**request, "model": model} if model else request


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
