"""Fresh processes from their start to their first answer, the model on disk or in S3."""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from serving_sides import ENVIRONMENT, PLAIN_SERVER, ROOT, bodies, event, publish
from sizes import size

ROUNDS = size(5, short=1)
SAMPLED = {"_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}
"""X-Ray takes the first request of each second, so that of a cold start; then one of twenty."""

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
        for number in range(ROUNDS + 1):
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
