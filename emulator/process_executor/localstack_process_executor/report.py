"""The platform's own lines in a function's log: INIT_START, INIT_REPORT, START, END and REPORT."""

import math

from .faults import Fault

_MB = 1024 * 1024


def init_start(python_version: str) -> str:
    return f"INIT_START Runtime Version: python:{python_version}\n"


def init_report(init_ms: float, fault: Fault) -> str:
    return f"INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: init" + _status(fault) + "\n"


def start(request_id: str, version: str) -> str:
    return f"START RequestId: {request_id} Version: {version}\n"


def end(
    request_id: str,
    *,
    duration_ms: float,
    init_ms: float | None,
    memory_limit_mb: int,
    peak_bytes: int,
    fault: Fault | None,
) -> str:
    """END and REPORT; the billed duration contains the init phase, as on AWS since August 2025."""
    # AWS's control group never exceeds the limit; a sample may be slightly above it.
    used_mb = min(math.ceil(peak_bytes / _MB), memory_limit_mb)
    init = f"\tInit Duration: {init_ms:.2f} ms" if init_ms is not None else ""
    return (
        f"END RequestId: {request_id}\n"
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms"
        f"\tBilled Duration: {math.ceil(duration_ms + (init_ms or 0))} ms"
        f"\tMemory Size: {memory_limit_mb} MB\tMax Memory Used: {used_mb} MB{init}{_status(fault)}\n"
    )


def _status(fault: Fault | None) -> str:
    if fault is None:
        return ""
    if fault.status == "timeout":
        return "\tStatus: timeout"
    return f"\tStatus: {fault.status}\tError Type: {fault.error_type}"
