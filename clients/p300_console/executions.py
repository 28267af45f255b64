"""All executions of both state machines, kept in memory: an execution that has ended never changes again."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from p300_client import watching
from p300_client.outcomes import GOOD, NOTABLE, left_out_by, recording_of, status_of
from p300_client.watching import ENDED
from p300_pipeline.executions import document
from p300_pipeline.keys import bare_name, subject_name

from p300_console.stack import Stack

FRESH_S = 1.0
"""A listing younger than this is used again: many pages may be open."""
MAX_EXECUTIONS = 10_000
PAGE = 50
LONGEST_OUTCOME = 1000
"""Largest number of characters, including notes on what an upload replaced and what its sidecar says."""
MOST_FOLLOWED, MOST_FOLLOWED_ON_AWS = 64, 8
"""How many running executions, newest first, each listing checks for whether they are waiting."""
_LIST = 1000  # the most that the service lists at once
# AWS sustains 15 calls of DescribeExecution per second and account, LocalStack as many as it can.
_AWS_PAUSE_S = 0.1
_THREADS = 8


@dataclass(frozen=True)
class Row:
    """One execution in the list.

    Attributes
    ----------
    source : str or None
        Key of the recording that started it, or what else did; None until it has been read.
    outcome : str
        Its outcome, in words.
    result : str
        The same as one of `p300_client.outcomes.STATUSES`; empty until it has been read.
    recording : str
        ``<subject>/<recording>`` of its features.
    left_out : frozenset of str or None
        Recordings that its training left out; None if it trained nothing.
    """

    arn: str
    name: str
    machine: str
    status: str
    started: datetime
    stopped: datetime | None
    source: str | None = None
    outcome: str = ""
    result: str = ""
    recording: str = ""
    left_out: frozenset[str] | None = None

    @property
    def ended(self) -> bool:
        """Whether it has reached its final status."""
        return self.status in ENDED

    @property
    def seconds(self) -> float:
        """How long it ran, or has been running."""
        return ((self.stopped or datetime.now(self.started.tzinfo)) - self.started).total_seconds()

    @property
    def subject(self) -> str:
        """The subject in the recording's key; empty if no recording started it."""
        subject, slash, _ = (self.source or "").partition("/")
        return subject_name(subject) if slash else ""

    @property
    def shown(self) -> str:
        """The status to show: `result` where it says more than Step Functions' status, such as that the upload is in quarantine."""
        return self.result.upper().replace(" ", "_") if self.result in NOTABLE else self.status

    @property
    def complete(self) -> bool:
        """Whether everything is known that can be."""
        return self.source is not None and (not self.ended or bool(self.outcome))


@dataclass(frozen=True)
class Selection:
    """One page of the list.

    Attributes
    ----------
    rows : list of Row
        The rows of this page, newest first.
    n : int
        How many executions match the filters.
    counts : Counter
        Number of executions by status that match all filters except the one on status.
    unread : int
        Number of executions whose subject is not known yet.
    """

    rows: list[Row]
    n: int
    page: int
    n_pages: int
    counts: Counter[str]
    subjects: list[str]
    unread: int
    truncated: bool


