"""Tables without ``eeg_`` in their header: any delimiter, decimal commas, units beside names, many kinds of times and events."""

import re
from dataclasses import replace

from p300.channels import plain
from p300.errors import RecordingError
from p300.limits import MOST_COLUMNS
from p300.recording import RecordingStream
from p300.text import few_of

from . import timing
from .beside_stim import bci2000_states
from .channels import EEG, MISC, FileChannel, choose, is_electrode, marked_bad, other_kind
from .checks import check_n_channels, check_rate
from .columns import (
    FLASH,
    GROUPS_ALONE,
    WITH_UNIT,
    check_different,
    check_units,
    flash_groups,
    sampling_rate,
    stated_rate,
)
from .declared import Declared
from .seen import add_channel, suggest_one_of
from .spelled import as_known
from .text_events import Column, stimulation
from .text_rows import DECIMAL_COMMA, Table, is_number
from .text_time import seconds, time_of
from .units import microvolts_per

_LABELS = re.compile(r"labels?|class(es)?|targets?|is[ _]?target|stimul(us|i)", re.IGNORECASE)
_BESIDE_EVENTS = re.compile(r"(event|marker|stim(ulus)?|trigger)[ _](date|duration|time|latency|onset)", re.IGNORECASE)
MOST_CANDIDATES, LONGEST_COLUMN = 8, 256
OPENVIBE_EVENTS, OPENVIBE_SEPARATOR = "event id", ":"


def read(table: Table, name: str, declared: Declared) -> RecordingStream:
    """Open a table whose first line names the columns: channels by their names, times, and one column of events."""
    _check_rows(table, name)
    known, spelled_notes = as_known(table.declared, name)
    table = replace(table, declared=known)
    check_different(table.columns, name)
    columns = [column for column in table.columns if column]
    time, per_s, stated_hz = _time(columns)
    column = _event_column(table, [one for one in columns if one != time], declared, name)
    sfreq, timed, rate_notes = _rate(table, (time, per_s, stated_hz), column.n_rows, declared, name)
    beside = {time, column.name, FLASH}
    channels, left_out = _channels(table, [one for one in columns if one not in beside], declared)
    check_n_channels(len(channels), name)
    chosen = choose([channel for _, channel in channels], declared.channel_kinds, name)
    wanted = [channels[pick][0] for pick in chosen.picks]
    stated = table.declared.get("unit")
    of_columns = {channels[pick][0]: unit for pick in chosen.picks if (unit := channels[pick][1].unit)}
    for one, unit in of_columns.items() if stated else ():
        check_units({one: unit, "the file": str(stated)}, name)
    units = [channels[pick][1].unit or stated for pick in chosen.picks]
    factors, unit_notes = microvolts_per(units, declared, name)
    bad, bad_notes = marked_bad(table.declared.get("bads", "").split(";"), chosen.names)
    groups = flash_groups(table.whole([FLASH])[0], name) if FLASH in columns else None
    separator = OPENVIBE_SEPARATOR if column.name.lower() == OPENVIBE_EVENTS else None
    decoded = stimulation(column, table, sfreq, declared, groups=groups, separator=separator)

    return RecordingStream(
        chosen.names,
        sfreq,
        len(decoded.stim),
        decoded.stim,
        decoded.flash,
        lambda: table.scaled(wanted, factors),
        1e-6,
        (
            *spelled_notes,
            *rate_notes,
            *(timed.notes if timed else ()),
            f"events taken from column {column.name}",
            *unit_notes,
            *left_out,
            *chosen.notes,
            *bad_notes,
            *decoded.notes,
        ),
        gaps=timed.gaps if timed else (),
        bad_channels=bad,
        read_as_v=tuple((factors * 1e-6).tolist()),
    )


def check_direction(table: Table, name: str) -> None:
    """Refuse a table with a row for each channel.

    Raises
    ------
    RecordingError
        ``transposed``.
    """
    width = len(table.columns)
    if width > MOST_COLUMNS or (width > len(table.first_rows) + 1 and _n_rows(table, width) < width):
        raise RecordingError(
            "transposed",
            f"{name}: {width:,} columns, and fewer rows. Expected a row for each sample. Transpose the table: "
            "pandas.read_csv(file, header=None).T.to_csv(new, header=False, index=False).",
        )


def _check_rows(table: Table, name: str) -> None:
    """Refuse what is no table of samples: channels in rows, and commas that are decimal ones as well."""
    width, rows = len(table.columns), table.first_rows
    if long := next((column for column in table.columns if len(column) > LONGEST_COLUMN), None):
        raise RecordingError(
            "unreadable",
            f"{name}: a column's name begins {long[:64]!r}, and has {len(long):,} characters; expected at most {LONGEST_COLUMN}. Export "
            "the table with a header of the columns' names.",
        )
    if not rows:
        raise RecordingError(
            "missing_eeg", f"{name} has no row after {table.columns[0][:64]!r}. Upload the recording again."
        )
    check_direction(table, name)
    commas = "commas between cells and in numbers cannot be told apart: export it with semicolons or tabs, or with decimal points."
    if table.delimiter == "," and (
        cell := next((cell for row in rows for cell in row if DECIMAL_COMMA.fullmatch(cell)), None)
    ):
        raise RecordingError(
            "not_numeric", f"{name}: {cell[:64]!r} in a table of commas. Expected decimal points; {commas}"
        )
    longer = next((row for row in rows if len(row) != width), None)
    if longer is None:
        return
    advice = "Export it again, with as many cells in each row as in the header."
    if table.delimiter == "," and len(longer) > width:
        advice = commas.capitalize()
    raise RecordingError(
        "unreadable",
        f"{name}: the header has {width} columns, and a row {len(longer)} cells. Expected equally many. {advice}",
    )


