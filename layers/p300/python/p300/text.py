"""Text from somebody else's file, key or request, made safe to show."""

import re
from collections.abc import Iterable

# What Python calls printable and yet shows nothing: fillers, joiners and variation selectors, which hide in names that look alike.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


_SHOWN = 40
_LONGEST = 80


def few_of(values: Iterable[object]) -> str:
    """Return a list for a message: the first values, separated by commas and cut if they are long, and how many more there are.

    Parameters
    ----------
    values : iterable
        In the order in which they are shown.

    Returns
    -------
    text : str
        Empty for no values.
    """
    shown = [str(value)[:_LONGEST] for value in values]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def n_of(n: int, noun: str) -> str:
    """Return a number with its noun: ``1 flash``, ``1,200 flashes``.

    Parameters
    ----------
    n : int
        How many.
    noun : str
        In the singular, its plural made by ``s`` or ``es``.

    Returns
    -------
    text : str
    """
    plural = f"{noun}es" if noun.endswith(("s", "sh", "tch", "x")) else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"


def is_clean(text: str) -> bool:
    """Tell whether every character of a text is one that can be seen, or an ordinary space."""
    return text.isprintable() and (text.isascii() or not _INVISIBLE.search(text))


def printable(text: str, *, keep: str = "") -> str:
    """Return a text with every character escaped that controls a terminal, reorders what is read, or cannot be seen.

    The one function that everything goes through before it is shown: on a terminal, on a page, in a message.

    Parameters
    ----------
    text : str
        Anything, half surrogate pairs included.
    keep : str
        Characters that may stay all the same: line breaks and tabs, where a text has several lines.
    """
    if is_clean(text):
        return text
    return "".join(
        char if char in keep or is_clean(char) else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )
