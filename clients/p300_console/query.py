"""Reads a page's query: parameters that the page takes, each once, and of values that can be."""

from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.requests import Request

LONGEST = 2048
"""Characters of a value: a key has at most 1,024 bytes, and an ARN is not longer."""
_SHOWN = 60


class Query:
    """The query of a request.

    Parameters
    ----------
    request : Request
        What was asked.
    *known : str
        The parameters that the page takes; an empty one is as good as none.

    Raises
    ------
    HTTPException
        400 where there is another parameter, one of them twice, or one that is too long.
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
        """Return a parameter that is one of a few values; 400 for any other."""
        value = self.text(name, default)
        if value not in {*among, default}:
            raise _refused(f"{name} is {_short(value)}; expected {_listed(among)}.")
        return value

    def number(self, name: str, least: int, most: int, default: int) -> int:
        """Return a parameter that is a whole number; 400 where it is none, or out of bounds."""
        value = self.text(name, str(default))
        digits = value.isascii() and value.isdecimal() and len(value) <= len(str(most))  # int() takes thousands, slowly
        if not digits or not least <= int(value) <= most:
            raise _refused(f"{name} is {_short(value)}; expected a whole number from {least} to {most}.")
        return int(value)


def _refused(message: str) -> HTTPException:
    return HTTPException(400, message)


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)


def _short(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")
