"""The API as it runs: what it describes it keeps, and a model that changes under many requests fails none of them."""

import io
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from p300 import models
from p300.signals import Parameters
from p300.synth import CHANNELS
from p300_cli.deploy import read_template
from p300_pipeline.registry import Registry
from p300_pipeline.serving.openapi import document
from p300_pipeline.storage import Store

from tests.support.localstack import Stack, wait_for
from tests.support.paths import PROJECT

pytestmark = pytest.mark.localstack
V1, V2 = "v20250101000001", "v20250101000002"
N_REQUESTS = 2000
AT_ONCE = 8


@pytest.fixture(scope="module")
def served(stack: Stack) -> Iterator[Stack]:
    """The stack with two models, the first of them champion and challenger; nothing of them is left afterwards."""
    parameters = Parameters()
    rng = np.random.default_rng(0)
    X, y = rng.normal(0, 1e-5, (60, len(CHANNELS) * parameters.n_times)), np.tile([1, 1, 2], 20)
    arrays = models.make("lda", n_channels=len(CHANNELS), n_times=parameters.n_times).fit(X, y).to_arrays()
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    manifest = {
        "kind": "lda", "channels": list(CHANNELS), "n_times": parameters.n_times, "sfreq": 100.0, "tmin": -0.1, "subjects": [],
        "held_out": [], "recordings": [], "n_epochs": 60, "metrics": {"leave_one_subject_out": None}, "created": "2025",
        "execution": "test", "preprocessing": parameters.to_dict(),
    }  # fmt: skip
    registry = Registry(Store(stack.s3), stack.models)
    for version in (V1, V2):
        registry.publish(version, version, {"model.npz": (buffer.getvalue(), "application/octet-stream")}, manifest)
    for alias in ("champion", "challenger"):
        registry.set_alias(alias, V1)
    wait_for(lambda: stack.api.ask("GET", "/health").body.get("model_version") == V1 or None, "the champion serves")
    yield stack
    for key in stack.keys(stack.models):
        stack.s3.delete_object(Bucket=stack.models, Key=key)


def test_it_does_what_it_describes(served: Stack, tmp_path: Path) -> None:
    """schemathesis: requests that fit the description and requests that do not."""
    described = document()
    assert served.api.ask("GET", "/openapi.json").body == json.loads(json.dumps(described))
    for methods in described["paths"].values():
        for operation in methods.values():
            # LocalStack leaves the template's GatewayResponses out: a request without a key gets AWS's plain body.
            operation["responses"]["403"].pop("content")
    (tmp_path / "openapi.json").write_text(json.dumps(described))
    (tmp_path / "schemathesis.toml").write_text(
        "[checks]\nnegative_data_rejection.expected-statuses = [400, 403, 404, 413, 415, 422]\n"  # 413 is a refusal too
    )
    checks = (
        "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
        "negative_data_rejection", "ignored_auth",
    )  # fmt: skip
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")), "run", "openapi.json", "--url", served.target.api_url,
            "--header", f"x-api-key: {served.target.api_key}", "--checks", ",".join(checks), "--phases", "coverage,fuzzing",
            "--max-examples", "10", "--seed", "1", "--no-color", "--suppress-health-check", "all",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("method", "path", "key", "size", "on_aws", "here"),
    [
        ("GET", "/health", None, 0, "INVALID_API_KEY", (403, "Forbidden")),
        ("GET", "/health", "wrong", 0, "INVALID_API_KEY", (403, "Forbidden")),
        ("GET", "/nothing", "right", 0, "MISSING_AUTHENTICATION_TOKEN", (403, "Missing Authentication Token")),
        ("GET", "/predict", "right", 0, "MISSING_AUTHENTICATION_TOKEN", (403, "Missing Authentication Token")),
        ("POST", "/predict", "right", 12_000_000, "REQUEST_TOO_LARGE", (502, "Internal server error")),
    ],
)
def test_where_the_gateways_own_answers_do_not_have_the_documented_form(
    served: Stack, method: str, path: str, key: str | None, size: int, on_aws: str, here: tuple[int, str]
) -> None:
    """LocalStack leaves the template's GatewayResponses out (`next_gen/execute_api/handlers/gateway_exception.py`, "TODO").

    Should a later one apply them, this fails: then docs/api.md may drop its sentence about LocalStack, and the tests their exceptions.
    """
    headers = {"Content-Type": "application/json", **({"x-api-key": key} if key else {})}
    if key == "right":
        headers["x-api-key"] = served.target.api_key
    request = urllib.request.Request(  # noqa: S310
        served.target.api_url + path, b" " * size if size else None, headers, method=method
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)  # noqa: S310
    assert (refused.value.code, json.load(refused.value)) == (here[0], {"message": here[1]})
    template = read_template(PROJECT / "template.yaml")["Resources"]["Api"]["Properties"]["GatewayResponses"][on_aws]
    documented = json.loads(template["ResponseTemplates"]["application/json"])
    assert documented["error"].keys() == {"code", "message"}
    answer = served.api.ask(method, path) if key == "right" and not size else None
    if answer is not None:
        assert answer.refusal == here[1], "the command says it all the same"


