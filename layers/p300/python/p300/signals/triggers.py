"""Pulses on a trigger line: what the electronics of a parallel port do to a code, undone before the codes are interpreted.

Bits of one code rise a few samples apart, a pulse drops out for a sample, a code stays until the next one replaces it.
``mne.find_events`` reports each of these as events of its own; `Triggers(repair=False)` gives its answer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SETTLE_S = 0.004
"""Within this time, at least one sample, the bits of one code have all changed, and a drop-out is over."""
SEPARATED_FRACTION = 0.05
"""Of pulses that follow another code after a zero as short as a drop-out: then such zeros separate pulses."""
LONGEST_JOINED = 1.5
"""Times the usual pulse that one with a drop-out lasts, unless its parts are short."""
LONG_PULSE = 4
"""Where pulses usually last this many times the settling time, one that does not outlast it is a glitch."""


@dataclass(frozen=True)
class Triggers:
    """How pulses become flashes.

    Attributes
    ----------
    min_s : float or None
        Shortest pulse in seconds; by default, those that do not outlast the settling of the bits are left out where pulses
        usually last much longer.
    refractory_s : float
        After a flash, pulses that begin within this time in seconds are left out.
    repair : bool
        False takes every increase of the code for a flash, as ``mne.find_events(raw, consecutive="increasing")`` does.
    """

    min_s: float | None = None
    refractory_s: float = 0.0
    repair: bool = True


@dataclass(frozen=True)
class Pulses:
    """The pulses of a trigger line in order of time.

    Attributes
    ----------
    onset : ndarray of int64, shape (n_pulses,)
        First sample of each.
    code : ndarray of int64, shape (n_pulses,)
        What the line said once its bits had settled.
    before : ndarray of int64, shape (n_pulses,)
        The code that it replaced without a return to zero; 0 where the line was at rest.
    repaired : dict of str to int
        How many of what was repaired or left out, in words for a person.
    """

    onset: NDArray[np.int64]
    code: NDArray[np.int64]
    before: NDArray[np.int64]
    repaired: dict[str, int]


def find_pulses(line: NDArray[np.integer], sfreq: float, triggers: Triggers | None = None) -> Pulses:
    """Find the pulses of a trigger line.

    Parameters
    ----------
    line : ndarray of int, shape (n_samples,)
        As recorded, 0 at rest.
    sfreq : float
        Its rate in Hz.
    triggers : Triggers, optional
        How pulses become flashes.

    Returns
    -------
    Pulses
        A pulse that is on in the very first sample has no onset and is left out, as in MNE.
    """
    triggers = triggers or Triggers()
    codes: NDArray[np.int64] = line.astype(np.int64, copy=False)
    if not triggers.repair:
        rises = np.flatnonzero(codes[1:] > codes[:-1]) + 1
        return Pulses(rises.astype(np.int64), codes[rises], codes[rises - 1], {})
    short = settling(sfreq)
    (start, length, value), n_dropouts = _without_dropouts(codes, short)
    start, length, value, n_skewed = _settled(start, length, value, short)
    before = np.concatenate([[0], value[:-1]])
    new = (value != 0) & (start > 0)
    onset, code, before, length = start[new], value[new], before[new], length[new]

    kept = np.ones(len(onset), bool)
    if triggers.min_s is not None:
        kept = length >= triggers.min_s * sfreq
    elif len(length) and np.median(length) >= LONG_PULSE * short:
        kept = length > short
    n_glitches = int((~kept).sum())
    onset, code, before = onset[kept], code[kept], before[kept]
    late = _refractory(onset, triggers.refractory_s * sfreq)
    repaired = {
        "drop-outs within a pulse closed": n_dropouts,
        "pulses whose bits changed apart joined": n_skewed,
        "pulses too short for a flash left out": n_glitches,
        "pulses in the refractory time left out": int((~late).sum()),
    }
    return Pulses(onset[late], code[late], before[late], {what: n for what, n in repaired.items() if n})


def settling(sfreq: float) -> int:
    """Return how many samples the bits of one code may take to settle.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    n_samples : int
    """
    return max(1, int(SETTLE_S * sfreq))


Runs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def runs_of(codes: NDArray[np.integer]) -> Runs:
    """Return start, length and value of each run of equal codes.

    Parameters
    ----------
    codes : ndarray of int, shape (n_samples,)
        At least one.

    Returns
    -------
    start, length, value : ndarray of int, shape (n_runs,)
    """
    start = np.concatenate([[0], np.flatnonzero(codes[1:] != codes[:-1]) + 1])
    return start, np.diff(start, append=len(codes)), codes[start]


def _without_dropouts(codes: NDArray[np.int64], short: int) -> tuple[Runs, int]:
    """Fill short zeros within a pulse, unless such zeros are what separates one pulse from the next."""
    start, length, value = runs = runs_of(codes)
    inner = np.flatnonzero((value[1:-1] == 0) & (length[1:-1] <= short)) + 1
    same = value[inner - 1] == value[inner + 1]
    separating = (~same) & (length[inner - 1] > short) & (length[inner + 1] > short)
    n_pulses = int((value != 0).sum())
    inner = inner[same]
    if separating.sum() > SEPARATED_FRACTION * n_pulses or not len(inner):
        return runs, 0
    filled = _filled(codes, start[inner], length[inner], value[inner - 1])
    # Two pulses of the usual length with a short rest between them are no pulse of twice that length.
    joined, joined_length, joined_value = runs_of(filled)
    usual = np.median(joined_length[joined_value != 0])
    whole = joined_length[np.searchsorted(joined, start[inner], side="right") - 1]
    parts = np.minimum(length[inner - 1], length[inner + 1])
    inner = inner[(whole <= LONGEST_JOINED * usual) | (parts < usual * (LONGEST_JOINED / 2))]
    filled = _filled(codes, start[inner], length[inner], value[inner - 1])
    return runs_of(filled), len(inner)


def _filled(
    codes: NDArray[np.int64], start: NDArray[np.int64], length: NDArray[np.int64], value: NDArray[np.int64]
) -> NDArray[np.int64]:
    filled = codes.copy()
    for offset in range(int(length.max(initial=0))):
        within = length > offset
        filled[start[within] + offset] = value[within]
    return filled


def _settled(
    start: NDArray[np.int64], length: NDArray[np.int64], value: NDArray[np.int64], short: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int]:
    """Join the short codes that a line passes through on its way from one code to another with the code it ends at."""
    passing = (value != 0) & (length <= short)
    if not passing.any():
        return start, length, value, 0
    # Chains of passing codes: where each ends, and what is before and after it.
    edge = np.diff(passing.astype(np.int8), prepend=0, append=0)
    first, last = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1) - 1
    n_samples = start[last] + length[last] - start[first] if len(first) else np.empty(0, np.int64)
    value_before = np.where(first > 0, value[first - 1], 0)
    value_after = np.concatenate([value, [0]])[last + 1]
    rising = value_after != 0  # on the way to a code that stays
    falling = (value_after == 0) & (value_before != 0)
    joined = (n_samples <= 2 * short) & (rising | falling)
    if not joined.any():
        return start, length, value, 0
    first, last, to_next = first[joined], last[joined], rising[joined]
    start = start.copy()
    start[last[to_next] + 1] = start[first[to_next]]
    steps = np.zeros(len(value) + 1, np.int64)
    steps[first] += 1
    steps[last + 1] -= 1
    kept = np.cumsum(steps)[:-1] == 0
    start, value = start[kept], value[kept]
    # A code that is the same before and after what was passed through is one pulse.
    new = np.ones(len(value), bool)
    new[1:] = value[1:] != value[:-1]
    start, value = start[new], value[new]
    return start, np.diff(start, append=length.sum()), value, int(joined.sum())


def _refractory(onset: NDArray[np.int64], n_samples: float) -> NDArray[np.bool_]:
    """Tell which onsets are no closer than this to the last one that was kept."""
    kept = np.ones(len(onset), bool)
    if n_samples <= 0:
        return kept
    last = -np.inf
    for number, sample in enumerate(onset.tolist()):
        kept[number] = sample - last >= n_samples
        last = sample if kept[number] else last
    return kept
