"""Nothing that comes from a file or a bucket reaches the terminal as anything but text."""

import io
from collections.abc import Iterator

import pytest
from p300.text import is_clean
from p300_cli import terminal

HOSTILE = "run\x1b[2J\x1b]0;title\x07\u202e[red]\u200b[/red][link=file:///etc/passwd]x:skull:\\"


@pytest.fixture(params=["terminal", "file"])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What both consoles write."""
    written = io.StringIO()
    for console in (terminal.out, terminal.err):
        monkeypatch.setattr(console, "_file", written)
        monkeypatch.setattr(console, "_force_terminal", request.param == "terminal")
        monkeypatch.setattr(console, "_color_system", None)
        monkeypatch.setattr(console, "_width", 300)
    yield written


def print_in_a_table() -> None:
    terminal.out.print(terminal.table(HOSTILE, [HOSTILE], [[HOSTILE]]))


def print_an_error() -> None:
    with pytest.raises(SystemExit):
        terminal.fail(HOSTILE)


def print_progress() -> None:
    with terminal.progress() as display:
        task = display.add_task(HOSTILE, total=1, detail=HOSTILE)
        display.update(task, advance=1)


WAYS = {
    "note": lambda: terminal.note(HOSTILE),
    "fail": print_an_error,
    "table": print_in_a_table,
    "progress": print_progress,
    "escaped": lambda: terminal.out.print(f"[bold]{terminal.escape(HOSTILE)}[/bold]"),
    "forgotten to be escaped": lambda: terminal.out.print(HOSTILE.replace("[/red]", "")),
    "json": lambda: terminal.print_json([HOSTILE]),
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_hostile_is_printed(way: str, screen: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    WAYS[way]()
    shown = screen.getvalue() + capsys.readouterr().out
    assert "run" in shown
    for line in shown.splitlines():
        # What Rich itself moves the cursor with, where it may.
        own = (
            line
            if way != "progress"
            else "".join(part for part in line.split("\x1b") if not part.startswith(("[?25", "[2K", "[1A")))
        )
        assert is_clean(own.replace("\r", "")), own
    assert "\U0001f480" not in shown
    if way != "forgotten to be escaped":
        assert "[red]" in shown


def test_an_error_of_several_lines_stays_one(screen: io.StringIO) -> None:
    with pytest.raises(SystemExit):
        terminal.fail("The end of the log:\none\ntwo")
    assert screen.getvalue().splitlines() == ["error: The end of the log:", "one", "two"]