def test_odd_requests_are_answered_in_the_documented_form(served: Stack) -> None:
    n_features = len(CHANNELS) * Parameters().n_times
    eeg, microvolts = [1e-5, -1e-5] * (n_features // 2), [5.0, -5.0] * (n_features // 2)
    for path, body, status, code in (
        ("/predict?alais=champion", {"features": eeg}, 400, "unknown_parameter"),
        ("/predict?alias=champion&alias=challenger", {"features": eeg}, 400, "repeated_parameter"),
        ("/predict", {"features": eeg, "alias": "champion"}, 422, "unknown_field"),
        ("/predict", {"features": microvolts}, 422, "impossible_scale"),
        (
            "/decode",
            {"layout": {"type": "brain_invaders"}, "flashes": [{"group": 1, "features": microvolts}]},
            422,
            "impossible_scale",
        ),
    ):
        answer = served.api.ask("POST", path, body)
        assert (answer.status, answer.body["error"]["code"]) == (status, code)
    for path in ("/health?verbose=1", "/models?limit=0", "/models?page=2", "/openapi.json?format=yaml"):
        answer = served.api.ask("GET", path)
        assert answer.status == 400
        assert answer.body["error"]["message"]
    assert "notes" not in served.api.ask("POST", "/predict", {"features": eeg}).body
    assert served.api.ask("POST", "/predict", {"features": [0.0] * n_features}).body["notes"]
    page = served.api.ask("GET", "/models?limit=1").body
    assert [row["version"] for row in page["models"]] == [page["next"]]
    assert served.api.ask("GET", f"/models?before={page['next']}").body["models"]


def test_a_champion_that_changes_under_many_requests_fails_none(served: Stack) -> None:
    registry = Registry(Store(served.s3), served.models)
    body = json.dumps({"features": [0.0] * (len(CHANNELS) * Parameters().n_times)}).encode()
    headers = {"x-api-key": served.target.api_key, "Content-Type": "application/json"}
    url = f"{served.target.api_url}/predict"

    def ask(number: int) -> tuple[int, str]:
        if number == N_REQUESTS // 4:
            registry.set_alias("champion", V2)
        request = urllib.request.Request(url, body, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, json.load(answer)["model_version"]
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    started = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(N_REQUESTS)))
    sys.stdout.write(f"{N_REQUESTS / (time.monotonic() - started):.0f} requests a second\n")
    assert set(answers) == {(200, V1), (200, V2)}
    assert answers[0] == (200, V1)
    wait_for(lambda: served.api.ask("GET", "/health").body["model_version"] == V2 or None, "the new champion serves")
