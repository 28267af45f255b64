"""What is declared of a recording once it is read, whatever its format: other names of channels, and flashes later than their events."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from p300.channels import plain
from p300.errors import RecordingError
from p300.recording import RecordingStream
from p300.text import few_of, n_of


def renamed(stream: RecordingStream, channel_names: Mapping[str, str], name: str) -> RecordingStream:
    """Return a recording with other names of channels.

    Parameters
    ----------
    stream : RecordingStream
        As its reader returns it.
    channel_names : mapping of str to str
        New names by those that the file has.
    name : str
        What to call the recording in messages.

    Returns
    -------
    RecordingStream

    Raises
    ------
    RecordingError
        ``bad_declaration`` for a name that no EEG channel has.
    """
    if not channel_names:
        return stream
    present = {plain(channel) for channel in stream.ch_names}
    if unknown := [channel for channel in channel_names if plain(channel) not in present]:
        raise RecordingError(
            "bad_declaration",
            f"{name}: channel_names renames {few_of(unknown)}; expected names of EEG channels that the file has: "
            f"{few_of(stream.ch_names)}.",
        )
    new = {plain(channel): called for channel, called in channel_names.items()}
    return dataclasses.replace(
        stream,
        ch_names=tuple(new.get(plain(channel), channel) for channel in stream.ch_names),
        bad_channels=tuple(new.get(plain(channel), channel) for channel in stream.bad_channels),
    )


def moved(stream: RecordingStream, delay_ms: float, name: str) -> RecordingStream:
    """Return a recording whose flashes are later than its events.

    Parameters
    ----------
    stream : RecordingStream
        Flashes at the samples of their events.
    delay_ms : float
        In milliseconds; negative where flashes were earlier.
    name : str
        What to call the recording in messages.

    Returns
    -------
    RecordingStream
        Without the flashes that would lie outside of the recording or beyond a gap, which a note counts.

    Raises
    ------
    RecordingError
        ``bad_declaration`` where no flash is left.
    """
    n_moved = round(delay_ms * stream.sfreq / 1000)
    if not n_moved:
        return stream
    at = np.flatnonzero(stream.stim)
    to = at + n_moved
    gaps = np.array(stream.gaps, np.int64)
    kept = (to >= 0) & (to < stream.n_samples)
    kept &= np.searchsorted(gaps, at, side="right") == np.searchsorted(gaps, to, side="right")
    if not kept.any():
        raise RecordingError(
            "bad_declaration",
            f"{name}: moved by {delay_ms:g} ms, none of {len(at):,} flashes lies within the recording. Correct event_delay_ms.",
        )

    def shifted(values: NDArray[np.int32]) -> NDArray[np.int32]:
        result = np.zeros_like(values)
        result[to[kept]] = values[at[kept]]
        return result

    lost = int((~kept).sum())
    notes = (
        f"flashes moved by {n_of(n_moved, 'sample')} ({delay_ms:g} ms)",
        *(
            [f"{n_of(lost, 'flash')} left out: moved, they lie outside of the recording or beyond a gap"]
            if lost
            else []
        ),
    )
    flash = None if stream.flash is None else shifted(stream.flash)
    return dataclasses.replace(stream, stim=shifted(stream.stim), flash=flash, notes=(*stream.notes, *notes))
