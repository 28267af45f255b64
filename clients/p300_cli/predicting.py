"""Ask the prediction API."""

import base64
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from p300.errors import ArtifactError
from p300.features import FeatureSet
from p300_pipeline import feature_store
from p300_pipeline.storage import Store

from p300_cli.target import Target
from p300_cli.terminal import fail

EPOCHS_A_REQUEST = 256


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: dict[str, Any]


class Api:
    """The prediction API of a target."""

    def __init__(self, target: Target) -> None:
        self._url = target.api_url
        self._key = target.api_key

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send a request; answers of any status are returned, none raised."""
        request = urllib.request.Request(  # noqa: S310
            self._url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"x-api-key": self._key, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                return Answer(error.code, json.loads(text))
            except ValueError:
                return Answer(
                    error.code, {"error": {"code": "unreadable", "message": text.decode(errors="replace")[:500]}}
                )

    def predict(self, X: NDArray[np.float32], alias: str) -> tuple[NDArray[np.float64], str]:
        """Return the probability of Target of each epoch and the model that gave it; ends the command where the API refuses."""
        probabilities: list[float] = []
        version = ""
        for start in range(0, len(X), EPOCHS_A_REQUEST):
            batch = np.ascontiguousarray(X[start : start + EPOCHS_A_REQUEST], "<f4")
            body = {"epochs_b64": base64.b64encode(batch.tobytes()).decode(), "n_epochs": len(batch)}
            answer = self.ask("POST", f"/predict?alias={alias}", body)
            if answer.status != 200:
                fail(
                    f"POST /predict answered {answer.status}: {answer.body.get('error', answer.body).get('message', answer.body)}"
                )
            probabilities += [prediction["probability_target"] for prediction in answer.body["predictions"]]
            version = answer.body["model_version"]
        return np.array(probabilities), version


def load_features(target: Target, recording: str) -> FeatureSet:
    """Return a recording's features from the features bucket; ends the command where there are none, or they are damaged."""
    bucket = target.outputs["FeaturesBucketName"]
    try:
        return feature_store.load_features(Store(target.client("s3")), bucket, recording)
    except ArtifactError as error:
        hint = f" `aws s3 ls --recursive s3://{bucket}` lists what there is." if error.code == "no_features" else ""
        fail(error.message + hint)


def recordings(target: Target, subject: str | None = None) -> list[str]:
    """Return ``<subject>/<recording>`` of all features."""
    pages = (
        target.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=target.outputs["FeaturesBucketName"], Prefix=f"{subject}/" if subject else "subject_")
    )
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return [key.removesuffix("/features.parquet") for key in keys if key.endswith("/features.parquet")]


def time_single_epoch(api: Api, features: FeatureSet, alias: str = "champion") -> tuple[Answer, float]:
    """Ask for one epoch as a client would; return the answer and the milliseconds it took."""
    body = {"features": features.X[0].astype(float).tolist()}
    began = time.perf_counter()
    answer = api.ask("POST", f"/predict?alias={alias}", body)
    return answer, 1000 * (time.perf_counter() - began)
