"""From `aws s3 cp` to `/predict` on the real services, and what becomes of input that is no recording."""

import base64
import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from p300.features import read_features
from p300.synth import CHANNELS
from p300_pipeline.keys import record_key

from tests.support.localstack import ENDPOINT, Stack, failures, run_p300, wait_for
from tests.support.paths import PROJECT
from tests.support.recordings import recording

pytestmark = pytest.mark.localstack
AWS = PROJECT / ".envs" / "localstack" / "bin" / "aws"


@pytest.fixture(scope="module")
def trained(stack: Stack) -> Stack:
    """The stack after five people's recordings of four sampling rates, and nothing else: training was due once."""
    stack.empty()
    uploads = [
        (f"subject_{number:02d}/run_01.parquet", recording(number, sfreq=sfreq))
        for number, sfreq in enumerate((128.0, 250.0, 256.0, 512.0, 128.0), 1)
    ]
    executions = stack.land(*uploads)
    assert {key: execution.status for key, execution in executions.items()} == {key: "SUCCEEDED" for key, _ in uploads}
    assert sum(execution.output["outcome"] == "model" for execution in executions.values()) == 1
    return stack


def features_of(stack: Stack, name: str):
    body = stack.s3.get_object(Bucket=stack.features, Key=f"{name}/features.parquet")["Body"].read()
    return read_features(io.BytesIO(body))


def test_every_rate_becomes_the_same_features(trained: Stack) -> None:
    for number, sfreq in ((1, 128.0), (2, 250.0), (3, 256.0), (4, 512.0)):
        features = features_of(trained, f"subject_{number:02d}/run_01")
        assert features.X.shape[1] == 16 * 70, sfreq
        assert features.ch_names == CHANNELS
        assert len(features.X) == features.rejection.n_kept > 100
        report = json.load(
            trained.s3.get_object(Bucket=trained.features, Key=f"subject_{number:02d}/run_01/report.json")["Body"]
        )
        assert report["n_flashes"] == 144


def test_landing_is_empty_and_raw_holds_the_bytes(trained: Stack) -> None:
    assert trained.keys(trained.landing) == []
    body = trained.s3.get_object(Bucket=trained.raw, Key="subject_04/run_01.parquet")["Body"].read()
    assert body == recording(4, sfreq=512.0)


def test_the_model_is_complete(trained: Stack) -> None:
    champion = trained.s3.get_object(Bucket=trained.models, Key="aliases/champion")["Body"].read().decode()
    pointer = trained.s3.get_object(Bucket=trained.models, Key="active_model_pointer.txt")["Body"].read().decode()
    assert champion == pointer
    manifest = json.load(trained.s3.get_object(Bucket=trained.models, Key=f"{champion}/manifest.json")["Body"])
    assert manifest["channels"] == list(CHANNELS)
    assert len(manifest["recordings"]) == 5
    assert set(manifest["artifacts"]) == {"model.npz", "model.joblib"}
    for name in ("subjects", "learning_curve", "calibration"):
        picture = trained.s3.get_object(Bucket=trained.models, Key=f"{champion}/{name}.png")
        assert picture["Body"].read().startswith(b"\x89PNG")
    printed = run_p300("models", "show", "--no-open").stdout.splitlines()
    assert [Path(line).name for line in printed if line.endswith(".png")] == [
        "calibration.png",
        "learning_curve.png",
        "subjects.png",
    ]
    assert manifest["metrics"]["leave_one_subject_out"]["mean"]["roc_auc"] > 0.8
    for run in (champion, f"{champion}-evaluation"):
        assert trained.keys(trained.models, f"wandb/{run}/wandb/offline-run-")


def test_predict_answers_all_forms(trained: Stack) -> None:
    features = features_of(trained, "subject_01/run_01")
    champion = trained.api.ask("GET", "/health").body["model_version"]
    single = trained.api.ask("POST", "/predict", {"features": features.X[0].tolist()})
    assert single.status == 200
    assert set(single.body) == {
        "predicted_label_code",
        "predicted_class_name",
        "probability_target",
        "model_version",
    }
    batch = trained.api.ask("POST", "/predict", {"epochs": features.X[:3].tolist()})
    encoded = base64.b64encode(features.X[:3].astype("<f4").tobytes()).decode()
    compact = trained.api.ask("POST", "/predict?alias=champion", {"epochs_b64": encoded, "n_epochs": 3})
    assert batch.body == compact.body
    assert batch.body["model_version"] == champion
    # The same numbers but for the last digit: BLAS adds up the products of one row and of three in orders of its own.
    assert batch.body["predictions"][0]["probability_target"] == pytest.approx(
        single.body["probability_target"], rel=1e-12
    )
    probability, _ = trained.api.predict(features.X, "champion")
    assert np.mean(probability[features.label == 2]) > np.mean(probability[features.label == 1])


