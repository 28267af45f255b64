"""Recompute features, and retry what failed."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from p300_cli.commands.options import Json, Wait
from p300_cli.terminal import fail, note, out, print_json, progress_of, table

if TYPE_CHECKING:
    from p300_client.backfilling import Backfill
    from p300_client.failures import Failure

app = typer.Typer()


@app.command()
def backfill() -> None:
    """Recompute all features and reports that were made with other preprocessing parameters or other code."""
    from p300_client import backfilling

    from p300_cli.targets import current

    target = current()
    arn, n_recordings = backfilling.start_backfill(target)
    try:
        with progress_of("backfill") as progress:
            result = backfilling.follow_backfill(target, arn, n_recordings, progress)
    except KeyboardInterrupt:
        note(f"no longer watched; {arn} is still running")
        raise
    show_backfill(result)
    if not result.succeeded:
        raise typer.Exit(1)


@app.command()
def retry(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Executions or landing keys; by default everything that failed and can be retried."),
    ] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Show what failed without retrying it.")] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Remove the named ones from the failed-inputs queue instead.")
    ] = False,
    unfinished: Annotated[
        bool,
        typer.Option(
            "--unfinished",
            help="Include recordings whose events were lost: those in the landing zone or without features.",
        ),
    ] = False,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Retry what failed in the last 14 days: executions, inputs in the queue, and events that started no execution."""
    from p300_client import retrying
    from p300_client.failures import Way
    from p300_client.watching import each_ended

    from p300_cli.following import follow, show_executions
    from p300_cli.targets import current

    if drop and not names:
        fail("--drop wants names: `p300 retry --list` shows them.", 2)
    if unfinished and (drop or only_list or names):
        fail("--unfinished starts whatever is not finished: it goes with no names, --list or --drop.", 2)
    target = current()
    since = datetime.now(UTC).replace(microsecond=0)
    with progress_of("retry") as progress:
        done = retrying.retry(target, names or [], only_list=only_list, drop=drop, progress=progress)
    show_failures(done, as_json=as_json)
    arns = {arn for failure, arn in done if arn and failure.way is not Way.BACKFILL}
    if unfinished:
        lost = retrying.start_unfinished(target, {failure.source for failure, _ in done})
        note(f"{len(lost)} recordings were not finished and had no execution that failed: started")
        arns |= set(lost)
    if wait and arns:
        executions = follow(target, since, until=each_ended(arns))
        executions = [execution for execution in executions if execution.arn in arns]
        if not as_json:
            show_executions(executions)
        if any(execution.status != "SUCCEEDED" for execution in executions):
            raise typer.Exit(1)


def show_backfill(result: "Backfill") -> None:
    """Print the result of a backfill."""
    if result.status != "SUCCEEDED":
        fail(f"The backfill ended as {result.status.lower()}: {result.error}")
    outcomes = Counter(result.counts["outcomes"])
    columns = ["recordings", "features made", "up to date before", "replaced meanwhile", "failed", "reports drawn"]
    shown = [outcomes["features"], outcomes["unchanged"], outcomes["superseded"], len(result.failures)]
    row = [result.counts["n_recordings"], *shown, result.counts["reports_drawn"]]
    out.print(table("Backfill", columns, [row]))
    if result.failures:
        rows = [[failure["key"], failure["outcome"], failure["reason"]] for failure in result.failures]
        out.print(
            table("Not up to date: these keep the features that they had", ["recording", "outcome", "reason"], rows)
        )
    if outcomes["features"]:
        note("models are still those of the features before: `p300 train` makes one of these")


def show_failures(done: Sequence[tuple["Failure", str]], *, as_json: bool) -> None:
    """Print what failed, and what was started for it."""
    if as_json:
        print_json([failure.as_json() | {"started": arn or None} for failure, arn in done])
        return
    if not done:
        note("nothing that failed is waiting")
        return
    rows = [
        [
            failure.name,
            failure.source,
            f"{failure.at.astimezone():%Y-%m-%d %H:%M}",
            failure.retries,
            failure.error,
            f"started as {arn.rpartition(':')[2]}" if arn else failure.left_because or "waits",
        ]
        for failure, arn in done
    ]
    out.print(table("Failed", ["name", "about", "at", "retries", "error", "now"], rows))
