"""What a file says of the recording under other names than those that are read: `fs`, `units`, `bad_channels`."""

import re
from collections.abc import Mapping

from p300.errors import RecordingError
from p300.text import few_of

from .units import volts_per

_OTHER_NAMES = {
    "sfreq": r"fs|srate|sampl(?:ing|e)[ _]?(?:rate|freq(?:uency)?)",
    "unit": "units",
    "bads": r"bad[ _]?channels|bad",
    "channels": r"ch(?:annel)?[ _]?names",
}
_NAMED = {known: re.compile(rf"(?:{names})(?:[ _]?\(?hz\)?)?", re.IGNORECASE) for known, names in _OTHER_NAMES.items()}
_FACTOR = re.compile(r"scale|scaling|scale[ _]?factor|gain", re.IGNORECASE)
IN_COMMENT = re.compile(
    rf"\b((?:{_OTHER_NAMES['sfreq']})(?:[ _]?\(?hz\)?)?|units|{_FACTOR.pattern})\s*[=:]\s*([^\s,;]+)", re.IGNORECASE
)


def as_known(stated: Mapping[str, str], name: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what a file states under the names that readers know, and notes.

    Parameters
    ----------
    stated : mapping of str to str
        Metadata or what comment lines declare, by the file's own names.
    name : str
        What to call the recording in messages.

    Returns
    -------
    known : dict of str to str
        All of it; ``fs`` is also there as ``sfreq``, and so on.
    notes : tuple of str
        What was read under another name, and factors that are not applied.

    Raises
    ------
    RecordingError
        ``bad_metadata`` where two names contradict each other.
    """
    known, notes = dict(stated), []
    for known_name, names in _NAMED.items():
        for other, value in stated.items():
            if not names.fullmatch(other):
                continue
            if known_name not in known:
                known[known_name] = value
                notes.append(f"{other}={value[:64]} in the file read as {known_name}")
            elif _as_value(known_name, known[known_name]) != _as_value(known_name, value):
                raise RecordingError(
                    "bad_metadata",
                    f"{name}: the file declares {known_name}={known[known_name][:64]} and {other}={value[:64]}. Keep the right one, as "
                    f"{known_name}.",
                )
    factors = [
        f"{other}={value[:64]}"
        for other, value in stated.items()
        if _FACTOR.fullmatch(other) and _as_number(value) != 1
    ]
    if factors:
        notes.append(f"not applied to the signal: {few_of(factors)} in the file")
    return known, tuple(notes)


def _as_value(known_name: str, value: str) -> object:
    """Return a value so that other ways of writing it are equal."""
    if known_name == "sfreq":
        return _as_number(re.sub(r"\s*hz\s*$", "", value, flags=re.IGNORECASE))
    if known_name == "unit":
        return volts_per(value) or value
    return sorted(re.findall(r"[^\s\[\]\",;']+", value.lower()))


def _as_number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value
