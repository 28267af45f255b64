"""What comes from outside, through the handlers: pickles that would leave a mark, names that lead elsewhere, secrets not to be told."""

import json
import pickle
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities import parameters
from p300.formats import EXTENSIONS, TWOFOLD
from p300_pipeline.keys import record_key
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, MODELS, RAW
from tests.support.functions import ENVIRONMENT, Load, api_event, land, payload

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish", "ignore:.*pickle.*")


def test_the_pickles_of_these_tests_would_leave_a_mark(marked: tuple[Path, dict[str, bytes]]) -> None:
    path, bodies = marked
    pickle.loads(bodies["pickle"])  # noqa: S301
    assert path.is_dir()


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_landed_pickles_go_to_quarantine_unopened(
    store: Store, load_function: Load, context: Any, marked: tuple[Path, dict[str, bytes]], extension: str
) -> None:
    path, bodies = marked
    module = load_function("ingestion", **ENVIRONMENT)
    for wrapping, body in bodies.items():
        event = land(store, f"subject_01/{wrapping}.{extension}", body)
        answer = module.handler(payload("Ingest", event=event), context)
        if extension in TWOFOLD:  # by its beginning, a part of a recording whose header has not come
            assert answer["outcome"] == "waiting", answer
            continue
        assert answer["outcome"] == "quarantined", answer
        reason = json.loads(store.get(RAW, record_key(answer["quarantine_key"]) or "")[0])
        assert reason["message"].startswith(f"subject_01/{wrapping}.{extension}")
    assert not path.exists()


def test_planted_pickles_are_opened_by_no_function(
    store: Store, load_function: Load, context: Any, put_features: Any, marked: tuple[Path, dict[str, bytes]]
) -> None:
    """In the place of features, models and their neighbours, with every SHA-256 as it should be."""
    path, bodies = marked
    training = load_function("training", **ENVIRONMENT)
    for number in (1, 2):
        put_features(f"subject_{number:02d}/run")
    event = payload("Train", request={}, started="2026-01-02T03:04:05Z")
    version = training.handler(event, context)["version"]
    registry = Registry(store, MODELS)
    manifest = registry.manifest(version)
    artifacts = dict.fromkeys(("model.npz", "model.joblib"), (bodies["npz"], "application/octet-stream"))
    registry.publish("v20990101000000", "f", artifacts, {k: v for k, v in manifest.items() if k != "artifacts"})
    store.put(MODELS, "aliases/champion", b"v20990101000000")
    store.put(MODELS, f"{version}/model.joblib", bodies["pickle"])
    store.put(FEATURES, "subject_03/run/features.parquet", bodies["pickle"])
    put_features("subject_05/run")
    inference = load_function("inference", **ENVIRONMENT)
    body = json.dumps({"features": [1e-6]})
    for alias in ("champion", "challenger", "v20990101000000"):
        asked = api_event("POST", "/predict", body, queryStringParameters={"alias": alias})
        assert inference.handler(asked, context)["statusCode"] in {404, 422, 503}
    assert inference.handler(api_event("GET", "/models"), context)["statusCode"] == 200
    again = training.handler(event | {"request": {}, "started": "2026-01-02T04:04:05Z", "execution": "b"}, context)
    assert [one["recording"] for one in again["left_out"]] == ["subject_03/run"]
    etag = store.put(RAW, "subject_04/run.mat", bodies["pickle"])
    asked = payload("Preprocess", key="subject_04/run.mat", etag=etag)
    assert load_function("preprocessing", **ENVIRONMENT).handler(asked, context)["outcome"] == "quarantined"
    assert not path.exists()


@pytest.mark.parametrize(
    "key",
    [
        "subject_01/../../etc/passwd.parquet", "../subject_01/run.csv", "/subject_01/run.csv", "subject_01//run.csv", "subject_01/..csv",
        "subject_01/<script>alert(1)</script>.csv", "subject_01/réc\u202e.parquet", "subject_01/%2e%2e%2frun.parquet",
        "subject_01/a\nb.csv",
        "subject_01/" + "x" * 1009 + ".csv", "é" * 512, "subject_01/run.csv/", "subject_01/$(id).csv", "quarantine/x/run.csv", "a",
    ],
)  # fmt: skip
def test_names_lead_nowhere_but_to_quarantine(store: Store, load_function: Load, context: Any, key: str) -> None:
    module = load_function("ingestion", **ENVIRONMENT)
    answer = module.handler(payload("Ingest", event=land(store, key, b"0123")), context)
    assert (answer["outcome"], answer["reason"]["code"]) == ("quarantined", "wrong_key")
    kept = [item.key for item in store.list(RAW)]
    assert kept == [record_key(answer["quarantine_key"]), answer["quarantine_key"]]
    assert answer["quarantine_key"].startswith("quarantine/")
    assert store.get(RAW, answer["quarantine_key"])[0] == b"0123"
    json.dumps(answer).encode()


def test_no_secret_is_told(
    store: Store,
    load_function: Load,
    context: Any,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    recording_bytes: Any,
) -> None:
    """Neither the keys of W&B and of another storage, nor what a caller sent as the API's."""
    ssm = boto3.client("ssm")
    secrets = {"storage": "STORAGE-SECRET-5f2c", "wandb": "WANDB-SECRET-77aa", "api": "API-SECRET-90fe"}
    key = json.dumps({"aws_access_key_id": "testing", "aws_secret_access_key": secrets["storage"]})
    ssm.put_parameter(Name="/p300/storage", Value=key, Type="SecureString")
    ssm.put_parameter(Name="/p300/wandb", Value=secrets["wandb"], Type="SecureString")
    names = {
        "P300_S3_KEY_PARAMETER": "/p300/storage",
        "P300_WANDB_KEY_PARAMETER": "/p300/wandb",
        "POWERTOOLS_LOG_LEVEL": "DEBUG",
    }
    ingestion = load_function("ingestion", **ENVIRONMENT | names)
    for body in (recording_bytes(), b"x"):
        ingestion.handler(payload("Ingest", event=land(store, "subject_01/run.parquet", body)), context)
    parameters.clear_caches()
    tracking = load_function("tracking", **ENVIRONMENT | names | {"WANDB_MODE": "online"})

    def fail(*_: Any, **how: Any) -> None:
        assert how["api_key"] == secrets["wandb"]
        raise RuntimeError("W&B cannot be reached")

    monkeypatch.setattr(tracking, "track", fail)
    asked = payload("Track", version="v1", promotion={})
    with pytest.raises(RuntimeError):
        tracking.handler(asked, context)
    inference = load_function("inference", **ENVIRONMENT | names)
    headers = {"Content-Type": "text/plain", "x-api-key": secrets["api"]}
    for path in ("/predict", "/nothing"):
        inference.handler(api_event("POST", path, "{", headers=headers, multiValueHeaders=None), context)
    told = "".join(capfd.readouterr())
    assert '"message":"ingested"' in told
    assert not [name for name, secret in secrets.items() if secret in told]
