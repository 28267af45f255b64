"""Ask for a training."""

import json
from typing import Any

from p300_client.target import Target


def start_training(target: Target, request: dict[str, Any]) -> str:
    """Start an execution that trains; return its ARN."""
    started = target.client("stepfunctions").start_execution(
        stateMachineArn=target.outputs["StateMachineArn"], input=json.dumps({"train": request})
    )
    return str(started["executionArn"])


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
