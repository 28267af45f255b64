"""How the command speaks: answers on standard output, all else on standard error."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table

# A log file or a pipe has no width of its own: there a table is as wide as it needs.
WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
out = Console(width=WIDTH)
err = Console(stderr=True, soft_wrap=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with one message for a person."""
    err.print(f"[red]error:[/red] {escape(message)}")
    raise SystemExit(code)


def note(message: str) -> None:
    """Say what is going on."""
    err.print(f"[dim]{escape(message)}[/dim]")


def progress() -> Progress:
    """Return a progress display for long work."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[detail]}"),
        console=err,
    )


def download_progress() -> Progress:
    """Return a progress display for downloads, in bytes."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=err,
    )


def print_json(document: Any) -> None:
    """Print for a script."""
    print(json.dumps(document, indent=1, default=str))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return an aligned table; numbers to the right."""
    result = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(_is_number(row[index]) for row in rows)
        result.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        result.add_row(*[_cell(value) for value in row])
    return result


def escape(text: str) -> str:
    """Return `text` as it is, whatever brackets it holds."""
    from rich.markup import escape as rich_escape

    return rich_escape(text)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float) or str(value).replace(".", "", 1).isdigit()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return escape(str(value))
