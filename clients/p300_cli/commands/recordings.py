"""Recordings: make or fetch them, land them, follow them, look at their reports."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from p300_cli.commands.options import Json, Wait
from p300_cli.terminal import err, escape, note, print_json, progress_of

app = typer.Typer()
Paths = Annotated[list[Path], typer.Argument(help="Recordings, folders of them, or BIDS data sets.")]


@app.command()
def land(
    paths: Paths,
    subject: Annotated[
        str | None, typer.Option(help="subject_<label>, if it does not follow from folder or file names.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace recordings and sidecars that are already there.")
    ] = False,
    mapping: Annotated[
        Path | None,
        typer.Option("--map", help="JSON file to write beside each recording as its sidecar.", metavar="FILE"),
    ] = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Check recordings and upload them to the landing zone; each starts an execution.

    A recording that would only end in quarantine is not uploaded, and the exit code is 1. With --wait, it is 1 unless all become features.
    """
    from p300.formats import SIDECAR_ENDING
    from p300.text import few_of
    from p300_client import landing
    from p300_client import mapping as mappings
    from p300_client.inspecting import read_mapping

    from p300_cli.following import follow, show_executions
    from p300_cli.targets import current

    target = current()
    since = datetime.now(UTC).replace(microsecond=0)
    found = landing.find(paths, subject, note)
    parameters = target.preprocessing
    if mapping:
        with progress_of("checking") as progress:
            said = read_mapping(mapping)
            written = mappings.write(found, said, parameters, replace=replace, progress=progress)
        for path in written:
            note(f"wrote {path}")
        found = landing.find(paths, subject, note)
    with progress_of("landing") as progress:
        landed = landing.land(target, found, progress, replace=replace, parameters=parameters, notify=note)
    recordings = [upload for upload in landed.uploads if upload.is_recording]
    unchanged = [upload for upload in landed.unchanged if upload.is_recording]
    for upload in unchanged:
        note(f"unchanged: {upload.key}")
    keys_of: dict[str, list[str]] = {}
    for key, texts in landed.notes.items():
        for text in texts:
            keys_of.setdefault(text, []).append(key)
    for text, keys in keys_of.items():
        note(f"{few_of(keys)}: {text}")
    for _, error in landed.refused:
        err.print(f"[red]refused:[/red] {escape(f'{error.code}: {error.message}')}", soft_wrap=True)
    n_sidecars = sum(upload.key.endswith(SIDECAR_ENDING) for upload in landed.uploads)
    told = f"landed {len(recordings)} recordings" + (f" and {n_sidecars} sidecars" if n_sidecars else "")
    note(f"{told} in s3://{target.outputs['LandingBucketName']}")
    if wait:
        executions = follow(target, since, landed.uploads) if landed.uploads else []
        refused = landed.refused if as_json else ()  # told above
        well = show_executions(executions, unchanged=unchanged, refused=refused, as_json=as_json)
        if not well or landed.refused:
            raise typer.Exit(1)
        return
    if as_json:
        done = [*((upload, "landed") for upload in recordings), *((upload, "unchanged") for upload in unchanged)]
        rows = [
            {"recording": upload.key, "status": status, "notes": list(landed.notes.get(upload.key, ()))}
            for upload, status in done
        ]
        print_json([*rows, *landing.refused_rows(landed.refused)])
    if landed.refused:
        raise typer.Exit(1)


@app.command()
def watch(
    everything: Annotated[bool, typer.Option("--all", help="Include executions that have ended.")] = False,
    as_json: Json = False,
) -> None:
    """Follow running executions until all have ended.

    The exit code is 1 if one of those listed failed, is quarantined, incomplete or unreadable, or was still running when following stopped.
    """
    from p300_cli.following import follow, show_executions
    from p300_cli.targets import current

    began = datetime.now(UTC)
    executions = follow(current(), datetime.min.replace(tzinfo=UTC))
    listed = [one for one in executions if everything or one.stopped is None or one.stopped >= began]
    if not show_executions(listed, as_json=as_json):
        raise typer.Exit(1)


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="<subject>, or <subject>/<recording>.")],
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
    as_json: Json = False,
) -> None:
    """Download a recording's report, open it, say whether there is a P300 and print the report's path."""
    from p300_client import reports
    from p300_client.paths import STATE

    from p300_cli.targets import current
    from p300_cli.terminal import open_in_browser

    target = current()
    with err.status(f"waiting for the report of {name}"):
        found = reports.download(target, name, STATE / "reports", notify=note)
    if browser and not as_json:
        open_in_browser([one.path for one in found])
    if as_json:
        print_json([{"recording": one.recording, "path": str(one.path), "verdict": one.verdict} for one in found])
        return
    for one in found:
        said = one.verdict.get("sentence", "No verdict yet: `p300 backfill` draws the report again.")
        err.print(escape(f"{one.recording}: {said}"))
        print(one.path)


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    subjects: Annotated[int, typer.Option(min=1, help="How many.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same bytes.")] = 7,
) -> None:
    """Write bi2014a-like synthetic subjects: 16 channels, 512 Hz, P300, blinks, drift."""
    from p300.synth import write_subjects

    for path in write_subjects(folder, range(1, subjects + 1), seed):
        print(path)
    note(f"{subjects} synthetic subjects (seed {seed}): no person's data")


@app.command()
def fetch(
    data_set: Annotated[str, typer.Argument(help="bi2012, bi2013a, bi2014a, bi2014b, bi2015a or bi2015b.")],
    subjects: Annotated[str, typer.Option(help="Numbers and ranges, 1-10,12, or all.")] = "all",
    folder: Annotated[Path | None, typer.Option(help="Target folder; by default one named like the data set.")] = None,
    server: Annotated[
        str, typer.Option(envvar="P300_ZENODO", help="A server with Zenodo's API.")
    ] = "https://zenodo.org",
) -> None:
    """Download public Brain Invaders recordings in the layout that `p300 land` expects."""
    from p300_cli import fetching

    folder = folder or Path(data_set)
    paths = fetching.fetch(data_set, fetching.parse_subjects(subjects, data_set), folder, server.rstrip("/"))
    for path in paths:
        print(path)
    note(f"{len(paths)} recordings; land them with: p300 land {folder}")
