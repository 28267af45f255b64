"""Options that several commands have."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
Alias = Annotated[str, typer.Option(help="champion, challenger or a version.")]
Wait = Annotated[bool, typer.Option("--wait", help="Follow the executions until they end.")]
