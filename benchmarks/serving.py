"""Serving against a FastAPI + scikit-learn server of the same model: a request inside the process, a cold start, and through API Gateway.

``python benchmarks/serving.py`` prints the figures as JSON; ``--requests`` says how many go through the API Gateway of a stack of its own.
"""

import argparse
import asyncio
import base64
import hashlib
import importlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from training import row

ROOT = Path(__file__).parents[1]
N_CHANNELS, N_TIMES = 16, 70
N_FEATURES = N_CHANNELS * N_TIMES
BATCH = 64
ROUNDS, CALLS = 20, 50
COLD_ROUNDS = 5
API_REQUESTS_A_SECOND = 20
N_REQUESTS = int(os.environ.get("P300_BENCH_REQUESTS", "5000"))
STACK_PORT = int(os.environ.get("P300_BENCH_PORT", "4586"))
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

SAMPLED = {"_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}
"""X-Ray takes the first request of each second, so that of a cold start; then one of twenty."""

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


# ---- inside the process
def handler_with(folder: Path, kind: str) -> Callable[[str], Any]:
    """Return the function's own handler with a model in memory, as it is after its first request."""
    from p300.decoding import Response
    from p300.scoring import Scorer, read_arrays
    from p300_pipeline.serving import Served

    os.environ |= ENVIRONMENT
    sys.path.insert(0, str(ROOT / "functions" / "inference"))
    import app  # type: ignore[import-not-found]

    arrays = read_arrays(folder / f"{kind}.npz")
    served = Served(
        VERSION,
        Scorer.from_arrays(arrays),
        manifest("ensemble" if kind == "personal" else kind),
        Response.from_arrays(arrays),
    )
    app.service.cache._checked["champion"] = float("inf")  # nobody promotes anything here, and there is no storage

    def handle(body: str) -> Any:
        app.service.cache._last_good["champion"] = served
        answer = app.handler(event(body), Context())
        if answer["statusCode"] != 200:
            raise RuntimeError(answer["body"])

    return handle


def fastapi_with(folder: Path) -> Callable[[str], Any]:
    """Return a call of the plain server's application: what happens between uvicorn's parser and its writer."""
    source = PLAIN_SERVER.format(storage="", source=repr(str(folder / "model.joblib")))
    (folder / "plain_server.py").write_text(source)
    sys.path.insert(0, str(folder))  # FastAPI looks annotations up in the module
    plain = importlib.import_module("plain_server")
    application = plain.app
    loop = asyncio.new_event_loop()
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/predict/",
        "raw_path": b"/predict/", "query_string": b"", "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000), "root_path": "",
    }  # fmt: skip

    async def call(body: bytes) -> None:
        sent: list[dict[str, Any]] = []
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            return next(given)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await application(dict(scope), receive, send)
        if sent[0]["status"] != 200:
            raise RuntimeError(sent)

    return lambda body: loop.run_until_complete(call(body.encode()))


