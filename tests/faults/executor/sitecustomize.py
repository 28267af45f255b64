"""The test build of the executor: a function's process that fails as its plan says, once for each rule.

``tests/support/faults.py`` puts this folder before the functions' own packages, by an interpreter of its own for
``LAMBDA_PROCESS_PYTHON``. Python imports this module at its start. The plan is a file of JSON lines that is read at each invocation::

    {"id": "a", "function": "ingestion", "match": ["<part of the event>"], "kind": "kill", "write": 2, "when": "after"}
    {"id": "b", "function": "", "match": [], "kind": "storage", "rate": 0.2, "seed": 7}
    {"id": "c", "function": "", "match": [], "kind": "clock", "seed": 7}
    {"id": "d", "function": "ingestion", "match": ["..."], "kind": "disk", "bytes": 4096}
    {"id": "e", "function": "ingestion", "match": ["..."], "kind": "reader", "by": "segmentation fault"}

Beside it stand `writes` (a line for each write that S3 was asked for) and `fired/` (a file for each fault that happened).
"""

import ctypes
import hashlib
import io
import json
import os
import random
import resource
import signal
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any
from unittest import mock

WRITES = {"PutObject", "CopyObject", "DeleteObject", "CompleteMultipartUpload", "UploadPart", "UploadPartCopy"}
CLOCK_JUMPS_S = (-400 * 86400, -3600, -1, 1, 3600, 400 * 86400)
PLACE = Path(os.environ["P300_FAULTS"])
FUNCTION = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "").partition("-")[2]


class Invocation:
    """The event that is handled now, the rules that are for it, and how far it came."""

    def __init__(self, event=""):
        self.event, self.n_writes = event, 0
        self.rules = [rule for rule in rules() if _is_for(rule, event)]
        digest = hashlib.sha256(event.encode()).hexdigest()[:24]
        with (PLACE / "attempts" / digest).open(
            "ab"
        ) as file:  # the same event again meets other faults, the same each run
            file.write(b".")
            attempt = file.tell()
        self.random = random.Random(f"{digest} {attempt}")  # noqa: S311

    def of(self, kind):
        return [rule for rule in self.rules if rule["kind"] == kind]


