"""Text files. What is read here: a header with time, eeg_<channel>, stim, flash; or headless as in the Brain Invaders data sets.

Lines before it that begin with ``#`` may declare what the columns do not tell: ``# sfreq=512 unit=V``, and the channels that are
bad: ``# bads=P3;O1``. Files of other kinds go to modules of their own: OpenBCI's, Muse's, and tables without ``eeg_`` in their header.
"""

from pathlib import Path

from p300.errors import RecordingError
from p300.recording import RecordingStream

from . import delimited, events, muse, openbci, timing
from .beside_stim import STIM, naming_columns, naming_texts
from .brain_invaders import FILE_LAYOUTS, player_of
from .channels import FileChannel, choose, marked_bad
from .checks import check_n_channels
from .columns import (
    EEG_PREFIX,
    FLASH,
    channel_names,
    eeg_columns,
    flash_groups,
    kinds_of_eeg,
    other_stim,
    sampling_rate,
    stated_rate,
    stim_column,
    time_column,
    timed_by,
    unprefixed,
    volts_per_unit,
)
from .declared import Declared
from .spelled import as_known
from .stim_lines import StimLine, read_beside
from .text_rows import Table, is_number, open_table
from .text_time import per_s, seconds


def read(path: Path, name: str, declared: Declared) -> RecordingStream:
    """Open a csv recording, in microvolts unless a comment line says otherwise; its rate from there, or from the time column."""
    if openbci.is_openbci(path):
        return openbci.read(path, name, declared)
    head = open_table(path, name)
    if head.headless:
        return _headless(head, name, declared)
    if not any(column.startswith(EEG_PREFIX) for column in head.columns):
        return muse.read(head, name, declared) if muse.is_muse(head) else delimited.read(head, name, declared)
    if head.first_rows and 2 * sum(map(is_number, head.columns)) > len(head.columns):
        delimited.check_direction(head, name)
    stated_in_file, spelled_notes = as_known(head.declared, name)
    eeg = eeg_columns(head.columns, name, lambda column: head.whole([column])[0], groups_alone=not declared.labelled)
    check_n_channels(len(eeg), name)
    wanted = [column for column in (STIM, FLASH) if column in head.columns]
    with naming_texts(lambda: head.texts(wanted[0]), name):
        side = dict(zip(wanted, head.whole(wanted), strict=True))
    ch_names, name_notes = channel_names(eeg, None, name)
    stated, declared_notes = stated_rate(declared, stated_in_file.get("sfreq"))
    hz = None if stated is None else sampling_rate(stated, eeg, name)[0]
    time = time_column(head.columns)
    timed = (
        timed_by(time, lambda: seconds(head, time, per_s(time)), hz, name, in_seconds=bool(per_s(time)))
        if time
        else None
    )
    sfreq, rate_notes = sampling_rate(timed.sfreq if timed else stated, eeg, name)
    chosen = choose([FileChannel(channel) for channel in ch_names], kinds_of_eeg(declared, head.columns), name)
    eeg = [eeg[pick] for pick in chosen.picks]
    scale, unit_notes = volts_per_unit(stated_in_file.get("unit"), declared, name, eeg)
    bad, bad_notes = marked_bad(stated_in_file.get("bads", "").split(";"), chosen.names)
    groups = flash_groups(side[FLASH], name) if {STIM, FLASH} <= side.keys() else None
    source, others, stim_notes = stim_column(other_stim(head.columns, eeg), declared, name)
    if STIM not in side:
        source = FLASH
    codes = side[source] if source in side else head.whole([source])[0]
    lines = [_line(head, column, sfreq) for column in others]
    with naming_columns(others, lambda column: head.whole([column])[0]):
        decoded = read_beside(
            lambda doubtful: events.from_codes(codes, name, sfreq, declared, groups=groups, doubtful=doubtful),
            source.removeprefix(EEG_PREFIX),
            lines,
            (len(codes), sfreq),
            declared,
            name,
            either=True,
        )
    return RecordingStream(
        chosen.names,
        sfreq,
        len(decoded.stim),
        decoded.stim,
        decoded.flash,
        lambda: head.numbers(eeg),
        scale,
        (
            *spelled_notes,
            *unprefixed(head.columns),
            *name_notes,
            *declared_notes,
            *rate_notes,
            *(timed.notes if timed else ()),
            *unit_notes,
            *chosen.notes,
            *bad_notes,
            *stim_notes,
            *decoded.notes,
        ),
        gaps=timed.gaps if timed else (),
        bad_channels=bad,
    )


def _line(head: Table, column: str, sfreq: float) -> StimLine:
    return StimLine(column.removeprefix(EEG_PREFIX), lambda: (head.whole([column])[0], sfreq))


def _headless(head: Table, name: str, declared: Declared) -> RecordingStream:
    columns = head.columns
    layouts = [layout for layout in FILE_LAYOUTS if layout.n_columns == len(columns)]
    if not layouts:
        widths = sorted({layout.n_columns for layout in FILE_LAYOUTS})
        raise RecordingError(
            "missing_eeg",
            f"{name}: {len(columns)} columns without a header; expected a header with eeg_<channel> and stim, or a "
            f"Brain Invaders layout of {widths} columns.",
        )
    layout = layouts[0]
    player = player_of(name)
    side = head.whole([columns[0], *(columns[i] for i in layout.stim)])
    stated_in_file, spelled_notes = as_known(head.declared, name)
    stated, declared_notes = stated_rate(declared, stated_in_file.get("sfreq"))
    hz = layout.sfreq if stated is None else sampling_rate(stated, [], name)[0]
    timed = timing.of_layout(side[0], hz, name) if layout.first_eeg else timing.Timing(hz)
    decoded = events.from_codes(side[1:].sum(axis=0), name, timed.sfreq, declared, data_set=layout.data_set)
    scale, unit_notes = volts_per_unit(stated_in_file.get("unit"), declared, name)
    unit = declared.unit or stated_in_file.get("unit", "microvolts")
    return RecordingStream(
        layout.ch_names,
        timed.sfreq,
        len(decoded.stim),
        decoded.stim,
        decoded.flash,
        lambda: head.numbers([columns[i] for i in layout.eeg_columns(player)]),
        scale,
        (
            f"headless csv of {len(columns)} columns read as {layout.data_set}, {unit}",
            *([f"two players: read as player {player}"] if layout.second_player else []),
            *declared_notes,
            *timed.notes,
            *spelled_notes,
            *unit_notes,
            *decoded.notes,
        ),
        gaps=timed.gaps,
    )
