"""Each function's role may do what the function does, and nothing else: every call is recorded, and compared both ways.

The functions' own handlers go through all their branches on buckets in memory; what they ask of AWS is turned into the IAM actions that
AWS's service authorization reference demands for it.
"""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import botocore.client
import pytest
from aws_lambda_powertools.utilities import parameters
from p300.errors import ArtifactError
from p300_pipeline import storage
from p300_pipeline.registry import Registry
from p300_pipeline.storage import NotFoundError, Store

from tests.support.bids import write_bids
from tests.support.buckets import FEATURES, MODELS, RAW
from tests.support.functions import ENVIRONMENT, api_event, land, payload, s3_event
from tests.support.labs import lab
from tests.support.permissions import ACCOUNT, REGION, Use, arn, compare
from tests.support.template import of_type, properties

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish", "ignore:.*not exist.*")
FUNCTIONS = (
    "Ingestion", "Preprocessing", "Reporting", "Scheduling", "Training", "Evaluation", "Promotion", "Tracking", "Inference", "Inventory"
)  # fmt: skip


# ---- what the functions do
def s3_uses(operation: str, call: dict[str, Any], *, missing: bool) -> set[Use]:
    """Return what an S3 call needs; `missing` tells that it was answered 404, which S3 says only to whoever may list."""
    bucket = f"arn:aws:s3:::{call['Bucket']}"
    item = f"{bucket}/{call.get('Key', '')}"
    if operation in {"HeadObject", "GetObject"}:
        reading = {("s3:GetObjectVersion" if "VersionId" in call else "s3:GetObject", item)}
        return reading | ({("s3:ListBucket", bucket)} if missing else set())
    if operation in {"PutObject", "CreateMultipartUpload", "CompleteMultipartUpload"}:
        # Whoever compares an ETag by writing must be allowed to read it.
        return {("s3:PutObject", item)} | ({("s3:GetObject", item)} if "IfMatch" in call else set())
    if operation in {"CopyObject", "UploadPartCopy"}:
        source = call["CopySource"]
        if isinstance(source, dict):
            name, version = f"{source['Bucket']}/{source['Key']}", source.get("VersionId")
        else:
            name, _, version = unquote(source).partition("?versionId=")
        return {
            ("s3:PutObject", item),
            ("s3:GetObjectVersion" if version else "s3:GetObject", f"arn:aws:s3:::{name}"),
        }
    if operation == "AbortMultipartUpload":
        return {("s3:AbortMultipartUpload", item)}
    if operation == "DeleteObject":
        return {("s3:DeleteObjectVersion" if "VersionId" in call else "s3:DeleteObject", item)}
    if operation == "ListObjectsV2":
        return {("s3:ListBucket", bucket)}
    if operation == "ListObjectVersions":
        return {("s3:ListBucketVersions", bucket)}
    raise AssertionError(f"what S3's {operation} needs is not known here")


