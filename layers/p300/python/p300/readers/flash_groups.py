"""What a file's numbers of stimulus groups say: from 0 or from 1, which flashes have none, and numbers that are no groups at all."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.signals.triggers import runs_of
from p300.text import n_of

from .event_messages import counted

MISSING = -1
"""Written for no group by files that number groups from 0; an empty cell is read as it."""
FEWEST_USUAL = 4
"""Times that most groups flash, from which on a group that is much rarer is a slip."""
LARGEST_RARE = 0.1
"""Of the times that most groups flash: what flashes less often is no group of a repeated design."""
MOST_SEEN_ONCE = 36
"""Flashes in one repetition: a larger number of them, most with a number of their own, is a counter."""
FEWEST_WHOLE = 0.9
"""Share of repetitions in which each number occurs once, for 0 to be one of the groups."""
LARGEST_LATE = 0.75
"""Of the usual time from one group to the next: a group that begins so long after a flash without one of its own is that flash's."""
MOST_EARLY = 0.5
"""Of the same time, where it begins before the flash."""
FROM_ONE = "Write groups from 1, and 0 where no group flashed"


def from_one(
    groups: NDArray[np.int32], onset: NDArray[np.int64], reach: int, name: str
) -> tuple[NDArray[np.int32], list[str]]:
    """Return the column with groups from 1 and 0 for none, where -1 or an empty cell says which number stands for none.

    Parameters
    ----------
    groups : ndarray of int, shape (n_samples,)
        As in the file, `MISSING` where a cell is empty.
    onset : ndarray of int, shape (n_pulses,)
        Where the stim column rises.
    reach : int
        Samples by which the two columns may differ.
    name : str
        What to call the recording.

    Returns
    -------
    groups : ndarray of int, shape (n_samples,)
    notes : list of str

    Raises
    ------
    RecordingError
        ``bad_flash`` for numbers below -1.
    """
    missing = groups < 0
    if not missing.any():
        return groups, []
    if (groups < MISSING).any():
        raise RecordingError(
            "bad_flash",
            f"{name}: the flash column holds {int(groups.min())}; expected the number of a stimulus group. {FROM_ONE}.",
        )
    start, _, value = runs_of(groups)
    zeros = start[value == 0]
    near = np.searchsorted(onset, zeros - reach) < np.searchsorted(onset, zeros + reach, side="right")
    if len(zeros) and near.all():
        last = int(groups.max())
        return groups + np.int32(1), [f"flash: groups 0 to {last} in the file, read as 1 to {last + 1}"]
    return np.where(missing, 0, groups).astype(np.int32), []


