"""Named columns to a recording: what the parquet and csv readers share."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from p300.channels import plain
from p300.errors import RecordingError
from p300.limits import MOST_COLUMNS
from p300.text import few_of

from . import timing
from .beside_stim import STIM, events_beside
from .brain_invaders import BI2014A
from .channels import MISC, FileChannel, is_electrode, other_kind
from .declared import Declared
from .flash_groups import MISSING
from .text_time import time_of
from .units import declared_note, declared_volts_per, volts_per
from .unlabelled import REMEDY

EEG_PREFIX = "eeg_"
FLASH = "flash"
TIMES = ("time", "timestamp", "timestamps")
LARGEST_RATE_DIFFERENCE, LONGEST_RATE = 1e-6, 20
WITH_UNIT = re.compile(r"(.*\S)\s*[\[(]\s*([^\])]{1,16})\s*[\])]")
"""A column's name and its unit, in brackets."""
GROUPS_ALONE = f" {FLASH!r} says which group flashed, and not whether it was a target: export the class of each flash too. {REMEDY}."
_OTHER_PREFIX = re.compile(r"eeg[ _-]*", re.IGNORECASE)
UNNAMED = re.compile(r"eeg_ch\d+")


def eeg_columns(
    columns: list[str], name: str, read: Callable[[str], NDArray[np.number]], *, groups_alone: bool = False
) -> list[str]:
    """Pick the EEG columns, and see that a stim column is there and none twice.

    Parameters
    ----------
    columns : list of str
        All names.
    name : str
        What to call the recording in messages.
    read : callable
        Returns the values of a column; raises `RecordingError` where these are no numbers.
    groups_alone : bool, optional
        Whether a column of groups will do for the stim column, as in an unlabelled recording.

    Returns
    -------
    eeg : list of str

    Raises
    ------
    RecordingError
        ``missing_eeg``, ``missing_stim``, ``duplicate_channels``, ``too_many_channels``.
    """
    if len(columns) > MOST_COLUMNS:
        raise RecordingError(
            "too_many_channels", f"{name}: {len(columns):,} columns; expected at most {MOST_COLUMNS:,}. Export fewer."
        )
    check_different(columns, name)
    eeg = [column for column in columns if column.startswith(EEG_PREFIX)]
    if not eeg:
        raise RecordingError(
            "missing_eeg",
            f"{name}: no column begins with {EEG_PREFIX!r}, found {few_of(columns) or 'none'}. Expected a column such as eeg_Fz for each "
            "channel. Rename those of the EEG.",
        )
    if STIM not in columns and not (groups_alone and FLASH in columns):
        raise RecordingError(
            "missing_stim",
            f"{name}: no {STIM!r} column, found {few_of(columns) or 'none'}. Expected 1 (NonTarget) and 2 (Target) in it."
            f"{GROUPS_ALONE if FLASH in columns else ''}{events_beside(other_stim(columns, eeg), read)}",
        )
    return eeg


def check_different(columns: list[str], name: str) -> None:
    """Refuse columns that have the same name, but for those without one.

    Raises
    ------
    RecordingError
        ``duplicate_channels``.
    """
    repeated = sorted(column for column, count in Counter(columns).items() if count > 1 and column)
    if repeated:
        raise RecordingError("duplicate_channels", f"{name}: columns occur twice: {few_of(repeated)}. Rename them.")


