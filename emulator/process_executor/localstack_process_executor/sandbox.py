"""One execution environment: starts the function's process, invokes it, and starts a new one after a failure."""

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import faults, report
from .faults import Fault
from .process import Ending, RuntimeProcess
from .reaper import Reaper
from .runtime_api import Invocation, Response

_MB = 1024 * 1024


@dataclass(frozen=True)
class FunctionSpec:
    """Everything that an execution environment needs to know about its function."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    timeout_s: float
    memory_mb: int
    max_response_bytes: int
    init_timeout_s: float
    version: str
    python_version: str


@dataclass(frozen=True)
class Event:
    """What the function is invoked with."""

    request_id: str
    function_arn: str
    payload: bytes
    trace_id: str = ""


@dataclass(frozen=True)
class Result:
    """What the caller gets back; `log` includes the platform's own lines."""

    payload: bytes
    is_error: bool
    log: str


class SandboxStoppedError(RuntimeError):
    """The environment was stopped while it was in use."""


class InitError(RuntimeError):
    """The function could not be initialised ahead of its first invocation; `payload` is AWS's error object."""

    def __init__(self, payload: bytes, log: str):
        super().__init__(f"The function failed to initialise: {payload.decode(errors='replace')}\n{log}")
        self.payload = payload


@dataclass(frozen=True)
class _Init:
    """Outcome of an init phase."""

    log: str
    duration_ms: float
    peak_bytes: int
    fault: Fault | None


class Sandbox:
    """Run one invocation at a time in one process, which is kept between invocations.

    Parameters
    ----------
    spec
        The function.
    directory
        Removed by `stop`, with the environment's private files.
    reaper
        Ends the process if this one is killed.
    """

    def __init__(self, spec: FunctionSpec, directory: Path, reaper: Reaper):
        self._spec = spec
        self._directory = directory
        self._reaper = reaper
        self._invoking = threading.Lock()
        self._changing = threading.Lock()  # guards _process and _stopped, which `stop` touches at any time
        self._process: RuntimeProcess | None = None
        self._stopped = False
        self._initialised = False
        self._unreported_init: _Init | None = None

    def start(self) -> None:
        """Start the process and return at once: the first `invoke` waits for the init phase and reports its outcome."""
        self._spawn()

    def initialise(self) -> None:
        """Start the process and wait for its init phase, as provisioned concurrency does.

        Raises
        ------
        InitError
            If the function fails to initialise.
        """
        init = self._init("", self._spec.init_timeout_s)
        if init.fault:
            raise InitError(init.fault.payload, init.log)
        self._unreported_init = init

    def invoke(self, event: Event) -> Result:
        """Run the handler. A failure of the function is returned as a result, with AWS's error object.

        Raises
        ------
        SandboxStoppedError
            If `stop` is called in the meantime.
        """
        with self._invoking:
            inits = self._inits(event.request_id)
            # The first init phase precedes the invocation; one that follows a timed-out init is part of the invocation.
            started = time.monotonic() - sum(init.duration_ms for init in inits[1:]) / 1000
            fault = inits[-1].fault if inits else None
            response, log, peak_bytes = Response(b""), "", inits[-1].peak_bytes if inits else 0
            if fault is None:
                response, fault, log, peak_bytes = self._run_handler(event, started + self._spec.timeout_s)
            duration_ms = (time.monotonic() - started) * 1000
            if fault:
                response = Response(fault.payload, is_error=True)
            log = "".join(
                (
                    *(init.log for init in inits),
                    report.start(event.request_id, self._spec.version),
                    _with_newline(log),
                    fault.log if fault else "",
                    report.end(
                        event.request_id,
                        duration_ms=duration_ms,
                        init_ms=inits[0].duration_ms if len(inits) == 1 else None,
                        memory_limit_mb=self._spec.memory_mb,
                        peak_bytes=peak_bytes,
                        fault=fault,
                    ),
                )
            )
            return Result(response.payload, response.is_error, log)

    def discard_process(self) -> None:
        """End the process; the next invocation starts a new one with the current code."""
        with self._changing:
            process, self._process = self._process, None
        self._initialised = False
        self._unreported_init = None
        if process:
            process.close()

    def stop(self) -> None:
        """End the process and remove the environment's files. A running invocation raises SandboxStoppedError."""
        with self._changing:
            self._stopped = True
            process, self._process = self._process, None
        if process:
            process.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _inits(self, request_id: str) -> list[_Init]:
        """Return the init phases that this invocation reports: none, one, or a timed-out one and its repetition."""
        process = self._process
        if process and process.returncode is not None:
            self.discard_process()  # it ended by itself between two invocations
        if self._unreported_init:
            inits, self._unreported_init = [self._unreported_init], None
            return inits
        if self._initialised:
            return []
        inits = [self._init(request_id, self._spec.init_timeout_s)]
        if inits[0].fault and inits[0].fault.status == "timeout":
            inits.append(self._init(request_id, self._spec.timeout_s))
        return inits

    def _init(self, request_id: str, limit_s: float) -> _Init:
        process = self._process or self._spawn()
        ending = process.wait_until(lambda api: api.ready or api.init_error is not None, process.started_at + limit_s)
        duration_ms = (time.monotonic() - process.started_at) * 1000
        fault = None
        if ending:
            fault = self._fault(process, ending, request_id, limit_s)
        elif process.api.init_error is not None:
            fault = faults.init_failed(process.api.init_error)
        log = report.init_start(self._spec.python_version) + _with_newline(process.take_log())
        if fault:
            self.discard_process()
            log += report.init_report(duration_ms, fault)
        self._initialised = fault is None
        return _Init(log, duration_ms, process.memory.peak_bytes, fault)

    def _run_handler(self, event: Event, deadline: float) -> tuple[Response, Fault | None, str, int]:
        process = self._process or self._spawn()
        remaining_s = deadline - time.monotonic()
        process.api.submit(
            Invocation(
                event.request_id,
                event.function_arn,
                event.payload,
                deadline_ms=int((time.time() + remaining_s) * 1000),
                trace_id=event.trace_id,
            )
        )
        ending = process.wait_until(lambda api: api.response is not None, deadline)
        response = process.api.response or Response(b"")
        fault = None
        if ending:
            fault = self._fault(process, ending, event.request_id, self._spec.timeout_s)
        elif response.too_large:
            fault = faults.response_too_large(self._spec.max_response_bytes)
        log = process.take_log()
        if fault:
            self.discard_process()
        return response, fault, log, process.memory.peak_bytes

    def _spawn(self) -> RuntimeProcess:
        spec = self._spec
        with self._changing:
            if self._stopped:
                raise SandboxStoppedError("The execution environment was stopped.")
            self._process = RuntimeProcess(
                spec.argv,
                spec.env,
                spec.cwd,
                memory_limit_bytes=spec.memory_mb * _MB,
                max_response_bytes=spec.max_response_bytes,
                reaper=self._reaper,
            )
            return self._process

    def _fault(self, process: RuntimeProcess, ending: Ending, request_id: str, limit_s: float) -> Fault:
        with self._changing:
            if self._stopped:
                raise SandboxStoppedError("The execution environment was stopped during the invocation.")
        returncode = process.returncode
        if ending is not Ending.EXITED:
            process.kill()  # before its log is taken: nothing more comes
        if ending is Ending.TIMED_OUT:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            return faults.timed_out(request_id, limit_s, now)
        if ending is Ending.OUT_OF_MEMORY:
            return faults.out_of_memory(request_id)
        return faults.exited(request_id, returncode or 0)


def _with_newline(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"
