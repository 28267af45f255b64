"""The small parts: log pipe, memory meter, REPORT line, environment variables, settings."""

import json
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from localstack.services.stepfunctions.asl.component.common.path import result_path
from localstack.services.stepfunctions.asl.parse.asl_parser import ASLParserException
from localstack.services.stepfunctions.asl.utils import json_path
from localstack.services.stepfunctions.backend.execution_worker import ExecutionWorker

from localstack_process_executor import bootstrap, parsing, report, settings, threads
from localstack_process_executor.environment import function_environment
from localstack_process_executor.faults import out_of_memory, timed_out
from localstack_process_executor.log_pipe import LogPipe
from localstack_process_executor.memory import MemoryMeter

MB = 2**20


def log_pipe() -> tuple[LogPipe, int, threading.Event]:
    """Return a pipe, the descriptor to write to, and an event that is set when it ends."""
    ended = threading.Event()
    pipe = LogPipe(on_end=ended.set)
    writer = os.dup(pipe.write_fd)
    pipe.start()
    return pipe, writer, ended


def test_log_pipe_returns_each_piece_once() -> None:
    pipe, writer, ended = log_pipe()
    os.write(writer, "größe\r\nnext\rlast".encode())
    assert pipe.take() == "größe\nnext\nlast"
    assert pipe.take() == ""
    os.write(writer, b"before the end")
    os.close(writer)
    assert ended.wait(30)
    assert pipe.take() == "before the end"
    pipe.close()


def test_log_pipe_keeps_the_newest_of_a_flood() -> None:
    pipe, writer, ended = log_pipe()
    for _ in range(40):
        os.write(writer, b"x" * MB)
    os.write(writer, b"newest")
    os.close(writer)
    assert ended.wait(30)
    log = pipe.take()
    assert log.endswith("xnewest")
    assert 8 * MB <= len(log) <= 17 * MB
    pipe.close()


def test_log_pipe_closes_even_if_a_writer_stays() -> None:
    pipe, writer, ended = log_pipe()
    pipe.close()
    assert ended.is_set()
    assert pipe.take() == ""
    os.close(writer)


def test_memory_is_sampled_more_often_near_the_limit() -> None:
    pauses = []
    for headroom in (4000 * MB, 40 * MB, 20 * MB, 1):
        meter = MemoryMeter(os.getpid(), 0)
        meter.exceeded()
        meter.limit_bytes = meter.peak_bytes + headroom
        pauses.append(meter.pause_s())
    assert pauses == sorted(pauses, reverse=True)
    assert pauses[0] == 0.05
    assert pauses[-1] == 0.002


def test_memory_is_compared_with_the_limit() -> None:
    meter = MemoryMeter(os.getpid(), 1)
    assert meter.exceeded()
    assert meter.peak_bytes > MB
    assert not MemoryMeter(os.getpid(), 2**62).exceeded()


def test_report_line() -> None:
    line = report.end("id", duration_ms=1.234, init_ms=10, memory_limit_mb=128, peak_bytes=30 * MB + 1, fault=None)
    assert line == (
        "END RequestId: id\nREPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 12 ms\tMemory Size: 128 MB"
        "\tMax Memory Used: 31 MB\tInit Duration: 10.00 ms\n"
    )


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (timed_out("id", 3, "now"), "\tStatus: timeout\n"),
        (out_of_memory("id"), "\tStatus: error\tError Type: Runtime.OutOfMemory\n"),
    ],
)
def test_report_line_of_a_fault(fault: Any, status: str) -> None:
    line = report.end("id", duration_ms=1, init_ms=None, memory_limit_mb=128, peak_bytes=200 * MB, fault=fault)
    assert line.endswith(f"Billed Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 128 MB{status}")


def test_environment_stands_in_for_lambdas_directories() -> None:
    given: dict[str, Any] = {
        "AWS_LAMBDA_FUNCTION_TIMEOUT": 3,
        "PYTHONPATH": "/mine",
        "LANG": "C",
        "LAMBDA_TASK_ROOT": "/var/task",
    }
    environment = function_environment(
        given,  # not all of LocalStack's values are text
        runtime="python3.13",
        python=Path("/env/bin/python"),
        task_root=Path("/task"),
        opt=Path("/layers"),
        tmp=Path("/private"),
        bytecode=Path("/bytecode"),
    )
    assert environment == {
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "3",
        "HOME": "/private",
        "LAMBDA_TASK_ROOT": "/task",
        "LANG": "C",
        "LD_LIBRARY_PATH": "/task:/task/lib:/layers/lib",
        "PATH": "/env/bin:/usr/local/bin:/usr/bin:/bin:/layers/bin",
        "PYTHONPYCACHEPREFIX": "/bytecode",
        "PYTHONPATH": "/task:/layers/python:/layers/python/lib/python3.13/site-packages:/mine",
        "TMPDIR": "/private",
        "TZ": ":UTC",
    }


