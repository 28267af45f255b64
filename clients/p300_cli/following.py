"""Follow executions in the terminal: each recording, each state, and what came of it."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from p300.errors import P300Error, RecordingError
from p300_client.landing import Upload, refused_rows
from p300_client.outcomes import BAD, GOOD, rows_of, status_of
from p300_client.target import Target
from p300_client.training import start_training
from p300_client.watching import TIMEOUT_S, Execution, Watcher, all_ended, each_ended
from rich.live import Live
from rich.table import Table

from p300_cli.model_details import montage_lines, used
from p300_cli.terminal import err, escape, note, out, print_json, table

MARKS = {
    **dict.fromkeys(GOOD, "[green]✔[/green]"),
    "running": "[cyan]…[/cyan]",
    "waiting": "[yellow]…[/yellow]",
    "failed": "[red]✘[/red]",
}


def follow(
    target: Target,
    since: datetime,
    uploads: Sequence[Upload] = (),
    *,
    until: Callable[[Watcher], bool] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> list[Execution]:
    """Show executions until `until` says so: by default until each upload has an execution that ended and none runs."""
    watcher = Watcher(target, since)
    try:
        with Live(console=err, refresh_per_second=4, transient=True) as live:
            for changed in watcher.changes(until or all_ended(uploads), timeout_s):
                live.update(_display(watcher.executions.values(), uploads))
                if not err.is_terminal:  # a log file gets one line for each that ended
                    _tell_ends(changed)
    except P300Error as error:
        if error.code != "timeout":
            raise
        note(error.message)
    return sorted(watcher.executions.values(), key=lambda execution: execution.started)


def follow_training(target: Target, request: dict[str, Any]) -> Execution:
    """Start an execution that trains, and follow it to its end."""
    since = datetime.now(UTC).replace(microsecond=0)
    arn = start_training(target, request)
    for execution in follow(target, since, until=each_ended({arn})):
        if execution.arn == arn:
            return execution
    raise P300Error("not_listed", f"The execution {arn} is not listed.")


def show_executions(
    executions: Sequence[Execution],
    *,
    unchanged: Sequence[Upload] = (),
    refused: Sequence[tuple[Upload, RecordingError]] = (),
    as_json: bool = False,
) -> bool:
    """Print what each execution came to, and which recordings a training left out.

    Parameters
    ----------
    executions : sequence of Execution
        As they are now.
    unchanged : sequence of Upload
        What was not uploaded because the raw zone already holds it.
    refused : sequence of (Upload, RecordingError)
        What was not uploaded, as it would have ended in quarantine.
    as_json : bool
        Whether to print for a script.

    Returns
    -------
    bool
        Whether all is well: nothing failed, went to quarantine, or is incomplete; what still runs is not well either.
    """
    rows = [
        *(
            {"recording": one.key, "status": "unchanged", "detail": "the raw zone already holds it"}
            for one in unchanged
        ),
        *refused_rows(refused),
        *rows_of(executions),
    ]
    if as_json:
        print_json(rows)
    elif rows:
        facts = [*({} for _ in (*unchanged, *refused)), *(_facts(execution.output) for execution in executions)]
        out.print(
            table(
                "Executions",
                ["recording", "status", "seconds", "flashes", "kept", "outcome"],
                [
                    [
                        row["recording"],
                        row["status"],
                        None if (seconds := row.get("seconds")) is None else f"{seconds:.1f}",
                        fact.get("n_flashes"),
                        fact.get("n_kept"),
                        _outcome(row, fact),
                    ]
                    for row, fact in zip(rows, facts, strict=True)
                ],
            )
        )
    for execution in executions:
        tell_what_was_used(execution.output)
    return not any(row["status"] in {*BAD, "running", "waiting"} for row in rows)


def _facts(output: dict[str, Any]) -> dict[str, Any]:
    facts = output.get("recording") or {}
    return facts if isinstance(facts, dict) else output


def _outcome(row: dict[str, Any], facts: dict[str, Any]) -> str:
    bad = facts.get("bad_channels")
    return str(row["detail"]) + (f" (bad channels: {' '.join(bad)})" if bad else "")


def tell_what_was_used(output: Any) -> None:
    """Say which recordings a training left out and why, and which subjects it takes for one person, from an execution's output."""
    training = output.get("training", output) if isinstance(output, dict) else None
    if not isinstance(training, dict):
        return
    left_out, one_person = training.get("left_out") or [], training.get("one_person") or []
    for line in (*used(left_out, one_person, training.get("n_left_out")), *montage_lines(training)):
        note(line)


def _tell_ends(changed: Iterable[Execution]) -> None:
    for execution in changed:
        if execution.ended:
            note(f"{status_of(execution)} {execution.source} ({execution.seconds:.1f} s): {execution.outcome}")


def _display(found: Iterable[Execution], uploads: Sequence[Upload]) -> Table:
    grid = Table.grid(padding=(0, 2))
    executions = sorted(found, key=lambda execution: execution.started)
    for execution in executions[-30:]:
        mark = MARKS.get(status_of(execution), "[yellow]![/yellow]")
        text = execution.outcome if execution.ended else execution.state
        grid.add_row(mark, escape(execution.source), f"{execution.seconds:5.1f} s", escape(text[:90]))
    waiting = len(uploads) - len([execution for execution in executions if execution.etag])
    if waiting > 0:
        grid.add_row("[dim]·[/dim]", f"[dim]{waiting} not started yet[/dim]", "", "")
    return grid
