"""Fixtures: an interpreter for the functions, and sandboxes that are removed after the test."""

import io
import json
import os
import signal
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from localstack_server import BUCKET, LocalStack
from support import Function

from localstack_process_executor.bootstrap import landlock_version
from localstack_process_executor.environment import function_environment
from localstack_process_executor.launch import command, confinement
from localstack_process_executor.reaper import Reaper
from localstack_process_executor.sandbox import FunctionSpec

LANDLOCK = landlock_version() > 0


@pytest.fixture(scope="session")
def runtime_python() -> Path:
    """Return the interpreter of an environment with awslambdaric and boto3."""
    python = os.environ.get("LAMBDA_PROCESS_PYTHON")
    if not python:
        pytest.fail("Set LAMBDA_PROCESS_PYTHON to the interpreter of an environment that holds awslambdaric and boto3.")
    return Path(python)


@pytest.fixture
def credential(tmp_path: Path) -> Path:
    """Return a credential file as GATEWAY_GUARD_CREDENTIAL expects it."""
    path = tmp_path / "credential.json"
    path.write_text(json.dumps({"access_key_id": "P300KEY", "secret_access_key": "s" * 40}))
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def reaper() -> Iterator[Reaper]:
    reaper = Reaper()
    yield reaper
    reaper.close()


@pytest.fixture
def function(tmp_path: Path, runtime_python: Path, reaper: Reaper) -> Iterator[Callable[..., Function]]:
    """Return a factory for functions: `function(code, timeout_s=1)`."""
    made: list[Function] = []

    def make(
        code: str,
        *,
        opt: Path | None = None,
        handler: str = "app.handler",
        landlock: bool = LANDLOCK,
        background: bool = False,
        **changes: Any,
    ) -> Function:
        root = tmp_path / f"function-{len(made)}"
        task_root = root / "code"
        task_root.mkdir(parents=True)
        tmp, bytecode = root / "own" / "tmp", root / "bytecode"
        bytecode.mkdir()
        spec = FunctionSpec(
            argv=command(runtime_python, handler),
            env=function_environment(
                {},
                runtime="python3.13",
                python=runtime_python,
                task_root=task_root,
                opt=opt,
                tmp=tmp,
                bytecode=bytecode,
            )
            | confinement(
                [task_root, *([opt] if opt else [])],
                [tmp, bytecode],
                max_file_mb=512,
                landlock=landlock,
                background=background,
            ),
            cwd=task_root,
            timeout_s=30,
            memory_mb=512,
            max_response_bytes=6 * 1024 * 1024 + 100,
            init_timeout_s=30,
            version="$LATEST",
            python_version="3.13",
        )
        made.append(Function(replace(spec, **changes), root / "own", reaper))
        made[-1].write(code)
        return made[-1]

    yield make
    for each in made:
        each.sandbox.stop()


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory, runtime_python: Path) -> Iterator[LocalStack]:
    localstack = LocalStack(tmp_path_factory.mktemp("localstack"), runtime_python)
    yield localstack
    localstack.end(signal.SIGKILL)


@pytest.fixture(scope="session")
def bucket(localstack: LocalStack) -> str:
    """Return a bucket with one object."""
    localstack.client("s3").create_bucket(Bucket=BUCKET)
    localstack.client("s3").put_object(Bucket=BUCKET, Key="kept", Body=b"secret")
    return BUCKET


@pytest.fixture
def unchanged(localstack: LocalStack, bucket: str) -> Iterator[None]:
    """Fail the test if it changed anything."""

    def look() -> tuple[Any, ...]:
        s3 = localstack.client("s3")
        return (
            [found["Name"] for found in s3.list_buckets()["Buckets"]],
            [(found["Key"], found["ETag"]) for found in s3.list_objects_v2(Bucket=bucket)["Contents"]],
            [found["FunctionName"] for found in localstack.client("lambda").list_functions()["Functions"]],
            [found["UserName"] for found in localstack.client("iam").list_users()["Users"]],
            localstack.client("sqs").list_queues().get("QueueUrls"),
        )

    before = look()
    yield
    assert look() == before


@pytest.fixture
def lambda_function(localstack: LocalStack) -> Iterator[Callable[[str], str]]:
    """Return a factory for functions: `lambda_function("code")` returns the name."""
    client, names = localstack.client("lambda"), []

    def make(code: str) -> str:
        names.append(f"guarded-{uuid.uuid4().hex[:8]}")
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as files:
            files.writestr("app.py", code)
        client.create_function(
            FunctionName=names[-1],
            Code={"ZipFile": package.getvalue()},
            Runtime="python3.13",
            Role="arn:aws:iam::000000000000:role/any",
            Handler="app.handler",
            Timeout=30,
        )
        client.get_waiter("function_active_v2").wait(FunctionName=names[-1], WaiterConfig={"Delay": 1})
        return names[-1]

    yield make
    for name in names:
        client.delete_function(FunctionName=name)
