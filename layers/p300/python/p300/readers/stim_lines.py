"""Flashes on stim channels and columns. Where a file has several that can be read, they have to say the same."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from p300.channels import plain
from p300.errors import RecordingError
from p300.limits import MOST_STIM_CHANNELS

from .channels import MISC
from .declared import Declared
from .event_messages import counted
from .events import Stimulation, from_codes
from .own_events import Source
from .seen import Seen, unseen, watched, watched_too
from .two_sources import agreed, even_doubtful

DAMAGED = "unreadable"
"""A refusal of the file, and not of what it says."""
MOST_NOTED = 12
"""Codes that a note on a stim channel lists."""


@dataclass(frozen=True)
class StimLine:
    """A stim channel or column.

    Attributes
    ----------
    name : str
        As the file has it.
    read : callable
        Returns its codes, shape (n_samples,), and their rate in Hz; a pass over the file.
    by_name : bool
        Whether only its name says that it holds triggers.
    """

    name: str
    read: Callable[[], tuple[NDArray[np.number], float]]
    by_name: bool = False


@dataclass(frozen=True)
class Unread:
    """A stim channel or column whose flashes are not known.

    Attributes
    ----------
    name : str
        Its name.
    refusal : RecordingError
        Why.
    seen : Seen
        What it holds.
    """

    name: str
    refusal: RecordingError
    seen: Seen

    @property
    def said(self) -> list[str]:
        """What to say of it in a note: the reason and its codes with their counts; nothing where it is empty."""
        if self.refusal.code == "no_events":
            return []
        events = {event: len(samples) for event, samples in self.seen.events.items()}
        codes = f": {counted(events, most=MOST_NOTED)}" if events else ""
        return [f"{self.name} ({self.refusal.code}{codes})"]


def decoded(
    lines: Sequence[StimLine],
    n_samples: int,
    sfreq: float,
    declared: Declared,
    name: str,
    *,
    beside: Stimulation | None = None,
) -> tuple[Stimulation | None, str, list[Unread]]:
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
    beside : Stimulation, optional
        What the file's annotations say: channels with the same flashes are read though they alone would be implausible.

    Returns
    -------
    flashes : Stimulation or None
        Those of the first that can be read, with a note on the others; None where there is none.
    line_name : str
        Which channel that is; empty where there is none.
    refusals : list of Unread
        Why the others cannot be read.

    Raises
    ------
    RecordingError
        ``contradictory_events``; ``too_many_channels``.
    """
    readable = without_declared(lines, declared)
    if len(readable) > MOST_STIM_CHANNELS:
        raise RecordingError(
            "too_many_channels",
            f"{name}: {len(readable):,} stim channels; expected at most {MOST_STIM_CHANNELS}. Export the one that holds the triggers, or "
            f'declare the others: {{"channel_kinds": {{"{readable[-1].name}": "{MISC}"}}}}',
        )
    refusals: list[Unread] = []
    for number, line in enumerate(readable):
        try:
            with watched_too() as seen:
                flashes = _flashes(line, (n_samples, sfreq), declared, name, beside)
        except RecordingError as refusal:
            if refusal.code == DAMAGED:
                raise
            refusals.append(Unread(line.name, refusal, seen))
            continue
        if line.by_name:
            flashes = _noted(flashes, f"{line.name} read as a trigger channel, by its name")
        elif any(unread.said for unread in refusals):
            flashes = _noted(flashes, f"flashes taken from {line.name}")
        others = [*readable[:number], *readable[number + 1 :]]
        return (
            compared(flashes, line.name, others, (n_samples, sfreq), declared, name, either=True),
            line.name,
            refusals,
        )
    return None, "", refusals


def read_beside(
    decode: Callable[[bool], Stimulation],
    line_name: str,
    others: Sequence[StimLine],
    extent: tuple[int, float],
    declared: Declared,
    name: str,
    *,
    either: bool = False,
) -> Stimulation:
    """Decode a stim column and compare it with others; where it is implausible, another that contradicts it is the likelier cause.

    Parameters
    ----------
    decode : callable
        Returns the column's flashes, or raises `RecordingError`; with True, flashes that do not look like a P300 recording too.
    line_name : str
        The column's name.
    others : sequence of StimLine
        Those that may hold flashes too.
    extent : (int, float)
        Length and rate in Hz of the recording.
    declared : Declared
        What a person says about the file.
    name : str
        What to call it in messages.
    either : bool, optional
        Whether the column may be declared ``misc`` too, and another be read in its place.

    Returns
    -------
    Stimulation
        With a note on the others.

    Raises
    ------
    RecordingError
        ``contradictory_events``; what `decode` raises.
    """
    try:
        flashes = decode(False)
    except RecordingError as refusal:
        if refusal.code == "implausible_events" and others:
            with unseen():
                try:
                    doubtful = decode(True)
                except RecordingError:
                    raise refusal from None
            compared(doubtful, line_name, others, extent, declared, name, either=either)
        raise
    return compared(flashes, line_name, others, extent, declared, name, either=either)


def compared(
    flashes: Stimulation,
    line_name: str,
    others: Sequence[StimLine],
    extent: tuple[int, float],
    declared: Declared,
    name: str,
    *,
    either: bool = False,
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
    either : bool, optional
        Whether the first may be declared ``misc`` too, and another be read in its place.

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
        with watched() as seen:
            try:
                other = _flashes(line, extent, declared, name, flashes)
            except RecordingError as refusal:
                if refusal.code == DAMAGED:
                    raise
                unused += Unread(line.name, refusal, seen).said
                continue
        way_out = (
            f'Where one of the two holds something else, declare it: {{"channel_kinds": {{"{line.name}": "{MISC}"}}}} leaves the flashes '
            f"of {line_name}"
        )
        way_out += f', {{"channel_kinds": {{"{line_name}": "{MISC}"}}}} those of {line.name}.' if either else "."
        flashes = agreed(flashes, other, [], extent[1], name, way_out, (line_name, line.name))
    return _noted(flashes, f"not used for flashes: {', '.join(unused)}") if unused else flashes


def _noted(flashes: Stimulation, note: str) -> Stimulation:
    return replace(flashes, notes=(*flashes.notes, note))


def _flashes(
    line: StimLine, extent: tuple[int, float], declared: Declared, name: str, beside: Stimulation | None
) -> Stimulation:
    """Read a line; one that is implausible by itself, only where it has the flashes of another source: it contradicts that one."""
    (n_samples, sfreq), (codes, rate) = extent, line.read()

    def read(doubtful: bool) -> Stimulation:
        return _on_samples(from_codes(codes, name, rate, declared, doubtful=doubtful), n_samples, sfreq / rate)

    return even_doubtful(read, beside, sfreq)


def codes_of(lines: Sequence[StimLine], sfreq: float, declared: Declared, name: str) -> list[Source]:
    """Return the codes of stim channels whose classes are not known, at the samples of the EEG.

    Parameters
    ----------
    lines : sequence of StimLine
        All that the file has; those declared ``misc`` are not read.
    sfreq : float
        Rate of the EEG in Hz.
    declared : Declared
        What a person says about the file.
    name : str
        What to call it in messages.

    Returns
    -------
    list of Source
    """
    found = []
    for line in without_declared(lines, declared):
        codes, rate = line.read()
        with watched() as seen, suppress(RecordingError):
            from_codes(codes, name, rate, declared)
        events = {code: np.round(at * (sfreq / rate)).astype(np.int64) for code, at in seen.events.items()}
        if events:
            found.append(Source(f"the stim channel {line.name}", events))
    return found


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
