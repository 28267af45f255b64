"""What is in quarantine: list, release, drop."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from p300.errors import P300Error

from p300_cli.commands.options import Json, Wait
from p300_cli.terminal import fail, note, out, print_json, table

if TYPE_CHECKING:
    from p300_client.quarantine import Quarantined
    from p300_pipeline.storage import Store

app = typer.Typer()
held_app = typer.Typer(help="Quarantined files: list, release, drop.", no_args_is_help=True)
app.add_typer(held_app, name="quarantine")
Held = Annotated[
    list[str] | None,
    typer.Argument(help="Keys as `p300 quarantine list` shows them, or the original landing keys."),
]
All = Annotated[bool, typer.Option("--all", help="Everything in quarantine.")]


@held_app.command("list")
def quarantine_list(as_json: Json = False) -> None:
    """Show what is in quarantine, and why."""
    from p300_client import quarantine

    from p300_cli.targets import current

    target = current()
    found = quarantine.find_quarantined(quarantine.store_of(target), target.outputs["RawBucketName"])
    _show(found, as_json=as_json)


@held_app.command("release")
def quarantine_release(
    names: Held = None,
    everything: All = False,
    to: Annotated[str | None, typer.Option(help="Another landing key, subject_<label>/<recording>.<ext>.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a recording that is already in the raw zone.")
    ] = False,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Move objects back to the landing zone, after a fix or under another key; each starts an execution."""
    from p300_client import quarantine
    from p300_client.outcomes import BAD, status_of

    from p300_cli.following import follow, show_executions
    from p300_cli.targets import current

    target = current()
    store, landing, raw = (
        quarantine.store_of(target),
        target.outputs["LandingBucketName"],
        target.outputs["RawBucketName"],
    )
    chosen = _choose(store, raw, names or [], everything=everything)
    if to and len(chosen) != 1:
        fail(f"--to names one landing key, but {len(chosen)} files are to be released.", 2)
    since = datetime.now(UTC).replace(microsecond=0)
    uploads = [quarantine.release(store, landing, raw, held, to=to, replace=replace) for held in chosen]
    note(f"released {len(uploads)} to s3://{landing}")
    executions = follow(target, since, uploads) if wait and uploads else []
    if as_json:
        print_json([{"key": held.key, "landing_key": upload.key} for held, upload in zip(chosen, uploads, strict=True)])
    elif executions:
        show_executions(executions)
    if any(status_of(execution) in BAD for execution in executions):
        raise typer.Exit(1)


@held_app.command("drop")
def quarantine_drop(
    names: Held = None,
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete objects from quarantine; the bucket keeps them as old versions."""
    from p300_client import quarantine

    from p300_cli.targets import current

    target = current()
    store, raw = quarantine.store_of(target), target.outputs["RawBucketName"]
    chosen = _choose(store, raw, names or [], everything=everything)
    if chosen and not yes:
        if not as_json:
            _show(chosen, as_json=False)
        typer.confirm(f"Delete {len(chosen)} from quarantine?", abort=True, err=True)
    for held in chosen:
        quarantine.drop(store, raw, held)
    if as_json:
        print_json([{"key": held.key} for held in chosen])
    note(f"dropped {len(chosen)}")


def _choose(store: "Store", raw: str, names: Sequence[str], *, everything: bool) -> list["Quarantined"]:
    from p300_client import quarantine

    found = quarantine.find_quarantined(store, raw)
    try:
        return quarantine.choose(found, names, everything=everything)
    except P300Error as error:
        fail(error.message, 2 if error.code == "not_named" else 1)


def _show(found: Sequence["Quarantined"], *, as_json: bool) -> None:
    """Print what is in quarantine."""
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        note("nothing is in quarantine")
        return
    rows = [[one.key, one.bytes, one.uploaded[:16].replace("T", " "), one.code, one.message] for one in found]
    out.print(table("Quarantine", ["key in the raw zone", "bytes", "uploaded (UTC)", "reason", ""], rows))
