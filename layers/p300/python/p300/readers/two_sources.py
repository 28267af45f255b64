"""Flashes that are stated twice, as annotations, on stim channels or in a table of events: they have to say the same."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import NON_TARGET, TARGET

from .events import Stimulation
from .seen import doubt, unseen

LARGEST_APART_S = 0.02
"""Between an annotation and its trigger: a sample of rounding, or the software that wrote one of the two a little late."""
LARGEST_UNMATCHED = 0.02
"""Share of flashes that only one of the two has: a pulse at the very first sample, a trial that somebody removed."""
ANNOTATIONS = "the annotations"


def agreed(
    by_name: Stimulation,
    by_code: Stimulation | None,
    unused: Sequence[str],
    sfreq: float,
    name: str,
    way_out: str | None,
    names: tuple[str, str] = (ANNOTATIONS, "the stim channel"),
) -> Stimulation:
    """Return the flashes of the first source, usually the annotations, if the second, usually a stim channel, does not contradict them.

    Parameters
    ----------
    by_name : Stimulation
        What the first source says.
    by_code : Stimulation or None
        What the second says; None where there is none, or it says nothing.
    unused : sequence of str
        Other sources that say nothing, and why.
    sfreq : float
        The recording's rate in Hz.
    name : str
        What to call it in messages.
    way_out : str or None
        How to declare that the first is right; None where a person has done so: then it is taken, with a note.
    names : (str, str)
        What to call the two.

    Returns
    -------
    Stimulation
        With a note on what was used, where there was a choice, and what was noted of both.

    Raises
    ------
    RecordingError
        ``contradictory_events``.
    """
    if by_code is None:
        note = f"flashes taken from {names[0]}; not used for flashes: {', '.join(unused)}"
        return replace(by_name, notes=(*by_name.notes, note)) if unused else by_name
    onset, other = np.flatnonzero(by_name.stim), np.flatnonzero(by_code.stim)
    at = nearest(onset, other)
    together = np.abs(other[at] - onset) <= max(1, round(LARGEST_APART_S * sfreq))
    same = together & (by_code.stim[other[at]] == by_name.stim[onset])
    n_unmatched = max(len(onset), len(other)) - len(np.unique(at[same]))
    n_contradicted = int((together & ~same).sum())
    of_other = tuple(f"{names[1]}: {note.removeprefix('stim: ')}" for note in by_code.notes)
    if not n_contradicted and n_unmatched <= max(2, LARGEST_UNMATCHED * len(onset)):
        says = "say" if names[1] == ANNOTATIONS else "says"
        note = f"flashes taken from {names[0]}; {names[1]} {says} the same"
        if n_unmatched:
            note = f"{note}, but for {n_unmatched} flashes that only one of the two has"
        flash = by_name.flash if by_name.flash is not None else _groups(by_name, by_code, onset, other[at], same)
        return replace(by_name, flash=flash, notes=(*by_name.notes, note, *of_other))
    found = f"{_counts(by_name.stim)} in {names[0]}, {_counts(by_code.stim)} in {names[1]}"
    differing = (
        f"{n_contradicted} at the same time are of another class, and {n_unmatched} have no match of their class"
    )
    if way_out is None:
        doubt()
        note = f"flashes taken from {names[0]}, as declared, though they contradict {names[1]}: {found}; {differing}"
        return replace(by_name, notes=(*by_name.notes, note, *of_other))
    raise RecordingError(
        "contradictory_events",
        f"{name}: {found}; {differing}. Expected both to say the same. Export the recording with the one that is right, or declare which "
        f"is. {way_out}",
    )


def coincide(first: Stimulation, second: Stimulation, sfreq: float) -> bool:
    """Tell whether most flashes of the first are in the second too, of whatever class.

    Parameters
    ----------
    first : Stimulation
        What one source says.
    second : Stimulation
        What another says.
    sfreq : float
        The recording's rate in Hz.

    Returns
    -------
    coincide : bool
    """
    onset, other = np.flatnonzero(first.stim), np.flatnonzero(second.stim)
    if not len(other):
        return False
    together = np.abs(other[nearest(onset, other)] - onset) <= max(1, round(LARGEST_APART_S * sfreq))
    return 2 * int(together.sum()) > len(onset)


def steady_delay(first: Stimulation, second: Stimulation, most_s: float, sfreq: float) -> int:
    """Return by how many samples all flashes of the second come later than those of the first.

    Parameters
    ----------
    first : Stimulation
        What one source says.
    second : Stimulation
        What another says.
    most_s : float
        The longest delay to allow, in seconds.
    sfreq : float
        The recording's rate in Hz.

    Returns
    -------
    delay : int
        Negative where they come earlier; 0 where the two agree as they are, or differ in anything but a delay.
    """
    onset, other = np.flatnonzero(first.stim), np.flatnonzero(second.stim)
    if not len(onset) or not np.array_equal(first.stim[onset], second.stim[other]):
        return 0
    apart = other - onset
    delay = round(float(np.median(apart)))
    is_steady = bool((np.abs(apart - delay) <= 1).all())
    return delay if is_steady and LARGEST_APART_S < abs(delay) / sfreq <= most_s else 0


def even_doubtful[S: Stimulation | None](read: Callable[[bool], S], beside: Stimulation | None, sfreq: float) -> S:
    """Read a source; one that is implausible by itself, only where it has the flashes of another one: it contradicts that one.

    Parameters
    ----------
    read : callable
        Returns what the source says; takes whether implausible flashes are returned too.
    beside : Stimulation or None
        What the other source says.
    sfreq : float
        Rate in Hz.

    Returns
    -------
    Stimulation or None
        What `read` returns.

    Raises
    ------
    RecordingError
        What `read` raises.
    """
    try:
        return read(False)
    except RecordingError as refusal:
        if beside is None or refusal.code != "implausible_events":
            raise
        with unseen():
            try:
                found = read(True)
            except RecordingError:
                raise refusal from None
        if found is None or not coincide(beside, found, sfreq):
            raise
        return found


def nearest(onset: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which of the others is nearest to each onset.

    Parameters
    ----------
    onset : ndarray of int, shape (n_onsets,)
        Samples.
    other : ndarray of int, shape (n_others,)
        Samples, ascending; at least one.

    Returns
    -------
    places : ndarray of int, shape (n_onsets,)
    """
    after = np.clip(np.searchsorted(other, onset), 0, len(other) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(other[before] - onset) <= np.abs(other[after] - onset), before, after)


def _groups(
    by_name: Stimulation,
    by_code: Stimulation,
    onset: NDArray[np.int64],
    other: NDArray[np.int64],
    same: NDArray[np.bool_],
) -> NDArray[np.int32] | None:
    """Put the stimulus groups that only the stim channel knows at the annotations' flashes."""
    if by_code.flash is None or not same.all():
        return None
    flash = np.zeros(len(by_name.stim), np.int32)
    flash[onset] = by_code.flash[other]
    return flash


def _counts(stim: NDArray[np.int32]) -> str:
    return f"{int((stim == TARGET).sum()):,} Target and {int((stim == NON_TARGET).sum()):,} NonTarget flashes"
