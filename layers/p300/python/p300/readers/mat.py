"""MATLAB: matrices of the Brain Invaders data sets, or `samples` (time, channels, stim) with `sfreq`, `channels`."""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import RecordingStream
from p300.text import few_of

from . import events, matlab73, timing
from .beside_stim import naming_columns
from .brain_invaders import FILE_LAYOUTS, FileLayout, player_of
from .channels import FileChannel, choose, other_kind
from .checks import check_length, check_unfolding
from .columns import sampling_rate, volts_per_unit
from .declared import Declared
from .hdf5_files import is_hdf5
from .look import movement
from .matlab_files import check_matlab
from .stim_lines import StimLine, read_beside
from .units import LARGEST_MOVEMENT_V

ROWS_PER_BLOCK = 1 << 16
SAMPLES_LOOKED_AT = 1 << 14
NAMED = "samples"  # the variable that may come with sfreq, channels and unit
ORDER = (
    f"The columns of '{NAMED}' have no names and go by their order: first the time in seconds, then one column for each channel in the "
    "order of 'channels', and last the stim column with 1 (NonTarget) or 2 (Target) at each flash and 0 elsewhere."
)


def read(path: Path, name: str, declared: Declared) -> RecordingStream:
    """Read a MATLAB recording; MATLAB files cannot be read in pieces."""
    shapes = _shapes(path, name)
    layout = _layout(shapes, name)
    wanted = [*layout.variables] if layout else [NAMED, "sfreq", "channels", "unit"]
    variables = _load(path, name, wanted)
    if layout is None:
        return _named(variables, name, declared)
    matrix = _matrix(next(variables[v] for v in layout.variables if v in shapes), name)
    check_length(len(matrix), layout.sfreq, name)
    player = player_of(name)
    timed = (
        timing.of_layout(matrix[:, 0].astype(np.float64), layout.sfreq, name)
        if layout.first_eeg
        else timing.Timing(layout.sfreq)
    )
    codes = matrix[:, list(layout.stim)].sum(axis=1)
    decoded = events.from_codes(codes, name, layout.sfreq, declared, data_set=layout.data_set)
    eeg = layout.eeg_columns(player)
    scale, notes = 1e-6, [f"MATLAB matrix read as {layout.data_set}"]
    if declared.unit is not None:
        scale, unit_notes = volts_per_unit(None, declared, name)
        notes.extend(unit_notes)
    elif not layout.unit_known:
        some = movement(np.nan_to_num(matrix[:SAMPLES_LOOKED_AT, eeg].T.astype(np.float64)), layout.sfreq)
        microvolts = np.median(some) > LARGEST_MOVEMENT_V
        scale = 1e-6 if microvolts else 1.0
        notes.append(f"unit not in the file: by their size, the values are {'microvolts' if microvolts else 'volts'}")
    if layout.second_player:
        notes.append(f"two players: read as player {player}")
    stimulation = dataclasses.replace(decoded, notes=(*notes, *timed.notes, *decoded.notes))
    return _stream(layout.ch_names, timed, matrix, eeg, scale, stimulation)


def _layout(shapes: dict[str, tuple[int, ...]], name: str) -> FileLayout | None:
    """Find the data set whose matrix this is; None for one that brings its own names."""
    for layout in FILE_LAYOUTS:
        for variable in layout.variables:
            if shapes.get(variable, ())[1:] == (layout.n_columns,) and "sfreq" not in shapes:
                return layout
    if NAMED in shapes and "sfreq" in shapes:
        return None
    known = ", ".join(
        f"'{variable}' (n x {layout.n_columns})" for layout in FILE_LAYOUTS for variable in layout.variables
    )
    raise RecordingError(
        "missing_eeg",
        f"{name}: no matrix of a known layout, found {shapes or 'no variable'}; expected one of {known}, or '{NAMED}' "
        f"(n x time, channels, stim) with 'sfreq' and 'channels'. {ORDER}",
    )


