"""The ``p300`` command: every subcommand, and how it ends."""

import os
from typing import Annotated, Any

import typer
from p300.errors import P300Error
from typer.core import TyperGroup

from p300_cli.commands import exporting, inspecting, models, predictions, quarantine, recordings, stack, upkeep
from p300_cli.terminal import fail


class _Command(TyperGroup):
    """Says what the library raises in one sentence, as the exit code 1."""

    def invoke(self, context: Any) -> Any:
        try:
            return super().invoke(context)
        except P300Error as error:
            fail(error.message)


app = typer.Typer(
    cls=_Command,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (stack, inspecting, recordings, exporting, predictions, models, upkeep, quarantine):
    app.add_typer(part.app)


def _show_version(asked: bool) -> None:
    if asked:
        from p300 import __version__

        print(f"p300 {__version__}")
        raise typer.Exit


@app.callback()
def every_command(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """P300 recordings through a serverless pipeline, on LocalStack or AWS."""


def main() -> None:
    """Run the command."""
    from p300_cli.errors import run_command

    run_command(app)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
