"""OpenBCI's text files: those of its GUI from version 5 on, which name their columns, and older ones, which do not."""

import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import RecordingStream
from p300.text import few_of

from . import events, timing
from .channels import EEG, FileChannel, choose
from .checks import check_n_channels, check_rate
from .columns import sampling_rate, stated_rate
from .declared import Declared
from .events import Stimulation
from .seen import suggest
from .text_rows import LONGEST_LINE_BYTES, MOST_COMMENTS, Table
from .units import microvolts_per

_BEGINNING = re.compile(rb"(?:\xef\xbb\xbf)?\s*%\s*(?:OpenBCI|OBCI)", re.IGNORECASE)
_STATED = re.compile(r"%\s*(Number of channels|Sample Rate)\s*[=:]\s*(\d{1,9}(?:\.\d{0,9})?)(?!\d)", re.IGNORECASE)
INDEX, EXG, STAMP = "Sample Index", "EXG Channel", "Timestamp"
N_ACCELEROMETERS = 3
COUNTS_UP_TO = (201, 256)
"""Packets that a Ganglion counts, and a Cyton."""
LARGEST_RATE_ERROR, NOTED_RATE_ERROR, SHORTEST_PAUSE_S = 0.1, 0.01, 1.0
"""Of times of arrival at the computer."""
MOST_EVENT_COLUMNS = 16


def is_openbci(path: Path) -> bool:
    """Tell whether a text file is OpenBCI's by its first line."""
    with path.open("rb") as file:
        return _BEGINNING.match(file.read(64)) is not None


def read(path: Path, name: str, declared: Declared) -> RecordingStream:
    """Open a recording of OpenBCI's GUI: EXG channels in microvolts, lost samples by the sample index."""
    table, stated, first = _head(path, name)
    if "number of channels" not in stated and table.headless:
        raise _unreadable(name, "neither a number of channels nor names of columns")
    columns = (
        table.columns
        if not table.headless
        else _old_columns(int(float(stated["number of channels"])), len(first), name)
    )
    table = Table(path, name, columns, table.headless, table.n_skipped)
    eeg = [column for column in columns if column.startswith(EXG)]
    check_n_channels(len(eeg), name)
    if not eeg or INDEX not in columns:
        raise RecordingError("missing_eeg", f"{name}: expected columns {INDEX} and {EXG} 0, found {few_of(columns)}.")
    rate, rate_notes = stated_rate(declared, stated.get("sample rate"))
    if rate is None:
        raise RecordingError(
            "missing_sfreq",
            f'{name}: no line "%Sample Rate". Declare it in the recording\'s sidecar: {{"sfreq": 250}}.',
        )
    sfreq = sampling_rate(rate, [], name)[0]
    check_rate(sfreq, name)
    side = [INDEX, *([STAMP] if STAMP in columns else [])]
    values = table.whole(side)
    gaps, lost, time_notes = _gaps(values[0], values[1] if len(values) > 1 else None, sfreq, name)
    timing.check_continuous(gaps, values.shape[1], sfreq, name)
    chosen = choose(
        [FileChannel(column, EEG, "uV") for column in eeg], {**dict.fromkeys(eeg, EEG), **declared.channel_kinds}, name
    )
    wanted = [eeg[pick] for pick in chosen.picks]
    factors, unit_notes = microvolts_per(["uV"] * len(wanted), declared, name)
    decoded, event_notes = _flashes(table, sfreq, declared, name)
    unnamed = [channel for channel in chosen.names if channel not in declared.channel_names]

    return RecordingStream(
        chosen.names,
        sfreq,
        len(decoded.stim),
        decoded.stim,
        decoded.flash,
        lambda: table.scaled(wanted, factors),
        1e-6,
        (
            *rate_notes,
            *time_notes,
            *timing.gap_notes(gaps, lost / sfreq, sfreq),
            *((f"electrodes not in the file: {few_of(unnamed)}; channel_names gives them names",) if unnamed else ()),
            *unit_notes,
            *chosen.notes,
            *event_notes,
            *decoded.notes,
        ),
        gaps=tuple(gaps.tolist()),
        read_as_v=tuple((factors * 1e-6).tolist()),
    )


def _head(path: Path, name: str) -> tuple[Table, dict[str, str], list[str]]:
    """Return the columns as far as they are named, what the lines before them state, and the cells of the first row."""
    stated: dict[str, str] = {}
    n_skipped, line = 0, b""
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE_BYTES):
            text = line.decode("utf-8-sig", "replace").strip()
            if text and not text.startswith("%"):
                break
            if found := _STATED.match(text):
                stated[found[1].lower()] = found[2]
            n_skipped += 1
            if n_skipped > MOST_COMMENTS:
                raise _unreadable(name, f"more than {MOST_COMMENTS} lines before the first sample")
    cells = [cell.strip() for cell in line.decode("utf-8", "replace").strip().split(",")]
    headless = re.fullmatch(r"[-+.\deE]+", cells[0]) is not None
    if headless:
        return Table(path, name, [], True, n_skipped), stated, cells
    seen: dict[str, int] = {}
    for number, cell in enumerate(cells):
        seen[cell] = seen.get(cell, 0) + 1
        cells[number] = cell if seen[cell] == 1 else f"{cell} #{seen[cell]}"
    return Table(path, name, cells, False, n_skipped + 1), stated, cells