def channel_names(eeg: list[str], declared: list[str] | None, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the EEG columns: by the file's list, by the columns' own names, or as bi2014a. Return names and notes.

    Raises
    ------
    RecordingError
        ``bad_metadata`` where the file's list and its columns contradict each other.
    """
    own = tuple(unit_of(column.removeprefix(EEG_PREFIX))[0] for column in eeg)
    if declared is not None:
        if len(declared) != len(eeg):
            raise RecordingError(
                "bad_metadata", f"{name}: the metadata name {len(declared)} channels, the file has {len(eeg)} of them."
            )
        differing = [f"{a} is {b}" for a, one, b in zip(eeg, own, declared, strict=True) if plain(one) != plain(b)]
        if differing and not _unnamed(eeg):
            raise RecordingError(
                "bad_metadata",
                f"{name}: the metadata's 'channels' and the columns contradict each other: {few_of(differing)}. Expected the same names in "
                f"the same order. Write the right names to the columns, and leave 'channels' out.",
            )
        return tuple(declared), ()
    if not _unnamed(eeg):
        return own, ()
    if len(eeg) == len(BI2014A.ch_names):
        return BI2014A.ch_names, ("channel names not in the file: taken as the 16 of bi2014a",)
    return own, ("channel names not in the file: numbered",)


def sampling_rate(declared: str | float | None, eeg: list[str], name: str) -> tuple[float, tuple[str, ...]]:
    """Return the declared rate, or that of bi2014a where the file looks like it and names no channel. And notes."""
    if declared is None:
        if _unnamed(eeg) and len(eeg) == len(BI2014A.ch_names):
            return BI2014A.sfreq, (f"sampling rate not in the file: taken as the {BI2014A.sfreq:g} Hz of bi2014a",)
        raise RecordingError(
            "missing_sfreq",
            f"{name}: no sampling rate. Expected 'sfreq' in Hz in a parquet file's schema metadata; or a csv file's 'time' column in "
            "seconds, or a first line like '# sfreq=512'.",
        )
    try:
        sfreq = float(declared)
    except ValueError:
        sfreq = math.nan
    if not (math.isfinite(sfreq) and sfreq > 0):
        raise RecordingError("missing_sfreq", f"{name}: sampling rate {declared!r}; expected a positive number of Hz.")
    return sfreq, ()


def stated_rate(declared: Declared, stated: str | float | None) -> tuple[str | float | None, tuple[str, ...]]:
    """Return the rate that is declared, or the one that the file states. And a note where the two differ."""
    if declared.sfreq is None or stated is None:
        return stated if declared.sfreq is None else declared.sfreq, ()
    try:
        differs = abs(float(stated) - declared.sfreq) > LARGEST_RATE_DIFFERENCE * declared.sfreq
    except ValueError:
        differs = True
    note = f"sampling rate declared: {declared.sfreq:g} Hz, other than the file's {str(stated)[:LONGEST_RATE]}"
    return declared.sfreq, (note,) if differs else ()


def volts_per_unit(
    stated: str | None, declared: Declared, name: str, columns: Sequence[str] = ()
) -> tuple[float, tuple[str, ...]]:
    """Return the factor to volts, as declared or as the file states; that of microvolts where nobody says.

    Parameters
    ----------
    stated : str or None
        What the file states for all channels.
    declared : Declared
        Whose unit wins.
    name : str
        What to call the recording in messages.
    columns : sequence of str, optional
        EEG columns, whose names may have a unit too.

    Returns
    -------
    factor : float
    notes : tuple of str

    Raises
    ------
    RecordingError
        ``bad_metadata`` where units contradict each other, or are none of voltage.
    """
    units = {column: unit for column in columns if (unit := unit_of(column)[1])}
    of_file, notes = stated, tuple[str, ...]()
    if units:
        of_file = next(iter(units.values()))
        check_units({**units, **({"the file": stated} if stated else {})}, name)
        if len(units) < len(columns):
            without = [column for column in columns if column not in units]
            raise RecordingError(
                "bad_metadata",
                f"{name}: some EEG columns have a unit in their names, such as {next(iter(units))!r}, and others none: {few_of(without)}. "
                "Expected it in all, or in none.",
            )
        notes = (f"unit {of_file}, by the names of the columns",)
    if declared.unit is not None:
        factor = declared_volts_per(declared.unit, name)
        return factor, (declared_note(declared.unit, [of_file]),)
    return declared_volts_per("uV" if of_file is None else of_file, name), notes


def unit_of(column: str) -> tuple[str, str | None]:
    """Split the unit of voltage off the name of a column: ``Fz [mV]``, ``Fz (uV)``; None where there is no such unit."""
    found = WITH_UNIT.fullmatch(column)
    return (found[1], found[2]) if found and volts_per(found[2]) is not None else (column, None)


def check_units(units: Mapping[str, str], name: str) -> None:
    """Refuse units that contradict each other.

    Parameters
    ----------
    units : mapping of str to str
        By what states each.
    name : str
        What to call the recording in messages.

    Raises
    ------
    RecordingError
        ``bad_metadata``.
    """
    first, unit = next(iter(units.items()), ("", ""))
    if other := next((one for one, stated in units.items() if volts_per(stated) != volts_per(unit)), None):
        raise RecordingError(
            "bad_metadata",
            f"{name}: {first} says {unit[:40]}, and {other} {units[other][:40]}. Expected the same unit. Correct the one that is wrong, or "
            "leave it out.",
        )


def flash_groups(values: NDArray[np.number], name: str) -> NDArray[np.int32]:
    """Return a flash column as whole numbers, as it is in the file; `MISSING` where a cell is empty.

    Raises
    ------
    RecordingError
        ``bad_flash`` where it holds anything else.
    """
    numbers = np.nan_to_num(values, nan=MISSING, posinf=np.inf, neginf=-np.inf)
    if len(numbers) and not (np.abs(numbers) <= np.iinfo(np.int32).max).all():
        raise RecordingError(
            "bad_flash", f"{name}: the {FLASH!r} column holds numbers beyond 32 bits; expected a group's number."
        )
    groups: NDArray[np.int32] = numbers.astype(np.int32)
    if (groups != numbers).any():
        raise RecordingError("bad_flash", f"{name}: the {FLASH!r} column holds values that are not whole numbers.")
    return groups


def time_column(columns: list[str]) -> str | None:
    """Return the name of the column of time stamps, where there is one."""
    exact = next((column for column in columns if column.lower() in TIMES), None)
    others = (column for column in columns if "date" not in column.lower() and time_of(column))
    return exact or next(others, None)


def timed_by(
    column: str, stamps: Callable[[], NDArray[np.float64]], hz: float | None, name: str, *, in_seconds: bool
) -> timing.Timing | None:
    """Decide by a column of times; one that only looks like it, `t` for instance, may be irregular where the rate is declared.

    Raises
    ------
    RecordingError
        What `timing.from_stamps` refuses.
    """
    try:
        return timing.from_stamps(stamps(), hz, name, in_seconds=in_seconds)
    except RecordingError as error:
        if hz is None or column.lower() in TIMES or error.code == "contradictory_rate":
            raise
        return timing.Timing(hz, notes=(f"times in column {column} not used: {error.code}",))


def unprefixed(columns: list[str]) -> tuple[str, ...]:
    """Return a note on columns that have the names of electrodes, but not the prefix of EEG columns."""
    left_out = [
        column
        for column in columns
        if not column.startswith(EEG_PREFIX) and is_electrode(_OTHER_PREFIX.sub("", column.strip()))
    ]
    return (f"columns left out, without the prefix {EEG_PREFIX}: {few_of(left_out)}",) if left_out else ()


def other_stim(columns: list[str], picked: list[str]) -> list[str]:
    """Return the columns beside the stim column that may hold flashes too, by their names; none of those picked as EEG."""
    known = {STIM, FLASH, time_column(columns), *picked}
    return [
        column
        for column in columns
        if column not in known and other_kind(FileChannel(column.removeprefix(EEG_PREFIX))) == "trigger"
    ]


def stim_column(others: list[str], declared: Declared, name: str) -> tuple[str, list[str], tuple[str, ...]]:
    """Return the column of flashes, those that have to agree with it, and notes.

    Parameters
    ----------
    others : list of str
        Columns beside the stim column that may hold flashes.
    declared : Declared
        What a person says about the file; a stim column declared ``misc`` is not read.
    name : str
        What to call it in messages.

    Raises
    ------
    RecordingError
        ``bad_declaration`` where no other column may hold flashes.
    """
    misc = {plain(channel) for channel, kind in declared.channel_kinds.items() if kind == MISC}
    if plain(STIM) not in misc:
        return STIM, others, ()
    others = [column for column in others if plain(column) not in misc]
    if not others:
        raise RecordingError(
            "bad_declaration",
            f"{name}: channel_kinds declares {STIM!r} as {MISC!r}, and no other column holds flashes by its name; expected one such as "
            f"'trigger' or 'marker'. Leave the declaration of {STIM!r} out, or write the flashes into it.",
        )
    return (
        others[0],
        others[1:],
        (f"flashes taken from the column {others[0].removeprefix(EEG_PREFIX)}, as {STIM} is declared {MISC}",),
    )


def kinds_of_eeg(declared: Declared, columns: list[str]) -> Mapping[str, str]:
    """Return the declared kinds of channels without those of columns that are none: they say which columns hold no flashes."""
    if not declared.channel_kinds:
        return declared.channel_kinds
    others = {plain(column) for column in columns if not column.startswith(EEG_PREFIX)}
    return {channel: kind for channel, kind in declared.channel_kinds.items() if plain(channel) not in others}


def _unnamed(eeg: list[str]) -> bool:
    return all(UNNAMED.fullmatch(column) for column in eeg)
