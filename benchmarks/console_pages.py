"""How long the console's pages take at 1,000 executions of 1,000 recordings, on a real LocalStack.

The executions are real and belong to a stack with the template's names, but their state machines only pass the input on, since no page
depends on more. Times are a browser's: from the request to the last byte, one page after another, each asked for as often as an open tab
asks.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from p300_cli import localstack
from p300_client.target import Target
from sizes import size
from training import row

PORT = int(os.environ.get("P300_BENCH_PORT", "4586"))
N = size(1000, short=50)
REQUESTS = size(20, short=3)
_THREADS = 8
_ROLE = "arn:aws:iam::000000000000:role/machine"
_MACHINE = {"StartAt": "Start", "States": {"Start": {"Type": "Pass", "Next": "End"}, "End": {"Type": "Succeed"}}}
_BUCKETS = {
    "LandingBucketName": "p300-landing-zone",
    "RawBucketName": "p300-raw-data",
    "FeaturesBucketName": "p300-processed-features",
    "ModelsBucketName": "p300-models",
}
_REPORT = {
    "n_flashes": 900,
    "n_outside": 0,
    "n_kept": 880,
    "n_target": 147,
    "n_non_target": 733,
    "rejected_by_channel": {"Cz": 20, "Pz": 0},
    "bad_channels": [],
    "verdict": {"found": True, "words": "P300 found", "sentence": "P300 found: responses differ from 280 to 450 ms."},
}


def run(n: int = N) -> dict[str, Any]:
    """Return milliseconds of each page, wall and processor."""
    target = Target(f"http://127.0.0.1:{PORT}")
    localstack.up(target)
    try:
        arns = _fill(target, n)
        return _measure(target, arns)
    finally:
        localstack.down(target)


def promised() -> list[dict[str, Any]]:
    """Return a row for each page."""
    return [
        row(f"console at {N} executions, {name}: ms, 95th percentile", figures["p95_ms"], at_most=300)
        for name, figures in run().items()
        if "p95_ms" in figures
    ]


def _fill(target: Target, n: int) -> list[str]:
    clients = {name: target.client(name) for name in ("s3", "stepfunctions", "cloudformation")}
    for bucket in _BUCKETS.values():
        clients["s3"].create_bucket(Bucket=bucket)
    machines = [
        clients["stepfunctions"].create_state_machine(
            name=f"p300-{name}", definition=json.dumps(_MACHINE), roleArn=_ROLE
        )["stateMachineArn"]
        for name in ("pipeline", "backfill")
    ]
    outputs = {**_BUCKETS, "StateMachineArn": machines[0], "BackfillStateMachineArn": machines[1]}
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    clients["cloudformation"].create_stack(StackName="p300", TemplateBody=json.dumps(template))
    clients["cloudformation"].get_waiter("stack_create_complete").wait(StackName="p300", WaiterConfig={"Delay": 1})

    def one(number: int) -> str:
        name = f"subject_{number // 10:03d}/run_{number % 10:02d}"
        clients["s3"].put_object(Bucket=_BUCKETS["RawBucketName"], Key=f"{name}.parquet", Body=b"x")
        for file, body in (("features.parquet", b"x"), ("report.json", json.dumps(_REPORT).encode())):
            clients["s3"].put_object(Bucket=_BUCKETS["FeaturesBucketName"], Key=f"{name}/{file}", Body=body)
        event = {"detail": {"object": {"key": f"{name}.parquet", "etag": "e", "size": 1}}}
        return str(
            clients["stepfunctions"].start_execution(stateMachineArn=machines[0], input=json.dumps(event))[
                "executionArn"
            ]
        )

    with ThreadPoolExecutor(_THREADS) as pool:
        arns = list(pool.map(one, range(n)))
    deadline = time.monotonic() + 120
    while any(
        page["executions"]
        for page in clients["stepfunctions"]
        .get_paginator("list_executions")
        .paginate(stateMachineArn=machines[0], statusFilter="RUNNING")
    ):
        if time.monotonic() > deadline:
            raise TimeoutError("the executions do not end")
        time.sleep(0.2)
    return arns


def _measure(target: Target, arns: list[str]) -> dict[str, Any]:
    console = subprocess.Popen(
        [str(Path(sys.executable).with_name("p300")), "console", "--port", "0", "--no-open"],
        env={**os.environ, "AWS_ENDPOINT_URL": str(target.endpoint)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert console.stdout is not None  # noqa: S101
        address = console.stdout.readline().strip()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        opener.open(address, timeout=60).close()
        urllib.request.install_opener(opener)
        address = address.partition("/?")[0]
        process = psutil.Process(console.pid)
        middle = len(arns) // 2
        subject, run = f"subject_{middle // 10:03d}", f"run_{middle % 10:02d}"
        one = "/execution?" + urllib.parse.urlencode({"arn": arns[middle]})
        pages = {
            "/executions": "/executions",
            "/executions, last page": "/executions?page=999",
            "/executions of one subject": f"/executions?subject={subject}",
            "/execution": one,
            "/recordings": "/recordings",
            "/recording": f"/recording?name={subject}/{run}",
            "/models": "/models",
        }
        first = _ask(address + "/executions")
        _until_read(address)
        return {"first": {"ms": first}, **{name: _page(process, address + path) for name, path in pages.items()}}
    finally:
        console.terminate()
        console.wait(20)


def _until_read(address: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{address}/executions", timeout=60) as answer:  # noqa: S310
            if "have not been read yet" not in answer.read().decode():
                return
        time.sleep(0.2)


def _page(process: psutil.Process, url: str) -> dict[str, float]:
    _ask(url)
    before = sum(process.cpu_times()[:2])
    took = []
    for _ in range(REQUESTS):
        took.append(_ask(url))
        time.sleep(0.1)
    cpu = sum(process.cpu_times()[:2]) - before
    return {
        "median_ms": statistics.median(took),
        "p95_ms": sorted(took)[round(0.95 * (len(took) - 1))],
        "cpu_ms": 1000 * cpu / REQUESTS,
    }


def _ask(url: str) -> float:
    began = time.perf_counter()
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
        answer.read()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    for name, figures in run().items():
        print(f"{name:30s}", "  ".join(f"{key} {value:7.1f}" for key, value in figures.items()))