def _old_columns(n_channels: int, width: int, name: str) -> list[str]:
    """Name the columns of a file that does not: index, EXG, three of the accelerometer or analog pins, times."""
    n_others = width - 1 - n_channels
    if not 0 < n_channels < width or n_others < 0:
        raise _unreadable(name, f"{n_channels:,} channels are stated, and a row has {width} cells")
    auxiliary = [f"Aux Channel {i}" for i in range(min(n_others, N_ACCELEROMETERS))]
    others = [f"Other {i}" for i in range(n_others - len(auxiliary))]
    return [INDEX, *(f"{EXG} {i}" for i in range(n_channels)), *auxiliary, *others]


def _gaps(
    index: NDArray[np.float64], stamps: NDArray[np.float64] | None, sfreq: float, name: str
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[str]]:
    """Return the samples that do not follow the one before them, how many are missing there, and notes."""
    if not np.isfinite(index).all() or (index != np.floor(index)).any() or (np.abs(index) > 1e15).any():
        raise _unreadable(name, f"column {INDEX!r} holds values that are not whole numbers")
    notes: list[str] = []
    starts = np.flatnonzero(np.r_[True, np.diff(index) != 0])[: len(index)]
    gaps, lost = np.zeros(0, np.int64), np.zeros(0)
    if len(starts) > 1:
        per_packet = round(len(index) / len(starts))
        if per_packet == 1:  # an index that occurs twice has gone round
            starts = np.arange(len(index))
        steps = np.diff(index[starts])
        modulus = next((n for n in COUNTS_UP_TO if index.max() < n), None)
        if modulus:
            steps = np.mod(steps - 1, modulus) + 1
        usual = max(float(np.median(steps)), 1.0)
        odd = np.flatnonzero(steps != usual)
        gaps, lost = starts[odd + 1], (steps[odd] / usual - 1) * per_packet
        if n_lost := round(float(lost[lost > 0].sum())):
            notes.append(f"{n_lost:,} samples lost, by the sample index")
    elif len(index) > 1:
        notes.append("the sample index does not count: lost samples cannot be seen")
    if stamps is not None and len(stamps) > 1 and np.isfinite(stamps).all():
        jumps = np.flatnonzero(np.abs(np.diff(stamps)) > SHORTEST_PAUSE_S) + 1
        jumps = np.setdiff1d(jumps, gaps)
        gaps = np.r_[gaps, jumps]
        lost = np.r_[lost, (stamps[jumps] - stamps[jumps - 1]) * sfreq - 1]
        order = np.argsort(gaps, kind="stable")
        gaps, lost = gaps[order], lost[order]
        notes += _check_rate(len(stamps) - 1 + float(lost.sum()), float(stamps[-1] - stamps[0]), sfreq, name)
    return gaps, lost, notes


def _check_rate(n_steps: float, span_s: float, sfreq: float, name: str) -> list[str]:
    """Compare the stated rate with the times of arrival, where these are long enough to tell."""
    if span_s < SHORTEST_PAUSE_S or n_steps <= 0:
        return []
    measured = n_steps / span_s
    error = abs(measured / sfreq - 1)
    if error > LARGEST_RATE_ERROR:
        raise RecordingError(
            "contradictory_rate",
            f"{name}: the times in column {STAMP!r} say {measured:.4g} Hz, and the file {sfreq:g} Hz. Expected both within "
            f'{LARGEST_RATE_ERROR:.0%}. Declare the right one in the recording\'s sidecar: {{"sfreq": {round(measured)}}}.',
        )
    return (
        [f"samples arrived at {measured:.4g} Hz, where the file says {sfreq:g} Hz"] if error > NOTED_RATE_ERROR else []
    )


def _flashes(table: Table, sfreq: float, declared: Declared, name: str) -> tuple[Stimulation, list[str]]:
    """Take the markers, or the one digital or analog pin on which something happens."""
    columns = table.columns
    if declared.event_column is not None:
        named = [declared.event_column]
        if named[0] not in columns:
            raise RecordingError(
                "missing_stim",
                f"{name}: no column {named[0]!r}, which is declared as event_column. Found {few_of(columns)}.",
            )
    else:
        named = [column for column in columns if column.startswith(("Marker", "Digital", "Analog"))]
    values = table.whole(named[:MOST_EVENT_COLUMNS]) if named else np.zeros((0, 0))
    moving = {column: row for column, row in zip(named, values, strict=False) if len(row) and (row != row[0]).any()}
    marked = [column for column in moving if column.startswith("Marker")]
    candidates = marked or list(moving)
    if len(candidates) != 1:
        others = [column for column in columns if not column.startswith((EXG, INDEX, STAMP))]
        likely = candidates or others
        what = (
            f"{len(candidates)} columns that may be the triggers, {few_of(candidates)}"
            if candidates
            else (f"no marker, and nothing on a digital or analog pin, found {few_of(others)}")
        )
        suggest(**({"event_column": candidates[0]} if candidates else {}))
        way_out = f": {json.dumps({'event_column': likely[0]})}" if likely else ""
        raise RecordingError(
            "missing_stim",
            f"{name}: {what}. Expected the codes of flashes in one column. Declare it in the recording's sidecar{way_out}.",
        )
    (column,) = candidates
    return events.from_codes(moving[column], name, sfreq, declared), [f"events taken from column {column}"]


def _unreadable(name: str, what: str) -> RecordingError:
    return RecordingError(
        "unreadable", f"{name}: not a readable OpenBCI file: {what}. Copy it again from where it was recorded."
    )
