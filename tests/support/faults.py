"""A LocalStack whose functions fail as told, and what must hold whatever failed."""

import hashlib
import importlib.util
import io
import json
import os
import shutil
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from p300.features import read_features
from p300_cli import localstack, servers
from p300_client.paths import ENVIRONMENTS
from p300_client.target import Target
from p300_pipeline.keys import RECORDS, record_key
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.localstack import ENDPOINT, Stack, run_p300, wait_for
from tests.support.paths import PROJECT
from tests.support.recordings import recording

BUILD = PROJECT / "tests" / "faults" / "executor"
FULL = os.environ.get("P300_FAULTS_RUN", "full") == "full"
"""`P300_FAULTS_RUN=short` has every kind of fault, at fewer points and of fewer recordings: for CI."""
COUNTS = Counter[str]()
PARAMETERS = {"RetrainEvery": "1000", "ModelKind": "lda"}
"""A training only where a test asks for one, of the model that is trained fastest."""


def small(seed: int) -> bytes:
    """Return a recording that is processed fast."""
    return recording(seed, n_channels=4, n_repetitions=6)


@dataclass
class Faults:
    """What is to fail, in the folder that the functions' processes look into."""

    folder: Path
    rules: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, function: str, *match: str, **rule: Any) -> None:
        """Add a rule; see `executor/sitecustomize.py`."""
        self.rules.append({"id": name, "function": function, "match": match, **rule})
        self._write()

    def clear(self) -> None:
        """Nothing fails any more."""
        self.rules = []
        self._write()

    def fired(self) -> set[str]:
        """Return the rules whose fault happened."""
        return {path.name for path in (self.folder / "fired").iterdir()}

    def noted(self, what: str) -> list[dict[str, Any]]:
        """Return the lines of `writes`, `deaths`, `troubles` or `jumps`."""
        path = self.folder / what
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _write(self) -> None:
        partial = self.folder / "plan.partial"
        partial.write_text("".join(json.dumps(rule) + "\n" for rule in self.rules))
        partial.rename(self.folder / "plan")


def start_localstack(folder: Path, **environment: str) -> Target:
    """Start a LocalStack whose functions run in the test build of the executor."""
    python = folder / "python"
    build = folder / "build"
    for part in ("fired", "attempts", "build"):
        (folder / part).mkdir(exist_ok=True)
    shutil.copy(BUILD / "sitecustomize.py", build)
    time_machine = importlib.util.find_spec("time_machine")
    assert time_machine is not None and time_machine.origin is not None
    for path in Path(time_machine.origin).parents[1].glob("*time_machine*"):
        if not (build / path.name).exists():
            (build / path.name).symlink_to(path)
    real = ENVIRONMENTS / "runtime" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nP300_FAULTS={folder} PYTHONPATH="{build}:$PYTHONPATH" exec {real} "$@"\n')
    python.chmod(0o755)
    target = Target(ENDPOINT)
    usual = localstack._environment
    with pytest.MonkeyPatch.context() as patch:
        extra = {
            "LAMBDA_PROCESS_PYTHON": str(python),
            "LAMBDA_PROCESS_SANDBOX": "none",  # the test build keeps its records outside of what functions may reach
            "LAMBDA_RETRY_BASE_DELAY_SECONDS": "1",
            **environment,
        }
        patch.setattr(localstack, "_environment", lambda *arguments: usual(*arguments) | extra)
        localstack.up(target)
    return target


def deploy(**parameters: str) -> None:
    """Deploy with the suite's parameters, and others over them."""
    run_p300(
        "deploy", *[part for pair in (PARAMETERS | parameters).items() for part in ("--parameter", "=".join(pair))]
    )


def kill(stack: Stack) -> None:
    """End LocalStack as a power cut does, and wait until its functions are gone with it."""
    process = servers.own_server(stack.target.port)
    assert process is not None
    family = [process, *process.children(recursive=True)]
    os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(family, timeout=60)


@dataclass
class Landed:
    """Everything that was put into the landing zone, by key, oldest first."""

    stack: Stack
    bodies: dict[str, list[bytes]] = field(default_factory=dict)

    def put(self, key: str, body: bytes) -> str:
        """Land an object; return its ETag."""
        self.bodies.setdefault(key, []).append(body)
        return str(self.stack.s3.put_object(Bucket=self.stack.landing, Key=key, Body=body)["ETag"].strip('"'))


def settle(stack: Stack, timeout_s: float = 600) -> None:
    """Wait until no execution runs."""
    steps, arn = stack.target.client("stepfunctions"), stack.outputs["StateMachineArn"]

    def idle() -> bool | None:
        running = steps.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"]
        return None if running else True

    wait_for(idle, "the end of all executions", timeout_s)


def finish(stack: Stack, landed: Landed, timeout_s: float = 600) -> None:
    """Wait until every landed object has left the landing zone and no execution runs."""

    def emptied() -> bool | None:
        return None if set(stack.keys(stack.landing)) & landed.bodies.keys() else True

    wait_for(emptied, "an empty landing zone", timeout_s)
    settle(stack, timeout_s)