def test_decode_finds_the_symbol_looked_at(trained: Stack) -> None:
    features = features_of(trained, "subject_01/run_01")
    encoded = base64.b64encode(features.X.astype("<f4").tobytes()).decode()
    session = {"layout": {"type": "brain_invaders"}, "groups": features.flash.tolist(), "epochs_b64": encoded}
    answer = trained.api.ask("POST", "/decode", session | {"confidence": 0.95})
    assert answer.status == 200, answer.body
    assert (answer.body["symbol"], answer.body["stop"], answer.body["adapted"]) == ("C3", True, True)
    assert answer.body["n_flashes"] < len(features.X)
    refused = trained.api.ask("POST", "/decode", session | {"groups": [13]})
    assert (refused.status, refused.body["error"]["code"]) == (422, "wrong_length")


def test_predict_refuses_with_reasons(trained: Stack) -> None:
    wrong = trained.api.ask("POST", "/predict", {"features": [0.0] * 7})
    assert wrong.status == 422
    assert "7 numbers" in wrong.body["error"]["message"]
    assert "16 channels" in wrong.body["error"]["message"]
    assert trained.api.ask("POST", "/predict?alias=nobody", {"features": [0.0] * 1120}).status == 400
    assert trained.api.ask("GET", "/nowhere").status in {403, 404}
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{trained.target.api_url}/health")  # noqa: S310


def test_models_lists_the_champion(trained: Stack) -> None:
    models = trained.api.ask("GET", "/models").body
    assert models["aliases"]["champion"] == models["models"][0]["version"]


def test_the_correlation_id_is_the_executions_name(trained: Stack) -> None:
    logs, steps = trained.target.client("logs"), trained.target.client("stepfunctions")
    pages = steps.get_paginator("list_executions").paginate(stateMachineArn=trained.outputs["StateMachineArn"])
    (name, *_) = (
        entry["name"]
        for page in pages
        for entry in page["executions"]
        if "subject_03/run_01.parquet" in steps.describe_execution(executionArn=entry["executionArn"])["input"]
    )
    for function in ("ingestion", "preprocessing"):
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/p300-{function}")["events"]
        entries = [json.loads(event["message"]) for event in events if event["message"].startswith('{"level"')]
        assert any(entry["correlation_id"] == name for entry in entries), function


def test_the_same_upload_again_changes_nothing(trained: Stack) -> None:
    trained.wait_for_reports()
    before = {
        key: trained.s3.head_object(Bucket=trained.features, Key=key)["LastModified"]
        for key in trained.keys(trained.features)
    }
    models = trained.keys(trained.models, "v")
    execution = trained.land(("subject_02/run_01.parquet", recording(2, sfreq=250.0)))["subject_02/run_01.parquet"]
    assert execution.status == "SUCCEEDED"
    after = {
        key: trained.s3.head_object(Bucket=trained.features, Key=key)["LastModified"]
        for key in trained.keys(trained.features)
    }
    assert after == before
    assert trained.keys(trained.models, "v") == models
    assert trained.keys(trained.landing) == []


def test_training_on_the_same_recordings_is_a_no_op_that_says_so(trained: Stack) -> None:
    models = trained.keys(trained.models, "v")
    execution = trained.execute({})
    assert execution.status == "SUCCEEDED"
    assert execution.output["outcome"] == "unchanged"
    assert "Nothing to do" in execution.output["why"]
    assert trained.keys(trained.models, "v") == models


def _parquet(**columns: np.ndarray) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns).replace_schema_metadata({"sfreq": "128"}), sink)
    return sink.getvalue().to_pybytes()


def test_bad_input_is_quarantined_and_stops_nobody(trained: Stack) -> None:
    noise = np.random.default_rng(0).normal(0, 5, 2000).astype(np.float32)
    stim = np.zeros(2000, np.int32)
    stim[200:1800:100] = 1
    good = ("subject_30/good.parquet", recording(30))
    bad = {
        "subject_31/corrupt.parquet": (recording(31)[:3000], "unreadable"),
        "subject_31/empty.parquet": (b"", "empty_object"),
        "subject_31/no_stim.parquet": (_parquet(eeg_C1=noise), "missing_stim"),
        "subject_31/no_targets.parquet": (_parquet(eeg_C1=noise, stim=stim), "no_targets"),
        "subject_31/notes.md": (b"hello", "wrong_key"),
        "somewhere else/ü+%41.parquet": (recording(32), "wrong_key"),
    }
    executions = trained.land(good, *[(key, body) for key, (body, _) in bad.items()])
    assert not failures(executions)
    assert executions[good[0]].output["outcome"] == "features"
    for key, (body, code) in bad.items():
        output = executions[key].output
        assert output["outcome"] == "quarantined", key
        assert output["reason"]["code"] == code
        kept = output["quarantine_key"]
        assert kept.startswith("quarantine/")
        assert trained.s3.get_object(Bucket=trained.raw, Key=kept)["Body"].read() == body
        reason = json.load(trained.s3.get_object(Bucket=trained.raw, Key=record_key(kept))["Body"])
        assert reason["code"] == code
        assert key in reason["message"]
    assert trained.keys(trained.landing) == []


