"""Functions in a real LocalStack with this plugin, invoked through boto3."""

import contextlib
import io
import json
import os
import re
import signal
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError, WaiterError
from botocore.waiter import WaiterModel, create_waiter_with_client
from localstack_server import LocalStack
from support import FAST, ROLE, invoke


@pytest.fixture(scope="session")
def lambda_(localstack: LocalStack) -> Any:
    return localstack.client("lambda")


@pytest.fixture
def create(lambda_: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Return a factory: `create("code", MemorySize=128)` makes a function, deleted after the test; returns its name."""
    names: list[str] = []

    def make(code: str, **settings: object) -> str:
        names.append(re.sub(r"\W+", "-", f"{request.node.name}-{len(names)}")[-60:].strip("-"))
        deploy(lambda_, names[-1], code, **settings)
        return names[-1]

    yield make
    for name in names:
        lambda_.delete_function(FunctionName=name)


def deploy(lambda_: Any, name: str, code: str, **settings: object) -> None:
    defaults = {
        "Code": {"ZipFile": zipped({"app.py": code})},
        "Runtime": "python3.13",
        "Role": ROLE,
        "Handler": "app.handler",
        "Timeout": 30,
        "MemorySize": 256,
    }
    lambda_.create_function(FunctionName=name, **{**defaults, **settings})
    lambda_.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=FAST)


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return buffer.getvalue()


def test_layers_merge_in_order_and_keep_their_bytecode(
    lambda_: Any,
    create: Callable[..., str],
) -> None:
    site = "python/lib/python3.13/site-packages"
    contents = [
        {"python/shared/__init__.py": "", "python/shared/who.py": "NAME = 'first'", "python/shared/only_first.py": ""},
        {"python/shared/who.py": "NAME = 'second'", f"{site}/installed.py": "", "bin/tool": "#!/bin/sh\necho tool"},
    ]
    layers = [
        lambda_.publish_layer_version(LayerName=f"layer-{number}", Content={"ZipFile": zipped(files)})
        for number, files in enumerate(contents)
    ]
    code = """
import pathlib, subprocess, sys
from shared import only_first, who
import installed
def handler(event, context):
    return [who.NAME, subprocess.check_output("tool", text=True).strip(), pathlib.Path(installed.__cached__).exists(),
            [pathlib.Path(entry).name for entry in sys.path[:3]]]
"""
    arns = [layer["LayerVersionArn"] for layer in layers]
    expected = ["tool", True, ["code", "python", "site-packages"]]
    assert invoke(lambda_, create(code, Layers=arns))[0] == ["second", *expected]
    assert invoke(lambda_, create(code, Layers=arns[::-1]))[0] == ["first", *expected]


def test_the_environment_is_that_of_lambda(lambda_: Any, create: Callable[..., str]) -> None:
    name = create(
        "import os\ndef handler(event, context): return {**os.environ, 'cwd': os.getcwd()}",
        Environment={"Variables": {"MINE": "ä"}},
    )
    environment, _ = invoke(lambda_, name)
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert environment["LAMBDA_TASK_ROOT"] == environment["cwd"]
    assert environment["MINE"] == "ä"
    assert not {"PYTHONDONTWRITEBYTECODE", "FILESYSTEM_ROOT", "GATEWAY_LISTEN"} & environment.keys()


def test_functions_reach_localstack_through_boto3(lambda_: Any, create: Callable[..., str]) -> None:
    name = create(
        "import boto3\ndef handler(event, context): return boto3.client('sts').get_caller_identity()['Account']"
    )
    assert invoke(lambda_, name)[0] == "000000000000"


@pytest.mark.parametrize(
    ("body", "settings", "error_type"),
    [
        ("import threading; threading.Event().wait()", {"Timeout": 1}, "Sandbox.Timedout"),
        ("blocks = [b'x' * 2**20 for _ in range(2**20)]", {"MemorySize": 128}, "Runtime.OutOfMemory"),
        ("import sys; sys.exit(1)", {}, "Runtime.ExitError"),
        ("return 'x' * (7 * 2**20)", {}, "Function.ResponseSizeTooLarge"),
    ],
)
def test_failures_have_the_error_types_of_aws_and_the_next_invocation_works(
    lambda_: Any,
    create: Callable[..., str],
    body: str,
    settings: dict[str, int],
    error_type: str,
) -> None:
    name = create(f"def handler(event, context):\n    if event == 'ok': return event\n    {body}", **settings)
    for _ in range(2):
        assert invoke(lambda_, name)[0]["errorType"] == error_type
        assert invoke(lambda_, name, "ok")[0] == "ok"


def test_an_import_error_is_reported_each_time_with_its_log(lambda_: Any, create: Callable[..., str]) -> None:
    name = create("print('before the import')\nimport not_there")
    for _ in range(2):
        error, log = invoke(lambda_, name)
        assert error["errorType"] == "Runtime.ImportModuleError"
        assert error["errorMessage"] == "Unable to import module 'app': No module named 'not_there'"
        assert "before the import\n" in log


def log_lines(logs: Any, name: str, n_reports: int) -> list[str]:
    """Wait until a function's log, which must fit into a page of 10,000 events, holds that many invocations."""
    complete = {
        "state": "success",
        "matcher": "path",
        "argument": f"length(events[?starts_with(message, 'REPORT')]) == `{n_reports}`",
        "expected": True,
    }
    absent = {"state": "retry", "matcher": "error", "expected": "ResourceNotFoundException"}
    waiter = {"operation": "FilterLogEvents", "delay": 1, "maxAttempts": 30, "acceptors": [complete, absent]}
    model = WaiterModel({"version": 2, "waiters": {"Logged": waiter}})
    group = f"/aws/lambda/{name}"
    create_waiter_with_client("Logged", model, logs).wait(logGroupName=group)
    return [event["message"].rstrip("\n") for event in logs.filter_log_events(logGroupName=group)["events"]]


def test_logs_reach_cloudwatch(lambda_: Any, localstack: LocalStack, create: Callable[..., str]) -> None:
    name = create("print('loading')\ndef handler(event, context): print('hello', event)")
    for event in ("cold", "warm"):
        invoke(lambda_, name, event)
    lines = log_lines(localstack.client("logs"), name, n_reports=2)
    kinds = [line.split()[0] for line in lines]
    assert kinds == ["INIT_START", "loading", "START", "hello", "END", "REPORT", "START", "hello", "END", "REPORT"]
    report = (
        r"REPORT RequestId: [0-9a-f-]{36}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms"
        r"\tMemory Size: 256 MB\tMax Memory Used: \d+ MB"
    )
    assert re.fullmatch(report + r"\tInit Duration: [\d.]+ ms", lines[5])
    assert re.fullmatch(report, lines[9])


def test_logs_of_an_import_error_reach_cloudwatch(
    lambda_: Any,
    localstack: LocalStack,
    create: Callable[..., str],
) -> None:
    name = create("import not_there")
    invoke(lambda_, name)
    lines = log_lines(localstack.client("logs"), name, n_reports=1)
    assert "[ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named 'not_there'" in lines
    assert lines[-1].endswith("\tStatus: error\tError Type: Runtime.ImportModuleError")


def test_a_long_log_reaches_cloudwatch(lambda_: Any, localstack: LocalStack, create: Callable[..., str]) -> None:
    name = create("def handler(event, context):\n    for number in range(9_000): print(number, 'x' * 100)")
    invoke(lambda_, name)
    numbers = [int(line.split()[0]) for line in log_lines(localstack.client("logs"), name, n_reports=1)[2:-2]]
    assert numbers == list(range(9_000))


def test_changed_code_is_reloaded(lambda_: Any, create: Callable[..., str], tmp_path: Path) -> None:
    module = tmp_path / "app.py"
    module.write_text("def handler(event, context): return 'old'")
    name = create("", Code={"S3Bucket": "hot-reload", "S3Key": str(tmp_path)})
    assert invoke(lambda_, name)[0] == "old"
    module.write_text("def handler(event, context): return 'new code'")
    assert invoke(lambda_, name)[0] == "new code"


@pytest.mark.parametrize(
    ("invocation_type", "limit", "message"),
    [
        ("RequestResponse", 6 * 2**20, "Request must be smaller than 6291456 bytes for the InvokeFunction operation"),
        ("Event", 2**20, "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"),
    ],
)
def test_too_large_requests_are_refused(
    lambda_: Any,
    create: Callable[..., str],
    invocation_type: str,
    limit: int,
    message: str,
) -> None:
    name = create("def handler(event, context): return len(event)")
    with pytest.raises(ClientError, match=re.escape(message)) as raised:
        lambda_.invoke(FunctionName=name, InvocationType=invocation_type, Payload=b'"' + b"x" * (limit - 1) + b'"')
    assert raised.value.response["Error"]["Code"] == "RequestEntityTooLargeException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert invoke(lambda_, name, "x" * (limit - 2))[0] == limit - 2


def test_twenty_invocations_run_at_once(lambda_: Any, create: Callable[..., str]) -> None:
    n = 20
    name = create(
        """
import os, socket
def handler(event, context):
    with socket.create_connection(("127.0.0.1", event)) as meeting:
        return [meeting.recv(1).decode(), os.getpid()]
"""
    )
    with socket.create_server(("127.0.0.1", 0), backlog=n) as meeting, ThreadPoolExecutor(n) as pool:
        meeting.settimeout(60)
        answers = [pool.submit(invoke, lambda_, name, meeting.getsockname()[1]) for _ in range(n)]
        # No function continues before all have arrived.
        guests = [meeting.accept()[0] for _ in range(n)]
        for guest in guests:
            guest.sendall(b"!")
            guest.close()
        payloads = [answer.result()[0] for answer in answers]
    assert [word for word, _ in payloads] == ["!"] * n
    assert len({pid for _, pid in payloads}) == n


def test_deleting_a_function_ends_its_processes(lambda_: Any) -> None:
    deploy(lambda_, "short-lived", "import os\ndef handler(event, context): return [os.getpid(), os.environ['TMPDIR']]")
    (pid, directory), _ = invoke(lambda_, "short-lived")
    process = psutil.Process(pid)
    assert Path(directory).is_dir()
    lambda_.delete_function(FunctionName="short-lived")
    assert not psutil.wait_procs([process], timeout=60)[1]


def test_provisioned_concurrency_starts_ahead(lambda_: Any, create: Callable[..., str]) -> None:
    name = create("import os\ndef handler(event, context): return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']")
    version = lambda_.publish_version(FunctionName=name)["Version"]
    lambda_.get_waiter("published_version_active").wait(FunctionName=name, Qualifier=version, WaiterConfig=FAST)
    lambda_.put_provisioned_concurrency_config(FunctionName=name, Qualifier=version, ProvisionedConcurrentExecutions=1)
    ready = {"state": "success", "matcher": "path", "argument": "Status", "expected": "READY"}
    waiter = {"operation": "GetProvisionedConcurrencyConfig", "delay": 1, "maxAttempts": 30, "acceptors": [ready]}
    model = WaiterModel({"version": 2, "waiters": {"Provisioned": waiter}})
    create_waiter_with_client("Provisioned", model, lambda_).wait(FunctionName=name, Qualifier=version)
    response = lambda_.invoke(FunctionName=name, Qualifier=version)
    assert json.loads(response["Payload"].read()) == "provisioned-concurrency"


def test_what_cannot_run_without_docker_fails_with_the_reason(lambda_: Any) -> None:
    with pytest.raises(WaiterError, match="Failed"):
        deploy(lambda_, "node", "x", Runtime="nodejs22.x")
    reason = lambda_.get_function_configuration(FunctionName="node")["StateReason"]
    assert "The process executor runs Python functions; nodejs22.x needs Docker." in reason


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads which files are open from /proc")
def test_objects_are_kept_in_localstacks_own_folder(localstack: LocalStack) -> None:
    s3 = localstack.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="large", Body=bytes(2**20))
    links = Path(f"/proc/{localstack.process.pid}/fd").iterdir()
    files = {str(link.readlink()) for link in links if "kept" in os.fspath(link.readlink())}
    assert files
    assert all(file.startswith(str(localstack.tmp)) for file in files)


