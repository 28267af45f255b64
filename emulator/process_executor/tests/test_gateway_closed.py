"""The guarded gateway of a real LocalStack: callers without access change nothing and read only a refusal."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from localstack_server import BUCKET, OBJECT, PAGES, LocalStack, NotStartedError

NOBODY = 65534
JSON = "application/x-amz-json-1.0"


# ---- no key
FORM = "application/x-www-form-urlencoded"
WEBSOCKET = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
UNSIGNED: list[tuple[str, str, bytes, dict[str, str]]] = [
    ("GET", "/", b"", {}),
    ("GET", OBJECT, b"", {}),
    ("HEAD", OBJECT, b"", {}),
    ("PUT", "/created", b"", {}),
    ("PUT", f"/{BUCKET}/put", b"x", {}),
    ("DELETE", OBJECT, b"", {}),
    ("POST", f"/{BUCKET}", b"key=posted&file=x", {"Content_Type": FORM}),
    (
        "POST",
        f"/{BUCKET}",
        b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nposted\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--x--\r\n',
        {"Content_Type": "multipart/form-data; boundary=x"},
    ),
    ("POST", f"/{BUCKET}?delete", b"<Delete><Object><Key>kept</Key></Object></Delete>", {"Content_Type": "text/plain"}),
    ("GET", "/?Action=CreateUser&UserName=x&Version=2010-05-08", b"", {}),
    ("POST", "/", b"Action=CreateUser&UserName=x&Version=2010-05-08", {"Content_Type": FORM}),
    ("GET", "/?Action=CreateQueue&QueueName=x&Version=2012-11-05", b"", {}),
    ("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", b"", {"Host": "sts.localhost"}),
    ("GET", "/000000000000/queue?Action=ReceiveMessage", b"", {}),
    ("GET", "/queue/us-east-1/000000000000/x?Action=PurgeQueue", b"", {}),
    ("POST", "/2015-03-31/functions/x/invocations", b"{}", {"Content_Type": "text/plain"}),
    ("GET", "/2015-03-31/functions", b"", {}),
    ("POST", "/", b'{"QueueName": "x"}', {"X_Amz_Target": "AmazonSQS.CreateQueue", "Content_Type": JSON}),
    ("POST", "/", b'{"QueueName": "x"}', {"X_Amz_Target": "AmazonSQS.CreateQueue", "X_Localstack_Data": "{}"}),
    ("GET", "/restapis", b"", {}),
    ("GET", "/restapis/x/y/_user_request_/z", b"", {}),
    ("GET", "/_localstack/info", b"", {}),
    ("GET", "/_localstack/plugins", b"", {}),
    ("GET", "/_localstack/init", b"", {}),
    ("POST", "/_localstack/health", b'{"action": "restart"}', {}),
    ("POST", "/_localstack/config", b'{"variable": "DEBUG", "value": 1}', {}),
    ("POST", "/_localstack/state/reset", b"", {}),
    ("POST", "/_localstack_lambda/x/invocations/y/response", b"{}", {}),
    ("POST", "/_localstack_lambda/x/status/x/ready", b"{}", {}),
    ("GET", "/_aws/sqs/messages", b"", {}),
    ("GET", "/_aws/ses", b"", {}),
    ("GET", "/_aws/sns/platform-endpoint-messages", b"", {}),
    ("GET", "/_aws/lambda/runtimes", b"", {}),
    ("POST", "/_aws/events/rules/x/trigger", b"", {}),
    ("OPTIONS", OBJECT, b"", {"Access_Control_Request_Method": "PUT"}),
    ("OPTIONS", "/", b"", {}),
    ("TRACE", "/", b"", {}),
    ("GET", OBJECT, b"", WEBSOCKET),
    ("GET", OBJECT, b"", {"Host": f"{BUCKET}.s3.localhost.localstack.cloud"}),
    ("GET", "/kept", b"", {"Host": f"{BUCKET}.s3-website.localhost.localstack.cloud"}),
    ("GET", "/", b"", {"Host": "x.lambda-url.us-east-1.localhost.localstack.cloud"}),
    ("GET", "/", b"", {"Host": "x.execute-api.localhost.localstack.cloud"}),
    ("GET", "/", b"", {"Host": "x.cloudfront.localhost.localstack.cloud"}),
    ("GET", "/_aws/execute-api/x", b"", {"Host": "x.lambda-url.us-east-1.localhost.localstack.cloud"}),
    ("GET", "http://127.0.0.1/_localstack/info", b"", {}),
]  # fmt: skip


@pytest.mark.usefixtures("unchanged")
def test_unsigned_requests_change_nothing_and_read_nothing(localstack: LocalStack) -> None:
    for method, target, body, headers in UNSIGNED:
        status, answered, content = localstack.ask(method, target, body, **headers)
        assert status == 403, (method, target, content)
        assert b"secret" not in content
        assert not [name for name in answered if name.lower().startswith("access-control")]


@pytest.mark.usefixtures("unchanged")
def test_pages_are_refused_even_with_presigned_urls(localstack: LocalStack) -> None:
    url = localstack.client("s3").generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "kept"})
    presigned = url.partition(f":{localstack.port}")[2]
    assert localstack.ask("GET", presigned)[0] == 200
    for headers in PAGES:
        for target in ("/_localstack/health", presigned, "/_aws/execute-api/x/y/z", OBJECT):
            status, answered, content = localstack.ask("GET", target, b"", **headers)
            assert (status, b"secret" in content) == (403, False), (headers, target)
            assert not [name for name in answered if name.lower().startswith("access-control")]


def test_refusing_websockets_does_not_disturb_other_connections(localstack: LocalStack) -> None:
    """LocalStack itself would refuse from a thread other than the event loop's, and then serve nobody else."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in WEBSOCKET.items()]
    upgrade = "\r\n".join(["GET / HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()

    def attempt(number: int) -> int:
        if number % 2:
            return localstack.ask("GET", "/_localstack/health")[0]
        with socket.create_connection(("127.0.0.1", localstack.port), timeout=60) as hasty:
            hasty.sendall(upgrade)  # and close the connection, like a page that is closed
        return 403

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(attempt, range(1000))) == [403, 200] * 500
    assert "Unhandled Error" not in "".join(localstack.output)


def test_anyone_on_this_machine_can_read_health(localstack: LocalStack) -> None:
    status, _, content = localstack.ask("GET", "/_localstack/health")
    assert status == 200
    assert "services" in json.loads(content)


# ---- other users and machines
def addresses() -> list[str]:
    """Return the addresses of this machine that other machines can reach."""
    found = [
        address.address.partition("%")[0]
        for each in psutil.net_if_addrs().values()
        for address in each
        if address.family in {socket.AF_INET, socket.AF_INET6}
    ]
    return [address for address in found if not address.startswith(("127.", "fe80")) and address != "::1"]


def test_the_machines_other_addresses_are_closed(localstack: LocalStack, lambda_function: Callable[[str], str]) -> None:
    localstack.client("lambda").invoke(FunctionName=lambda_function("def handler(event, context): pass"))
    listening = [
        one.laddr
        for one in psutil.Process(localstack.process.pid).net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 2  # the gateway, and a Runtime API
    assert {address.ip for address in listening} <= {"127.0.0.1", "::1"}
    if not addresses():
        pytest.skip("this machine has only loopback addresses")
    for address in addresses():
        for _, port in {(one.ip, one.port) for one in listening}:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, port), timeout=10).close()


