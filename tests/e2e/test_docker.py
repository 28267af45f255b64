"""The compose stack and `sam local`, each as docs/docker.md gives it, on a real Docker engine."""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from p300.synth import write_subjects
from p300_client import watching
from p300_client.api import Api, load_features
from p300_client.target import Target

from tests.support.docker import ENDPOINT, ENVIRONMENT, run
from tests.support.paths import PROJECT

pytestmark = pytest.mark.docker
P300 = PROJECT / ".venv" / "bin" / "p300"
SAM = PROJECT / ".envs" / "sam" / "bin" / "sam"
AWS = PROJECT / ".envs" / "localstack" / "bin" / "aws"


@pytest.fixture(scope="module")
def trained(compose: None, tmp_path_factory: pytest.TempPathFactory) -> Target:
    """The compose stack after `aws s3 cp` of five synthetic people's recordings."""
    folder = tmp_path_factory.mktemp("recordings")
    target = Target(ENDPOINT)
    since = datetime.now(UTC).replace(microsecond=0)
    paths = write_subjects(folder, range(1, 6), 7, n_repetitions=20)
    for path in paths:
        key = f"{path.parent.name}/{path.name}"
        run(AWS, "s3", "cp", path, f"s3://p300-landing-zone/{key}", "--endpoint-url", ENDPOINT)
    watcher = watching.Watcher(target, since)
    for _ in watcher.changes(lambda seen: sum(one.ended for one in seen.executions.values()) == len(paths)):
        pass
    assert {execution.status for execution in watcher.executions.values()} == {"SUCCEEDED"}
    return target


def test_the_compose_stack_predicts(trained: Target) -> None:
    features = load_features(trained, "subject_01/subject_01_eeg_stim")
    probability, version = Api(trained).predict(features.X, channels=features.ch_names)
    assert version.startswith("v")
    assert probability[features.label == 2].mean() > probability[features.label == 1].mean()


def invoke(function: str, event: str | Path) -> dict[str, Any]:
    """Run `sam local invoke` and return the function's answer; SAM exits 0 when the handler raises."""
    path = event if isinstance(event, Path) else PROJECT / "tests" / "events" / f"{event}.json"
    printed = run(SAM, "local", "invoke", function, "--event", path)
    answers = [line for line in printed.splitlines() if line.startswith("{") and "_aws" not in line]
    answer: dict[str, Any] = json.loads(answers[-1])
    assert "errorType" not in answer, printed
    return answer


def documented_invocations() -> list[tuple[str, str]]:
    """Return function and event of each `sam local invoke` in docs/docker.md."""
    lines = (PROJECT / "docs" / "docker.md").read_text().splitlines()
    words = [line.split() for line in lines if line.startswith("sam local invoke")]
    return [(word[3], Path(word[5]).stem) for word in words]


ANSWERS = {
    "ingestion": lambda answer: answer["outcome"] == "gone",  # the pipeline has taken it already
    "preprocessing": lambda answer: answer["outcome"] in {"unchanged", "features"},
    "reporting": lambda answer: answer["outcome"] in {"unchanged", "drawn"},
    "pictures": lambda answer: answer["outcome"] == "drawn",
    "training": lambda answer: answer["outcome"] in {"unchanged", "trained"},
    "scheduling": lambda answer: answer["outcome"] == "counted",
    "promotion": lambda answer: answer["outcome"] == "promoted",
    "inventory": lambda answer: answer["n_recordings"] >= 1,
    "tracking": lambda answer: answer["outcome"] in {"unchanged", "tracked"},
    "health": lambda answer: answer["statusCode"] == 200,
    "predict": lambda answer: json.loads(answer["body"])["predictions"][0]["predicted_label_code"] in {1, 2},
}


@pytest.mark.parametrize(("function", "event"), documented_invocations())
def test_sam_local_invoke(trained: Target, built: Path, function: str, event: str) -> None:
    answer = invoke(function, event)
    assert ANSWERS[event](answer), answer


def test_every_function_is_invoked() -> None:
    template = (PROJECT / "template.yaml").read_text()
    functions = set(re.findall(r"^  (\w+Function):$", template, re.MULTILINE))
    assert {function for function, _ in documented_invocations()} == functions - {"EvaluationFunction"}, (
        "it calls inference in Lambda"
    )


def test_sam_local_invoke_ingests_a_recording(trained: Target, built: Path, tmp_path: Path) -> None:
    # Straight into a bucket that no rule watches, so that nobody but this function takes it.
    s3 = trained.client("s3")
    for bucket in ("samlocal-landing-zone", "samlocal-raw-data"):
        s3.create_bucket(Bucket=bucket)
    (path,) = write_subjects(tmp_path, [1], 7, n_repetitions=5)
    s3.put_object(Bucket="samlocal-landing-zone", Key="subject_01/subject_01_eeg_stim.parquet", Body=path.read_bytes())
    event = tmp_path / "event.json"
    sample = (PROJECT / "tests" / "events" / "ingestion.json").read_text()
    event.write_text(sample.replace("p300-landing-zone", "samlocal-landing-zone"))
    overrides = "BucketPrefix=samlocal S3EndpointUrl=http://localstack:4566"
    printed = run(SAM, "local", "invoke", "IngestionFunction", "--event", event, "--parameter-overrides", overrides)
    assert '"outcome": "stored"' in printed
    raw = s3.get_object(Bucket="samlocal-raw-data", Key="subject_01/subject_01_eeg_stim.parquet")["Body"].read()
    assert raw == path.read_bytes()


def test_sam_local_start_api_answers_predict(trained: Target, built: Path) -> None:
    event = json.loads((PROJECT / "tests" / "events" / "predict.json").read_text())
    server = subprocess.Popen(
        [str(SAM), "local", "start-api", "--port", "3999"],
        cwd=PROJECT,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        request = urllib.request.Request(
            "http://127.0.0.1:3999/predict",
            data=event["body"].encode(),
            headers={"Content-Type": "application/json"},
        )
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                    body = json.load(answer)
                break
            except urllib.error.HTTPError:
                raise
            except OSError:
                assert server.poll() is None, "sam local start-api ended"
                assert time.monotonic() < deadline
                time.sleep(0.3)  # between two looks whether it listens
        assert body["predictions"][0]["predicted_class_name"] in {"Target", "NonTarget"}
    finally:
        server.terminate()  # with KILL, SAM would leave its containers behind
        server.wait(60)
