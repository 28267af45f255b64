"""CSV: a header with time, eeg_<channel>, stim, flash; or headless as in the Brain Invaders data sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.arrow import to_numpy
from p300.errors import RecordingError
from p300.recording import RecordingStream

from .brain_invaders import LAYOUTS, EventId, decode_stim, player_of
from .columns import FLASH, STIM, channel_names, eeg_columns, sampling_rate

TIME = "time"
BLOCK_BYTES = 8 << 20
VOLTS_PER_UNIT = 1e-6
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 50, 20_000  # of EEG amplifiers


def read(path: Path, name: str, event_id: EventId | None) -> RecordingStream:
    """Open a csv recording in microvolts; its rate comes from the time column."""
    columns, headless = _columns(path, name)
    if headless:
        return _headless(path, name, columns, event_id)
    eeg = eeg_columns(columns, name)
    wanted = [column for column in (TIME, STIM, FLASH) if column in columns]
    parts = list(_batches(path, name, None, wanted))
    side = {column: np.concatenate([part[i] for part in parts]) for i, column in enumerate(wanted)} if parts else {}
    ch_names, name_notes = channel_names(eeg, None, name)
    sfreq, rate_notes = sampling_rate(_rate(side.get(TIME)), eeg, name)
    decoded = decode_stim(side.get(STIM, np.zeros(0)), name, event_id)
    flash = np.nan_to_num(side[FLASH]).astype(np.int32) if FLASH in side else decoded.flash
    return RecordingStream(
        ch_names,
        sfreq,
        len(decoded.stim),
        decoded.stim,
        flash,
        lambda: _batches(path, name, None, eeg),
        VOLTS_PER_UNIT,
        (*name_notes, *rate_notes, *decoded.notes),
    )


def _headless(path: Path, name: str, columns: list[str], event_id: EventId | None) -> RecordingStream:
    layouts = [layout for layout in LAYOUTS if layout.n_columns == len(columns)]
    if not layouts:
        widths = sorted({layout.n_columns for layout in LAYOUTS})
        raise RecordingError(
            "missing_eeg",
            f"{name}: {len(columns)} columns without a header; expected a header with eeg_<channel> and stim, or a "
            f"Brain Invaders layout of {widths} columns.",
        )
    layout = layouts[0]
    player = player_of(name)
    names = [columns[i] for i in layout.stim]
    parts = list(_batches(path, name, columns, [columns[0], *names]))
    side = np.concatenate(parts, axis=1) if parts else np.zeros((1 + len(names), 0))
    decoded = decode_stim(side[1:].sum(axis=0), name, event_id)
    measured = _rate(side[0]) if layout.first_eeg else None
    if measured is None or not LOWEST_RATE_HZ <= measured <= HIGHEST_RATE_HZ:
        measured = layout.sfreq  # no time, or not in seconds
    notes = (f"headless csv of {len(columns)} columns read as {layout.data_set}, microvolts",)
    return RecordingStream(
        layout.ch_names,
        measured,
        len(decoded.stim),
        decoded.stim,
        decoded.flash,
        lambda: _batches(path, name, columns, [columns[i] for i in layout.eeg_columns(player)]),
        VOLTS_PER_UNIT,
        (*notes, *([f"two players: read as player {player}"] if layout.second_player else []), *decoded.notes),
    )


def _columns(path: Path, name: str) -> tuple[list[str], bool]:
    """Return the column names, made up where the first line is numbers already."""
    with path.open("rb") as file:
        line = file.readline(1 << 20)
    if b"\0" in line:
        raise RecordingError("unreadable", f"{name}: not a csv file: it holds binary data.")
    cells = [cell.strip().strip('"') for cell in line.decode("utf-8-sig", "replace").split(",")]
    try:
        [float(cell) for cell in cells]
    except ValueError:
        return cells, False
    return [f"column {i}" for i in range(1, len(cells) + 1)], True


def _batches(path: Path, name: str, columns: list[str] | None, wanted: list[str]) -> Iterator[NDArray[np.float64]]:
    """Read some columns as numbers, a piece at a time, each of shape (n_columns, n_rows)."""
    import pyarrow as pa
    from pyarrow import csv

    convert = csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.float64()))
    options = csv.ReadOptions(column_names=columns, block_size=BLOCK_BYTES)
    with _explained(name), csv.open_csv(path, read_options=options, convert_options=convert) as reader:
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


def _rate(times: NDArray[np.float64] | None) -> float | None:
    """Return the rate of a time column in seconds; a printed time has few digits, so its whole span counts."""
    if times is None or len(times) < 2 or not np.isfinite(times[[0, -1]]).all() or times[-1] <= times[0]:
        return None
    return round((len(times) - 1) / float(times[-1] - times[0]), 2)
