"""A recording's sidecar, ``<recording>.p300.json``: what its lab says about it, checked field by field.

`p300.readers.sidecar_schema` is the one definition of the fields; what a schema cannot say is checked here.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from p300 import json_text
from p300.channels import plain
from p300.errors import RecordingError
from p300.formats import EXTENSIONS, SIDECAR_ENDING
from p300.limits import LARGEST_SIDECAR_BYTES, MOST_SYMBOLS
from p300.recording import CLASS_NAMES
from p300.text import few_of, is_clean, n_of, printable

from .companions import is_part_file, is_prose
from .declared import is_code
from .json_schema import mismatch
from .sidecar_schema import SCHEMA

LONGEST_NOTE = 500
_WHOLE = re.compile(r"(?<=\d)\.0+$")
"""What some files write behind whole numbers: ``10.0``."""
OF_TEXT = ("sfreq", "event_column")
"""Fields for what only text files leave open."""


def name_of(recording: str) -> str:
    """Return the name of a recording's sidecar: ``run_01.p300.json`` of ``run_01.edf``.

    Parameters
    ----------
    recording : str
        Name of the recording's file, or its key.

    Returns
    -------
    name : str
        Without a folder.
    """
    return PurePosixPath(recording).stem + SIDECAR_ENDING


def beside(path: Path, name: str) -> Path | None:
    """Return the sidecar that lies beside a recording; None where there is none.

    Parameters
    ----------
    path : Path
        The recording's file.
    name : str
        What the recording is called, and its sidecar after it.

    Returns
    -------
    path : Path or None

    Raises
    ------
    RecordingError
        ``bad_sidecar`` where it has a name that nothing reads, is not a file, or may belong to another recording of the folder too.
    """
    found = path.with_name(name_of(name))
    misnamed = path.with_name(PurePosixPath(name).name + SIDECAR_ENDING)
    if misnamed.exists():
        raise misnamed_sidecar(name, misnamed.name)
    if not found.exists():
        return None
    if not found.is_file():
        raise RecordingError(
            "bad_sidecar", f"{found.name} beside {name} is not a file. Expected JSON, or nothing there."
        )
    stem, own = path.stem.casefold(), path.name
    others = sorted(
        other.name
        for other in path.parent.iterdir()
        if other.name != own
        and other.stem.casefold() == stem
        and other.suffix.lower().removeprefix(".") in EXTENSIONS
        and other.is_file()
        and not is_part_file(other)
        and not is_prose(other)
    )
    if others:
        raise shared_sidecar(name, found.name, others[0])
    return found


def misnamed_sidecar(recording: str, found: str) -> RecordingError:
    """Return what is wrong with a sidecar that has the recording's whole file name in its own."""
    return RecordingError(
        "bad_sidecar",
        f"{found} has the name of no sidecar: that of {recording} is called {name_of(recording)}. Rename it.",
    )


def shared_sidecar(recording: str, sidecar: str, other: str) -> RecordingError:
    """Return what is wrong with a sidecar that may belong to either of two recordings."""
    return RecordingError(
        "bad_sidecar",
        f"{sidecar} may belong to {recording} or to {other}. Expected recordings with different names: rename one of them, and give it "
        "a sidecar of its own if it needs one.",
    )


def read(path: Path) -> dict[str, Any]:
    """Read a sidecar; parameters and errors are those of `parse`."""
    with path.open("rb") as file:
        return parse(file.read(LARGEST_SIDECAR_BYTES + 1), path.name)


def parse(body: bytes, name: str) -> dict[str, Any]:
    """Return what a sidecar says.

    Parameters
    ----------
    body : bytes
        JSON in UTF-8, of the form of `SCHEMA`.
    name : str
        What to call it in messages.

    Returns
    -------
    said : dict
        Its fields, each valid by itself and with the others.

    Raises
    ------
    RecordingError
        ``bad_sidecar``: what was found, what is expected, and what to do.
    """
    if len(body) > LARGEST_SIDECAR_BYTES:
        raise _bad(name, f"it has more than {LARGEST_SIDECAR_BYTES:,} bytes; expected a few lines of JSON")
    try:
        said = json_text.loads(body.decode("utf-8-sig"))
        json.dumps(said, ensure_ascii=False).encode()  # half a surrogate pair may be in JSON, and nowhere else
        _check_finite(said)
    except (ValueError, RecursionError) as error:
        raise _bad(name, f"it is not JSON in UTF-8 with every field once: {error}") from error
    return check(said, name)


