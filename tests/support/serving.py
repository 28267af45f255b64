"""Small models in the registry, by hand, for what serves them."""

import functools
import io
from typing import Any, cast

import numpy as np
from p300 import models
from p300.decoding import Response
from p300.models import RecordingEpochs
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS

CHANNELS, N_TIMES = ["Cz", "Pz"], 3
N_FEATURES = len(CHANNELS) * N_TIMES


@functools.cache
def fitted() -> dict[str, Any]:
    """Return the arrays of a model fitted on noise: what a model.npz has to hold, whatever that comes to be."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(0, 1e-5, (24, N_FEATURES)).astype(np.float32), np.tile([1, 1, 1, 2], 6)
    return models.make("lda", n_channels=len(CHANNELS), n_times=N_TIMES).fit(X, y).to_arrays()


@functools.cache
def response(n_times: int = N_TIMES) -> dict[str, Any]:
    """Return the arrays of a response; by default it fits the model."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(0, 1e-5, (24, len(CHANNELS) * n_times)), np.tile([1, 1, 1, 2], 6)
    return Response.fit([RecordingEpochs("a", "a", X, y, len(CHANNELS))], sfreq=100.0).to_arrays()


def npz(**changes: Any) -> bytes:
    """Return a model that says Target where the epoch's sum is above 0."""
    known = {"aligned": 0, "calibration": [1.0, 0.0, 0.0, 0.0], "weights": np.full(N_FEATURES, 1e6), "intercept": 0.0}
    return npz_of(fitted() | known | changes)


def npz_of(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: cast("Any", np.array(value)) for name, value in arrays.items()})
    return buffer.getvalue()


def publish(store: Store, version: str, model: bytes | None = None, **changes: Any) -> str:
    manifest: dict[str, Any] = {
        "kind": "lda", "channels": CHANNELS, "n_times": N_TIMES, "sfreq": 100.0, "tmin": -0.1,
        "subjects": ["subject_01"], "held_out": [], "recordings": [], "n_epochs": 9, "created": "2026", "execution": "a",
        "metrics": {"leave_one_subject_out": {"mean": {"roc_auc": 0.75}}},
    } | changes  # fmt: skip
    artifacts = {"model.npz": (npz() if model is None else model, "application/octet-stream")}
    Registry(store, MODELS).publish(version, version, artifacts, manifest)
    return version


V1, V2 = "v20260101000001", "v20260101000002"
TARGET_EPOCH, OTHER_EPOCH = [1e-6] * N_FEATURES, [-1e-6] * N_FEATURES


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now
