"""Whether the text that a sidecar says was spelled is the one that labels, stimulus groups and speller layout spell."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from string import ascii_uppercase
from typing import Any

import numpy as np

from p300.recording import TARGET, RecordingStream

PAUSE_FACTOR = 4
"""Times the usual interval between flashes, from which on another symbol is spelled."""
UNKNOWN = "?"


def spelled_notes(said: Mapping[str, Any], stream: RecordingStream) -> tuple[str, ...]:
    """Compare the text of a sidecar with what the labels spell.

    Parameters
    ----------
    said : mapping
        As `p300.readers.sidecar.parse` returns it.
    stream : RecordingStream
        The recording.

    Returns
    -------
    notes : tuple of str
        The contradiction, or why the two cannot be compared; nothing where they agree, or one is missing. Of the same symbol several times
        in a row, one counts: some spellers pause after every repetition.
    """
    flashes, lit = stream.flashes, _lit(said.get("layout"))
    if "text" not in said or not lit or flashes.flash is None or not flashes.labelled:
        return ()
    interval = np.diff(flashes.onset_sample)
    pauses = np.flatnonzero(interval > PAUSE_FACTOR * np.median(interval)) + 1 if len(interval) else interval
    parts = zip(np.split(flashes.flash, pauses), np.split(flashes.label == TARGET, pauses), strict=True)
    found = [_symbol(groups.tolist(), targets.tolist(), lit) for groups, targets in parts]
    if n_unknown := found.count(UNKNOWN):
        why = f"in {n_unknown} of {len(found)} parts between pauses, the targets fit no single symbol of the layout"
        return (f"text of the sidecar not compared with the labels: {why}",)
    if _once(found) == _once(said["text"]):
        return ()
    join = "" if isinstance(said["text"], str) else " "
    spelled, stated = join.join(_once(found))[:80], join.join(said["text"])[:80]
    return (f"the sidecar's text is {stated!r}, the labels spell {spelled!r}: one of the two is wrong",)


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


def _symbol(groups: list[int], targets: list[bool], lit: Mapping[int, frozenset[str]]) -> str:
    of_targets = [
        lit.get(group, frozenset()) for group in {g for g, is_target in zip(groups, targets, strict=True) if is_target}
    ]
    others = [
        lit.get(group, frozenset())
        for group in {g for g, is_target in zip(groups, targets, strict=True) if not is_target}
    ]
    fitting = frozenset.intersection(*of_targets).difference(*others) if of_targets else frozenset()
    return next(iter(fitting)) if len(fitting) == 1 else UNKNOWN


def _once(symbols: Sequence[str]) -> list[str]:
    return [symbol for symbol, _ in groupby(symbols)]
