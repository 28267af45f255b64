"""Request a training."""

import json
from collections.abc import Mapping
from typing import Any

from p300.errors import TrainingError
from p300.models import KINDS
from p300_pipeline.feature_store import find_features, subject_of
from p300_pipeline.steps.training import TrainingRequest
from p300_pipeline.storage import Store

from p300_client.target import Target


def check_request(target: Target, request: Mapping[str, Any]) -> None:
    """Refuse a request that cannot be fulfilled, before anything starts.

    Parameters
    ----------
    target : Target
        The stack whose features are checked.
    request : mapping
        As `parse_request` returns it.

    Raises
    ------
    TrainingError
        ``bad_request`` if a field is invalid, ``unknown_model`` if there is no such kind of model, ``unknown_subjects`` if a named subject
        has no features.
    """
    found = TrainingRequest.parse(request, KINDS[0])
    if found.model not in KINDS:
        raise TrainingError("unknown_model", f"model is {found.model!r}; expected one of {', '.join(KINDS)}.")
    present = {
        subject_of(name) for name in find_features(Store(target.client("s3")), target.outputs["FeaturesBucketName"])
    }
    named = {*found.held_out, *(found.subjects if isinstance(found.subjects, tuple) else ())}
    if unknown := sorted(named - present):
        raise TrainingError(
            "unknown_subjects",
            f"There are no features of {', '.join(unknown)}. "
            f"Subjects with features: {', '.join(sorted(present)) or 'none; land recordings first'}.",
        )
    if isinstance(found.subjects, tuple) and (both := sorted(set(found.subjects) & set(found.held_out))):
        raise TrainingError("bad_request", f"{', '.join(both)} cannot be both in training and held out.")


def start_training(target: Target, request: Mapping[str, Any]) -> str:
    """Start an execution that trains; return its ARN. Raises as `check_request` does, before anything starts."""
    check_request(target, request)
    started = target.client("stepfunctions").start_execution(
        stateMachineArn=target.outputs["StateMachineArn"], input=json.dumps({"train": request})
    )
    return str(started["executionArn"])


def parse_request(subjects: str, held_out: str, model: str, seed: int, channels: str = "") -> dict[str, Any]:
    """Return the training request for the command's options."""
    request: dict[str, Any] = {"seed": seed, "held_out": _names(held_out)}
    try:
        request["subjects"] = float(subjects)
    except ValueError:
        request["subjects"] = _names(subjects)
    chosen = {"model": model, "channels": _names(channels)}
    return request | {name: value for name, value in chosen.items() if value}


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