@pytest.fixture
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    settings.settings.cache_clear()
    names = settings.INIT_TIMEOUT_VARIABLE, settings.CONFINEMENT_VARIABLE
    for name in (*names, settings.OPEN_VARIABLE, settings.CREDENTIAL_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_settings_are_read(fresh_settings: pytest.MonkeyPatch, runtime_python: Path, credential: Path) -> None:
    fresh_settings.setenv("LAMBDA_PROCESS_PYTHON", str(runtime_python))
    fresh_settings.setenv("GATEWAY_GUARD_CREDENTIAL", str(credential))
    found = settings.settings()
    assert found.credential is not None
    assert (found.credential.access_key_id, found.is_open) == ("P300KEY", False)
    assert found.python == runtime_python
    assert found.python_version.startswith("3.")
    assert found.init_timeout_s == 10


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (None, "LAMBDA_PROCESS_PYTHON is not set"),
        ("/does/not/exist", "No such file or directory"),
        (sys.executable, "No module named 'awslambdaric'"),
    ],
)
def test_an_unusable_interpreter_is_named(fresh_settings: pytest.MonkeyPatch, python: str | None, message: str) -> None:
    if python:
        fresh_settings.setenv("LAMBDA_PROCESS_PYTHON", python)
    else:
        fresh_settings.delenv("LAMBDA_PROCESS_PYTHON", raising=False)
    with pytest.raises(settings.SettingsError, match=message):
        settings.settings()


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (None, 0o600, "No such file"),
        ('{"access_key_id": "a", "secret_access_key": "' + "s" * 40 + '"}', 0o640, "expected mode 0600"),
        ('{"access_key_id": "a", "secret_access_key": "short"}', 0o600, "20 characters or more"),
        ("[]", 0o600, "holds no access_key_id"),
        ("{", 0o600, "cannot be used"),
    ],
)
def test_an_invalid_or_readable_credential_is_refused(
    fresh_settings: pytest.MonkeyPatch, credential: Path, content: str | None, mode: int, message: str
) -> None:
    credential.unlink()
    if content is not None:
        credential.write_text(content)
        credential.chmod(mode)
    fresh_settings.setenv("LAMBDA_PROCESS_PYTHON", os.environ["LAMBDA_PROCESS_PYTHON"])
    fresh_settings.setenv("GATEWAY_GUARD_CREDENTIAL", str(credential))
    with pytest.raises(settings.SettingsError, match=message):
        settings.settings()


def test_any_key_is_accepted_only_on_request(fresh_settings: pytest.MonkeyPatch, runtime_python: Path) -> None:
    fresh_settings.setenv("LAMBDA_PROCESS_PYTHON", str(runtime_python))
    with pytest.raises(settings.SettingsError, match="GATEWAY_GUARD_CREDENTIAL is not set"):
        settings.settings()
    fresh_settings.setenv("GATEWAY_GUARD_OPEN", "1")
    assert settings.settings().is_open


def test_a_confinement_that_the_kernel_lacks_is_refused(
    fresh_settings: pytest.MonkeyPatch, runtime_python: Path
) -> None:
    fresh_settings.setenv("LAMBDA_PROCESS_PYTHON", str(runtime_python))
    fresh_settings.setenv("GATEWAY_GUARD_OPEN", "1")
    fresh_settings.setattr(bootstrap, "landlock_version", lambda: 0)
    assert not settings.settings().landlock
    settings.settings.cache_clear()
    fresh_settings.setenv("LAMBDA_PROCESS_SANDBOX", "landlock")
    with pytest.raises(settings.SettingsError, match="does not offer Landlock"):
        settings.settings()
    fresh_settings.setenv("LAMBDA_PROCESS_SANDBOX", "chroot")
    with pytest.raises(settings.SettingsError, match="expected landlock, none or auto"):
        settings.settings()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what the installation replaced."""
    for owner, name in ((json_path, "parse"), (result_path, "parse"), (ExecutionWorker, "_get_evaluation_entrypoint")):
        monkeypatch.setattr(owner, name, getattr(owner, name))


@pytest.mark.usefixtures("kept")
def test_a_json_path_is_parsed_once_and_applied_to_any_input(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = json_path.parse  # type: ignore[attr-defined]

    def count(path: str) -> object:
        parsed.append(path)
        return parse(path)

    monkeypatch.setattr(json_path, "parse", count)
    parsing.install()
    for value in (1, [2], {"c": 3}):
        assert json_path.extract_json("$.a.b", {"a": {"b": value}}) == value
    with pytest.raises(json_path.NoSuchJsonPathError):
        json_path.extract_json("$.a.b", {"a": {}})
    assert json_path.extract_json("$.a", {"a": 4}) == 4
    assert parsed == ["$.a.b", "$.a"]


@pytest.mark.usefixtures("kept")
def test_a_result_path_is_parsed_once_and_applied_to_any_input() -> None:
    parsing.install()
    assert result_path.parse("$.a.b") is result_path.parse("$.a.b")  # type: ignore[attr-defined]
    for number in range(2):
        assert result_path.parse("$.a.b").update_or_create({"a": {}}, number) == {"a": {"b": number}}  # type: ignore[attr-defined]


@pytest.mark.usefixtures("kept")
def test_a_definition_is_parsed_once_for_all_its_executions() -> None:
    def entry_point(definition: str) -> object:
        details = SimpleNamespace(state_machine_details=SimpleNamespace(definition=definition))
        return ExecutionWorker(cast(Any, details), cast(Any, None), None, {})._get_evaluation_entrypoint()

    parsing.install()
    first, second = (json.dumps({"StartAt": name, "States": {name: {"Type": "Succeed"}}}) for name in "AB")
    assert entry_point(first) is entry_point(first)
    assert entry_point(first) is not entry_point(second)
    for _ in range(2):
        with pytest.raises(ASLParserException):
            entry_point('{"StartAt": 1}')


def test_ended_threads_are_released_and_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = threading.Event()
    ended, running, to_be_started = (threading.Thread(target=run) for run in (bool, may_end.wait, bool))
    ended.start()
    ended.join()
    running.start()
    monkeypatch.setattr(threads, "TMP_THREADS", kept := [ended, running, "no thread", to_be_started])
    monkeypatch.setattr(ExecutionWorker, "_execution_logic", lambda self: None)
    threads.install()
    ExecutionWorker._execution_logic(cast(Any, None))  # type: ignore[no-untyped-call]
    may_end.set()
    running.join()
    assert kept == [running, "no thread", to_be_started]