class Recorder:
    """Sees every call of every client while a handler runs."""

    def __init__(self) -> None:
        self.on = False
        self.uses: set[Use] = set()
        self.inference: Callable[[dict[str, Any]], dict[str, Any]] | None = None
        self.failing = ""

    def call(self, perform: Callable[[], Any], client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if not self.on:
            return perform()
        service = client.meta.service_model.service_name
        if service == "s3":
            return self._s3(perform, client, operation, parameters)
        if (service, operation) == ("ssm", "GetParameter"):
            self.uses.add(("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{parameters['Name']}"))
            return perform()
        if (service, operation) == ("lambda", "Invoke"):
            assert parameters["FunctionName"] == "p300-inference" and self.inference is not None
            self.uses.add(("lambda:InvokeFunction", arn("InferenceFunction")))
            self.on = False  # what inference does, it does by its own role
            try:
                answer = self.inference(json.loads(parameters["Payload"]))
            finally:
                self.on = True
            return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(answer).encode())}
        raise AssertionError(f"what {service}'s {operation} needs is not known here")

    def _s3(self, perform: Callable[[], Any], client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        missing = False
        try:
            if operation == self.failing:
                raise ConnectionError(operation)
            return perform()
        except client.exceptions.ClientError as error:
            missing = error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
            raise
        finally:
            self.uses |= s3_uses(operation, parameters, missing=missing)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, store: Store) -> Recorder:
    seen, original = Recorder(), botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        return seen.call(lambda: original(client, operation, parameters), client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
    return seen


@pytest.fixture
def run(recorder: Recorder, load_function: Callable[..., Any], context: Any) -> Iterator[Callable[..., Any]]:
    """run("ingestion", event): what a fresh function answers, its calls recorded; the storage's key comes from SSM."""
    ssm = boto3.client("ssm")
    key = json.dumps({"aws_access_key_id": "testing", "aws_secret_access_key": "testing"})
    ssm.put_parameter(Name="/p300/storage", Value=key, Type="SecureString")
    ssm.put_parameter(Name="/p300/wandb", Value="w" * 40, Type="SecureString")

    def call(name: str, event: dict[str, Any], **environment: str) -> Any:
        settings = ENVIRONMENT | {"P300_S3_KEY_PARAMETER": "/p300/storage"} | environment
        recorder.on = True
        try:
            return load_function(name, **settings).handler(event, context)
        finally:
            recorder.on = False

    yield call
    storage.default_client.cache_clear()


def ingest(run: Any, event: dict[str, Any], outcome: str) -> Any:
    answer = run("ingestion", payload("Ingest", event=event))
    assert answer["outcome"] == outcome, answer
    return answer


def test_ingestion(
    recorder: Recorder, run: Any, store: Store, recording_bytes: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = lab(0)
    recording = write_bids(tmp_path, made).relative_to(tmp_path).as_posix()
    files = {file.relative_to(tmp_path).as_posix(): file.read_bytes() for file in tmp_path.rglob("*.[tj]s*")}
    for path, body in files.items():
        land(store, path, body)
    ingest(run, land(store, recording, (tmp_path / recording).read_bytes()), "stored")
    ingest(
        run, land(store, "sub-01/sub-01_electrodes.tsv", b"name\tx\ty\tz\n"), "ignored"
    )  # asks the recording to look
    key = "subject_01/run.parquet"
    first = land(store, key, recording_bytes())
    ingest(run, first, "stored")
    ingest(run, first, "unchanged")
    ingest(run, land(store, key, recording_bytes()), "unchanged")
    ingest(run, land(store, key, recording_bytes(seed=1)), "stored")
    ingest(run, land(store, "subject_01/run.csv", b"time,eeg_Cz,stim\n"), "quarantined")
    bad = land(store, "../<b>é.docx", b"x")
    ingest(run, bad, "quarantined")
    ingest(run, bad, "quarantined")
    ingest(run, s3_event("subject_02/never.parquet", "0" * 32, None, 3), "gone")
    unversioned = land(store, "subject_03/run.parquet", recording_bytes())
    del unversioned["detail"]["object"]["version-id"]
    ingest(run, unversioned, "stored")
    monkeypatch.setattr("p300_pipeline.storage.store.LARGEST_COPY_BYTES", 1)  # as if it were of more than 5 GB
    ingest(run, land(store, "subject_04/large.txt", b"x" * (6 << 20)), "quarantined")
    recorder.failing = "UploadPartCopy"
    with pytest.raises(ConnectionError):
        ingest(run, land(store, "subject_05/large.txt", b"x" * (6 << 20)), "quarantined")
    compare("IngestionRole", recorder.uses | platform("Ingestion"))


def test_preprocessing(
    recorder: Recorder, run: Any, store: Store, recording_bytes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preprocess(key: str, etag: str, outcome: str) -> None:
        answer = run("preprocessing", payload("Preprocess", key=key, etag=etag))
        assert answer["outcome"] == outcome, answer

    etag = store.put(RAW, "subject_01/run.parquet", recording_bytes())
    preprocess("subject_01/run.parquet", etag, "features")
    preprocess("subject_01/run.parquet", etag, "unchanged")
    again = store.put(RAW, "subject_01/run.parquet", recording_bytes(seed=1))
    preprocess("subject_01/run.parquet", again, "features")
    preprocess("subject_01/run.parquet", etag, "superseded")
    preprocess("subject_01/run.parquet", "", "unchanged")
    preprocess("subject_09/none.parquet", "", "superseded")
    noise = store.put(RAW, "subject_02/run.parquet", recording_bytes(scale_uv=300.0))
    preprocess("subject_02/run.parquet", noise, "quarantined")
    preprocess("subject_02/run.parquet", noise, "quarantined")
    same_name = store.put(RAW, "subject_01/run.csv", b"x")
    preprocess("subject_01/run.csv", same_name, "quarantined")
    monkeypatch.setattr("p300_pipeline.storage.store.LARGEST_COPY_BYTES", 1)
    recorder.failing = "UploadPartCopy"
    noise = store.put(RAW, "subject_03/run.parquet", recording_bytes(scale_uv=300.0, seed=2))
    with pytest.raises(ConnectionError):
        preprocess("subject_03/run.parquet", noise, "quarantined")
    compare("PreprocessingRole", recorder.uses | platform("Preprocessing"))


def test_reporting(recorder: Recorder, run: Any, champion: str, put_features: Any, store: Any) -> None:
    recorder.uses.clear()

    def report(key: str, outcome: str) -> None:
        assert run("reporting", payload("Request the report", key=key))["outcome"] == outcome

    for version in (champion, "champion"):
        assert run("reporting", payload("Draw plots", version=version))["outcome"] == "drawn"
    with pytest.raises(ArtifactError):
        run("reporting", payload("Draw plots", version="v20200101000000"))
    put_features("subject_01/run")
    store.put(FEATURES, "subject_01/run/report.json", b"{}")
    report("subject_01/run.parquet", "drawn")
    report("subject_01/run.parquet", "unchanged")
    put_features("subject_01/run", seed=3)
    report("subject_09/run.parquet", "no_features")
    kept = {("sqs:SendMessage", arn("FailedInputsQueue"))}  # by Lambda, where an invocation failed for good
    assert properties("ReportingFunction")["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Type"] == "SQS"
    compare("ReportingRole", recorder.uses | platform("Reporting") | kept)


@pytest.fixture
def champion(run: Any, recorder: Recorder, load_function: Any, context: Any, put_features: Any) -> str:
    """Trained, evaluated and promoted by the handlers."""
    for number in (1, 2, 3):
        put_features(f"subject_{number:02d}/run")
    recorder.inference = lambda event: load_function("inference", **ENVIRONMENT).handler(event, context)
    event = payload("Train", request={"held_out": ["subject_03"]}, started="2026-01-02T03:04:05.678Z")
    version: str = run("training", event)["version"]
    assert run("evaluation", payload("Evaluate", version=version))["seen_in_training"] is False
    assert run("promotion", payload("Promote", version=version))["outcome"] == "promoted"
    return version


def test_training(
    recorder: Recorder, run: Any, champion: str, store: Store, put_features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.uses.clear()
    run("training", payload("Train", request={"held_out": ["subject_03"]}, started="2026-01-02T03:04:05.678Z"))
    put_features("subject_04/run")
    request = payload("Train", request={}, started="2026-01-02T04:04:05Z")
    assert run("training", request)["outcome"] == "trained"
    assert run("training", request)["outcome"] == "trained"
    personal = payload("Make the personal model", personal="subject_04/run", started="2026-01-02T04:14:05Z")
    assert run("training", personal)["outcome"] in {"promoted", "kept"}
    assert run("training", personal)["outcome"] == "unchanged"
    # Another execution finishes the same training first: the version that lost is taken back.
    put_features("subject_05/run")
    publish = Registry.publish

    def lose(registry: Registry, version: str, fingerprint: str, artifacts: Any, manifest: dict[str, Any]) -> Any:
        recorder.on = False
        publish(registry, "v20250101000000", fingerprint, artifacts, manifest | {"execution": "another"})
        recorder.on = True
        return publish(registry, version, fingerprint, artifacts, manifest)

    monkeypatch.setattr(Registry, "publish", lose)
    other = run("training", payload("Train", request={}, started="2026-01-02T05:04:05Z"))
    assert (other["outcome"], other["version"]) == ("trained", "v20250101000000")
    compare("TrainingRole", recorder.uses | platform("Training"))


def test_scheduling(recorder: Recorder, run: Any, store: Store, put_features: Any) -> None:
    for number in (1, 2):
        put_features(f"subject_{number:02d}/run")
    store.put(MODELS, "trainings/new/subject_09/gone@e", b"")  # somebody took its features away
    # The second gathers first, then it claims.
    for number, outcome in ((1, "counted"), (1, "counted"), (2, "gathering"), (2, "due"), (2, "due")):
        new = payload(
            "Count new recordings",
            recording=f"subject_{number:02d}/run",
            etag="e",
            started="2026-01-02T03:04:05Z",
            channels=["C3", "C4"],
            labelled=True,
        )
        assert run("scheduling", new | {"execution": f"upload-{number}"})["outcome"] == outcome
    compare("SchedulingRole", recorder.uses | platform("Scheduling"))


def test_evaluation(recorder: Recorder, run: Any, champion: str, store: Store) -> None:
    recorder.uses.clear()
    assert run("evaluation", payload("Evaluate", version=champion))["pooled"]
    with pytest.raises(ArtifactError):
        run("evaluation", payload("Evaluate", version="v20200101000000"))
    compare("EvaluationRole", recorder.uses | platform("Evaluation"))


def test_promotion(recorder: Recorder, run: Any, champion: str, store: Store) -> None:
    """A first champion, the same again, and a second one that is no worse."""
    recorder.uses.clear()
    assert run("promotion", payload("Promote", version=champion))["outcome"] == "promoted"
    second = run("training", payload("Train", request={}, started="2026-01-02T04:04:05Z"))["version"]
    recorder.uses.clear()
    for _ in range(2):
        run("promotion", payload("Promote", version=second))
    with pytest.raises(ArtifactError):
        run("promotion", payload("Promote", version="v20200101000000"))
    compare("PromotionRole", recorder.uses | platform("Promotion"))


def test_inventory(recorder: Recorder, run: Any, store: Store, recording_bytes: Any) -> None:
    store.put(RAW, "subject_01/run.parquet", recording_bytes())
    for step in ("list", "sum_up"):
        assert run("inventory", {"step": step, "execution": "backfill-1", "input": {}})["n_recordings"] == 1
    with pytest.raises(NotFoundError):
        run("inventory", {"step": "sum_up", "execution": "backfill-2"})
    compare("InventoryRole", recorder.uses | platform("Inventory"))


def test_tracking(recorder: Recorder, run: Any, champion: str, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    recorder.uses.clear()
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_SILENT"):
        monkeypatch.setenv(name, "")
    parameters.clear_caches()
    event = payload("Track", version=champion, promotion={"outcome": "promoted"})
    for outcome in ("tracked", "unchanged"):
        answer = run("tracking", event, WANDB_MODE="offline", P300_WANDB_KEY_PARAMETER="/p300/wandb")
        assert answer["outcome"] == outcome
    compare("TrackingRole", recorder.uses | platform("Tracking"))


def test_inference(recorder: Recorder, run: Any, champion: str, store: Store) -> None:
    recorder.uses.clear()
    body = json.dumps({"features": [1e-6]})
    for event, status in (
        (api_event("GET", "/health"), 200),
        (api_event("GET", "/models"), 200),
        (api_event("POST", "/predict", body), 422),
        (api_event("POST", "/predict", body, queryStringParameters={"alias": "v20200101000000"}), 404),
        (api_event("POST", "/decode", "{}"), 422),
    ):
        assert run("inference", event)["statusCode"] == status, event["path"]
    store.delete(MODELS, "index.json")  # the manifests stand in for it
    assert run("inference", api_event("GET", "/models"))["statusCode"] == 200
    store.delete(MODELS, "aliases/champion")
    assert run("inference", api_event("GET", "/health"))["statusCode"] in {200, 503}
    compare("InferenceRole", recorder.uses | platform("Inference"))


def platform(function: str) -> set[Use]:
    """Return what Lambda does with a function's role, and where."""
    logs = {("logs:CreateLogStream", arn(f"{function}Logs")), ("logs:PutLogEvents", arn(f"{function}Logs"))}
    return logs | {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}


def test_every_role_is_compared() -> None:
    roles = {f"{name}Role" for name in (*FUNCTIONS, "Pipeline", "Backfill")}
    assert roles == set(of_type("AWS::IAM::Role")) - {
        "ApiLogsRoleOfAccount"
    }  # it lets API Gateway write logs, for all of an account