def test_a_new_recording_makes_a_personal_model_that_answers(trained: Stack) -> None:
    execution = trained.land(("subject_50/run_01.parquet", recording(50)))["subject_50/run_01.parquet"]
    personal = execution.output["personal"]
    assert personal["outcome"] == "promoted", personal
    assert personal["auc_personal"] >= personal["auc_population"] - 0.01
    body = {"features": features_of(trained, "subject_50/run_01").X[0].tolist()}

    def answered() -> dict[str, Any] | None:
        answer = trained.api.ask("POST", "/predict?subject=50", body)
        assert answer.status == 200, answer.body
        return answer.body if answer.body["model_version"] == personal["version"] else None

    wanted = {"subject": "subject_50", "alias": "subject_50", "version": personal["version"]}
    assert wait_for(answered, "the personal model")["model"] == wanted
    assert trained.api.ask("POST", "/predict?subject=51", body).body["model"]["alias"] == "champion"
    assert trained.api.ask("POST", "/predict?subject=no-one", body).status == 400
    again = trained.land(("subject_50/run_01.parquet", recording(50)))["subject_50/run_01.parquet"]
    assert (again.output["personal"]["outcome"], again.output["personal"]["version"]) == (
        "unchanged",
        personal["version"],
    )
    assert personal["version"] in run_p300("models", "--subject", "subject_50", "--json").stdout


def test_another_montage_is_left_out_by_name_and_refused_at_prediction(trained: Stack) -> None:
    execution = trained.land(("subject_40/run_01.parquet", recording(40, n_channels=8)))["subject_40/run_01.parquet"]
    assert execution.output["outcome"] == "features"
    training = trained.execute({"seed": 1})
    left_out = {entry["recording"]: entry["reason"] for entry in training.output["training"]["other_montages"]}
    assert left_out.keys() == {"subject_40/run_01"}
    assert "Fp1, Fp2" in left_out["subject_40/run_01"]
    answer = trained.api.ask("POST", "/predict", {"features": features_of(trained, "subject_40/run_01").X[0].tolist()})
    assert answer.status == 422
    assert "1120 features" in answer.body["error"]["message"]


def test_held_out_subjects_are_not_trained_on_and_a_new_champion_serves_without_a_restart(trained: Stack) -> None:
    before = trained.api.ask("GET", "/health").body["model_version"]
    execution = trained.execute({"held_out": ["subject_05"], "model": "ridge"})
    assert execution.status == "SUCCEEDED", execution.error
    training, evaluation = execution.output["training"], execution.output["evaluation"]
    assert "subject_05" not in training["subjects"]
    assert [row["recording"] for row in evaluation["recordings"]] == ["subject_05/run_01"]
    assert evaluation["seen_in_training"] is False
    answer = trained.api.ask("POST", f"/predict?alias={training['version']}", {"features": [0.0] * 1120})
    assert answer.body["model_version"] == training["version"]
    champion = execution.output["promotion"]["champion"]
    assert champion in {before, training["version"]}

    def served() -> bool | None:
        return trained.api.ask("GET", "/health").body["model_version"] == champion or None

    assert wait_for(served, f"{champion} serving without a restart")


def test_an_altered_champion_goes_on_answering_and_health_and_a_metric_say_so(trained: Stack) -> None:
    champion = trained.api.ask("GET", "/health").body["model_version"]
    where = {"Bucket": trained.models, "Key": f"{champion}/model.npz"}
    kept = trained.s3.get_object(**where)["Body"].read()

    def health(status: str) -> str | None:
        answer = trained.api.ask("GET", "/health").body
        return answer.get("problem", "none") if answer["status"] == status else None

    trained.s3.put_object(**where, Body=kept[:-1] + b"?")
    try:
        problem = wait_for(lambda: health("degraded"), "degraded health")
        answer = trained.api.ask("POST", "/predict", {"features": [0.0] * 1120})
    finally:
        trained.s3.put_object(**where, Body=kept)
    assert f"model.npz of model {champion} has SHA-256" in problem
    assert (answer.status, answer.body["model_version"]) == (200, champion)
    wait_for(lambda: health("ok"), "health after the artifact was restored")
    logs = trained.target.client("logs")

    def told() -> bool | None:
        events = logs.filter_log_events(logGroupName="/aws/lambda/p300-inference")["events"]
        lines = [json.loads(event["message"]) for event in events if event["message"].startswith('{"_aws"')]
        return any(line.get("ModelUnavailable") for line in lines) or None

    wait_for(told, "the alarm's metric in the log")


