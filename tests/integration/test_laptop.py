"""A machine as it may be: another region, a proxy, no home, an interrupted command, a stack that failed; and what is left afterwards."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from p300_cli import servers, stack
from p300_client.paths import STATE
from p300_client.target import Target

from tests.support.localstack import PORT, Stack, run_p300, wait_for
from tests.support.paths import P300
from tests.support.recordings import recording

pytestmark = pytest.mark.localstack
REGION = "eu-central-1"
HERE = Target(f"http://localhost:{PORT + 20}")
HERE.region = REGION
DEAD = "http://127.0.0.1:9"
ENVIRONMENT = {
    "AWS_ENDPOINT_URL": str(HERE.endpoint),
    "AWS_REGION": REGION,
    "HTTP_PROXY": DEAD,
    "http_proxy": DEAD,
    "HTTPS_PROXY": DEAD,
    "UV_OFFLINE": "1",  # or uv would go through the proxy for a layer that is not built yet
    "HOME": "/proc/nobody",
    "LC_ALL": "C",
    "COLUMNS": "20",
    "TMPDIR": "/proc/nowhere",
}


def p300(*arguments: str | Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_p300(*arguments, check=check, **(ENVIRONMENT | environment))


def client(service: str) -> Any:
    """Return a client with the key that the stack has now: each start makes another."""
    here = Target(HERE.endpoint)
    here.region = REGION
    return here.client(service)


def status() -> str | None:
    try:
        return str(client("cloudformation").describe_stacks(StackName="p300")["Stacks"][0]["StackStatus"])
    except Exception:  # nobody answers yet, or there is no stack
        return None


@pytest.fixture(scope="module")
def server(stack: Stack) -> Iterator[psutil.Process]:
    """A LocalStack whose first `p300 up` was interrupted while it made the stack.

    The suite's own stack has built the layers before: nothing can be downloaded through a dead proxy.
    """
    p300("down")
    first = subprocess.Popen([P300, "up"], env={**os.environ, **ENVIRONMENT}, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: status() == "CREATE_IN_PROGRESS" or first.poll() or None, "the stack being made")
    first.send_signal(signal.SIGINT)
    _, printed = first.communicate()
    assert first.returncode == 130, printed
    assert "Traceback" not in printed
    again = p300("up").stderr
    assert "runs already" in again
    process = servers.own_server(HERE.port)
    assert process
    yield process
    p300("down")


def test_a_recording_becomes_features(server: psutil.Process, tmp_path: Path) -> None:
    folder = tmp_path / "subject_01"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(recording(1))
    assert [row["status"] for row in json.loads(p300("land", folder, "--wait", "--json").stdout)] == ["features"]
    printed = dict(line.split("=", 1) for line in p300("env").stdout.splitlines())
    assert printed["AWS_DEFAULT_REGION"] == REGION
    assert {"localhost", "127.0.0.1", "::1"} <= set(printed["NO_PROXY"].split(","))


def test_a_second_region_is_refused(server: psutil.Process) -> None:
    done = p300("deploy", check=False, AWS_REGION="us-east-1")
    assert done.returncode == 1
    assert f"AWS_REGION={REGION}" in " ".join(done.stderr.split())


def test_everything_is_kept_below_the_state_folder(server: psutil.Process) -> None:
    family = [server, *server.children(recursive=True)]
    written = [file.path for one in family for file in one.open_files() if file.mode not in {"r", "rt"}]
    assert written
    assert [path for path in written if not Path(path).is_relative_to(STATE)] == []
    assert server.environ()["TMPDIR"].startswith(str(STATE))


def test_a_failed_stack_is_replaced_and_keeps_what_is_in_the_buckets(server: psutil.Process, tmp_path: Path) -> None:
    client("s3").put_object(Bucket="p300-raw-data", Key="kept", Body=b"kept")
    assert _fail_an_update() == "ROLLBACK_COMPLETE"
    assert "replacing it" in " ".join(p300("deploy").stderr.split())
    assert status() in stack.SOUND
    assert client("s3").get_object(Bucket="p300-raw-data", Key="kept")["Body"].read() == b"kept"
    folder = tmp_path / "subject_02"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(recording(2))
    assert [row["status"] for row in json.loads(p300("land", folder, "--wait", "--json").stdout)] == ["features"]


def _fail_an_update() -> str:
    cloudformation = client("cloudformation")
    template = cloudformation.get_template(StackName="p300")["TemplateBody"]
    body = template if isinstance(template, dict) else json.loads(template)
    code = {"S3Bucket": "missing", "S3Key": "missing"}
    function = {"Handler": "app.handler", "Runtime": "python3.13", "Role": "arn:aws:iam::000000000000:role/any"}
    body["Resources"] = {
        "Invalid": {"Type": "AWS::Lambda::Function", "Properties": function | {"Code": code}},
        **body["Resources"],
    }
    client("s3").put_object(Bucket="p300-deployment", Key="invalid.json", Body=json.dumps(body).encode())
    change = {"StackName": "p300", "ChangeSetName": "invalid"}
    cloudformation.create_change_set(
        **change,
        ChangeSetType="UPDATE",
        TemplateURL=f"{HERE.endpoint}/p300-deployment/invalid.json",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    cloudformation.get_waiter("change_set_create_complete").wait(**change, WaiterConfig={"Delay": 1})
    cloudformation.execute_change_set(**change)
    return wait_for(
        lambda: None if (found := status()) is None or found.endswith("_IN_PROGRESS") else found, "the failure"
    )


def test_nothing_is_left_when_it_is_stopped(server: psutil.Process) -> None:
    family = [server, *server.children(recursive=True)]
    assert "stopped" in p300("down").stderr
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not (STATE / "localstack" / str(HERE.port) / "tmp").exists()
    assert not servers.taken(HERE.port)
