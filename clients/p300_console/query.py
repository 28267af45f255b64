"""Read a page's query: only parameters that the page takes, each once, with valid values."""

from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.requests import Request

LONGEST = 2048
"""Largest number of characters in a value: a key has at most 1,024 bytes, and an ARN is no longer."""
_SHOWN = 60


class Query:
    """The query of a request.

    Parameters
    ----------
    request : Request
        The request.
    *known : str
        The parameters that the page takes; an empty one counts as missing.

    Raises
    ------
    HTTPException
        400 if a parameter is unknown, repeated or too long.
    """

    def __init__(self, request: Request, *known: str) -> None:
        self._values: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            if name not in known:
                raise _refused(f"There is no parameter {_short(name)} here; expected {_listed(known) or 'none'}.")
            if name in self._values:
                raise _refused(f"{name} is given twice; expected it once.")
            if len(value) > LONGEST:
                raise _refused(f"{name} has {len(value)} characters; expected at most {LONGEST}.")
            self._values[name] = value

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter's text."""
        return self._values.get(name) or default

    def choice(self, name: str, among: Collection[str], default: str = "") -> str:
        """Return a parameter that must be one of a few values; 400 for any other."""
        value = self.text(name, default)
        if value not in {*among, default}:
            raise _refused(f"{name} is {_short(value)}; expected {_listed(among)}.")
        return value

    def number(self, name: str, least: int, most: int, default: int) -> int:
        """Return a parameter that must be a whole number; 400 if it is not, or is out of range."""
        value = self.text(name, str(default))
        digits = (
            value.isascii() and value.isdecimal() and len(value) <= len(str(most))
        )  # int() is slow for long numbers
        if not digits or not least <= int(value) <= most:
            raise _refused(f"{name} is {_short(value)}; expected a whole number from {least} to {most}.")
        return int(value)


def _refused(message: str) -> HTTPException:
    return HTTPException(400, message)


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)


def _short(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")
