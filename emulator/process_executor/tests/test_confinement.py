"""Functions try what a function's process must not do."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Function

from localstack_process_executor.bootstrap import landlock_version

MakeFunction = Callable[..., Function]


def needs_landlock(version: int = 1) -> pytest.MarkDecorator:
    return pytest.mark.skipif(landlock_version() < version, reason=f"needs a kernel with Landlock {version} or later")


def test_no_new_privileges_and_limits(function: MakeFunction) -> None:
    seen = function("""
        import os, resource
        def handler(event, context):
            with open("/proc/self/status") as file:
                status = {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
            limits = [resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in ("CORE", "NOFILE", "FSIZE")]
            return {"no_new_privileges": status["NoNewPrivs"], "umask": status["Umask"],
                    "capabilities": int(status["CapPrm"], 16), "limits": limits,
                    "leads_session": os.getsid(0) == os.getpid()}
    """).answer()
    assert seen == {
        "no_new_privileges": "1",
        "umask": "0077",
        "capabilities": 0,
        "limits": [[0, 0], [1024, 1024], [512 << 20, 512 << 20]],
        "leads_session": True,
    }
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] != 512 << 20  # ours are unchanged


@pytest.mark.parametrize("background", [False, True])
def test_background_functions_run_at_a_lower_priority(function: MakeFunction, *, background: bool) -> None:
    code = """
        import os
        def handler(event, context):
            return os.nice(0)
    """
    assert function(code, background=background).answer() == os.nice(0) + 10 * background


def test_a_file_larger_than_the_ephemeral_storage_is_a_function_error(function: MakeFunction) -> None:
    writes = function("""
        import os, tempfile
        def handler(event, context):
            with tempfile.TemporaryFile() as file:
                os.posix_fallocate(file.fileno(), 0, (512 << 20) + 1)
    """)
    assert writes.error()["errorType"] == "OSError"


@needs_landlock()
@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("open(event).read()", "PermissionError"),
        ("os.listdir(os.path.dirname(event))", "PermissionError"),
        ("open(event, 'a')", "PermissionError"),
        ("open(os.path.dirname(event) + '/new', 'w')", "PermissionError"),
        pytest.param("os.truncate(event, 0)", "PermissionError", marks=needs_landlock(3)),
        ("os.unlink(event)", "PermissionError"),
        ("os.rename(event, event + '.moved')", "PermissionError"),
        ("os.symlink(event, os.path.dirname(event) + '/link')", "PermissionError"),
        ("os.link(event, os.environ['TMPDIR'] + '/link')", "OSError"),
        ("open('/tmp/of-all-functions', 'w')", "PermissionError"),
        ("open(__file__, 'a')", "PermissionError"),
        ("open(os.environ['LAMBDA_TASK_ROOT'] + '/new.py', 'w')", "PermissionError"),
        ("open(f'/proc/{os.getppid()}/environ').read()", "PermissionError"),
        ("open(f'/proc/{os.getppid()}/mem', 'rb').read(1)", "PermissionError"),
        pytest.param("os.kill(os.getppid(), 0)", "PermissionError", marks=needs_landlock(6)),
        ("subprocess.run(['cat', event], check=True, stderr=subprocess.DEVNULL)", "CalledProcessError"),
    ],
)
def test_files_and_processes_of_the_user_are_out_of_reach(
    function: MakeFunction, tmp_path: Path, what: str, expected: str
) -> None:
    secret = tmp_path / "home" / "secret"
    secret.parent.mkdir()
    secret.write_text("secret")
    tries = function(f"import os, subprocess\ndef handler(event, context): {what}")
    error = tries.error(str(secret))
    assert error["errorType"] == expected, error
    assert [path.name for path in secret.parent.iterdir()] == ["secret"]
    assert secret.read_text() == "secret"


def test_functions_keep_what_they_need(function: MakeFunction) -> None:
    works = function("""
        import json, multiprocessing, os, pathlib, shutil, socket, ssl, subprocess, sys, tempfile, threading, zoneinfo

        def handler(event, context):
            with tempfile.NamedTemporaryFile("w", delete=False) as file:
                file.write("x")
            os.replace(file.name, file.name + ".moved")
            script = pathlib.Path(tempfile.gettempdir(), "script")
            script.write_text("#!/bin/sh\\necho run")
            script.chmod(0o700)
            with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
                pass
            left, right = multiprocessing.Pipe()
            child = multiprocessing.get_context("fork").Process(target=right.send, args=("forked",))
            child.start()
            child.join()
            return [
                subprocess.run([script], capture_output=True, text=True, check=True).stdout,
                subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True, check=True).stdout,
                left.recv(),
                bool(ssl.create_default_context()),
                open(os.devnull, "w").write("gone"),
                len(os.urandom(4)),
                shutil.which("sh") is not None,
                socket.getaddrinfo("localhost", 80) != [],
            ]
    """)
    assert works.answer() == ["run\n", "1\n", "forked", True, 4, 4, True, True]


def test_temporary_files_are_private_to_a_function(function: MakeFunction) -> None:
    writes = function("""
        import os, stat, tempfile
        def handler(event, context):
            path = os.path.join(tempfile.gettempdir(), "file")
            open(path, "w").close()
            return oct(stat.S_IMODE(os.stat(path).st_mode))
    """)
    assert writes.answer() == "0o600"


def test_unconfined_functions_still_run(function: MakeFunction) -> None:
    plain = function("import os\ndef handler(event, context): return os.listdir('/tmp') is not None", landlock=False)
    assert plain.answer() is True
