"""Requests through API Gateway, at a speller's pace and more, to a stack brought up for them."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from serving_sides import publish
from sizes import size

REQUESTS_A_SECOND = 20
N_REQUESTS = int(os.environ.get("P300_BENCH_REQUESTS", size("5000", short="200")))
STACK_PORT = int(os.environ.get("P300_BENCH_PORT", "4586"))


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
        list(pool.map(ask, [start + number / REQUESTS_A_SECOND for number in range(n_requests)]))
    p50, p95 = np.percentile(times, [50, 95])
    return {"p50_ms": 1e3 * float(p50), "p95_ms": 1e3 * float(p95), "errors": len(errors), "requests": n_requests}


def _fitting(url: str, key: str) -> str:
    """Return an epoch of as many features as the stack's champion takes."""
    request = urllib.request.Request(f"{url}/health", headers={"x-api-key": key})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        n_features = int(json.load(answer)["expects"].split()[0])
    return json.dumps({"features": np.random.default_rng(1).normal(0, 1e-5, n_features).tolist()})


@contextmanager
def own_stack(folder: Path) -> Iterator[tuple[str, str]]:
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
