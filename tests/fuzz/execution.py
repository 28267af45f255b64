"""Inputs, outputs and queue messages of executions: what anybody may write who may start one, through all that reads them."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fuzz.corpus import Files
from tests.fuzz.mutation import json_bytes

_PIPELINE = "arn:aws:states:us-east-1:000000000000:execution:p300-pipeline"
_MACHINE = _PIPELINE.replace(":execution:", ":stateMachine:")
_LANDED = {"key": "subject_01/run_01.parquet", "etag": "0123456789abcdef", "version-id": "3sL4kqtJlcpXro", "size": 3}
_EVENT = {
    "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": "Object Created", "source": "aws.s3",
    "detail": {"bucket": {"name": "p300-landing-zone"}, "object": _LANDED, "reason": "PutObject"},
}  # fmt: skip
_TRAINING = {"train": {"model": "lda", "subjects": ["subject_01"], "held_out": [], "seed": 3}}
_INPUTS: tuple[Any, ...] = (_EVENT, _TRAINING, {**_EVENT, "retry_of": "first"}, {**_TRAINING, "retry_of": "first"}, {})
_OUTPUTS: tuple[Any, ...] = (
    {"outcome": "features", "recording": {}},
    {"outcome": "model", "training": {"version": "v20260101000000"}, "promotion": {"outcome": "promoted"}},
    {"outcome": "quarantined", "reason": {"message": "bad"}},
    {"outcome": "unchanged", "version": "v20260101000000", "why": "x"},
    {"n_recordings": 3, "outcomes": {"features": 3}},
)
_CAUSE = {"errorMessage": "signal: killed", "errorType": "Runtime.ExitError"}
_MESSAGES: tuple[Any, ...] = (
    {
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "executionArn": f"{_PIPELINE}:first",
            "name": "first",
            "status": "TIMED_OUT",
            "input": json.dumps(_EVENT),
            "error": "X",
            "cause": json.dumps(_CAUSE),
        },
    },
    {"execution": f"{_PIPELINE}:first", "input": _EVENT, "failure": {"Error": "X", "Cause": json.dumps(_CAUSE)}},
    {
        "execution": f"{_PIPELINE.replace('pipeline', 'backfill')}/Map:1",
        "input": "subject_01/a.csv",
        "failure": {"Error": "X"},
    },
    _EVENT,
)


def make(rng: random.Random) -> Files:
    """Return the four texts that an execution is seen by."""

    def spoilt(documents: tuple[Any, ...]) -> bytes:
        return json_bytes(rng, rng.choice(documents), rng.randint(0, 4))

    return {
        "input": spoilt(_INPUTS),
        "output": spoilt(_OUTPUTS),
        "cause": spoilt((_CAUSE,)),
        "message": spoilt(_MESSAGES),
    }


def well_formed() -> list[Files]:
    """Return cases that must be read."""
    return [
        {
            name: json.dumps(document).encode()
            for name, document in zip(("input", "output", "cause", "message"), case, strict=True)
        }
        for case in zip(_INPUTS[:2], _OUTPUTS, (_CAUSE, _CAUSE), _MESSAGES, strict=False)
    ]


def run(files: Files, _: Path, __: bool) -> str:
    """Show the execution, parse its input as a function does, and take the message off the queue."""
    from p300.errors import P300Error
    from p300_cli import watching
    from p300_cli.failures import of_execution, of_message
    from p300_console.executions import new_row
    from p300_pipeline import executions
    from p300_pipeline.steps.training import TrainingRequest

    texts = {name: body.decode(errors="replace") for name, body in files.items()}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    described = {
        "executionArn": f"{_PIPELINE}:first", "name": "first", "status": "FAILED", "startDate": at, "stopDate": at,
        "input": texts["input"], "output": texts["output"], "cause": texts["cause"], "error": "X",
    }  # fmt: skip
    shown = watching.from_description(described)
    rows = [new_row(machine, described) for machine in ("pipeline", "backfill")]
    message = {"Body": texts["message"], "MessageId": "m"}
    failures = [
        of_execution(described, described, "FAILED"),
        of_message(message, at, _MACHINE, _MACHINE.replace("pipeline", "backfill")),
    ]
    json.dumps(
        [
            shown.source,
            shown.etag,
            shown.outcome,
            shown.error,
            *[row.outcome for row in rows],
            *[one.as_json() for one in failures],
        ]
    )
    try:
        found = executions.parse_text(texts["input"], "first")
        if isinstance(found, executions.Training):
            TrainingRequest.parse(found.request, "ensemble")
            return "training"
    except P300Error as error:
        return error.code
    return "upload"