def checked(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what a program gives for a sidecar's content, as valid as a file; parameters and errors as `parse`."""
    try:
        body = json.dumps(given, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise _bad(name, f"it is not JSON: {error}") from error
    return parse(body, name)


def check(said: Any, name: str) -> dict[str, Any]:
    """Return what a sidecar says once it is known to be valid; parameters and errors as `parse`, for JSON that was read already."""
    if wrong := mismatch(said, SCHEMA):
        raise _bad(name, wrong)
    found: dict[str, Any] = said
    if unclean := next((text for text in _texts(found) if not is_clean(text)), None):
        raise _bad(name, f"it has the text {unclean[:80]!r}; expected characters that can be seen")
    _check_channels(found, name)
    _check_symbols(found, name)
    if "event_id" in found:  # 1.0 is 1 in JSON
        found = {**found, "event_id": {event: int(label) for event, label in found["event_id"].items()}}
    return found


def check_fits(said: Mapping[str, Any], recording: str) -> None:
    """Refuse what a recording's format has no use for: it may have been meant for another recording.

    Raises
    ------
    RecordingError
        ``bad_sidecar``.
    """
    extension = PurePosixPath(recording).suffix.lower()
    if "streams" in said and extension != ".xdf":
        raise _bad(
            name_of(recording), f"it has streams, and {recording} is not an XDF file; expected streams for .xdf only"
        )
    if (of_text := [field for field in OF_TEXT if field in said]) and extension not in (".csv", ".txt"):
        raise _bad(
            name_of(recording),
            f"it has {of_text[0]}, and {recording} is not a text file; expected {of_text[0]} for .csv and .txt only",
        )


def check_groups(said: Mapping[str, Any], groups: Iterable[int], recording: str) -> None:
    """Refuse a layout that does not have the stimulus groups which flashed: symbols decoded with it would be wrong.

    Parameters
    ----------
    said : mapping
        As `parse` returns it.
    groups : iterable of int
        The recording's groups; none where it does not say which.
    recording : str
        What to call it.

    Raises
    ------
    RecordingError
        ``bad_sidecar``.
    """
    flashed, layout = set(groups), said.get("layout")
    if layout is None or not flashed:
        return
    known = groups_of(said)
    # some sets of many may not have flashed in one recording
    differs = bool(known) and not flashed <= known if layout["type"] == "sets" else flashed != known
    if differs:
        leave_out = (
            ". Leave codes out of stim that are no flashes, as at the start of a run"
            if said.get("labelled") is False
            else ""
        )
        raise _bad(
            name_of(recording),
            f"its layout has {n_of(len(known), 'group')} ({few_of(sorted(known))}), and in {recording} {n_of(len(flashed), 'group')} "
            f"flashed ({few_of(sorted(flashed))}); expected the same{leave_out}",
        )


def groups_of(said: Mapping[str, Any]) -> frozenset[int]:
    """Return the stimulus groups of a sidecar's layout; none where it has no layout, or one that does not say which.

    Parameters
    ----------
    said : mapping
        As `parse` returns it.

    Returns
    -------
    groups : frozenset of int
    """
    layout = said.get("layout")
    if layout is None:
        return frozenset()
    if layout["type"] == "sets":
        return frozenset(int(group) for group in layout.get("groups", {}))
    n_lines = len(layout["rows"]) + len(layout["rows"][0]) if layout["type"] == "grid" else 12
    return frozenset(range(1, n_lines + 1))


def unused_events(said: Mapping[str, Any], events: Iterable[str]) -> tuple[str, ...]:
    """Return a note on the entries of ``event_id`` that no event has.

    Parameters
    ----------
    said : mapping
        As `parse` returns it.
    events : iterable of str
        Names and codes of the recording's events.

    Returns
    -------
    notes : tuple of str
    """
    spelled: set[str] = set()
    for event in events:
        text = _WHOLE.sub("", " ".join(event.split()).lower())
        number = re.search(r"(\d+)$", text)
        spelled |= {text, text.partition("/")[2], *([str(int(number[1]))] if number else [])}
    unused = [key for key in said.get("event_id", {}) if _WHOLE.sub("", " ".join(key.split()).lower()) not in spelled]
    unused = [key for key in unused if not (is_code(key) and str(int(key)) in spelled)]
    return (f"event_id declares {few_of(unused)}: no such event",) if unused and spelled else ()


def notes(said: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Say what a sidecar declares, one note a field.

    Parameters
    ----------
    said : mapping
        As `parse` returns it.
    name : str
        The sidecar's name.

    Returns
    -------
    notes : tuple of str
    """
    return tuple(printable(f"{name}: {_in_words(field, value)}")[:LONGEST_NOTE] for field, value in said.items())


def _in_words(field: str, value: Any) -> str:  # noqa: PLR0911 - a line a field
    match field:
        case "event_id":
            return "events " + few_of([f"{event} is {CLASS_NAMES[label]}" for event, label in value.items()])
        case "channel_names":
            return "channels renamed: " + few_of([f"{old} is {new}" for old, new in value.items()])
        case "channel_kinds":
            return "kinds of channels: " + few_of([f"{channel} is {kind}" for channel, kind in value.items()])
        case "bad_channels" | "streams":
            return f"{field.replace('_', ' ')}: {few_of(value) or 'none'}"
        case "sfreq":
            return f"sampling rate {value:g} Hz"
        case "event_column":
            return f"events in column {value}"
        case "notch_freq":
            return f"line frequency {value:g} Hz"
        case "event_delay_ms":
            return f"flashes {abs(value):g} ms {'later' if value >= 0 else 'earlier'} than their events"
        case "layout":
            return f"speller layout of {len(symbols_of(value))} symbols"
        case "labelled":
            return "labelled" if value else "unlabelled: nobody says which flashes were targets"
        case "text":
            return f"text spelled: {value if isinstance(value, str) else ' '.join(value)}"
    return f"{field} {value}"


def _check_finite(said: Any) -> None:
    try:
        json.dumps(said, allow_nan=False)
    except ValueError as error:
        raise ValueError("NaN or Infinity is not a number of JSON, nor is one as large as 1e999") from error


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, one in value.items() for text in (key, *_texts(one))]
    return [text for one in value for text in _texts(one)] if isinstance(value, list) else []


def _check_channels(said: Mapping[str, Any], name: str) -> None:
    """Refuse channels that are named twice: which of the two is meant cannot be told."""
    for field in ("channel_names", "channel_kinds", "bad_channels"):
        _check_different([plain(channel) for channel in said.get(field, ())], f"{field} names the channel", name)
    _check_different(
        [plain(new) for new in said.get("channel_names", {}).values()], "channel_names gives the name", name
    )


def _check_different(values: list[str], what: str, name: str) -> None:
    if twice := [value for value, n in Counter(values).items() if n > 1]:
        raise _bad(name, f"{what} {twice[0]!r} twice; expected different ones (capitals do not count)")


def _check_symbols(said: Mapping[str, Any], name: str) -> None:
    layout = said.get("layout")
    if layout is None:
        return
    if layout["type"] == "grid" and len({len(row) for row in layout["rows"]}) > 1:
        raise _bad(
            name,
            f"the layout's rows have {sorted({len(row) for row in layout['rows']})} symbols; expected equally many in each",
        )
    symbols = symbols_of(layout)
    if len(symbols) < 2 or len(symbols) > MOST_SYMBOLS or len(set(symbols)) < len(symbols):
        raise _bad(
            name,
            f"the layout has {len(symbols)} symbols, {len(set(symbols))} different; expected 2 to {MOST_SYMBOLS}, all different",
        )
    lit = {symbol for group in layout.get("groups", {}).values() for symbol in group}
    for what, used in (("layout.groups", lit), ("text", set(said.get("text", ())))):
        if unknown := sorted(used - set(symbols)):
            raise _bad(name, f"{what} has {unknown[0]!r}; expected symbols of the layout: {few_of(symbols)}")


def symbols_of(layout: Mapping[str, Any]) -> list[str]:
    """Return the symbols of a valid layout.

    Parameters
    ----------
    layout : mapping
        As a sidecar has it.

    Returns
    -------
    symbols : list of str
    """
    if layout["type"] == "brain_invaders":
        return [f"{letter}{digit}" for letter in "ABCDEF" for digit in range(1, 7)]
    rows = layout["rows"] if layout["type"] == "grid" else [layout["symbols"]]
    return [symbol for row in rows for symbol in row]


def _bad(name: str, what: str) -> RecordingError:
    return RecordingError(
        "bad_sidecar", f"{name}: {what}. Correct it (docs/recordings.md has every field), or delete it."
    )
