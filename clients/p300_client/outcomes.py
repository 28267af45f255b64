"""The outcome of an execution, in one word: an execution that succeeded may have quarantined its recording."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from p300_client.watching import Execution

Status = Literal[
    "features",
    "model",
    "unchanged",
    "superseded",
    "left out",
    "ignored",
    "waiting",
    "incomplete",
    "unreadable",
    "quarantined",
    "running",
    "failed",
]
"""``features`` and ``model`` are what uploads are for. ``unchanged``: the stack already had it. ``superseded``: a newer upload or another
execution took over. ``left out``: it has features, but training left it out. ``ignored``: not a recording, and not meant to be one.
``waiting``: for other files or other recordings. ``incomplete``: other files are missing. ``unreadable``: the pipeline cannot read it from
storage. ``failed``: the execution failed, timed out or was aborted."""
STATUSES: tuple[Status, ...] = get_args(Status)
GOOD: frozenset[Status] = frozenset({"features", "model"})
BAD: frozenset[Status] = frozenset({"quarantined", "incomplete", "unreadable", "failed"})
"""The upload did not get into the pipeline: a command that waited for it ends with exit code 1."""
NOTABLE: frozenset[Status] = frozenset(STATUSES) - GOOD - {"running", "failed"}
"""The execution succeeded, but not with the expected outcome: shown in amber."""
_AS_THEY_ARE: dict[Any, Status] = {name: name for name in STATUSES} | {"gone": "superseded", "waiting": "incomplete"}


def recording_of(execution: Execution) -> str:
    """Return ``<subject>/<recording>`` of the features that an execution made or found; empty if there are none."""
    found = _part(execution.output, "recording").get("recording")
    return found if isinstance(found, str) else ""


def status_of(execution: Execution, left_out: Mapping[str, str] | None = None) -> Status:
    """Return the outcome of an execution, or what it is doing.

    Parameters
    ----------
    execution : Execution
        As a `Watcher` last saw it.
    left_out : mapping of str to str, optional
        Recordings that training left out, as `left_out_of` returns them.

    Returns
    -------
    str
        One of `STATUSES`.
    """
    if not execution.ended:
        return "waiting" if execution.state.startswith("Wait") else "running"
    if execution.status != "SUCCEEDED":
        return "failed"
    output = execution.output
    recording = _part(output, "recording")
    found = _AS_THEY_ARE.get(output.get("outcome"), "features")
    if found == "features" and recording.get("outcome") == "unchanged":
        found = "unchanged"
    if found in GOOD and recording_of(execution) in {**(left_out or {}), **(left_out_by(execution) or {})}:
        return "left out"
    return found


def left_out_of(executions: Iterable[Execution]) -> dict[str, str]:
    """Return the recordings that the newest training among these executions left out, as far as it names them, and why."""
    for execution in sorted(executions, key=lambda one: one.started, reverse=True):
        found = left_out_by(execution)
        if found is not None:
            return found
    return {}


def left_out_by(execution: Execution) -> dict[str, str] | None:
    """Return the recordings that an execution's training left out, and why; None if it trained nothing."""
    for training in (_part(execution.output, "training"), execution.output):
        if "left_out" in training:
            return _left_out(training)
    return None


def _left_out(training: Mapping[str, Any]) -> dict[str, str]:
    entries = training.get("left_out")
    return {
        str(entry.get("recording")): str(entry.get("reason"))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    }


def _part(output: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = output.get(name)
    return found if isinstance(found, dict) else {}


def rows_of(executions: Sequence[Execution]) -> list[dict[str, Any]]:
    """Return the outcome of each execution, for JSON and tables."""
    left_out = left_out_of(executions)
    rows = []
    for execution in executions:
        status = status_of(execution, left_out)
        reasons = {**left_out, **(left_out_by(execution) or {})}
        rows.append(
            {
                "recording": execution.source,
                "status": status,
                "detail": reasons[recording_of(execution)] if status == "left out" else execution.outcome,
                "seconds": round(execution.seconds, 1),
                "execution": execution.arn,
            }
        )
    return rows
