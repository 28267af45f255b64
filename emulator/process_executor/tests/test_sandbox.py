"""The sandbox with real functions under AWS's runtime client: answers, faults, limits, logs, and clean-up."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support import Function

from localstack_process_executor.reaper import Reaper
from localstack_process_executor.sandbox import InitError, SandboxStoppedError

MakeFunction = Callable[..., Function]

PID = """
    import os
    def handler(event, context):
        return os.getpid()
"""
FAILS_ON_DEMAND = """
    import os, signal, subprocess, sys, threading
    def handler(event, context):
        match event:
            case "hang": threading.Event().wait()
            case "exit 0": sys.exit(0)
            case "exit 3": sys.exit(3)
            case "segfault": os.kill(os.getpid(), signal.SIGSEGV)
            case "allocate":
                blocks = []
                while True: blocks.append(b"x" * 2**20)
            case "allocate in a child":
                code = "blocks = []\\nwhile True: blocks.append(b'x' * 2**20)"
                subprocess.run([sys.executable, "-c", code])
        return os.getpid()
"""


def gone(pid: int) -> bool:
    """Wait for a process to end."""
    try:
        return not psutil.wait_procs([psutil.Process(pid)], timeout=30)[1]
    except psutil.NoSuchProcess:
        return True


def test_answers_what_the_handler_returns(function: MakeFunction) -> None:
    echo = function("""
        def handler(event, context):
            return {"event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn}
    """)
    assert echo.answer({"a": "ä"}) == {
        "event": {"a": "ä"},
        "id": "request-1",
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:f",
    }


def test_tells_the_handler_its_deadline(function: MakeFunction) -> None:
    remaining = function("def handler(event, context): return context.get_remaining_time_in_millis()", timeout_s=20)
    assert 0 < remaining.answer() <= 20_000


def test_keeps_the_process_between_invocations(function: MakeFunction) -> None:
    pid = function(PID)
    pid.sandbox.start()
    assert pid.answer() == pid.answer()


def test_an_exception_in_the_handler_is_an_error_but_keeps_the_process(function: MakeFunction) -> None:
    fails = function("""
        import os
        def handler(event, context):
            if event:
                raise ValueError(event)
            return os.getpid()
    """)
    pid = fails.answer()
    error = fails.error("bad")
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "bad")
    assert fails.answer() == pid


@pytest.mark.parametrize(
    ("event", "error_type", "message"),
    [
        ("hang", "Sandbox.Timedout", "Error: Task timed out after 0.50 seconds"),
        ("exit 0", "Runtime.ExitError", "Error: Runtime exited without providing a reason"),
        ("exit 3", "Runtime.ExitError", "Error: Runtime exited with error: exit status 3"),
        ("segfault", "Runtime.ExitError", "Error: Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_the_death_of_the_process_is_reported_and_the_next_invocation_starts_a_new_one(
    function: MakeFunction, event: str, error_type: str, message: str
) -> None:
    fails = function(FAILS_ON_DEMAND, timeout_s=0.5 if event == "hang" else 30)
    pid = fails.answer()
    assert fails.error(event) == {"errorType": error_type, "errorMessage": f"RequestId: request-2 {message}"}
    assert gone(pid)
    assert fails.answer() != pid


@pytest.mark.parametrize("event", ["allocate", "allocate in a child"])
def test_exceeding_the_memory_limit_ends_the_process(function: MakeFunction, event: str) -> None:
    fails = function(FAILS_ON_DEMAND, memory_mb=128)
    pid = fails.answer()
    result = fails.invoke(event)
    assert json.loads(result.payload) == {
        "errorType": "Runtime.OutOfMemory",
        "errorMessage": "RequestId: request-2 Error: Runtime exited with error: signal: killed",
    }
    assert "Memory Size: 128 MB\tMax Memory Used: 128 MB\tStatus: error\tError Type: Runtime.OutOfMemory" in result.log
    assert gone(pid)
    assert fails.answer() != pid


def test_an_allocation_that_stays_below_the_limit_is_allowed(function: MakeFunction) -> None:
    allocates = function("def handler(event, context): return len(b'x' * (64 * 2**20))", memory_mb=256)
    result = allocates.invoke()
    assert json.loads(result.payload) == 64 * 2**20


def test_reserved_address_space_does_not_count_as_memory(function: MakeFunction) -> None:
    reserves = function(
        """
        import mmap
        def handler(event, context):
            with mmap.mmap(-1, 4 * 2**30) as reserved:
                return len(reserved)
        """,
        memory_mb=128,
    )
    assert reserves.answer() == 4 * 2**30


@pytest.mark.parametrize(
    ("code", "handler", "error_type"),
    [
        ("import not_there", "app.handler", "Runtime.ImportModuleError"),
        ("def handler(event, context", "app.handler", "Runtime.UserCodeSyntaxError"),
        ("x = 1", "app.handler", "Runtime.HandlerNotFound"),
        ("x = 1", "handler", "Runtime.MalformedHandlerName"),
        ("1 / 0", "app.handler", "ZeroDivisionError"),
        ("raise SystemExit(2)", "app.handler", "Runtime.ExitError"),
        ("import os; os._exit(0)", "app.handler", "Runtime.ExitError"),
        ("blocks = []\nwhile True: blocks.append(b'x' * 2**20)", "app.handler", "Runtime.OutOfMemory"),
    ],
)
def test_a_failed_init_is_reported_by_each_invocation_until_the_code_is_fixed(
    function: MakeFunction, code: str, handler: str, error_type: str
) -> None:
    fails = function("print('loading')\n" + code, handler=handler, memory_mb=128)
    for _ in range(2):
        result = fails.invoke()
        assert result.is_error
        assert json.loads(result.payload)["errorType"] == error_type
        assert f"Phase: init\tStatus: error\tError Type: {error_type}\n" in result.log
        if error_type not in ("Runtime.UserCodeSyntaxError", "Runtime.MalformedHandlerName"):
            assert "loading\n" in result.log
    if handler == "app.handler":
        fails.write("def handler(event, context): return 'ok, this time'")
        assert fails.answer() == "ok, this time"


def test_a_slow_init_is_repeated_as_part_of_the_invocation(function: MakeFunction) -> None:
    slow = function(
        """
        import os, pathlib, threading
        seen = pathlib.Path(os.environ["TMPDIR"], "seen")
        if not seen.exists():
            seen.touch()
            threading.Event().wait()
        def handler(event, context): return "at the second attempt"
        """,
        init_timeout_s=1,
    )
    result = slow.invoke()
    assert json.loads(result.payload) == "at the second attempt"
    assert "\tPhase: init\tStatus: timeout\n" in result.log
    assert "Init Duration" not in result.log.splitlines()[-1]


def test_an_init_that_never_ends_times_out_like_the_function(function: MakeFunction) -> None:
    never = function("import threading; threading.Event().wait()", init_timeout_s=0.3, timeout_s=0.5)
    expected = {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: request-1 Error: Task timed out after 0.50 seconds",
    }
    assert never.error() == expected


def test_provisioned_environments_are_initialised_ahead(function: MakeFunction) -> None:
    ahead = function("print('loading')\ndef handler(event, context): return 1")
    ahead.sandbox.initialise()
    first, second = ahead.invoke(), ahead.invoke()
    assert "loading" in first.log
    assert "Init Duration" in first.log
    assert "loading" not in second.log


def test_provisioned_environments_report_why_their_init_failed(function: MakeFunction) -> None:
    with pytest.raises(InitError, match="No module named 'not_there'") as raised:
        function("import not_there").sandbox.initialise()
    assert json.loads(raised.value.payload)["errorType"] == "Runtime.ImportModuleError"


def test_six_megabytes_go_in_and_out(function: MakeFunction) -> None:
    text = "x" * (6 * 2**20 - 2)
    assert function("def handler(event, context): return event").answer(text) == text


def test_a_response_above_six_megabytes_is_refused(function: MakeFunction) -> None:
    large = function("def handler(event, context): return 'x' * event")
    assert large.error(6 * 2**20 + 99) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    assert large.answer(6 * 2**20 + 98) == "x" * (6 * 2**20 + 98)


def test_log_of_a_cold_and_a_warm_invocation(function: MakeFunction) -> None:
    logs = function("""
        import logging
        print("loading")
        def handler(event, context):
            print("grüße")
            logging.warning("careful")
    """)
    cold, warm = (logs.invoke().log.splitlines() for _ in range(2))
    assert cold[:4] == [
        "INIT_START Runtime Version: python:3.13",
        "loading",
        "START RequestId: request-1 Version: $LATEST",
        "grüße",
    ]
    assert cold[4].startswith("[WARNING]\t")
    assert cold[4].endswith("\trequest-1\tcareful")
    assert cold[5] == "END RequestId: request-1"
    names = [field.split(": ")[0] for field in cold[6].split("\t")]
    assert names == [
        "REPORT RequestId",
        "Duration",
        "Billed Duration",
        "Memory Size",
        "Max Memory Used",
        "Init Duration",
    ]
    assert len(cold) == 7
    assert warm[:2] == ["START RequestId: request-2 Version: $LATEST", "grüße"]
    assert "Init Duration" not in warm[-1]


def test_log_of_an_error_has_its_traceback_line_by_line(function: MakeFunction) -> None:
    fails = function("""
        def handler(event, context):
            raise ValueError("bad")
    """)
    log = fails.invoke().log
    assert "[ERROR] ValueError: bad\nTraceback (most recent call last):\n" in log
    assert "\r" not in log


def test_log_of_a_timeout(function: MakeFunction) -> None:
    hangs = function(FAILS_ON_DEMAND, timeout_s=0.5)
    lines = hangs.invoke("hang").log.splitlines()
    assert lines[-3].endswith("Z request-1 Task timed out after 0.50 seconds")
    assert lines[-1].endswith("\tStatus: timeout")


def test_log_without_a_last_newline_and_larger_than_a_pipe_is_complete(function: MakeFunction) -> None:
    prints = function("""
        import os, sys
        def handler(event, context):
            os.write(1, b"out" * 2**20)
            os.write(2, b"err" * 2**20)
    """)
    log = prints.invoke().log
    assert "\n" + "out" * 2**20 + "err" * 2**20 + "\nEND RequestId" in log


def test_functions_see_only_their_own_environment(function: MakeFunction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    looks = function("""
        import os, sys
        def handler(event, context):
            return {"names": sorted(os.environ), "path": sys.path, "cwd": os.getcwd(), "tmp": os.environ["TMPDIR"]}
    """)
    seen = looks.answer()
    assert "SECRET_OF_THE_HOST" not in seen["names"]
    assert "PYTHONDONTWRITEBYTECODE" not in seen["names"]
    assert seen["path"][0] == seen["cwd"] == str(looks.spec.cwd)
    assert not any("localstack" in Path(entry).name for entry in seen["path"])
    assert seen["tmp"] == str(looks.tmp)
    assert list(looks.bytecode.rglob("app.*.pyc"))


def test_functions_cannot_import_packages_of_localstack(function: MakeFunction) -> None:
    assert function("import localstack").error()["errorType"] == "Runtime.ImportModuleError"


def test_imports_from_layers_leave_bytecode_for_the_next_start(function: MakeFunction, tmp_path: Path) -> None:
    site = tmp_path / "opt" / "python" / "lib" / "python3.13" / "site-packages"
    site.mkdir(parents=True)
    (tmp_path / "opt" / "python" / "direct.py").write_text("NAME = 'direct'")
    (site / "installed.py").write_text("NAME = 'installed'")
    code = "import direct, installed\ndef handler(event, context): return [direct.NAME, installed.NAME]"
    imports = function(code, opt=tmp_path / "opt")
    assert imports.answer() == ["direct", "installed"]
    assert list(imports.bytecode.rglob("installed.*.pyc"))
    assert not list((tmp_path / "opt").rglob("*.pyc"))  # other functions share it


def test_a_process_that_ends_between_two_invocations_is_replaced(function: MakeFunction) -> None:
    pid = function(PID)
    first = pid.answer()
    psutil.Process(first).kill()
    assert gone(first)
    assert pid.answer() != first


def test_a_discarded_process_is_replaced_by_one_with_the_new_code(function: MakeFunction) -> None:
    changes = function("def handler(event, context): return 'old'")
    assert changes.answer() == "old"
    changes.write("def handler(event, context): return 'new code'")
    changes.sandbox.discard_process()
    assert changes.answer() == "new code"


def test_stop_ends_all_processes_and_removes_the_files(function: MakeFunction) -> None:
    parent = function("""
        import os, subprocess, sys
        def handler(event, context):
            wait = [sys.executable, "-c", "import threading; threading.Event().wait()"]
            children = [subprocess.Popen(wait), subprocess.Popen(wait, start_new_session=True)]
            with open(os.path.join(os.environ["TMPDIR"], "file"), "w") as file:
                file.write("x")
            return [os.getpid(), *(child.pid for child in children)]
    """)
    pids = parent.answer()
    processes = [psutil.Process(pid) for pid in pids]
    assert (parent.tmp / "file").exists()
    parent.sandbox.stop()
    assert not psutil.wait_procs(processes, timeout=30)[1]
    assert not parent.directory.exists()


def test_stop_interrupts_a_running_invocation(function: MakeFunction) -> None:
    hangs = function("""
        import pathlib, threading
        def handler(event, context):
            pathlib.Path(event).write_text("running")
            threading.Event().wait()
    """)
    started = hangs.tmp / "started"
    os.mkfifo(started)
    raised: list[BaseException] = []

    def invoke() -> None:
        try:
            hangs.invoke(str(started))
        except SandboxStoppedError as error:
            raised.append(error)

    thread = threading.Thread(target=invoke)
    thread.start()
    assert started.read_text() == "running"
    hangs.sandbox.stop()
    thread.join(30)
    assert len(raised) == 1
    with pytest.raises(SandboxStoppedError):
        hangs.invoke("")


def test_environments_leave_no_file_descriptors_threads_or_processes(function: MakeFunction) -> None:
    def life(event: str) -> None:
        lives = function(FAILS_ON_DEMAND, timeout_s=0.3 if event == "hang" else 30)
        lives.answer()
        lives.invoke(event)
        lives.sandbox.stop()

    me = psutil.Process()
    life("nothing")
    before = me.num_fds(), threading.active_count(), len(me.children(recursive=True))
    for event in ("nothing", "hang", "exit 3", "nothing"):
        life(event)
    for thread in threading.enumerate():
        if thread.name.startswith("Thread-"):  # a request handler whose client has just gone
            thread.join(10)
    assert (me.num_fds(), threading.active_count(), len(me.children(recursive=True))) == before


def test_an_interpreter_that_does_not_exist_leaves_nothing_open(function: MakeFunction, reaper: Reaper) -> None:
    absent = function(PID, argv=["/does/not/exist"])
    before = psutil.Process().num_fds(), threading.active_count()
    with pytest.raises(FileNotFoundError):
        absent.sandbox.start()
    assert (psutil.Process().num_fds(), threading.active_count()) == before