def hidden_flashes(
    onset: NDArray[np.int64], codes: NDArray[np.int64], groups: NDArray[np.int32], short: int
) -> tuple[NDArray[np.int64], NDArray[np.int32] | None, list[str]]:
    """Return the flashes that a code which stays hides and a change of the flash column shows, apart from a column that is late.

    Parameters
    ----------
    onset : ndarray of int, shape (n_pulses,)
        Where the stim column rises.
    codes : ndarray of int, shape (n_samples,)
        The stim column.
    groups : ndarray of int, shape (n_samples,)
        The flash column, 0 for none.
    short : int
        Samples by which the two columns may differ.

    Returns
    -------
    hidden : ndarray of int, shape (n_hidden,)
        First samples.
    groups : ndarray of int, shape (n_samples,), or None
        The column, 0 at flashes whose group begins later; None where it is at other times than the flashes throughout.
    notes : list of str
    """
    start, _, value = runs_of(groups)
    start, value = start[value != 0], value[value != 0]
    change = start[1:][value[1:] != value[:-1]]
    change = change[(codes[change] != 0) & (codes[change - 1] == codes[change])]
    if not len(onset) or not len(start):
        return change, groups, []
    far = 1 << 40
    usual = float(np.median(np.diff(start))) if len(start) > 1 else float(far)
    first, after = np.searchsorted(start, onset - short), np.searchsorted(start, onset + short, side="right")
    previous, following = np.r_[-far, start][first], np.r_[start, far][after]
    is_held = groups[onset] != 0
    late = (first == after) & (following - onset <= LARGEST_LATE * usual) & (following < np.r_[onset[1:], far] - short)
    late &= ~is_held | (following - onset <= onset - previous)
    early = (first == after) & ~late & is_held & (onset - previous <= MOST_EARLY * usual)
    early &= np.isin(previous, change)
    nearest = np.searchsorted(onset, change)
    padded = np.r_[-far, onset, far]
    change = change[(change - padded[nearest] > short) & (padded[nearest + 1] - change > short)]
    hidden = np.setdiff1d(change, np.r_[following[late], previous[early]])
    n_apart = int(late.sum() + (early.sum() if len(hidden) else 0))
    if n_apart > max(2, len(onset) // 2):
        return hidden[:0], None, [_elsewhere(onset, groups)]
    if late.any():
        groups = groups.copy()
        for begin, end in zip(onset[late].tolist(), following[late].tolist(), strict=True):
            groups[max(begin - short, 0) : end] = 0
    return hidden, groups, []


def told(
    group: NDArray[np.int32], onset: NDArray[np.int64], groups: NDArray[np.int32]
) -> tuple[NDArray[np.int32] | None, list[str]]:
    """Return the groups of flashes as far as they fit stimuli that repeat, and notes on what does not.

    Parameters
    ----------
    group : ndarray of int, shape (n_flashes,)
        As found at the flashes; 0 for none.
    onset : ndarray of int, shape (n_flashes,)
        First sample of each flash.
    groups : ndarray of int, shape (n_samples,)
        The whole column, 0 for none.

    Returns
    -------
    group : ndarray of int, shape (n_flashes,), or None
        0 for flashes without a group; None where the column says no groups.
    notes : list of str
    """
    if not len(group) or not groups.any():
        return None, (["flash: no group in the column, set aside"] if len(group) else [])
    if not group.any():
        return None, [_elsewhere(onset, groups)]
    if (group == 0).any() and _is_from_zero(group):
        n_zero, n_groups = int((group == 0).sum()), int(group.max()) + 1
        note = f"flash: {n_groups} groups numbered from 0 in the file, read as 1 to {n_groups}: each repetition has one flash of 0"
        return group + np.int32(1), [f"{note} ({n_zero} in all)"]
    counts = Counter(group[group != 0].tolist())
    usual = float(np.median(list(counts.values())))
    once = sum(n == 1 for n in counts.values())
    if len(group) > MOST_SEEN_ONCE and once > len(counts) / 2:
        return None, [
            f"flash: {n_of(len(counts), 'different number')} for {n_of(len(group), 'flash')}, {once:,} of them once: set aside, they count "
            "flashes. Expected which row, column or set of symbols flashed"
        ]
    notes = []
    rare = {code: n for code, n in counts.items() if usual >= FEWEST_USUAL and n <= max(1, LARGEST_RARE * usual)}
    if rare:
        group = np.where(np.isin(group, list(rare)), 0, group).astype(np.int32)
        found = counted({str(code): n for code, n in rare.items()})
        notes.append(f"flash: {found} ignored, other groups flash {usual:g} times each: those flashes have no group")
    if n_none := int((group == 0).sum()):
        found = counted({str(code): n for code, n in Counter(group.tolist()).items()})
        notes.append(
            f"flash: {n_none:,} of {n_of(len(group), 'flash')} without a group: symbols cannot be decoded. Found {found}. {FROM_ONE}"
        )
    return group, notes


def _is_from_zero(group: NDArray[np.int32]) -> bool:
    """Tell whether 0 is a group, as it is where every number from 0 on flashes once in nearly every repetition."""
    n_groups = int(group.max()) + 1
    n_repetitions = len(group) // n_groups
    if n_groups < 2 or n_repetitions < 2 or len(np.unique(group)) != n_groups:
        return False
    repetitions = np.sort(group[: n_repetitions * n_groups].reshape(n_repetitions, n_groups), axis=1)
    return bool((repetitions == np.arange(n_groups)).all(axis=1).mean() >= FEWEST_WHOLE)


def _elsewhere(onset: NDArray[np.int64], groups: NDArray[np.int32]) -> str:
    """Say how far from the flashes groups begin, and on which side only where one of each makes a pair: the nearest may be another's."""
    start, _, value = runs_of(groups)
    start = start[value != 0]
    if len(start) == len(onset):
        lag = int(np.median(start - onset))
        where = f"They begin {n_of(abs(lag), 'sample')} {'before' if lag < 0 else 'after'} stim rises"
    else:
        at = np.searchsorted(start, onset)
        padded = np.r_[-(1 << 40), start, 1 << 40]
        lag = int(np.median(np.minimum(onset - padded[at], padded[at + 1] - onset)))
        where = f"The nearest begins {n_of(lag, 'sample')} before or after stim rises"
    return (
        f"flash: {n_of(len(start), 'group')} in the column, none at any of {n_of(len(onset), 'flash')}: set aside. {where}; write them to "
        "the same rows"
    )


def groups_at(onset: NDArray[np.int64], groups: NDArray[np.int32], short: int) -> NDArray[np.int32]:
    """Return the group of each flash, where the flash column may change some samples before or after the stim column."""
    found = np.zeros(len(onset), np.int32)
    for offset in (*range(-short, 0), *range(short + 1)):
        there = groups[np.clip(onset + offset, 0, len(groups) - 1)]
        found = np.where(
            (there != 0) & ((offset >= 0) | (there != groups[np.maximum(onset - short - 1, 0)])), there, found
        )
    return found.astype(np.int32)