def _named(variables: dict[str, Any], name: str, said: Declared) -> RecordingStream:
    matrix = _matrix(variables[NAMED], name)
    n_channels = matrix.shape[1] - 2
    declared = [str(np.squeeze(channel)).strip() for channel in np.ravel(variables.get("channels", []))]
    if declared and len(declared) != n_channels:
        raise RecordingError(
            "bad_metadata",
            f"{name}: 'channels' names {few_of(declared) or 'none'}, '{NAMED}' has {matrix.shape[1]} columns, of which "
            f"{n_channels} would be EEG. {ORDER}",
        )
    ch_names = tuple(declared or (f"ch{i:02d}" for i in range(1, n_channels + 1)))
    rate = np.squeeze(variables["sfreq"])
    sfreq, _ = sampling_rate(str(rate) if rate.ndim == 0 else rate.dtype.name, [], name)
    check_length(len(matrix), sfreq, name)
    unit = variables.get("unit")
    scale, notes = volts_per_unit(None if unit is None else str(np.squeeze(unit)), said, name)
    with _expecting_order():
        timed = timing.from_stamps(matrix[:, 0].astype(np.float64), sfreq, name) or timing.Timing(sfreq)
    lines = [
        StimLine(channel, lambda column=column: (matrix[:, column], sfreq))  # type: ignore[misc]
        for column, channel in enumerate(ch_names, 1)
        if other_kind(FileChannel(channel)) == "trigger"
    ]
    triggers = {line.name: line.read for line in lines}
    with (
        _expecting_order(),
        naming_columns(list(triggers), lambda channel: triggers[channel]()[0], "put it last, in the stim's place"),
    ):
        decoded = read_beside(
            lambda doubtful: events.from_codes(matrix[:, -1], name, sfreq, said, doubtful=doubtful),
            "the last column",
            lines,
            (len(matrix), sfreq),
            said,
            name,
        )
    if not declared:
        notes = ("channel names not in the file: numbered", *notes)
    chosen = choose([FileChannel(channel) for channel in ch_names], said.channel_kinds, name)
    decoded = dataclasses.replace(decoded, notes=(*timed.notes, *notes, *chosen.notes, *decoded.notes))
    return _stream(chosen.names, timed, matrix, [1 + pick for pick in chosen.picks], scale, decoded)


@contextmanager
def _expecting_order() -> Iterator[None]:
    """Add to a refusal of a column which columns are expected where: one in another place is the likeliest cause."""
    try:
        yield
    except RecordingError as refusal:
        if refusal.code == "contradictory_events":
            raise
        raise RecordingError(refusal.code, f"{refusal.message} {ORDER}") from refusal


def _matrix(value: Any, name: str) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.shape[1] < 3 or value.dtype.kind not in "iuf":
        found = f"{value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise RecordingError(
            "missing_eeg",
            f"{name}: the matrix of samples is {found}; expected real numbers, n x (time, channels, stim). {ORDER}",
        )
    return value


def _stream(
    ch_names: tuple[str, ...],
    timed: timing.Timing,
    matrix: NDArray[Any],
    eeg: list[int],
    volts_per_unit: float,
    stimulation: events.Stimulation,
) -> RecordingStream:
    dtype = matrix.dtype if np.issubdtype(matrix.dtype, np.floating) else np.dtype(np.float64)

    def blocks() -> Iterator[NDArray[np.floating]]:
        for start in range(0, len(matrix), ROWS_PER_BLOCK):
            yield np.ascontiguousarray(matrix[start : start + ROWS_PER_BLOCK, eeg].T, dtype)

    return RecordingStream(
        ch_names,
        timed.sfreq,
        len(matrix),
        stimulation.stim,
        stimulation.flash,
        blocks,
        volts_per_unit,
        stimulation.notes,
        gaps=timed.gaps,
    )


def _shapes(path: Path, name: str) -> dict[str, tuple[int, ...]]:
    """List the variables without keeping what they unfold to."""
    if is_hdf5(path):
        return matlab73.shapes(path, name)
    from scipy.io import whosmat

    check_matlab(path, name)
    try:
        variables = whosmat(path)
    except Exception as error:  # scipy raises whatever the bytes lead it into
        raise _unreadable(name, error) from error
    shapes = {variable: tuple(shape) for variable, shape, _ in variables}
    check_unfolding(sum(8 * math.prod(shape) for shape in shapes.values()), path.stat().st_size, name)
    return shapes


def _load(path: Path, name: str, wanted: list[str]) -> dict[str, Any]:
    if is_hdf5(path):
        return matlab73.load(path, name, wanted)
    from scipy.io import loadmat

    try:
        variables: dict[str, Any] = loadmat(path, variable_names=wanted)
    except Exception as error:
        raise _unreadable(name, error) from error
    return variables


def _unreadable(name: str, error: Exception) -> RecordingError:
    return RecordingError(
        "unreadable", f"{name}: not a readable MATLAB file ({error}). Save it again with -v7 or -v7.3, and upload it."
    )
