"""How the library says how far it is and what it noticed: it calls what its caller passes, and prints nothing itself."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with how many are done, of how many, and what the last one was."""
Tell = Callable[[str], None]
"""Called with one sentence for a person."""


def no_progress(_done: int, _total: int, _detail: str) -> None:
    """Show nothing."""


def tell_nobody(_text: str) -> None:
    """Say nothing."""
