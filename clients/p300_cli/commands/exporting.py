"""Write recordings out of the pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from p300_cli.commands.options import Alias, Json
from p300_cli.terminal import note, print_json, progress_of

app = typer.Typer()


@app.command()
def export(
    out: Annotated[Path, typer.Option("--bids", help="Folder of the BIDS data set to write.", metavar="OUT")],
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Subjects, or <subject>/<recording>; all without.", metavar="[NAME]..."),
    ] = None,
    alias: Alias = None,
    as_json: Json = False,
) -> None:
    """Write raw recordings as a BIDS data set, with features and predictions as its derivatives."""
    from p300_client import exporting

    from p300_cli.targets import current

    with progress_of("exporting") as progress:
        done = exporting.export_bids(current(), out, names or (), alias=alias, progress=progress, notify=note)
    if as_json:
        print_json(done.recordings)
    note(
        f"{len(done.recordings)} recordings, features of {done.n_features} and predictions of {done.n_predictions} in {out}"
    )
