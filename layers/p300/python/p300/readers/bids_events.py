"""Flashes from the ``events.tsv`` of a BIDS data set, and the spans that it marks as bad."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from p300.bids.tables import Table, bad_bids
from p300.errors import RecordingError

from .declared import Declared
from .edf_records import Placement
from .event_messages import CODES_EXPECTED, NAMES_EXPECTED, Events, counted, remedy
from .events import Stimulation, from_markers
from .markers import Marker, events_of

LARGEST_ROUNDING_S = 0.002
"""Of onsets: many tables have milliseconds."""
COLUMNS = ("trial_type", "value")
FLASH = "flash"
"""Column of the stimulus group, which `p300 export` writes."""


def stimulation(
    table: Table, n_samples: int, sfreq: float, declared: Declared, name: str, placed: Placement | None = None
) -> Stimulation:
    """Return the flashes of a table of events, by ``trial_type`` or, where that tells nothing apart, by ``value``.

    Parameters
    ----------
    table : Table
        Of ``events.tsv``.
    n_samples : int
        Length of the recording.
    sfreq : float
        Its rate in Hz.
    declared : Declared
        What a person says about the file.
    name : str
        What to call it in messages.
    placed : Placement, optional
        Where the gaps of an EDF or BDF file are.

    Returns
    -------
    Stimulation

    Raises
    ------
    RecordingError
        ``bad_bids``, ``contradictory_events``, ``unknown_codes`` and what `p300.readers.events.from_markers` refuses.
    """
    rows, samples, notes = _samples(table, sfreq, name, placed)
    columns = _columns(table)
    considered = columns if declared.event_id else columns[:1]
    groups, group_notes = _groups(table, rows)
    refusals = []
    for column in considered:
        try:
            found = from_markers(_markers(table, column, rows, samples, groups), name, n_samples, sfreq, declared)
        except RecordingError as refusal:
            refusals.append(refusal)
            continue
        if found is not None:
            told = f"flashes taken from {column} of {table.name}"
            return replace(found, notes=(told, *notes, *group_notes, *found.notes))
    if refusals:
        raise refusals[0]
    events = named(table, sfreq, name, placed)
    found_in = f"{counted(events)} in {columns[0]}" if columns else "neither trial_type nor value"
    raise RecordingError(
        "unknown_codes",
        f"{name}: no event of {table.name} is known as a flash. Found {found_in}. Expected {NAMES_EXPECTED}, or {CODES_EXPECTED}. "
        f"{remedy(events)}",
    )


def named(table: Table, sfreq: float, name: str, placed: Placement | None = None) -> Events:
    """Return the events of a table by the column that tells their names apart; parameters and errors are those of `stimulation`."""
    columns = _columns(table)
    rows, samples, _ = _samples(table, sfreq, name, placed)
    found = events_of(_markers(table, columns[0], rows, samples)) if columns else []
    at = np.array([marker.sample for marker in found], np.int64)
    return Events.at([marker.description for marker in found], at, sfreq)


def _columns(table: Table) -> list[str]:
    """Return the columns that name events, the one to go by first.

    Software numbers names as it likes: where names tell events apart, their numbers mean nothing.
    """
    known = {column: {value for value in table.known(column) if value} for column in COLUMNS}
    used = [column for column in COLUMNS if known[column]]
    return used[::-1] if len(used) > 1 and len(known["trial_type"]) == 1 else used


def marked(
    table: Table, n_samples: int, sfreq: float, name: str, placed: Placement | None = None
) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Return the spans that a table marks as bad, and its boundaries, as MNE-Python writes them to ``trial_type``.

    Returns
    -------
    bad_spans : tuple of (int, int)
        First sample of each, and the first after.
    gaps : tuple of int
        First samples after a boundary.
    """
    kinds = table.known("trial_type")
    special = [(kind or "").lower().startswith(("bad", "edge")) or (kind or "").lower() == "boundary" for kind in kinds]
    if not any(special):
        return (), ()
    rows, samples, _ = _samples(table, sfreq, name, placed)
    durations = _numbers(table, "duration", nonnegative=True)
    spans, gaps = [], []
    for row, first in zip(rows.tolist(), samples.tolist(), strict=True):
        if not special[row]:
            continue
        length = durations[row] * sfreq
        after = min(first + math.ceil(length), n_samples) if math.isfinite(length) else first
        if (kinds[row] or "").lower().startswith("bad") and max(first, 0) < after:
            spans.append((max(first, 0), after))
        elif 0 < first < n_samples:
            gaps.append(first)
    return tuple(sorted(spans)), tuple(sorted(set(gaps)))


def _markers(
    table: Table,
    column: str,
    rows: NDArray[np.intp],
    samples: NDArray[np.int64],
    groups: NDArray[np.int32] | None = None,
) -> list[Marker]:
    values = table.known(column)
    of_rows = [None] * len(rows) if groups is None else groups.tolist()
    events = zip(samples.tolist(), (values[row] for row in rows.tolist()), of_rows, strict=True)
    return [Marker(sample, value, group) for sample, value, group in events if value is not None]