def _n_rows(table: Table, enough: int) -> int:
    n_rows = -table.n_skipped
    with table.path.open("rb") as file:
        while n_rows < enough and (block := file.read(1 << 20)):
            n_rows += block.count(b"\n") or block.count(b"\r")
    return n_rows + 1


def _time(columns: list[str]) -> tuple[str | None, float | None, float | None]:
    """Return the column of times, how many of its units are a second, and the rate in Hz that its name says."""
    return next(((column, *found) for column in columns if (found := time_of(column))), (None, None, None))


def _event_column(table: Table, columns: list[str], declared: Declared, name: str) -> Column:
    """Return the one column of events: as declared, or the only one with such a name in which something happens."""
    if declared.event_column is not None:
        if declared.event_column not in columns:
            raise RecordingError(
                "missing_stim",
                f"{name}: no column {declared.event_column!r}, which is declared as event_column. Found {few_of(columns)}.",
            )
        return Column(table, declared.event_column)
    misc = {plain(column) for column, kind in declared.channel_kinds.items() if kind == MISC}
    named = [
        column
        for column in columns
        if column != FLASH
        and plain(column) not in misc
        and (other_kind(FileChannel(column)) == "trigger" or _LABELS.fullmatch(column))
        and not _BESIDE_EVENTS.fullmatch(column)
    ]
    found = [Column(table, column) for column in named[:MOST_CANDIDATES]]
    found = [column for column in found if not column.is_constant] or found[:1]
    if len(found) == 1:
        return found[0]
    likely = [column.name for column in found] or [
        column
        for column in columns
        if column != FLASH and plain(column) not in misc and not is_electrode(WITH_UNIT.sub(r"\1", column))
    ]
    states = bci2000_states(columns)
    stated = suggest_one_of([{"event_column": column} for column in likely]) if not states else ""
    what = (
        f"{len(found)} columns that may be the events, {few_of(likely)}"
        if found
        else f"no column of events, found {few_of(columns)}"
    )
    way_out = f"Declare it in the recording's sidecar: {stated}." if likely else "Export the recording with it."
    way_out = states or way_out
    groups = GROUPS_ALONE if FLASH in columns and not found else ""
    raise RecordingError(
        "missing_stim", f"{name}: {what}. Expected one, with a number or name at each flash.{groups} {way_out}"
    )


def _rate(
    table: Table, time: tuple[str | None, float | None, float | None], n_rows: int, declared: Declared, name: str
) -> tuple[float, timing.Timing | None, tuple[str, ...]]:
    column, per_s, stated_hz = time
    stated, declared_notes = stated_rate(declared, table.declared.get("sfreq") or stated_hz)
    hz = None if stated is None else sampling_rate(stated, [], name)[0]
    timed = timing.from_stamps(seconds(table, column, per_s), hz, name, in_seconds=bool(per_s)) if column else None
    if timed is None and hz is None:
        raise RecordingError(
            "missing_sfreq",
            f"{name}: no sampling rate: {f'the times in {column!r} do not rise' if column else 'no column of times'}, none declared. "
            'Declare it in Hz in the recording\'s sidecar: {"sfreq": 256}; or write a first line "# sfreq=256".',
        )
    sfreq = timed.sfreq if timed else float(hz or 0)
    check_rate(sfreq, name)
    notes = (f"sampling rate {sfreq:g} Hz by the times in {column}",) if timed and hz is None else ()
    return sfreq, timed, (*declared_notes, *notes)


def _channels(
    table: Table, columns: list[str], declared: Declared
) -> tuple[list[tuple[str, FileChannel]], tuple[str, ...]]:
    """Return the columns that may be EEG, each with its name and unit, and a note on those that are not."""
    found, texts = [], []
    for column in columns:
        at = table.columns.index(column)
        cells = [row[at] for row in table.first_rows if row[at]]
        if not all(is_number(cell, table.decimal_point) for cell in cells):
            texts.append(f"{column} (text)")
            continue
        named = WITH_UNIT.fullmatch(column)
        found.append((column, FileChannel(named[1], unit=named[2]) if named else FileChannel(column)))
    eeg = [channel for _, channel in found if other_kind(channel) is None]
    electrodes = [channel for channel in eeg if is_electrode(channel.name)]
    if 2 * len(electrodes) >= len(eeg):  # a table has columns of all kinds
        kept = {*(one.name for one in electrodes), *declared.channel_kinds}
        for channel in eeg:
            if channel.name not in kept:
                texts.append(f"{channel.name} (not the name of an electrode)")
                add_channel(channel.name, "not an electrode", channel.unit)
        found = [(column, one) for column, one in found if one.name in kept or other_kind(one) is not None]
    if not texts:
        return found, ()
    return found, (f'columns left out: {few_of(texts)}; {{"channel_kinds": {{"...": "{EEG}"}}}} keeps one',)
