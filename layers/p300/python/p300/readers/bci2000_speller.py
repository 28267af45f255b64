"""What BCI2000's P3Speller showed: its matrix, how StimulusCode numbers rows and columns, and the text to spell."""

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from p300.recording import TARGET, Speller

from .bci2000_header import Header
from .events import Stimulation
from .spelling import PAUSE_FACTOR

MOST_SYMBOLS = 1024
LONGEST_TEXT = 200


def speller_of(header: Header, found: Stimulation) -> tuple[Speller | None, Stimulation]:
    """Return what the speller showed, where it was one of rows and columns.

    Parameters
    ----------
    header : Header
        Of the file.
    found : Stimulation
        The flashes, grouped by StimulusCode.

    Returns
    -------
    speller : Speller or None
    numbered : Stimulation
        The same flashes, grouped as the speller has it: columns first, where BCI2000 usually numbers the rows first.
    """
    text = header.first("TextToSpell")[:LONGEST_TEXT]
    rows = _matrix(header)
    onsets = np.flatnonzero(found.stim)
    if rows is None or found.flash is None or not len(onsets):
        return None, _noted(found, f"text to spell: {text}" if text else "")
    n_rows, n_columns = len(rows), len(rows[0])
    if found.flash.max() > n_rows + n_columns:
        return None, _noted(
            found, f"StimulusCode exceeds the {n_rows + n_columns} rows and columns: no speller layout read"
        )
    as_rows, as_columns = (_agreement(rows, text, onsets, found, rows_first=first) for first in (True, False))
    if as_rows is not None and as_columns is not None and max(as_rows, as_columns) < 1:
        return None, _noted(found, f"text to spell {text!r} does not agree with the targets: no speller layout read")
    spelled = f", text to spell {text}" if text else ""
    note = f"speller of {n_rows} x {n_columns} symbols{spelled}"
    if as_columns is not None and as_columns == 1:
        return Speller(rows, text), _noted(found, note)
    codes = np.arange(n_rows + n_columns + 1)
    renumbered = np.where(codes > n_rows, codes - n_rows, codes + n_columns)
    renumbered[0] = 0
    flash = renumbered[found.flash].astype(np.int32)
    note += "; StimulusCode numbers rows, then columns: flash numbers columns, then rows"
    return Speller(rows, text), _noted(replace(found, flash=flash), note)


def _noted(found: Stimulation, note: str) -> Stimulation:
    return replace(found, notes=(*found.notes, note)) if note else found


def _matrix(header: Header) -> tuple[tuple[str, ...], ...] | None:
    """Return the symbols of a speller with one menu; None where the parameters say no more than its size, if that."""
    sizes = [header.parameters.get(f"NumMatrix{what}", []) for what in ("Rows", "Columns")]
    if any(len(size) != 1 or not re.fullmatch(r"[1-9]\d{0,2}", size[0]) for size in sizes):
        return None
    n_rows, n_columns = (int(size[0]) for size in sizes)
    cells = header.parameters.get("TargetDefinitions", [])
    n_targets, n_fields = header.shapes.get("TargetDefinitions", (0, 0))
    if (
        not n_fields
        or n_targets != n_rows * n_columns
        or not 1 < n_targets <= MOST_SYMBOLS
        or len(cells) != n_targets * n_fields
    ):
        return None
    shown, entered = cells[::n_fields], cells[1::n_fields] if n_fields > 1 else []
    symbols = next((row for row in (entered, shown) if len(row) == len(set(row)) == n_targets and all(row)), None)
    if symbols is None or any(len(symbol) > 64 for symbol in symbols):
        return None
    return tuple(tuple(symbols[start : start + n_columns]) for start in range(0, n_targets, n_columns))


def _agreement(
    rows: tuple[tuple[str, ...], ...],
    text: str,
    onsets: NDArray[np.integer],
    found: Stimulation,
    *,
    rows_first: bool,
) -> float | None:
    """Return the share of symbols whose targets are the row and column that the text to spell names; None where none can tell."""
    flash = found.flash if found.flash is not None else found.stim
    places = {symbol: (r, c) for r, row in enumerate(rows) for c, symbol in enumerate(row)}
    interval = np.diff(onsets)
    pauses = np.flatnonzero(interval > PAUSE_FACTOR * np.median(interval)) + 1
    agree = known = 0
    for symbol, flashes in zip(text, np.split(onsets, pauses), strict=False):
        targets = set(flash[flashes[found.stim[flashes] == TARGET]].tolist())
        if symbol not in places or len(targets) != 2:
            continue
        row, column = places[symbol]
        expected = {1 + row, 1 + len(rows) + column} if rows_first else {1 + column, 1 + len(rows[0]) + row}
        known += 1
        agree += targets == expected
    return agree / known if known else None
