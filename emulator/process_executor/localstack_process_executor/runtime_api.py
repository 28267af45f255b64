"""The Lambda Runtime API (version 2018-06-01) of one execution environment, on a loopback port.

AWS's runtime client in the function's process polls `/invocation/next` and posts responses and errors back. Source:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

Any process on this machine can connect to the port. So everything is below a secret path that only the function's
process knows: no other process can read the function's events or answer for it.
"""

import contextlib
import hmac
import json
import re
import secrets
import socket
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PREFIX = "/2018-06-01/runtime"
_ANSWER = re.compile(rf"{_PREFIX}/invocation/(?P<id>[^/]+)/(?P<kind>response|error)")
_BLOCK_BYTES = 1 << 20
_MOST_DROPPED_BYTES = 1 << 30
_STRANGER_TIMEOUT_S = 10


@dataclass(frozen=True)
class Invocation:
    """One event for the function, as the runtime client receives it."""

    request_id: str
    function_arn: str
    payload: bytes
    deadline_ms: int
    trace_id: str = ""


@dataclass(frozen=True)
class Response:
    """The function's answer; `too_large` if its payload was refused (and dropped)."""

    payload: bytes
    is_error: bool = False
    too_large: bool = False


class RuntimeApi:
    """Hand invocations to one runtime client, and collect what it reports.

    Every change of state notifies `changed`, whose lock guards the public attributes below.

    Attributes
    ----------
    changed : threading.Condition
    ready : bool
        The function is initialised: its client has asked for the first invocation.
    init_error : bytes or None
        What the client reported instead of becoming ready.
    response : Response or None
        The answer to the submitted invocation.
    """

    def __init__(self, max_response_bytes: int):
        self.changed = threading.Condition()
        self.ready = False
        self.init_error: bytes | None = None
        self.response: Response | None = None
        self.max_response_bytes = max_response_bytes
        self.secret = secrets.token_urlsafe(24)
        self._waiting: Invocation | None = None
        self._current: Invocation | None = None
        self._closed = False
        self._server = _Server(self)
        self._acceptor = threading.Thread(target=self._accept, name="lambda-runtime-api", daemon=True)
        self._acceptor.start()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def address(self) -> str:
        """`host:port/secret`, the value of AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_port}/{self.secret}"

    def submit(self, invocation: Invocation) -> None:
        """Queue an invocation for the client, which must have answered the previous one."""
        with self.changed:
            self.response = None
            self._waiting = invocation
            self.changed.notify_all()

    def close(self) -> None:
        """Stop serving; a client that still waits for an invocation loses its connection."""
        with self.changed:
            if self._closed:
                return
            self._closed = True
            self.changed.notify_all()
        # The acceptor blocks without a timeout, so that idle environments cost nothing: wake it.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self._server.server_port), timeout=1).close()
        self._acceptor.join(timeout=5)
        self._server.server_close()

    def _accept(self) -> None:
        while not self._closed:
            self._server.handle_request()

    # The methods below are called by the request handlers' threads.

    def next_invocation(self) -> Invocation | None:
        """Wait for an invocation; None once the API is closed."""
        with self.changed:
            self.ready = True
            self._current = None
            self.changed.notify_all()
            self.changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            self._current, self._waiting = self._waiting, None
            return self._current

    def respond(self, request_id: str, response: Response) -> bool:
        """Take the answer to the current invocation; False for any other."""
        with self.changed:
            if self._current is None or self._current.request_id != request_id:
                return False
            self.response = response
            self.changed.notify_all()
            return True

    def fail_init(self, payload: bytes) -> None:
        with self.changed:
            self.init_error = payload
            self.changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, api: RuntimeApi):
        self._api = api
        super().__init__(("127.0.0.1", 0), lambda *args: _Handler(api, *args))

    def verify_request(self, request: object, client_address: object) -> bool:
        """Drop the connection that only wakes the acceptor: a thread for it could outlive `close`."""
        return not self._api.closed

    def server_bind(self) -> None:
        # http.server's own server_bind looks up the host's name, which can take seconds without a network.
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore the error: a killed function resets its connection, which is not worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet
    timeout = _STRANGER_TIMEOUT_S  # until the first request has named the secret; then the client may take its time

    def __init__(self, api: RuntimeApi, *args: object):
        self._api = api
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, *args: object) -> None:
        """Log nothing: access logs would only repeat the function's log."""

    def do_GET(self) -> None:
        if self._path() != f"{_PREFIX}/invocation/next":
            self._answer(HTTPStatus.NOT_FOUND)
            return
        invocation = self._api.next_invocation()
        if invocation is None:
            self.close_connection = True
            return
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
        }
        if invocation.trace_id:
            headers["Lambda-Runtime-Trace-Id"] = invocation.trace_id
        self._answer(HTTPStatus.OK, invocation.payload, headers)

    def do_POST(self) -> None:
        path = self._path()
        match = _ANSWER.fullmatch(path)
        if not match and path != f"{_PREFIX}/init/error":
            self.close_connection = True  # the body stays unread
            self._answer(HTTPStatus.NOT_FOUND)
            return
        body = self._body()
        if body is None:
            if match:
                self._api.respond(match["id"], Response(b"", too_large=True))
            limit = f"Exceeded maximum allowed payload size ({self._api.max_response_bytes} bytes)."
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLarge", limit)
        elif match is None:
            self._api.fail_init(body)
            self._accept()
        elif self._api.respond(match["id"], Response(body, is_error=match["kind"] == "error")):
            self._accept()
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, "InvalidRequestID", "This is not the current invocation.")

    def _path(self) -> str:
        """Return the path below the secret one; an empty string if the secret is wrong."""
        _, secret, *rest = (*self.path.split("/", 2), "", "")[:3]
        if not hmac.compare_digest(secret.encode(), self._api.secret.encode()):
            return ""
        self.connection.settimeout(None)
        return f"/{rest[0]}"

    def _body(self) -> bytes | None:
        """Return the request's body, or None (read and dropped) when it is larger than Lambda allows."""
        length = self.headers.get("Content-Length") or "0"
        if length.isdecimal() and int(length) <= self._api.max_response_bytes:
            return self.rfile.read(int(length))
        size = int(length) if length.isdecimal() else _MOST_DROPPED_BYTES + 1
        if size > _MOST_DROPPED_BYTES:
            self.close_connection = True
            return None
        while size > 0 and (block := self.rfile.read(min(size, _BLOCK_BYTES))):
            size -= len(block)
        return None

    def _accept(self) -> None:
        self._answer(HTTPStatus.ACCEPTED, b'{"status":"OK"}')

    def _refuse(self, status: HTTPStatus, error_type: str, message: str) -> None:
        self._answer(status, json.dumps({"errorMessage": message, "errorType": error_type}).encode())

    def _answer(self, status: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {**(headers or {}), "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