@pytest.fixture
def namespace() -> Iterator[tuple[list[str], str]]:
    """Create a second network namespace; return the command that enters it, and this machine's address in it."""
    name = f"p300-{os.getpid()}"
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("a network namespace needs root and iproute2")

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"cannot create a network namespace here: {error.stderr.decode().strip()}")
    try:
        try:
            ip("link", "add", f"{name}-a"[:15], "type", "veth", "peer", "name", f"{name}-b"[:15])
        except subprocess.CalledProcessError as error:
            pytest.skip(f"cannot create a virtual link here: {error.stderr.decode().strip()}")
        ip("link", "set", f"{name}-b"[:15], "netns", name)
        ip("addr", "add", "10.213.7.1/30", "dev", f"{name}-a"[:15])
        ip("link", "set", f"{name}-a"[:15], "up")
        ip("-n", name, "addr", "add", "10.213.7.2/30", "dev", f"{name}-b"[:15])
        ip("-n", name, "link", "set", f"{name}-b"[:15], "up")
        yield ["ip", "netns", "exec", name], "10.213.7.1"
    finally:
        ip("netns", "delete", name)


def test_another_network_namespace_is_refused(localstack: LocalStack, namespace: tuple[list[str], str]) -> None:
    enter, address = namespace
    script = (
        "import socket, sys\n"
        "with socket.create_server((sys.argv[1].rpartition('.')[0] + '.2', 0)): pass\n"
        "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)\n"
        "except ConnectionRefusedError: print('refused')\n"
    )

    def reach(port: int) -> str:
        command = [*enter, "python3", "-c", script, address, str(port)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    with socket.create_server(("0.0.0.0", 0)) as everywhere:  # noqa: S104 -- to check that the network itself works
        assert reach(everywhere.getsockname()[1]) == ""
    assert reach(localstack.port) == "refused"


STRANGER = """
import http.client, json, sys
port, private, requests = json.load(sys.stdin)
for path in private:
    try:
        open(path, "rb").read()
    except PermissionError:
        continue
    sys.exit(path + " was read")
for method, target, headers in requests:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, target, headers=headers)
    if (status := connection.getresponse().status) != 403:
        sys.exit(f"{method} {target}: {status}")
"""
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/bin")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.skipif(SYSTEM_PYTHON is None, reason="another user needs a Python of the system")
def test_another_user_without_the_credential_is_refused(
    localstack: LocalStack, lambda_function: Callable[[str], str]
) -> None:
    """Try what any user can find: the port, LocalStack's published secrets, its processes' files, the Runtime APIs."""
    localstack.client("lambda").invoke(FunctionName=lambda_function("def handler(event, context): pass"))
    process = psutil.Process(localstack.process.pid)
    private = [localstack.credential, *(Path(f"/proc/{one.pid}/environ") for one in (process, *process.children()))]
    published = "__internal_call__"
    keys = [("test", "test"), (published, published), ("000000000000", published), (localstack.key, "test")]
    requests: list[tuple[str, str, dict[str, str]]] = [("DELETE", OBJECT, {})]
    for key, secret in keys:
        signed = AWSRequest("DELETE", f"http://127.0.0.1:{localstack.port}{OBJECT}")
        S3SigV4Auth(Credentials(key, secret), "s3", "us-east-1").add_auth(signed)
        requests.append(("DELETE", OBJECT, dict(signed.headers)))
    done = subprocess.run(
        [str(SYSTEM_PYTHON), "-c", STRANGER],
        input=json.dumps([localstack.port, [str(path) for path in private], requests]),
        capture_output=True,
        text=True,
        check=False,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    assert len(private) >= 3


def test_a_socket_that_other_machines_can_reach_is_detected() -> None:
    from localstack.runtime.exceptions import LocalstackExit

    from localstack_process_executor.gateway import listening

    listening.check()
    with (
        socket.create_server(("0.0.0.0", 0)) as everywhere,  # noqa: S104
        pytest.raises(LocalstackExit, match=f"0.0.0.0:{everywhere.getsockname()[1]}; expected loopback only"),
    ):
        listening.check()
    listening.check()


# ---- starting
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"GATEWAY_LISTEN": "0.0.0.0:0"}, "expected a loopback address"),
        ({"GATEWAY_LISTEN": "[::]:0"}, "expected a loopback address"),
        ({"GATEWAY_LISTEN": "127.0.0.1:{taken}"}, "Address already in use"),
        ({"GATEWAY_GUARD_CREDENTIAL": ""}, "GATEWAY_GUARD_CREDENTIAL is not set"),
        ({"GATEWAY_GUARD_CREDENTIAL": "/does/not/exist"}, "cannot be used"),
        ({"LAMBDA_PROCESS_SANDBOX": "jail"}, "expected landlock, none or auto"),
    ],
)
def test_settings_that_would_open_the_gateway_are_refused_at_startup(
    tmp_path: Path, runtime_python: Path, settings: dict[str, str], message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        named = {name: value.format(taken=other.getsockname()[1]) for name, value in settings.items()}
        with pytest.raises(NotStartedError, match=message):
            LocalStack(tmp_path, runtime_python, **named)


def test_open_accepts_any_key_but_still_refuses_pages(tmp_path: Path, runtime_python: Path) -> None:
    localstack = LocalStack(tmp_path, runtime_python, GATEWAY_GUARD_OPEN="1")
    try:
        s3 = localstack.client("s3", "any", "thing")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="kept", Body=b"secret")
        for headers in PAGES:
            assert localstack.ask("GET", OBJECT, b"", **headers)[0] == 403
        for method, target, body, headers in UNSIGNED:
            assert localstack.ask(method, target, body, **headers)[0] == 403, (method, target)
        assert [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["kept"]
    finally:
        localstack.end(signal.SIGKILL)
