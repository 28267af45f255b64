"""The template's parameters as `p300 deploy --parameter` states them: checked by name and value before anything is deployed."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from p300.errors import P300Error
from p300.signals import Parameters


def parse(pairs: Sequence[str], declared: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the parameters that ``Name=Value`` texts state.

    Parameters
    ----------
    pairs : sequence of str
        What was asked for.
    declared : mapping of str to mapping
        The template's section ``Parameters``.

    Returns
    -------
    dict of str to str

    Raises
    ------
    P300Error
        ``bad_parameter``.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise _bad(f"--parameter {pair}: expected Name=Value.")
        if name not in declared:
            near = difflib.get_close_matches(name, declared, 1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(declared)}."
            raise _bad(f"--parameter {name}: the template has no such parameter; {meant}")
        if name in found and found[name] != value:
            raise _bad(f"--parameter {name} is given twice, as {found[name]!r} and {value!r}.")
        if expected := _expected(value, declared[name]):
            raise _bad(f"--parameter {name}: {value!r} was found, and {expected} expected.")
        found[name] = value
    try:
        Parameters.from_json(found.get("Preprocessing", ""))
    except P300Error as error:
        raise _bad(error.message) from error
    return found


def _expected(value: str, declared: Mapping[str, Any]) -> str:
    """Say what CloudFormation would expect instead of a value; nothing where it takes that."""
    if "AllowedValues" in declared and value not in (allowed := [str(one) for one in declared["AllowedValues"]]):
        return f"one of {', '.join(allowed)}"
    if "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"], value):
        return f"what fits {declared['AllowedPattern']}"
    if declared.get("Type") == "Number":
        least, most = declared.get("MinValue", float("-inf")), declared.get("MaxValue", float("inf"))
        bounds = [f"of at least {least}"] if "MinValue" in declared else []
        bounds += [f"at most {most}"] if "MaxValue" in declared else []
        if not re.fullmatch(r"-?[0-9]+", value) or not least <= int(value) <= most:
            return " ".join(["a whole number", " and ".join(bounds)]).strip()
    return ""


def _bad(message: str) -> P300Error:
    return P300Error("bad_parameter", message)
