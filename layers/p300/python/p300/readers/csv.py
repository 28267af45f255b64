"""CSV: a header with time, eeg_<channel>, stim, flash; or headless as in the Brain Invaders data sets.

Lines before it that begin with ``#`` may declare what the columns do not tell: ``# sfreq=512 unit=V``, and the channels that are
bad: ``# bads=P3;O1``.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.arrow import to_numpy
from p300.errors import RecordingError
from p300.recording import RecordingStream

from . import events, timing
from .brain_invaders import FILE_LAYOUTS, player_of
from .channels import FileChannel, choose, present
from .checks import check_n_channels, check_n_samples
from .columns import (
    EEG_PREFIX,
    FLASH,
    STIM,
    channel_names,
    eeg_columns,
    flash_groups,
    kinds_of_eeg,
    other_stim,
    sampling_rate,
    time_column,
    volts_per_unit,
)
from .declared import Declared
from .stim_lines import StimLine, compared

BLOCK_BYTES = 8 << 20
LONGEST_LINE_BYTES, MOST_COMMENTS = 1 << 20, 100
DELIMITERS = ",;\t"
DECLARED = re.compile(r"\b(sfreq|unit)\s*[=:]\s*([^\s,;]+)", re.IGNORECASE)
BADS = re.compile(r"\bbads\s*[=:]\s*(\S[^,]*?)\s*(?:,|$)", re.IGNORECASE)


@dataclass(frozen=True)
class _Head:
    """What stands before the rows: column names, made up where there are none, comment lines, and what these declare."""

    columns: list[str]
    headless: bool
    n_comments: int
    declared: dict[str, str] = field(default_factory=dict)
    delimiter: str = ","
    decimal_point: str = "."


def read(path: Path, name: str, declared: Declared) -> RecordingStream:
    """Open a csv recording, in microvolts unless a comment line says otherwise; its rate from there, or from the time column."""
    head = _head(path, name)
    if head.headless:
        return _headless(path, name, head, declared)
    scale, unit_notes = volts_per_unit(head.declared.get("unit"), declared, name)
    eeg = eeg_columns(head.columns, name)
    check_n_channels(len(eeg), name)
    time = time_column(head.columns)
    wanted = [column for column in (time, STIM, FLASH) if column in head.columns]
    side = dict(zip(wanted, _whole(path, name, head, wanted), strict=True))
    ch_names, name_notes = channel_names(eeg, None, name)
    stated = head.declared.get("sfreq")
    hz = None if stated is None else sampling_rate(stated, eeg, name)[0]
    timed = timing.from_stamps(side[time], hz, name) if time else None
    sfreq, rate_notes = sampling_rate(timed.sfreq if timed else stated, eeg, name)
    chosen = choose([FileChannel(channel) for channel in ch_names], kinds_of_eeg(declared, head.columns), name)
    eeg = [eeg[pick] for pick in chosen.picks]
    groups = flash_groups(side[FLASH], name) if FLASH in side else None
    decoded = events.from_codes(side[STIM], name, sfreq, declared, groups=groups)
    others = [_line(path, name, head, column, sfreq) for column in other_stim(head.columns, eeg)]
    decoded = compared(decoded, STIM, others, (len(decoded.stim), sfreq), declared, name)
    return RecordingStream(
        chosen.names,
        sfreq,
        len(decoded.stim),
        decoded.stim,
        decoded.flash,
        lambda: _batches(path, name, head, eeg),
        scale,
        (*name_notes, *rate_notes, *(timed.notes if timed else ()), *unit_notes, *chosen.notes, *decoded.notes),
        gaps=timed.gaps if timed else (),
        bad_channels=present(head.declared.get("bads", "").split(";"), chosen.names),
    )


def _line(path: Path, name: str, head: _Head, column: str, sfreq: float) -> StimLine:
    def read_line() -> tuple[NDArray[np.float64], float]:
        return _whole(path, name, head, [column])[0], sfreq

    return StimLine(column.removeprefix(EEG_PREFIX), read_line)


def _headless(path: Path, name: str, head: _Head, declared: Declared) -> RecordingStream:
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
    side = _whole(path, name, head, [columns[0], *(columns[i] for i in layout.stim)])
    stated = head.declared.get("sfreq")
    hz = layout.sfreq if stated is None else sampling_rate(stated, [], name)[0]
    timed = timing.of_layout(side[0], hz, name) if layout.first_eeg else timing.Timing(hz)
    decoded = events.from_codes(side[1:].sum(axis=0), name, timed.sfreq, declared, data_set=layout.data_set)
    scale, unit_notes = volts_per_unit(head.declared.get("unit"), declared, name)
    unit = declared.unit or head.declared.get("unit", "microvolts")
    return RecordingStream(
        layout.ch_names,
        timed.sfreq,
        len(decoded.stim),
        decoded.stim,
        decoded.flash,
        lambda: _batches(path, name, head, [columns[i] for i in layout.eeg_columns(player)]),
        scale,
        (
            f"headless csv of {len(columns)} columns read as {layout.data_set}, {unit}",
            *([f"two players: read as player {player}"] if layout.second_player else []),
            *timed.notes,
            *unit_notes,
            *decoded.notes,
        ),
        gaps=timed.gaps,
    )


def _head(path: Path, name: str) -> _Head:
    declared: dict[str, str] = {}
    n_comments, text = 0, ""
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE_BYTES):
            if b"\0" in line:
                raise RecordingError("unreadable", f"{name}: not a csv file: it holds binary data.")
            text = line.decode("utf-8-sig", "replace")
            if not text.startswith("#") or n_comments == MOST_COMMENTS:
                break
            n_comments += 1
            for key, value in DECLARED.findall(text):
                if declared.setdefault(key.lower(), value) != value:
                    raise RecordingError(
                        "bad_metadata",
                        f"{name}: the lines before the header declare {key.lower()} as {declared[key.lower()]} and as {value}. Keep the "
                        "right one.",
                    )
            if named := BADS.search(text.strip()):
                declared["bads"] = named[1]
        first_row = file.readline(LONGEST_LINE_BYTES).decode("utf-8", "replace")
    delimiter = max(DELIMITERS, key=text.count)
    decimal_point = "," if delimiter != "," and "," in first_row + text else "."
    cells = [cell.strip().strip('"').strip() for cell in text.split(delimiter)]
    try:
        [float(cell.replace(decimal_point, ".")) for cell in cells]
        columns, headless = [f"column {i}" for i in range(1, len(cells) + 1)], True
    except ValueError:
        columns, headless = cells, False
    return _Head(columns, headless, n_comments, declared, delimiter, decimal_point)


def _whole(path: Path, name: str, head: _Head, wanted: list[str]) -> NDArray[np.float64]:
    """Read some columns, of shape (n_columns, n_samples)."""
    parts, n_samples = [], 0
    for part in _batches(path, name, head, wanted):
        parts.append(part)
        n_samples += part.shape[1]
        check_n_samples(n_samples, name)
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(wanted), 0))


def _batches(path: Path, name: str, head: _Head, wanted: list[str]) -> Iterator[NDArray[np.float64]]:
    """Read some columns as numbers, a piece at a time, each of shape (n_columns, n_rows)."""
    import pyarrow as pa
    from pyarrow import csv

    convert = csv.ConvertOptions(
        include_columns=wanted,
        column_types=dict.fromkeys(wanted, pa.float64()),
        decimal_point=head.decimal_point,
    )
    parse = csv.ParseOptions(delimiter=head.delimiter)
    # Names as cleaned here: some tools write a blank after each comma.
    options = csv.ReadOptions(
        column_names=head.columns,
        skip_rows=head.n_comments + (0 if head.headless else 1),
        block_size=BLOCK_BYTES,
    )
    with (
        _explained(name),
        csv.open_csv(path, read_options=options, parse_options=parse, convert_options=convert) as reader,
    ):
        for batch in reader:
            yield np.stack([to_numpy(batch.column(i)) for i in range(len(wanted))])


@contextmanager
def _explained(name: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except pa.ArrowInvalid as error:
        code = "not_numeric" if "conversion" in str(error) else "unreadable"
        raise RecordingError(code, f"{name}: {error}. Expected numbers in every column of every row.") from error
    except pa.ArrowKeyError as error:
        raise RecordingError("unreadable", f"{name}: {error}.") from error
