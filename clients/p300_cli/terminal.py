"""How the command speaks: answers on standard output, all else on standard error.

Names and reasons come from anybody's file. Whatever is printed goes through `p300.text.printable`: a console cleans all that it renders,
and `escape`, which texts with markup need anyway, does so before columns are measured.
"""

import json
import os
import sys
import webbrowser
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from p300.text import printable
from p300_client.progress import Progress as Callback
from rich.console import Console, ConsoleOptions, RenderableType
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
from rich.segment import Segment
from rich.table import Table


class _CleanConsole(Console):
    """A console that lets nothing through to the terminal but what can be seen, and its own control sequences."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text, keep="\n"))


# A log file or a pipe has no width of its own: there a table is as wide as it needs.
WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
out = _CleanConsole(width=WIDTH, emoji=False)
err = _CleanConsole(stderr=True, soft_wrap=True, emoji=False)


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with one message for a person."""
    err.print(f"[red]error:[/red] {escape(message, keep='\n')}")
    raise SystemExit(code)


def note(message: str) -> None:
    """Say what is going on."""
    err.print(f"[dim]{escape(message)}[/dim]")


def progress() -> Progress:
    """Return a progress display for long work."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", style="dim", markup=False),
        console=err,
    )


@contextmanager
def progress_of(description: str) -> Iterator[Callback]:
    """Show a progress display while the block runs, moved by what the block calls or hands on to the library."""
    with progress() as display:
        task = display.add_task(description, total=None, detail="")

        def update(done: int, total: int, detail: str) -> None:
            display.update(task, completed=done, total=total, detail=detail)

        yield update


def download_progress() -> Progress:
    """Return a progress display for downloads, in bytes."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=err,
    )


def open_in_browser(paths: Iterable[Path]) -> None:
    """Open files in the browser."""
    for path in paths:
        if not webbrowser.open(path.as_uri()):
            note(f"there is no browser here: open {path}")


def print_json(document: Any) -> None:
    """Print for a script."""
    print(json.dumps(document, indent=1, default=str))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return an aligned table; numbers to the right."""
    result = Table(title=escape(title), title_justify="left", title_style="bold", header_style="dim")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(_is_number(row[index]) for row in rows)
        result.add_column(escape(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        result.add_row(*[_cell(value) for value in row])
    return result


def escape(text: str, keep: str = "") -> str:
    """Return a text that shows as it is on one line, whatever brackets it holds, with what cannot be shown escaped."""
    from rich.markup import escape as rich_escape

    return rich_escape(printable(text, keep=keep))


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float) or str(value).replace(".", "", 1).isdigit()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return escape(str(value))