def in_process(folder: Path) -> dict[str, float]:
    """Time requests of both sides in turn, so that another process's load falls on both alike."""
    one, many = bodies()
    handle, personal, plain = handler_with(folder, "ensemble"), handler_with(folder, "personal"), fastapi_with(folder)
    calls: dict[str, tuple[Callable[[str], Any], str]] = {
        "one": (handle, one),
        "personal": (personal, one),
        "plain": (plain, one),
        "batch": (handle, many),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    output, sys.stdout = sys.stdout, io.StringIO()  # metrics go there, as on Lambda
    try:
        for call, body in calls.values():
            for _ in range(CALLS):
                call(body)
        for _ in range(ROUNDS):
            for name, (call, body) in calls.items():
                for _ in range(CALLS):
                    started, cpu = time.perf_counter(), time.process_time()
                    call(body)
                    times[name].append((time.perf_counter() - started, time.process_time() - cpu))
            sys.stdout.seek(0)
            sys.stdout.truncate()
    finally:
        sys.stdout = output
    wall = {name: statistics.median(t for t, _ in values) for name, values in times.items()}
    processor = {name: statistics.median(t for _, t in values) for name, values in times.items()}
    return {
        "one_p50_ms": 1e3 * wall["one"],
        "one_cpu_ms": 1e3 * processor["one"],
        "personal_p50_ms": 1e3 * wall["personal"],
        "personal_cpu_ms": 1e3 * processor["personal"],
        "plain_p50_ms": 1e3 * wall["plain"],
        "times_faster": wall["plain"] / wall["one"],
        "times_less_cpu": processor["plain"] / processor["one"],
        "batch_epochs_a_second": BATCH / wall["batch"],
        "batch_epochs_a_cpu_second": BATCH / processor["batch"],
    }


# ---- a cold process
COLD_FUNCTION = """
import json, sys
import app
event = json.load(open(sys.argv[1]))
class Context:
    function_name, memory_limit_in_mb, aws_request_id = "p300-inference", 1024, "r"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:p300-inference"
answer = app.handler(event, Context())
assert answer["statusCode"] == 200, answer
"""
COLD_PLAIN = """
import json, sys
exec(compile(open(sys.argv[2]).read(), "server", "exec"))
print(predict(Request(**json.loads(json.load(open(sys.argv[1]))["body"]))))
"""
COLD_SCORE = """
import json, sys
import numpy as np
from p300.scoring import Scorer
print(Scorer.load(sys.argv[2]).probability_target(np.array([json.loads(json.load(open(sys.argv[1]))["body"])["features"]], np.float32)))
"""
COLD_SKLEARN = """
import json, sys
import joblib, numpy as np
print(joblib.load(sys.argv[2]).predict_proba(np.array([json.loads(json.load(open(sys.argv[1]))["body"])["features"]])))
"""


def cold(folder: Path) -> dict[str, float]:
    """Time fresh processes from their start to their first answer, bytecode there, the model in S3 and on disk."""
    with _bucket(_objects(folder)) as endpoint:
        (folder / "event.json").write_text(json.dumps(event(bodies()[0])))
        storage = f'import boto3; s3 = boto3.client("s3", endpoint_url="{endpoint}")'
        source = 'io.BytesIO(s3.get_object(Bucket="p300-models", Key="model.joblib")["Body"].read())'
        (folder / "server.py").write_text(PLAIN_SERVER.format(storage=storage, source=source))
        layers = [_layer("p300"), _layer("pipeline"), _layer("serving")]
        function = os.pathsep.join(map(str, [ROOT / "functions" / "inference", *layers]))
        runtime, here = ROOT / ".envs" / "runtime" / "bin" / "python", Path(sys.executable)
        sides = {
            "function": ([runtime, "-c", COLD_FUNCTION, folder / "event.json"], function),
            "server": ([here, "-c", COLD_PLAIN, folder / "event.json", folder / "server.py"], ""),
            "score": ([runtime, "-c", COLD_SCORE, folder / "event.json", folder / "ensemble.npz"], function),
            "sklearn": ([here, "-c", COLD_SKLEARN, folder / "event.json", folder / "model.joblib"], ""),
        }
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= (
            ENVIRONMENT | SAMPLED | {"AWS_ENDPOINT_URL": endpoint, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        )
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for number in range(COLD_ROUNDS + 1):
            for name, (command, path) in sides.items():
                if measured := _run([str(part) for part in command], environment | {"PYTHONPATH": path}, number):
                    times[name].append(measured)
    wall = {name: statistics.median(t for t, _ in values) for name, values in times.items()}
    processor = {name: statistics.median(t for _, t in values) for name, values in times.items()}
    figures = {f"{name}_ms": 1e3 * value for name, value in wall.items()}
    figures |= {f"{name}_cpu_ms": 1e3 * value for name, value in processor.items()}
    for ours, plain, name in (
        ("function", "server", "function_times_faster"),
        ("score", "sklearn", "score_times_faster"),
    ):
        figures[name] = wall[plain] / wall[ours]
        figures[f"{name}_cpu"] = processor[plain] / processor[ours]
    return figures


def _run(command: list[str], environment: dict[str, str], number: int) -> tuple[float, float] | None:
    started, before = time.perf_counter(), os.times()
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    after = os.times()
    elapsed = time.perf_counter() - started
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return (elapsed, processor) if number else None  # the first one writes bytecode


def _objects(folder: Path) -> dict[str, bytes]:
    """Return what a models bucket holds, by key: a published champion, and the plain server's model."""
    import boto3
    from moto import mock_aws
    from p300_pipeline.storage import Store

    with mock_aws():
        client = boto3.Session("test", "test", region_name="us-east-1").client("s3")
        client.create_bucket(Bucket="p300-models")
        store = Store(client)
        publish(store, folder, "p300-models")
        objects = {item.key: store.get("p300-models", item.key)[0] for item in store.list("p300-models")}
    return objects | {"model.joblib": (folder / "model.joblib").read_bytes()}


def publish(store: Any, folder: Path, bucket: str) -> None:
    """Make the ensemble the champion of a models bucket."""
    from p300_pipeline.registry import Registry

    registry = Registry(store, bucket)
    content = (folder / "ensemble.npz").read_bytes()
    registry.publish(VERSION, "bench", {"model.npz": (content, "application/octet-stream")}, manifest("ensemble"))
    registry.set_alias("champion", VERSION)


@contextmanager
def _bucket(objects: dict[str, bytes]) -> Iterator[str]:
    """Serve objects as S3 does, to both sides alike and with nothing of a real one's delay."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = objects.get(urlsplit(self.path).path.removeprefix("/p300-models/"))
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.send_header("ETag", f'"{hashlib.sha256(body or b"").hexdigest()[:32]}"')
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _layer(name: str) -> Path:
    sys.path.insert(0, str(ROOT / "layers"))
    from build import build_layer  # type: ignore[import-not-found]

    return Path(build_layer(name).path) / "python"


# ---- through API Gateway
def through_gateway(url: str, key: str, n_requests: int) -> dict[str, float]:
    """Ask a running stack at a speller's pace and more: one epoch a request, from a few connections."""
    one = _fitting(url, key)
    headers = {"x-api-key": key, "Content-Type": "application/json"}
    errors: list[str] = []
    times: list[float] = []
    lock = threading.Lock()

    def ask(due: float) -> None:
        time.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        try:
            request = urllib.request.Request(f"{url}/predict", one.encode(), headers)  # noqa: S310
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                json.load(answer)
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            with lock:
                errors.append(str(error))
        with lock:
            times.append(time.perf_counter() - began)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            ask(0.0)  # starts environments
        times.clear()
        start = time.perf_counter()
        list(pool.map(ask, [start + number / API_REQUESTS_A_SECOND for number in range(n_requests)]))
    p50, p95 = np.percentile(times, [50, 95])
    return {"p50_ms": 1e3 * float(p50), "p95_ms": 1e3 * float(p95), "errors": len(errors), "requests": n_requests}


def _fitting(url: str, key: str) -> str:
    """Return an epoch of as many features as the stack's champion takes."""
    request = urllib.request.Request(f"{url}/health", headers={"x-api-key": key})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        n_features = int(json.load(answer)["expects"].split()[0])
    return json.dumps({"features": np.random.default_rng(1).normal(0, 1e-5, n_features).tolist()})


@contextmanager
def _own_stack(folder: Path) -> Iterator[tuple[str, str]]:
    """Bring a stack up on a port of its own, with a champion; yields address and key of its API."""
    from p300_client.target import Target
    from p300_pipeline.storage import Store

    endpoint = f"http://127.0.0.1:{STACK_PORT}"
    p300 = str(Path(sys.executable).with_name("p300"))
    environment = os.environ | {"AWS_ENDPOINT_URL": endpoint}
    try:
        subprocess.run([p300, "up"], env=environment, check=True, capture_output=True)
        target = Target(endpoint)
        publish(Store(target.client("s3")), folder, target.outputs["ModelsBucketName"])
        yield target.api_url, target.api_key
    finally:
        subprocess.run([p300, "down"], env=environment, check=False, capture_output=True)


def measure(n_requests: int) -> dict[str, dict[str, float]]:
    """Measure everything; through API Gateway so many requests, none where it is 0."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_models(folder)
        figures = {"in_process": in_process(folder), "cold": cold(folder)}
        if n_requests:
            with _own_stack(folder) as api:
                figures["gateway"] = through_gateway(*api, n_requests)
    return figures


def rows(figures: dict[str, dict[str, float]]) -> list[dict[str, object]]:
    """Return a row for each number that serving promises."""
    inside, start = figures["in_process"], figures["cold"]
    found = [
        row("one epoch in the handler, JSON, ms (p50)", inside["one_p50_ms"], at_most=0.3),
        row("one epoch in the handler, a subject's own model, ms (p50)", inside["personal_p50_ms"], at_most=0.4),
        row("one epoch: times faster than FastAPI + scikit-learn", inside["times_faster"], at_least=3),
        row(
            f"batch of {BATCH} in the handler, base64: epochs a second",
            inside["batch_epochs_a_second"],
            at_least=50_000,
        ),
        row("cold process, model on disk, to its first score: times faster", start["score_times_faster"], at_least=8),
        row("cold process, model in S3, to its first answer: times faster", start["function_times_faster"], at_least=8),
    ]
    if gateway := figures.get("gateway"):
        found += [
            row(f"through API Gateway at {API_REQUESTS_A_SECOND} a second, ms (p95)", gateway["p95_ms"], at_most=40),
            row(f"errors in {gateway['requests']:.0f} requests", gateway["errors"], at_most=0),
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure serving.")
    parser.add_argument("--requests", type=int, default=N_REQUESTS, help="through API Gateway; 0 for none")
    figures = measure(parser.parse_args().requests)
    print(json.dumps({"figures": figures, "rows": rows(figures)}, indent=1))


if __name__ == "__main__":
    main()
