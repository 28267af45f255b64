"""A real LocalStack in host mode that runs functions through this plugin."""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

BUCKET = "guarded"
OBJECT = f"/{BUCKET}/kept"
PAGES: list[dict[str, str]] = [
    {"Host": "evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site", "Origin": "http://localhost:8000"},
    {"Referer": "https://evil.example/"},
]
"""Headers that reveal a web page from another site; the first one is the result of DNS rebinding."""


class NotStartedError(RuntimeError):
    """LocalStack stopped before it was ready; the message is its output."""


class LocalStack:
    """A LocalStack process that keeps its state in one directory.

    Attributes
    ----------
    key, secret
        The credential that its gateway accepts.
    """

    def __init__(self, directory: Path, python: Path, **settings: str):
        for name in ("state", "tmp"):
            (directory / name).mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.tmp = directory / "tmp"
        self.key, self.secret = "P300TESTKEY", secrets.token_urlsafe(30)
        credential = self.credential = directory / "credential.json"
        credential.write_text(json.dumps({"access_key_id": self.key, "secret_access_key": self.secret}))
        credential.chmod(0o600)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "TMPDIR": str(self.tmp),
            "FILESYSTEM_ROOT": str(directory / "state"),
            "OVERRIDE_IN_DOCKER": "0",
            "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DISABLE_EVENTS": "1",
            "DNS_ADDRESS": "0",
            "LAMBDA_RUNTIME_EXECUTOR": "process",
            "LAMBDA_PROCESS_PYTHON": str(python),
            "PYTHONDONTWRITEBYTECODE": "1",
            "GATEWAY_GUARD_CREDENTIAL": str(credential),
            "GATEWAY_GUARD_HINT": "Ask the person who started it.",
            **settings,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "localstack.runtime.main"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output: list[str] = []
        assert self.process.stdout
        for line in self.process.stdout:
            self.output.append(line)
            if line.strip() == "Ready.":
                break
        else:
            raise NotStartedError("LocalStack did not start:\n" + "".join(self.output))
        # Its output must still be read, or it would block.
        threading.Thread(target=self.output.extend, args=(self.process.stdout,), daemon=True).start()

    def client(self, service: str, key: str = "", secret: str = "", **options: Any) -> Any:
        """Return a client with the stack's own credential, or another one."""
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=key or self.key,
            aws_secret_access_key=secret or self.secret,
            config=Config(max_pool_connections=50, retries={"total_max_attempts": 1}, read_timeout=120, **options),
        )

    def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Send a request unchanged; return status, headers and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        found = answer.status, dict(answer.headers), answer.read()
        connection.close()
        return found

    def load_services(self) -> None:
        """Make LocalStack start the services that the first invocation starts in the background.

        Until they have started, LocalStack does not stop on SIGTERM.
        """
        self.client("sqs").list_queues()
        self.client("cloudwatch").list_metrics()

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(100)