BUSY = """
import os, socket, subprocess, sys
def handler(event, context):
    wait = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    child = subprocess.Popen(wait, start_new_session=True)
    if event:
        with socket.create_connection(("127.0.0.1", event)) as meeting:
            meeting.recv(1)
    return [os.getpid(), child.pid]
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_and_no_file_outlives_localstack(end: signal.Signals, tmp_path: Path, runtime_python: Path) -> None:
    localstack = LocalStack(tmp_path, runtime_python)
    localstack.load_services()
    lambda_ = localstack.client("lambda")
    deploy(lambda_, "idle", BUSY)
    deploy(lambda_, "busy", BUSY)
    invoke(lambda_, "idle")
    with socket.create_server(("127.0.0.1", 0)) as meeting, ThreadPoolExecutor(1) as pool:
        meeting.settimeout(60)
        answer = pool.submit(invoke, lambda_, "busy", meeting.getsockname()[1])
        guest, _ = meeting.accept()
        processes = psutil.Process(localstack.process.pid).children(recursive=True)
        assert len(processes) >= 4  # two functions and their children
        localstack.end(end)
        left = psutil.wait_procs(processes, timeout=60)[1]
        assert not [process.cmdline() for process in left]
        guest.close()
        assert answer.exception()
    assert not list(localstack.tmp.glob("lambda-process-*"))


def test_all_environments_share_one_reaper_and_one_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    from localstack_process_executor import executor

    together, two_makers = threading.Barrier(8), threading.Barrier(2)
    made: list[object] = []

    def make() -> object:
        # If there is a second caller, it arrives while the first one is still creating it.
        with contextlib.suppress(threading.BrokenBarrierError):
            two_makers.wait(0.5)
        made.append(object())
        return made[-1]

    def get(factory: Callable[[], object]) -> object:
        together.wait(30)
        return factory()

    monkeypatch.setattr(executor, "Reaper", make)
    monkeypatch.setattr(executor, "LayerCache", lambda _directory: make())
    with ThreadPoolExecutor(8) as pool:
        reapers = list(pool.map(get, [executor._reaper] * 8))
        caches = list(pool.map(get, [executor._layer_cache] * 8))
    executor._reaper.clear()  # type: ignore[attr-defined]
    executor._layer_cache.clear()  # type: ignore[attr-defined]
    assert len(set(reapers)) == len(set(caches)) == 1
    assert len(made) == 2
