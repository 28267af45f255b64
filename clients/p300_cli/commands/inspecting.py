"""Look into recordings before they land."""

from pathlib import Path
from typing import Annotated

import typer

from p300_cli.commands.options import Json
from p300_cli.terminal import note, print_json, progress_of

app = typer.Typer()


@app.command()
def inspect(
    paths: Annotated[list[Path], typer.Argument(help="Recordings, or folders of them.")],
    mapping: Annotated[
        Path | None, typer.Option("--map", help="JSON file to take for each recording's sidecar.", metavar="FILE")
    ] = None,
    preprocessing: Annotated[str, typer.Option(help="What the stack's parameter Preprocessing holds, as JSON.")] = "",
    as_json: Json = False,
) -> None:
    """Show what is in recordings and what the pipeline would make of them. Exit code 1 if it would refuse one."""
    from dataclasses import asdict

    from p300.signals import Parameters
    from p300_client import inspecting

    from p300_cli import inspected

    parameters = Parameters.from_json(preprocessing)
    said = inspecting.read_mapping(mapping) if mapping else None
    with progress_of("inspecting") as progress:
        found = inspecting.inspect(paths, parameters, sidecar=said, progress=progress, notify=note)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        inspected.show(found)
    if any(one.refusal for one in found):
        raise typer.Exit(1)
