"""How the library reports progress and notes: it calls the functions that its caller passes, and prints nothing itself."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with how many are done, how many there are, and what the last one was."""
Notify = Callable[[str], None]
"""Called with one sentence for the user."""


def no_progress(_done: int, _total: int, _detail: str) -> None:
    """Report no progress."""


def ignore_notes(_text: str) -> None:
    """Drop a note."""
