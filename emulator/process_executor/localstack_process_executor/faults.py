"""What Lambda answers when the handler cannot: failed init, timeout, crash, out of memory, response too large."""

import json
import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A failed invocation, described as AWS does.

    Attributes
    ----------
    error_type
        The payload's `errorType`, which Step Functions matches in `Retry` and `Catch`.
    payload
        The JSON object that the caller gets.
    status
        `Status` of the invocation's REPORT line: `error` or `timeout`.
    log
        What the platform (not the function) writes to the log.
    """

    error_type: str
    payload: bytes
    status: str = "error"
    log: str = ""


def timed_out(request_id: str, timeout_s: float, timestamp: str) -> Fault:
    reason = f"Task timed out after {timeout_s:.2f} seconds"
    payload = _payload("Sandbox.Timedout", f"RequestId: {request_id} Error: {reason}")
    return Fault("Sandbox.Timedout", payload, status="timeout", log=f"{timestamp} {request_id} {reason}\n")


def exited(request_id: str, returncode: int) -> Fault:
    return _gone(request_id, "Runtime.ExitError", _exit_reason(returncode))


def out_of_memory(request_id: str) -> Fault:
    return _gone(request_id, "Runtime.OutOfMemory", _exit_reason(-signal.SIGKILL))


def response_too_large(limit_bytes: int) -> Fault:
    error_type = "Function.ResponseSizeTooLarge"
    message = f"Response payload size exceeded maximum allowed payload size ({limit_bytes} bytes)."
    return Fault(error_type, _payload(error_type, message))


def init_failed(payload: bytes) -> Fault:
    """Return the fault for an error object that the runtime client reported, such as `Runtime.ImportModuleError`."""
    return Fault(json.loads(payload).get("errorType", ""), payload)


def _gone(request_id: str, error_type: str, reason: str) -> Fault:
    message = f"RequestId: {request_id} Error: {reason}"
    return Fault(error_type, _payload(error_type, message), log=f"{message}\n{error_type}\n")


def _payload(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


def _exit_reason(returncode: int) -> str:
    if returncode == 0:
        return "Runtime exited without providing a reason"
    if returncode > 0:
        return f"Runtime exited with error: exit status {returncode}"
    name = signal.strsignal(-returncode) or str(-returncode)
    return f"Runtime exited with error: signal: {name.lower()}"