def test_aws_s3_cp_alone_starts_an_execution(trained: Stack, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(recording(11))
    environment = {**os.environ, **trained.target.environment()}  # export $(p300 env)

    def aws(*arguments: str) -> str:
        command = [str(AWS), *arguments, "--endpoint-url", ENDPOINT]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    aws("s3", "cp", str(path), f"s3://{trained.landing}/subject_11/x.parquet")
    run_p300("watch")
    machine = trained.outputs["StateMachineArn"]
    listed = json.loads(aws("stepfunctions", "list-executions", "--state-machine-arn", machine))["executions"]
    newest = max(listed, key=lambda execution: execution["startDate"])
    history = json.loads(aws("stepfunctions", "get-execution-history", "--execution-arn", newest["executionArn"]))
    entered = [
        event["stateEnteredEventDetails"]["name"] for event in history["events"] if "stateEnteredEventDetails" in event
    ]
    assert "Ingest" in entered
    assert "subject_11/x/features.parquet" in trained.keys(trained.features)


@pytest.fixture
def told(trained: Stack) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """told(): what the notifications topic has said since, with subjects."""
    sns, sqs = trained.target.client("sns"), trained.target.client("sqs")
    queue = sqs.create_queue(QueueName="subscriber")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = trained.outputs["NotificationsTopicArn"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    seen: list[dict[str, Any]] = []

    def read() -> list[dict[str, Any]]:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            seen.append(json.loads(message["Body"]))
        return seen

    yield read
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=queue)


def kept_inputs(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return what the failed-inputs queue holds, by execution; it is hidden for a second."""
    sqs, queue = stack.target.client("sqs"), stack.outputs["FailedInputsQueueUrl"]
    found = {}
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=1).get("Messages"):
        details = [json.loads(message["Body"])["detail"] for message in messages]
        found |= {detail["executionArn"]: detail for detail in details}
    return found


def test_executions_that_end_badly_are_kept_and_told(trained: Stack, told: Callable[[], list[dict[str, Any]]]) -> None:
    steps, machine = trained.target.client("stepfunctions"), trained.outputs["StateMachineArn"]
    trained.target.client("sqs").purge_queue(QueueUrl=trained.outputs["FailedInputsQueueUrl"])
    inputs: dict[str, Any] = {"unmet": {"train": {"subjects": ["subject_99"]}}, "none": {"tarin": {}}}
    arns = {
        name: steps.start_execution(stateMachineArn=machine, name=name, input=json.dumps(body))["executionArn"]
        for name, body in inputs.items()
    }
    trained.s3.put_object(Bucket=trained.landing, Key="subject_98/never.eeg", Body=b"0")  # waits for its header

    def waiting() -> str | None:
        for one in steps.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]:
            history = steps.get_execution_history(executionArn=one["executionArn"])["events"]
            if any(event["type"] == "WaitStateEntered" for event in history):
                return str(one["executionArn"])
        return None

    arns["stopped"] = wait_for(waiting, "an execution that waits for other files")
    steps.stop_execution(executionArn=arns["stopped"])
    statuses: dict[str, str] = {}

    def everybody_was_told() -> bool | None:
        for one in told():
            detail = json.loads(one["Message"]).get("detail", {})
            statuses.update({name: detail["status"] for name, arn in arns.items() if detail.get("executionArn") == arn})
        return statuses.keys() == arns.keys() or None

    wait_for(everybody_was_told, f"notifications of {list(arns)}")
    assert statuses == {"unmet": "FAILED", "none": "FAILED", "stopped": "ABORTED"}
    kept = wait_for(lambda: found if len(found := kept_inputs(trained)) >= 2 else None, "failed inputs")
    assert kept.keys() == {arns["unmet"], arns["stopped"]}, "nothing helps an input that is none"
    assert json.loads(kept[arns["unmet"]]["input"]) == inputs["unmet"]
    assert "subject_99" in kept[arns["unmet"]]["cause"]
    assert json.loads(kept[arns["stopped"]]["input"])["detail"]["object"]["key"] == "subject_98/never.eeg"
    trained.s3.delete_object(Bucket=trained.landing, Key="subject_98/never.eeg")


def test_a_quarantined_recording_is_told_with_its_reason(
    trained: Stack, told: Callable[[], list[dict[str, Any]]]
) -> None:
    trained.land(("subject_98/cut.parquet", recording(98)[:5000]))
    (message,) = wait_for(lambda: [one for one in told() if "subject_98/cut" in one["Message"]] or None, "the mail")
    assert message["Subject"] == "P300 recording in quarantine"
    assert json.loads(message["Message"])["reason"]["message"]
