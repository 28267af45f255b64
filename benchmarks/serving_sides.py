"""What both sides of the serving benchmark answer: the same requests, with models fitted on the same data."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
N_CHANNELS, N_TIMES = 16, 70
N_FEATURES = N_CHANNELS * N_TIMES
BATCH = 64
VERSION = "v20260101000001"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "POWERTOOLS_METRICS_NAMESPACE": "P300",
    "POWERTOOLS_SERVICE_NAME": "inference",
    "P300_MODELS_BUCKET": "p300-models",
    "P300_CORS_ORIGIN": "",
    "OPENBLAS_NUM_THREADS": "1",
    # As Lambda sets them:
    "AWS_REGION": "us-east-1",
    "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
    "LAMBDA_TASK_ROOT": str(ROOT / "functions" / "inference"),
}

PLAIN_SERVER = """
import io, os
import joblib, numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
{storage}
class Request(BaseModel):
    features: list[float]
app = FastAPI()
model = joblib.load({source})
@app.post("/predict/")
def predict(request: Request):
    X = np.array(request.features).reshape(1, -1)
    probability = float(model.predict_proba(X)[0, 1])
    code = int(model.predict(X)[0])
    return {{"model_version": "v1", "predicted_label_code": code, "predicted_class_name": "Target" if code == 2 else "NonTarget",
             "probability_target": probability}}
"""
"""As anyone would write it; in a cold start it gets its model from S3, as the function does."""


def make_models(folder: Path) -> None:
    """Fit both sides on the same noise: the pipeline's ensemble, lda and personal model, and scikit-learn's scaler and LDA."""
    import joblib
    from p300 import models
    from p300.decoding import Response
    from p300.models import RecordingEpochs
    from p300.models.personal import PersonalModel
    from p300.scoring import read_arrays
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    X = rng.normal(0, 1e-5, (1200, N_FEATURES)).astype(np.float32)
    y = np.tile([1, 1, 1, 1, 1, 2], 200)
    X[y == 2] += 2e-6
    plain = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")).fit(X, y)
    joblib.dump(plain, folder / "model.joblib")
    groups = np.repeat([f"subject_{k:02d}" for k in range(6)], 200)
    people = [RecordingEpochs(f"{g}/a", g, X[groups == g], y[groups == g], N_CHANNELS) for g in np.unique(groups)]
    response = Response.fit(people, 100.0).to_arrays()
    for kind in ("ensemble", "lda"):
        fitted = models.make(kind, n_channels=N_CHANNELS, n_times=N_TIMES).fit_recordings(people)
        np.savez(folder / f"{kind}.npz", **dict[str, Any](response | fitted.to_arrays()))
    own = PersonalModel(read_arrays(folder / "ensemble.npz")).fit(people[0].X, people[0].y)
    np.savez(folder / "personal.npz", **dict[str, Any](own.to_arrays()))


def manifest(kind: str) -> dict[str, Any]:
    return {
        "kind": kind, "channels": [f"E{k}" for k in range(N_CHANNELS)], "n_times": N_TIMES, "sfreq": 100.0, "tmin": -0.1,
        "subjects": [], "held_out": [], "recordings": [], "n_epochs": 1200, "metrics": {}, "created": "2026", "execution": "bench",
    }  # fmt: skip


def bodies() -> tuple[str, str]:
    """Return a request for one epoch as JSON numbers, and one for a batch as base64."""
    X = np.random.default_rng(1).normal(0, 1e-5, (BATCH, N_FEATURES)).astype("<f4")
    one = json.dumps({"features": X[0].astype(float).tolist()})
    return one, json.dumps({"epochs_b64": base64.b64encode(X.tobytes()).decode(), "n_epochs": BATCH})


def event(body: str) -> dict[str, Any]:
    """Return what API Gateway hands to the function."""
    headers = {"content-type": "application/json", "x-api-key": "k", "Host": "127.0.0.1", "User-Agent": "bench"}
    return {
        "resource": "/predict", "path": "/predict", "httpMethod": "POST", "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()}, "queryStringParameters": None,
        "multiValueQueryStringParameters": None, "pathParameters": None, "stageVariables": None,
        "requestContext": {"stage": "v1", "requestId": "r", "identity": {"sourceIp": "127.0.0.1"}, "path": "/predict"},
        "body": body, "isBase64Encoded": False,
    }  # fmt: skip


class Context:
    function_name, memory_limit_in_mb, aws_request_id = "p300-inference", 1024, "r"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:p300-inference"


def publish(store: Any, folder: Path, bucket: str) -> None:
    """Make the ensemble the champion of a models bucket."""
    from p300_pipeline.registry import Registry

    registry = Registry(store, bucket)
    content = (folder / "ensemble.npz").read_bytes()
    registry.publish(VERSION, "bench", {"model.npz": (content, "application/octet-stream")}, manifest("ensemble"))
    registry.set_alias("champion", VERSION)