def _samples(
    table: Table, sfreq: float, name: str, placed: Placement | None
) -> tuple[NDArray[np.intp], NDArray[np.int64], list[str]]:
    """Return the rows that have an onset, the sample of each, and notes."""
    onset_s = _numbers(table, "onset")
    notes = []
    rows = np.flatnonzero(np.isfinite(onset_s))
    if lost := table.n_rows - len(rows):
        notes.append(f"{lost} rows of {table.name} without an onset ignored")
    onset_s, stated = onset_s[rows], _numbers(table, "sample")[rows]
    exact = onset_s * sfreq
    if (np.abs(exact) > 1 << 53).any():
        raise bad_bids(
            table.name, "an onset lies beyond any recording; expected seconds from the recording's first sample on"
        )
    by_onset = np.floor(exact + 0.5).astype(np.int64)
    has_gaps = placed is not None and bool(placed.gaps)
    if placed is not None and has_gaps:  # seconds count the gaps, samples may not
        by_onset = placed.samples(onset_s).astype(np.int64)
        if n_out := int((by_onset < 0).sum()):
            notes.append(f"{n_out} events in gaps of the recording ignored")
    known = np.isfinite(stated) & ((by_onset >= 0) | (not has_gaps))
    if not known.any():
        kept = (by_onset >= 0) | (not has_gaps)
        return rows[kept], by_onset[kept], notes
    tolerance = max(1.0, LARGEST_ROUNDING_S * sfreq)
    is_whole = (stated[known] == np.floor(stated[known])).all()
    for expected, counts_gaps in ((by_onset if has_gaps else exact, False), *(((exact, True),) if has_gaps else ())):
        apart = stated[known] - expected[known]
        shift = round(float(np.median(apart)))
        if not is_whole or shift not in (0, 1) or np.abs(apart - shift).max() > tolerance:
            continue
        if shift == 1:
            notes.append(f"{table.name}: sample counts from 1")
        at = by_onset.copy()
        if counts_gaps:
            notes.append(f"{table.name}: sample counts the gaps of the recording; onset is used")
        else:
            at[known] = stated[known].astype(np.int64) - shift
        kept = (at >= 0) | (not has_gaps)
        return rows[kept], at[kept], notes
    expected = (by_onset if has_gaps else exact)[known]
    apart = stated[known] - expected
    worst = int(np.abs(apart - (1 if round(float(np.median(apart))) == 1 else 0)).argmax())
    at_row = np.flatnonzero(known)[worst]
    raise RecordingError(
        "contradictory_events",
        f"{name}: {table.name} contradicts itself: its row {rows[at_row] + 1} has the onset {onset_s[at_row]:g} s, sample "
        f"{expected[worst]:.1f} at {sfreq:g} Hz, and the sample {stated[at_row]:g}. Expected the same, counted from 0 at the "
        "recording's first sample. Correct the column that is wrong, or remove sample.",
    )


def _numbers(table: Table, column: str, *, nonnegative: bool = False) -> NDArray[np.float64]:
    """Return a column of numbers; NaN where one is missing."""
    values = table.known(column)
    try:
        numbers = np.array([math.nan if value is None else float(value) for value in values], np.float64)
    except ValueError as error:
        wrong = next(value for value in values if value is not None and not _is_number(value))
        raise bad_bids(table.name, f"{column} has {wrong[:40]!r}; expected numbers or n/a") from error
    if np.isinf(numbers).any() or (nonnegative and (numbers < 0).any()):
        raise bad_bids(
            table.name, f"{column} has infinite or negative numbers; expected finite ones of at least 0, or n/a"
        )
    return numbers


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _groups(table: Table, rows: NDArray[np.intp]) -> tuple[NDArray[np.int32] | None, list[str]]:
    """Return the stimulus group of each row, 0 for none, where the table has them, and notes."""
    if FLASH not in table.columns:
        return None, []
    groups = _numbers(table, FLASH, nonnegative=True)[rows]
    known = groups[np.isfinite(groups)]
    if ((known != np.floor(known)) | (known >= np.iinfo(np.int32).max)).any():
        raise bad_bids(table.name, f"{FLASH} has numbers that are not whole; expected the number of a group, or n/a")
    numbers, counts = np.unique(known, return_counts=True)
    n_zero, usual = int(counts[numbers == 0].sum()), float(np.median(counts[numbers > 0])) if known.any() else 0.0
    if len(known) < len(groups) and usual / 2 <= n_zero <= 2 * usual and n_zero:
        last = int(numbers[-1])
        note = f"{FLASH}: groups 0 to {last} in the file, read as 1 to {last + 1}, as rows without one have n/a"
        return np.nan_to_num(groups + 1, nan=0).astype(np.int32), [note]
    return np.nan_to_num(groups, nan=0).astype(np.int32), []
