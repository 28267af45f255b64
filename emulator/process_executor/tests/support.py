"""A function made of one module, invoked without LocalStack."""

import json
import textwrap
from itertools import count
from pathlib import Path
from typing import Any

from localstack_process_executor.reaper import Reaper
from localstack_process_executor.sandbox import Event, FunctionSpec, Result, Sandbox


class Function:
    """A function made of one module, in a sandbox of its own."""

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
        """Return the handler's result, which must be one."""
        result = self.invoke(payload)
        assert not result.is_error, result
        return json.loads(result.payload)

    def error(self, payload: object = None) -> dict[str, str]:
        """Return the error object, which must be one."""
        result = self.invoke(payload)
        assert result.is_error, result
        error: dict[str, str] = json.loads(result.payload)
        return error
