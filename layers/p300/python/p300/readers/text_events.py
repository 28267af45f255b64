"""Events in a column of a text file: codes that hold as on a trigger line, or names."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.limits import MOST_ANNOTATIONS
from p300.signals.triggers import settling

from . import events, mne_events
from .checks import check_n_samples
from .declared import Declared
from .event_messages import Events
from .events import Stimulation
from .flash_groups import from_one, told
from .markers import Marker
from .plausibility import check_plausible
from .text_rows import Table, is_number

MOST_CHANGES = 4 * MOST_ANNOTATIONS
NOTHING = {"", "0", "nan", "none", "null", "na", "n/a", "-"}
"""In a column of names: no event."""
LARGEST_HELD = 0.01
"""Share of flashes that may follow another one without a row between them: equal ones in a row cannot be told apart."""


class Column:
    """A column of a text file by its changes.

    Attributes
    ----------
    starts : ndarray of int, shape (n_changes,)
        First row of each text that holds.
    texts : list of str
        What holds from there.
    n_rows : int
        Of the file.
    """

    def __init__(self, table: Table, column: str) -> None:
        import pyarrow.compute as pc

        self.name = column
        self.texts: list[str] = []
        self.n_rows = 0
        starts: list[NDArray[np.int64]] = []
        for part in table.texts(column):
            if not len(part):
                continue
            differs = np.r_[True, pc.not_equal(part[1:], part[:-1]).to_numpy(zero_copy_only=False).astype(bool)]
            differs[0] = not self.texts or self.texts[-1] != part[0].as_py()
            rows = np.flatnonzero(differs)
            if len(self.texts) + len(rows) > MOST_CHANGES:
                raise RecordingError(
                    "too_many_annotations",
                    f"{table.name}: column {column[:64]!r} changes more than {MOST_CHANGES:,} times; expected events in it. Declare "
                    'the column of the events: {"event_column": "Trigger"}.',
                )
            starts.append(rows + self.n_rows)
            self.texts += part.take(rows).to_pylist()
            self.n_rows += len(part)
            check_n_samples(self.n_rows, table.name)
        self.starts = np.concatenate(starts) if starts else np.zeros(0, np.int64)

    @property
    def is_constant(self) -> bool:
        """Whether nothing happens in it."""
        return len(set(self.texts)) <= 1

    def codes(self, decimal_point: str) -> NDArray[np.float64] | None:
        """Return its numbers, shape (n_rows,), 0 where a cell is empty; None where a cell is something else."""
        known: dict[str, float] = {}
        for text in set(self.texts):
            if text.lower() in NOTHING:
                known[text] = 0.0
            elif is_number(text, decimal_point):
                known[text] = float(text.replace(decimal_point, "."))
            else:
                return None
        values = np.array([known[text] for text in self.texts])
        return np.repeat(values, np.diff(np.r_[self.starts, self.n_rows]))

    def markers(self, separator: str | None = None) -> list[Marker]:
        """Return its names, each at the row where it begins."""
        return [
            Marker(row, part.strip())
            for row, text in zip(self.starts.tolist(), self.texts, strict=True)
            if text.lower() not in NOTHING
            for part in (text.split(separator) if separator else [text])
            if part.strip()
        ]


def stimulation(
    column: Column,
    table: Table,
    sfreq: float,
    declared: Declared,
    *,
    groups: NDArray[np.int32] | None = None,
    separator: str | None = None,
) -> Stimulation:
    """Decide which events of a column are flashes.

    Parameters
    ----------
    column : Column
        The events.
    table : Table
        The file.
    sfreq : float
        Rate in Hz.
    declared : Declared
        What a person says about the file.
    groups : ndarray of int, shape (n_rows,), optional
        Which stimulus group flashed.
    separator : str, optional
        Between events of one row.

    Returns
    -------
    Stimulation

    Raises
    ------
    RecordingError
        What `events.from_codes` and `mne_events.decide` refuse, and ``unclear_triggers`` for names that follow each other at once.
    """
    codes = column.codes(table.decimal_point)
    if codes is not None:
        return events.from_codes(codes, table.name, sfreq, declared, groups=groups)
    markers = column.markers(separator)
    if len(markers) > MOST_ANNOTATIONS:
        raise RecordingError(
            "too_many_annotations",
            f"{table.name}: {len(markers):,} events; expected at most {MOST_ANNOTATIONS:,}. Split the recording into runs.",
        )
    decoded = mne_events.decide(markers, [], column.n_rows, sfreq, declared, table.name)
    _check_held(column, decoded, table.name)
    if groups is not None:
        onset = np.flatnonzero(decoded.stim)
        groups, group_notes = from_one(groups, onset, settling(sfreq), table.name)
        group, more_notes = told(groups[onset], onset, groups)
        flash = None
        if group is not None:
            flash = np.zeros(column.n_rows, np.int32)
            flash[onset] = group
            more_notes += _check_classes(markers, decoded, group, sfreq, declared, table.name)
        decoded = replace(decoded, flash=flash, notes=(*decoded.notes, *group_notes, *more_notes))
    return decoded


def _check_held(column: Column, decoded: Stimulation, name: str) -> None:
    """Refuse names that follow each other at once: with equal ones in a row, several flashes would be one."""
    is_flash = decoded.stim[column.starts] != 0
    n_held = sum(one and other for one, other in pairwise(is_flash.tolist()))
    if n_held > max(2, LARGEST_HELD * int(is_flash.sum())):
        raise RecordingError(
            "unclear_triggers",
            f"{name}: in column {column.name[:64]!r}, {n_held} of {int(is_flash.sum())} flashes begin in the row after another one's last: "
            "equal names in a row would be one flash. Write the name into a flash's first row only, and leave the cell empty elsewhere.",
        )


def _check_classes(
    markers: list[Marker], decoded: Stimulation, group: NDArray[np.int32], sfreq: float, declared: Declared, name: str
) -> list[str]:
    """Refuse groups whose classes change from flash to flash, as where the column is a flash early or late; parameters as `stimulation`."""
    onset = np.flatnonzero(decoded.stim)
    read = {marker.description: int(decoded.stim[marker.sample]) for marker in markers if decoded.stim[marker.sample]}
    found = Events.at([marker.description for marker in markers], np.array([m.sample for m in markers]), sfreq)
    events = (found, read, read)
    return check_plausible(onset, decoded.stim[onset], group, sfreq, name, events, is_declared=bool(declared.event_id))