class Executions:
    """The executions of a stack, newest first.

    Parameters
    ----------
    stack : Stack
        Where they run.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._rows: dict[str, dict[str, Row]] = {}
        self._truncated = False
        self._listed = self._followed = 0.0
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(_THREADS, "describe")

    # -- in the background
    def start(self) -> None:
        """Read executions in the background, newest first, so that pages and filters need not wait for them."""
        self._wanted.set()
        threading.Thread(target=self._read_all, name="executions", daemon=True).start()

    def stop(self) -> None:
        """End the background work."""
        self._stop.set()
        self._wanted.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read_all(self) -> None:
        while not self._stop.is_set():
            self._wanted.wait()
            self._wanted.clear()
            try:
                self.refresh()
                while not self._stop.is_set() and (unread := [row for row in self._all() if not row.complete]):
                    if self._stack.is_local:
                        self._read(unread[: 4 * _THREADS])
                    else:
                        self._read(unread[:1])
                        self._stop.wait(_AWS_PAUSE_S)
            except Exception:
                self._stop.wait(FRESH_S)

    # -- listing
    def refresh(self) -> None:
        """List executions, unless they were listed a moment ago."""
        with self._lock:
            if time.monotonic() - self._listed < FRESH_S:
                return
            truncated = False
            for machine, arn in self._stack.machines.items():
                known = self._rows.get(machine, {})
                self._rows[machine], cut = self._list(machine, arn, known)
                truncated |= cut
            self._truncated = truncated
            self._listed = time.monotonic()
        if any(not row.complete for row in self._all()):
            self._wanted.set()

    def _list(self, machine: str, arn: str, known: dict[str, Row]) -> tuple[dict[str, Row], bool]:
        client = self._stack.client("stepfunctions")
        running = {row.arn for row in known.values() if not row.ended}
        rows: dict[str, Row] = {}
        pages = client.get_paginator("list_executions").paginate(
            stateMachineArn=arn, PaginationConfig={"PageSize": _LIST}
        )
        for page in pages:
            listed = [_row(machine, entry, known) for entry in page["executions"]]
            rows.update((row.arn, row) for row in listed)
            running -= {row.arn for row in listed if row.ended}
            if len(rows) >= MAX_EXECUTIONS:
                return rows, True
            # Everything after this page is older, known and has ended.
            if not running and listed and all(known.get(row.arn) == row for row in listed):
                return {**rows, **known}, False
        return rows, False

    def _all(self) -> list[Row]:
        rows = [row for machine in list(self._rows.values()) for row in list(machine.values())]
        return sorted(rows, key=lambda row: row.started, reverse=True)

    # -- reading
    def _read(self, rows: Iterable[Row]) -> None:
        for row in self._pool.map(self._described, rows):
            with self._lock:
                if row.arn in self._rows.get(row.machine, {}):
                    self._rows[row.machine][row.arn] = row

    def _described(self, row: Row) -> Row:
        client = self._stack.client("stepfunctions")
        try:
            described = client.describe_execution(executionArn=row.arn)
        except client.exceptions.ExecutionDoesNotExist:  # deleted since it was listed
            return replace(row, source=row.source or "", outcome=row.outcome or "deleted")
        return described_row(row, described)

    def _follow(self) -> None:
        """Check which running executions are waiting, unless that was checked a moment ago."""
        with self._lock:
            if time.monotonic() - self._followed < FRESH_S:
                return
            self._followed = time.monotonic()
        most = MOST_FOLLOWED if self._stack.is_local else MOST_FOLLOWED_ON_AWS
        running = [row for row in self._all() if not row.ended and row.machine != "backfill"][:most]
        for row in self._pool.map(self._with_state, running):
            with self._lock:
                now = self._rows.get(row.machine, {}).get(row.arn)
                if now and not now.ended:
                    self._rows[row.machine][row.arn] = replace(now, result=row.result)

    def _with_state(self, row: Row) -> Row:
        client = self._stack.client("stepfunctions")
        try:
            state = watching.current_state(client, row.arn)
        except client.exceptions.ExecutionDoesNotExist:
            return row
        return replace(row, result=status_of(watching.Execution(row.arn, row.status, row.started, state=state)))

    # -- for the pages
    def select(self, *, machine: str = "", status: str = "", subject: str = "", page: int = 1) -> Selection:
        """Return one page of the executions that match the filters."""
        self.refresh()
        self._follow()
        everything, subject = _with_left_out(self._all()), subject_name(subject)
        subjects = sorted({row.subject for row in everything if row.subject})
        fitting = [
            row
            for row in everything
            if (not machine or row.machine == machine) and (not subject or row.subject == subject)
        ]
        counts = Counter(row.shown for row in fitting)
        chosen = [row for row in fitting if not status or row.shown == status]
        n_pages = max(1, -(-len(chosen) // PAGE))
        page = min(max(1, page), n_pages)
        shown = chosen[(page - 1) * PAGE : page * PAGE]
        self._read([row for row in shown if not row.complete])
        return Selection(
            rows=_with_left_out([self._rows.get(row.machine, {}).get(row.arn, row) for row in shown], self._all()),
            n=len(chosen),
            page=page,
            n_pages=n_pages,
            counts=counts,
            subjects=subjects,
            unread=sum(row.source is None for row in everything),
            truncated=self._truncated,
        )

    def of_recording(self, recording: str) -> list[Row]:
        """Return the executions that a recording's uploads started, among those read so far; the name may include its extension."""
        self.refresh()
        return [row for row in self._all() if row.source and recording in {row.source, bare_name(row.source)}]


def _with_left_out(rows: list[Row], newest_first: list[Row] | None = None) -> list[Row]:
    """Return the rows, marked as left out where the newest training left their recordings out."""
    trained = (row.left_out for row in newest_first or rows if row.left_out is not None)
    left_out = next(trained, frozenset())
    return [
        replace(row, result="left out") if row.result in GOOD and row.recording in left_out else row for row in rows
    ]


def _row(machine: str, entry: dict[str, Any], known: dict[str, Row]) -> Row:
    row = known.get(entry["executionArn"])
    if row is None:
        return Row(
            entry["executionArn"], entry["name"], machine, entry["status"], entry["startDate"], entry.get("stopDate")
        )
    if row.status == entry["status"]:
        return row
    return replace(row, status=entry["status"], stopped=entry.get("stopDate"), outcome="", result="")


def described_row(row: Row, described: dict[str, Any]) -> Row:
    """Return a row with what `describe_execution` says about it."""
    execution = watching.from_description(described)
    source = execution.source
    outcomes = execution.output.get("outcomes")
    if row.machine == "backfill":
        source = str(document(described.get("input")).get("key") or "all recordings")
    if row.machine == "backfill" and isinstance(outcomes, dict):
        outcome = ", ".join(f"{n} {name}" for name, n in outcomes.items()) or "nothing to do"
    else:
        outcome = execution.outcome if execution.ended else ""
    return replace(
        row,
        status=execution.status,
        stopped=execution.stopped,
        source=source,
        result="" if row.machine == "backfill" else status_of(execution) if execution.ended else row.result,
        recording=recording_of(execution),
        left_out=None if (left_out := left_out_by(execution)) is None else frozenset(left_out),
        outcome=outcome[:LONGEST_OUTCOME] or (execution.status.lower() if execution.ended else ""),
    )


def new_row(machine: str, described: dict[str, Any]) -> Row:
    """Return the row of an execution that is not in any list, such as a child of a distributed Map."""
    row = Row(
        described["executionArn"],
        described["name"],
        machine,
        described["status"],
        described["startDate"],
        described.get("stopDate"),
    )
    return described_row(row, described)