def check(stack: Stack, landed: Landed) -> None:
    """Nothing landed is lost or there twice, features are whole or absent, what serves is whole and was promoted."""
    check_bytes(stack, landed)
    check_features(stack)
    check_models(stack)


def _read(stack: Stack, bucket: str, key: str | None, of: str) -> tuple[bytes, dict[str, str]]:
    """Return an object's bytes and metadata; where it is missing, the executions of what it belongs to may say why."""
    try:
        answer = stack.s3.get_object(Bucket=bucket, Key=str(key))
    except stack.s3.exceptions.NoSuchKey:
        pytest.fail(f"{of} has no {key}; {_executions(stack, of)}")
    return answer["Body"].read(), answer["Metadata"]


def _executions(stack: Stack, of: str) -> str:
    """Return how the executions ended whose input names the last two parts of a key."""
    steps, name = stack.target.client("stepfunctions"), "/".join(of.split("/")[-2:])
    found = []
    for page in steps.get_paginator("list_executions").paginate(stateMachineArn=stack.outputs["StateMachineArn"]):
        for entry in page["executions"]:
            whole = steps.describe_execution(executionArn=entry["executionArn"])
            if f'{name}"' in whole["input"]:
                found.append(
                    f"{whole['status']} {whole.get('error', '')} {whole.get('cause', whole.get('output', ''))[:300]}"
                )
    return " | ".join(found) or "it has no execution"


def check_bytes(stack: Stack, landed: Landed) -> None:
    current: dict[str, list[str]] = {}
    everything: dict[str, list[str]] = {}
    for bucket in (stack.landing, stack.raw):
        for page in stack.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for version in page.get("Versions", []):
                if version["Key"].startswith(RECORDS):
                    continue
                where = {"Bucket": bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
                digest = hashlib.sha256(stack.s3.get_object(**where)["Body"].read()).hexdigest()
                everything.setdefault(digest, []).append(f"{bucket}/{version['Key']}")
                if version["IsLatest"]:
                    current.setdefault(digest, []).append(f"{bucket}/{version['Key']}")
    for key, bodies in landed.bodies.items():
        digests = [hashlib.sha256(body).hexdigest() for body in bodies]
        assert len(current.get(digests[-1], [])) == 1, f"{key}: {current.get(digests[-1], 'lost')}"
        for digest in digests[:-1]:
            assert digest in everything, f"an earlier {key} is lost"
            assert digest == digests[-1] or len(current.get(digest, [])) <= 1, f"{key}: {current[digest]}"
        COUNTS["uploads looked for: none lost, none there twice"] += len(bodies)
    for key in stack.keys(stack.raw, "quarantine/"):
        reason, _ = _read(stack, stack.raw, record_key(key), key)
        assert json.loads(reason)["message"], key


def check_features(stack: Stack) -> None:
    raw = {key.rpartition(".")[0]: key for key in stack.keys(stack.raw, "subject_")}
    found = set(stack.keys(stack.features))
    for name, key in raw.items():
        etag = stack.s3.head_object(Bucket=stack.raw, Key=key)["ETag"].strip('"')
        assert f"{name}/features.parquet" in found, f"{key} has no features"
        body, stamp = _read(stack, stack.features, f"{name}/features.parquet", key)
        features = read_features(io.BytesIO(body))
        assert len(features.X), key
        assert (features.provenance["raw_etag"], stamp["raw-etag"]) == (etag, etag)
        report, reports_stamp = _read(stack, stack.features, f"{name}/report.json", key)
        assert reports_stamp == stamp, key
        assert json.loads(report)["raw_etag"] == etag


def check_models(stack: Stack, *, settled: bool = True) -> str | None:
    """Check every version that exists and what serves; return that. Pointer and history follow the alias: once all is `settled`."""
    registry = Registry(Store(stack.s3), stack.models)
    for version in registry.versions():
        manifest = registry.manifest(version)
        for name in manifest["artifacts"]:
            registry.artifact(version, name, manifest)
        COUNTS["looks at a model version: none torn"] += 1
    champion = registry.alias("champion")
    if champion is None:
        return None
    if settled:
        assert registry.history()[-1]["version"] == champion
        pointer, _ = _read(stack, stack.models, "active_model_pointer.txt", champion)
        assert pointer.decode() == champion

    def serves() -> bool | None:
        health = stack.api.ask("GET", "/health").body
        return (health["status"], health.get("model_version")) == ("ok", champion) or None

    assert wait_for(serves, f"{champion} serving")
    return champion


def etag(body: bytes) -> str:
    import hashlib

    return hashlib.md5(body).hexdigest()  # noqa: S324 - what S3 calls an upload's ETag


def train(stack: Stack, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Ask for a training by an execution of that name; return its end."""
    steps = stack.target.client("stepfunctions")
    arn = steps.start_execution(
        stateMachineArn=stack.outputs["StateMachineArn"], name=name, input=json.dumps({"train": request})
    )["executionArn"]

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = steps.describe_execution(executionArn=arn)
        return None if found["status"] == "RUNNING" else found

    return wait_for(ended, f"the training {name}", 300)
