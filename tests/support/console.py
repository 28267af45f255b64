"""A console on buckets and state machines in memory."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import boto3
from p300_client.target import Target
from p300_console import executions
from p300_console.app import make_app
from p300_console.security import Tokens
from p300_console.stack import Stack
from starlette.testclient import TestClient

from tests.support.buckets import FEATURES, LANDING, MODELS, RAW

PORT = 4700
ADDRESS = f"http://127.0.0.1:{PORT}"
ROLE = "arn:aws:iam::123456789012:role/machine"
MACHINE = {
    "StartAt": "Ingest",
    "States": {
        "Ingest": {"Type": "Pass", "Next": "Good?"},
        "Good?": {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsPresent": True, "Next": "Done"}], "Default": "No"},
        "Done": {"Type": "Succeed"},
        "No": {"Type": "Fail"},
    },
}  # fmt: skip


def arns() -> dict[str, str]:
    return {
        name: f"arn:aws:states:us-east-1:123456789012:stateMachine:p300-{name}" for name in ("pipeline", "backfill")
    }


def make_stack() -> None:
    """Make what the template would make, as far as the console asks for it."""
    machines = boto3.client("stepfunctions")
    for name in arns():
        machines.create_state_machine(name=f"p300-{name}", definition=json.dumps(MACHINE), roleArn=ROLE)
    outputs = {
        "LandingBucketName": LANDING,
        "RawBucketName": RAW,
        "FeaturesBucketName": FEATURES,
        "ModelsBucketName": MODELS,
        "StateMachineArn": arns()["pipeline"],
        "BackfillStateMachineArn": arns()["backfill"],
        "ApiUrl": "https://api.invalid/v1",
    }
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    boto3.client("cloudformation").create_stack(StackName="p300", TemplateBody=json.dumps(template))


@contextmanager
def closed_console() -> Iterator[tuple[TestClient, Tokens]]:
    """A browser that has not opened the console of the stack in memory, and who may."""
    tokens = Tokens(PORT)
    app = make_app(Stack(Target(None)), PORT, tokens)
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False, follow_redirects=False) as browser:
        yield browser, tokens


@contextmanager
def open_console() -> Iterator[TestClient]:
    """A browser that has opened it; pages show what was started a moment ago."""
    with patch.object(executions, "FRESH_S", 0.0), closed_console() as (browser, tokens):
        assert browser.get("/", params={"token": tokens.one_time}).status_code == 200
        yield browser


def start(key: str, machine: str = "pipeline", **event: Any) -> str:
    """Start an execution as S3's event for `key` does; return its ARN."""
    found = boto3.client("stepfunctions").start_execution(
        stateMachineArn=arns()[machine], input=json.dumps(event or {"detail": {"object": {"key": key, "etag": "e"}}})
    )
    return str(found["executionArn"])


def manifest(*subjects: str, kind: str = "ensemble", auc: float = 0.8) -> dict[str, Any]:
    """Return a manifest as a training writes it."""
    subjects = subjects or ("subject_01", "subject_02")
    figures = {
        "roc_auc": auc,
        "average_precision": 0.5,
        "balanced_accuracy": 0.6,
        "accuracy": 0.85,
        "kappa": 0.3,
        "brier": 0.1,
        "n_epochs": 60,
        "n_targets": 10,
    }
    folds = dict.fromkeys(subjects, figures)
    metrics = {
        "note": "",
        "leave_one_subject_out": {"subjects": folds, "mean": figures, "sd": dict.fromkeys(figures, 0.1)},
        "within_subject_blocks": None,
        "calibration_curve": [
            {"predicted": 0.1, "observed": 0.12, "n_epochs": 30},
            {"predicted": 0.4, "observed": 0.35, "n_epochs": 30},
        ],
        "label_shuffled_control": {"roc_auc": 0.5},
        "pooled_random_split_optimistic": {"roc_auc": 0.9},
    }
    return {
        "kind": kind,
        "channels": ["Fz", "Cz"],
        "n_times": 10,
        "sfreq": 100.0,
        "tmin": -0.1,
        "tmax": 0.6,
        "subjects": list(subjects),
        "held_out": [],
        "recordings": [{"recording": f"{subject}/run", "features_etag": "e"} for subject in subjects],
        "left_out": [],
        "n_epochs": 120,
        "metrics": metrics,
        "created": "2026-01-01T00:00:00+00:00",
        "execution": "a",
    }
