"""JSON that people write: a name that occurs twice in an object is refused, where Python's parser would take the last one."""

import json
import sys
from typing import Any, TypeIs


class DuplicateNameError(ValueError):
    """A JSON object has two members of one name."""


def loads(text: str | bytes) -> Any:
    """Return what a JSON text says.

    Parameters
    ----------
    text : str or bytes
        The text, in UTF-8 where it is bytes.

    Returns
    -------
    any JSON value

    Raises
    ------
    DuplicateNameError
        Where an object has a name twice.
    ValueError
        Where it is not JSON; a `json.JSONDecodeError` in most cases.
    """
    return json.loads(text, object_pairs_hook=_object)


def count_members(value: Any) -> int:
    """Return how many members the objects in a JSON value have in all.

    Parameters
    ----------
    value : any JSON value
        Of a list that begins with a number, text, true, false or null, the other elements are taken to be alike.

    Returns
    -------
    n_members : int
    """
    if isinstance(value, dict):
        return len(value) + sum(count_members(inner) for inner in value.values() if isinstance(inner, dict | list))
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return sum(map(count_members, value))
    return 0


def is_number(value: Any) -> TypeIs[int | float]:
    """Tell whether a JSON value is a number that fits a float: JSON's whole numbers may have any length."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DuplicateNameError(
            f"the name {twice[:80]!r} occurs twice in one object, and only one of the two can be meant"
        )
    return found