def rules():
    try:
        return [json.loads(line) for line in (PLACE / "plan").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _is_for(rule, event):
    wanted = not rule["function"] or rule["function"] == FUNCTION
    return wanted and all(part in event for part in rule["match"])


def fire(rule):
    """Say whether the rule's fault happens now: once, whichever process comes first, unless it is for always."""
    try:
        (PLACE / "fired" / rule["id"]).open("x").close()
    except FileExistsError:
        return rule.get("always", False)
    return True


def note(path, **facts):
    with (PLACE / path).open("a") as file:
        file.write(json.dumps({"function": FUNCTION, **facts}) + "\n")


current: Any = None


def install():
    import awslambdaric.bootstrap as client
    from botocore import endpoint

    handle, send, respond = client.handle_event_request, endpoint.Endpoint._send, endpoint.Endpoint._do_get_response  # type: ignore[attr-defined]

    def handle_with_faults(runtime, handler, invoke_id, body, *others, **named):
        global current  # noqa: PLW0603 - a process has one
        current = Invocation(json.dumps(json.loads(body), separators=(",", ":")))
        with ExitStack() as stack:
            for rule in current.of("disk"):
                if fire(rule):
                    stack.enter_context(full_disk(rule["bytes"]))
            for rule in current.of("reader"):
                stack.enter_context(deadly_reader(rule))
            for rule in current.of("clock"):
                stack.enter_context(other_time(rule))
            handle(runtime, handler, invoke_id, body, *others, **named)

    def respond_knowing_what(self, request, operation, context):
        request.p300_operation = (str(operation.service_model.service_id), operation.name)
        return respond(self, request, operation, context)

    def send_with_faults(self, request):
        service, operation = request.p300_operation
        if service != "S3" or current is None:
            return send(self, request)
        if operation in WRITES:
            current.n_writes += 1
            note("writes", operation=operation, url=request.url, event=current.event)
        die(operation, "before")
        for rule in current.of("storage"):
            if current.random.random() < rule["rate"]:
                return trouble(rule, operation, request, lambda: send(self, request))
        answer = send(self, request)
        die(operation, "after")
        return answer

    client.handle_event_request = handle_with_faults
    endpoint.Endpoint._do_get_response = respond_knowing_what  # type: ignore[attr-defined]
    endpoint.Endpoint._send = send_with_faults  # type: ignore[attr-defined]


def die(operation, when):
    for rule in current.of("kill") if operation in WRITES else ():
        if rule["write"] == current.n_writes and rule["when"] == when and fire(rule):
            note("deaths", rule=rule["id"], operation=operation)
            os.kill(os.getpid(), signal.SIGKILL)


def trouble(rule, operation, request, send):
    """Answer as an S3 server or a network in trouble does."""
    from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

    kinds = [*(["cut"] if operation == "GetObject" else []), "500", "503", "reset", "timeout", "answer lost"]
    unseen = (kind for kind in kinds if fire({"id": f"{rule['id']}: {kind}"}))  # each kind once, then by chance
    kind = next(unseen, None) or current.random.choice(kinds)
    note("troubles", kind=kind, operation=operation)
    if kind == "500":
        return _error(request, 500, "InternalError")
    if kind == "503":
        return _error(request, 503, "SlowDown")
    if kind == "reset":
        raise ConnectionClosedError(endpoint_url=request.url)
    answer = send()
    if kind == "timeout":  # the server did it, the client has waited long enough
        raise ReadTimeoutError(endpoint_url=request.url)
    if kind == "answer lost":
        raise ConnectionClosedError(endpoint_url=request.url)
    if answer.status_code == 200:
        answer.raw = Cut(answer.raw)
    return answer


def _error(request, status, code):
    from botocore.awsrequest import AWSResponse
    from botocore.compat import HTTPHeaders

    class Raw(io.BytesIO):
        def stream(self, *_, **__):
            yield self.read()

    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>made up</Message></Error>".encode()
    return AWSResponse(request.url, status, HTTPHeaders(), Raw(b"" if request.method == "HEAD" else body))


class Cut:
    """A body whose connection ends before it does."""

    def __init__(self, raw):
        self._raw, self._left = raw, 100

    def __getattr__(self, name):
        return getattr(self._raw, name)

    def read(self, *_, **__):
        from urllib3.exceptions import ProtocolError

        if not self._left:
            raise ProtocolError("Connection broken")
        found, self._left = self._raw.read(self._left), 0
        return found


@contextmanager
def full_disk(n_bytes):
    """No file may grow over so many bytes: what a full /tmp does, without a file system of its own."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def deadly_reader(rule):
    """What reads the recording ends the process as a library in C can: by a wild pointer, or by more memory than the function has."""
    from p300 import usable

    reading: Any = usable
    real = reading.open_recording

    def open_recording(*arguments, **named):
        if fire(rule):
            note("deaths", rule=rule["id"], operation="read")
            if rule["by"] == "segmentation fault":
                ctypes.string_at(0)
            hog = [
                b"x" * (64 << 20) for _ in range(64)
            ]  # 4 GB: no function has as much, and no machine should lose more
            raise AssertionError(f"a function may have {len(hog)} * 64 MiB")
        return real(*arguments, **named)

    reading.open_recording = open_recording
    try:
        yield
    finally:
        reading.open_recording = real


@contextmanager
def other_time(rule):
    """The clock of each invocation is off by another jump.

    Requests are signed by the right time all the same: S3 refuses others, and then nothing else could go wrong.
    """
    import botocore.auth
    import time_machine

    jump = current.random.choice(CLOCK_JUMPS_S)
    note("jumps", seconds=jump)
    real = time_machine.escape_hatch.datetime.datetime
    signing_time = mock.patch.object(
        botocore.auth, "get_current_datetime", lambda **_: real.now(UTC).replace(tzinfo=None)
    )
    with signing_time, time_machine.travel(time.time() + jump, tick=True):
        yield


if FUNCTION:
    install()
