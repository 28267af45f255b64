"""Whether sidecar, file and labels agree on what was on the screen and what was spelled."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import TARGET, RecordingStream

PAUSE_FACTOR = 4
"""Times the usual interval between flashes, from which on another symbol is spelled."""
UNKNOWN = "?"
LONGEST_SHOWN = 80

type Lit = Mapping[int, frozenset[str]]
"""The symbols of each stimulus group."""


def spelled_notes(said: Mapping[str, Any], stream: RecordingStream, name: str) -> tuple[str, ...]:
    """Compare the layout and the text of a sidecar with the layout of the file and with the labels.

    Parameters
    ----------
    said : mapping
        As `p300.readers.sidecar.parse` returns it.
    stream : RecordingStream
        The recording.
    name : str
        What to call it.

    Returns
    -------
    notes : tuple of str
        Contradictions, or why two cannot be compared; nothing where they agree, or one is missing. Without a layout in the sidecar, that
        of the file counts.

    Raises
    ------
    RecordingError
        ``bad_sidecar`` where the layout numbers rows first, and the file's flashes are numbered columns first.
    """
    layout, shown = said.get("layout"), stream.speller
    lit = _lit(layout)
    of_file = _lit({"type": "grid", "rows": shown.rows}) if shown is not None else {}
    spelled = _text_notes(said, lit or of_file, stream)
    notes = _label_notes(lit or of_file, stream, "sidecar" if lit else "file")
    if lit and of_file and lit != of_file:
        # The labels may show that the file's numbers were read the other way round, and the sidecar is right.
        is_confirmed = stream.flashes.labelled and "text" in said and not spelled and not notes
        if layout is not None and layout.get("rows_first") and not is_confirmed:
            raise RecordingError(
                "bad_sidecar",
                f"{name}: the layout in its sidecar has rows_first: true, and the file has one of its own, by which flashes are numbered "
                "columns first (StimulusCode is renumbered where it numbers rows first). Expected a layout numbered columns first. Delete "
                "rows_first.",
            )
        notes = (_difference(lit, of_file), *notes)
    return (*notes, *spelled)


def _text_notes(said: Mapping[str, Any], lit: Lit, stream: RecordingStream) -> tuple[str, ...]:
    """Compare a text with the labels. Of one symbol several times in a row, one counts: some spellers pause after every repetition."""
    flashes = stream.flashes
    if "text" not in said or not lit or flashes.flash is None or not flashes.labelled:
        return ()
    found = _spelled(stream, lit)
    if n_unknown := found.count(UNKNOWN):
        why = f"in {n_unknown} of {len(found)} parts between pauses, the targets fit no single symbol of the layout"
        return (f"text of the sidecar not compared with the labels: {why}",)
    if _once(found) == _once(said["text"]):
        return ()
    join = "" if isinstance(said["text"], str) else " "
    spelled, stated = join.join(_once(found))[:LONGEST_SHOWN], join.join(said["text"])[:LONGEST_SHOWN]
    note = f"the sidecar's text is {stated!r}, the labels spell {spelled!r}"
    layout = said.get("layout") or {}
    if layout.get("type") == "grid":
        rows_first = not layout.get("rows_first", False)
        if _once(_spelled(stream, _lit({**layout, "rows_first": rows_first}))) == _once(said["text"]):
            return (f"{note}: with rows_first: {str(rows_first).lower()} in the layout, they spell the text",)
    return (f"{note}: the text, the layout or the labels are wrong",)


def _label_notes(lit: Lit, stream: RecordingStream, whose: str) -> tuple[str, ...]:
    """Say in how many repetitions the targets have no symbol in common that no other group has."""
    fitting = (
        [bool(_fitting(groups, targets, lit)) for groups, targets in _repetitions(stream) if any(targets)]
        if lit
        else []
    )
    if all(fitting):
        return ()
    return (
        f"the {whose}'s layout contradicts the labels: in {fitting.count(False):,} of {len(fitting):,} repetitions, the targets fit no "
        "symbol of the layout. Symbols decoded with it would be wrong",
    )


def _spelled(stream: RecordingStream, lit: Lit) -> list[str]:
    """Return the symbol of each part between pauses."""
    flashes = stream.flashes
    if flashes.flash is None:
        return []
    parts = zip(
        *(np.split(values, _pauses(stream)) for values in (flashes.flash, flashes.label == TARGET)), strict=True
    )
    return [_symbol(groups.tolist(), targets.tolist(), lit) for groups, targets in parts]


def _repetitions(stream: RecordingStream) -> Iterator[tuple[list[int], list[bool]]]:
    """Yield groups and targets of each run of flashes in which every group flashed once."""
    flashes = stream.flashes
    if flashes.flash is None or not flashes.labelled:
        return
    groups, targets = flashes.flash.tolist(), (flashes.label == TARGET).tolist()
    pauses, expected = set(_pauses(stream).tolist()), len(set(groups) - {0})
    start, seen = 0, set[int]()
    for at, group in enumerate([*groups, -1]):
        if group in seen or at in pauses or at == len(groups):
            if len(seen) == expected and 0 not in seen:
                yield groups[start:at], targets[start:at]
            start, seen = at, set()
        seen.add(group)


def _pauses(stream: RecordingStream) -> NDArray[np.integer]:
    """Return the flashes that begin after a pause, of shape (n_pauses,)."""
    interval = np.diff(stream.flashes.onset_sample)
    return np.flatnonzero(interval > PAUSE_FACTOR * np.median(interval)) + 1 if len(interval) else interval


def _difference(lit: Lit, of_file: Lit) -> str:
    group = next(group for group in sorted({*lit, *of_file}) if lit.get(group) != of_file.get(group))
    shown = (" ".join(sorted(one.get(group, ())))[:LONGEST_SHOWN] or "nothing" for one in (lit, of_file))
    return "in the sidecar's layout, which is used, group {} lights {}; in the file's {}".format(group, *shown)


def _lit(layout: Mapping[str, Any] | None) -> dict[int, frozenset[str]]:
    """Return the symbols of each stimulus group."""
    if layout is None:
        return {}
    if layout["type"] == "sets":
        return {int(group): frozenset(symbols) for group, symbols in layout.get("groups", {}).items()}
    rows: Sequence[Sequence[str]] = layout.get("rows", ())
    rows_first = layout.get("rows_first", False)
    if layout["type"] == "brain_invaders":
        rows, rows_first = [[f"{letter}{digit}" for digit in range(1, 7)] for letter in ascii_uppercase[:6]], True
    across, down = [frozenset(row) for row in rows], [frozenset(column) for column in zip(*rows, strict=True)]
    return dict(enumerate([*across, *down] if rows_first else [*down, *across], 1))


def _symbol(groups: list[int], targets: list[bool], lit: Lit) -> str:
    fitting = _fitting(groups, targets, lit)
    return next(iter(fitting)) if len(fitting) == 1 else UNKNOWN


def _fitting(groups: list[int], targets: list[bool], lit: Lit) -> frozenset[str]:
    """Return the symbols that all groups with targets light, and no other group."""
    of_target = {group for group, is_target in zip(groups, targets, strict=True) if is_target}
    others = {group for group, is_target in zip(groups, targets, strict=True) if not is_target}
    if not of_target:
        return frozenset()
    common = frozenset.intersection(*(lit.get(group, frozenset()) for group in of_target))
    return common.difference(*(lit.get(group, frozenset()) for group in others))


def _once(symbols: Sequence[str]) -> list[str]:
    return [symbol for symbol, _ in groupby(symbols)]
