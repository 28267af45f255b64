"""Flashes on stim channels and columns. Where a file has several that can be read, they have to say the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from p300.channels import plain
from p300.errors import RecordingError
from p300.limits import MOST_STIM_CHANNELS

from .channels import MISC
from .declared import Declared
from .events import Stimulation, from_codes
from .seen import suggest, unseen
from .two_sources import agreed

DAMAGED = "unreadable"
"""A refusal of the file, and not of what it says."""


@dataclass(frozen=True)
class StimLine:
    """A stim channel or column.

    Attributes
    ----------
    name : str
        As the file has it.
    read : callable
        Returns its codes, shape (n_samples,), and their rate in Hz; a pass over the file.
    """

    name: str
    read: Callable[[], tuple[NDArray[np.number], float]]


def decoded(
    lines: Sequence[StimLine], n_samples: int, sfreq: float, declared: Declared, name: str
) -> tuple[Stimulation | None, list[RecordingError]]:
    """Return the flashes of a file's stim channels.

    Parameters
    ----------
    lines : sequence of StimLine
        All that the file has; those declared ``misc`` are not read.
    n_samples : int
        Length of the recording.
    sfreq : float
        Its rate in Hz.
    declared : Declared
        What a person says about the file.
    name : str
        What to call it in messages.

    Returns
    -------
    flashes : Stimulation or None
        Those of the first that can be read, with a note on the others; None where there is none.
    refusals : list of RecordingError
        Why the others cannot be read.

    Raises
    ------
    RecordingError
        ``contradictory_events``; ``too_many_channels``.
    """
    if len(lines) > MOST_STIM_CHANNELS:
        raise RecordingError(
            "too_many_channels",
            f"{name}: {len(lines):,} stim channels; expected at most {MOST_STIM_CHANNELS}. Export the one that holds the triggers.",
        )
    refusals: list[RecordingError] = []
    readable = without_declared(lines, declared)
    for number, line in enumerate(readable):
        try:
            flashes = _flashes(line, n_samples, sfreq, declared, name)
        except RecordingError as refusal:
            if refusal.code == DAMAGED:
                raise
            refusals.append(refusal)
            continue
        unused = [
            f"{line.name} ({refusal.code})"
            for line, refusal in zip(readable, refusals, strict=False)
            if refusal.code != "no_events"
        ]
        if unused:
            flashes = _noted(flashes, f"flashes taken from {line.name}; not used: {', '.join(unused)}")
        return compared(flashes, line.name, readable[number + 1 :], (n_samples, sfreq), declared, name), refusals
    return None, refusals


def compared(
    flashes: Stimulation,
    line_name: str,
    others: Sequence[StimLine],
    extent: tuple[int, float],
    declared: Declared,
    name: str,
) -> Stimulation:
    """Return the flashes of a stim channel or column, if no other one contradicts them.

    Parameters
    ----------
    flashes : Stimulation
        What it says.
    line_name : str
        Its name.
    others : sequence of StimLine
        Those that may hold flashes too; those declared ``misc`` are not read.
    extent : (int, float)
        Length and rate in Hz of the recording.
    declared : Declared
        What a person says about the file.
    name : str
        What to call it in messages.

    Returns
    -------
    Stimulation
        With a note on the others.

    Raises
    ------
    RecordingError
        ``contradictory_events``.
    """
    unused = []
    for line in without_declared(others, declared):
        with unseen():
            try:
                other = _flashes(line, *extent, declared, name)
            except RecordingError as refusal:
                if refusal.code == DAMAGED:
                    raise
                unused += [f"{line.name} ({refusal.code})"] if refusal.code != "no_events" else []
                continue
        way_out = (
            f'Where one of the two holds something else, declare it: {{"channel_kinds": {{"{line.name}": "{MISC}"}}}} leaves the flashes '
            f"of {line_name}."
        )
        try:
            flashes = agreed(flashes, other, [], extent[1], name, way_out, (line_name, line.name))
        except RecordingError:
            suggest(channel_kinds={line.name: MISC})
            raise
    return _noted(flashes, f"not used for flashes: {', '.join(unused)}") if unused else flashes


def _noted(flashes: Stimulation, note: str) -> Stimulation:
    return replace(flashes, notes=(*flashes.notes, note))


def _flashes(line: StimLine, n_samples: int, sfreq: float, declared: Declared, name: str) -> Stimulation:
    codes, rate = line.read()
    return _on_samples(from_codes(codes, name, rate, declared), n_samples, sfreq / rate)


def without_declared(lines: Sequence[StimLine], declared: Declared) -> list[StimLine]:
    """Return the stim channels that nobody declares to be something else."""
    misc = {plain(channel) for channel, kind in declared.channel_kinds.items() if kind == MISC}
    return [line for line in lines if plain(line.name) not in misc]


def _on_samples(found: Stimulation, n_samples: int, ratio: float) -> Stimulation:
    """Put flashes of a stim channel with a rate of its own on the samples of the EEG."""
    if ratio == 1 and len(found.stim) == n_samples:
        return found
    at = np.flatnonzero(found.stim)
    to = np.minimum(np.round(at * ratio).astype(np.int64), n_samples - 1)
    stim = np.zeros(n_samples, np.int32)
    stim[to] = found.stim[at]
    flash = None
    if found.flash is not None:
        flash = np.zeros(n_samples, np.int32)
        flash[to] = found.flash[at]
    return Stimulation(stim, flash, found.notes)
