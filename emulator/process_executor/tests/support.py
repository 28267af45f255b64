"""A function in one module, invoked without LocalStack; and helpers for tests of functions in LocalStack."""

import base64
import json
import textwrap
from itertools import count
from pathlib import Path
from typing import Any

from localstack_process_executor.reaper import Reaper
from localstack_process_executor.sandbox import Event, FunctionSpec, Result, Sandbox

FAST = {"Delay": 1, "MaxAttempts": 60}
ROLE = "arn:aws:iam::000000000000:role/any"


class Function:
    """A function in one module, with its own sandbox."""

    def __init__(self, spec: FunctionSpec, directory: Path, reaper: Reaper):
        self.spec = spec
        self.directory = directory
        self.tmp = directory / "tmp"
        self.tmp.mkdir(parents=True)
        self.bytecode = Path(spec.env["PYTHONPYCACHEPREFIX"])
        self.sandbox = Sandbox(spec, directory, reaper)
        self._request_ids = (f"request-{number}" for number in count(1))

    def write(self, code: str) -> None:
        (self.spec.cwd / "app.py").write_text(textwrap.dedent(code))

    def invoke(self, payload: object = None) -> Result:
        request_id = next(self._request_ids)
        event = Event(request_id, "arn:aws:lambda:us-east-1:000000000000:function:f", json.dumps(payload).encode())
        return self.sandbox.invoke(event)

    def answer(self, payload: object = None) -> Any:
        """Return the handler's result; fail if it is an error."""
        result = self.invoke(payload)
        assert not result.is_error, result
        return json.loads(result.payload)

    def error(self, payload: object = None) -> dict[str, str]:
        """Return the error object; fail if the result is not an error."""
        result = self.invoke(payload)
        assert result.is_error, result
        error: dict[str, str] = json.loads(result.payload)
        return error


def invoke(lambda_: Any, name: str, event: object = None) -> tuple[Any, str]:
    """Return the payload (an error object has an `errorType`) and the tail of the log."""
    response = lambda_.invoke(FunctionName=name, Payload=json.dumps(event), LogType="Tail")
    payload = json.loads(response["Payload"].read())
    assert ("FunctionError" in response) == (isinstance(payload, dict) and "errorType" in payload)
    return payload, base64.b64decode(response["LogResult"]).decode()
