"""What about flashes speaks against a P300 recording: too few of a class, targets the majority, two events a flash, ..."""

import numpy as np
from numpy.typing import NDArray

from p300.recording import TARGET

FEWEST_OF_A_CLASS = 2
"""One repetition of a speller with rows and columns has two targets."""
LARGEST_TARGET_SHARE = 0.45
"""An oddball is rare; codes the other way round, or that stand for something else, make it the majority or half."""
LONGEST_INTERVAL_S = 60.0
"""Between flashes, as a median: beyond it, it is that of blocks."""
LARGEST_CHANGING = 0.5
"""Share of repetitions in a trial after which a group's class may be another one."""
FEWEST_REPETITIONS = 4
FEWEST_RUNS, LARGEST_BY_CHANCE = 6, 1e-6
"""Of targets that come in twos, and how probable it may be that all flashes do by chance: else each flash has two markers."""
PAUSE_FACTOR = 4.0
"""Times the median interval between flashes that a pause between trials lasts."""


def of_counts(n_target: int, n_non_target: int) -> list[str]:
    """Say what the numbers of flashes contradict.

    Parameters
    ----------
    n_target, n_non_target : int
        Flashes of each class.

    Returns
    -------
    doubts : list of str
        What a P300 recording has instead.
    """
    doubts = []
    if min(n_target, n_non_target) < FEWEST_OF_A_CLASS:
        doubts.append(f"at least {FEWEST_OF_A_CLASS} flashes of each class are needed")
    if n_target > LARGEST_TARGET_SHARE * (n_target + n_non_target):
        doubts.append("targets are the minority of flashes")
    return doubts


def of_flashes(
    onset: NDArray[np.int64], label: NDArray[np.int32], group: NDArray[np.int32] | None, sfreq: float
) -> list[str]:
    """Say what flashes contradict.

    Parameters
    ----------
    onset : ndarray of int, shape (n_flashes,)
        Ascending.
    label : ndarray of int, shape (n_flashes,)
        Their classes.
    group : ndarray of int, shape (n_flashes,), optional
        Their stimulus groups.
    sfreq : float
        Rate in Hz.

    Returns
    -------
    doubts : list of str
        What a P300 recording has instead.
    """
    n_target = int((label == TARGET).sum())
    doubts = of_counts(n_target, len(label) - n_target)
    if len(label) < 2:
        return doubts
    interval_s = float(np.median(np.diff(onset))) / sfreq
    if interval_s > LONGEST_INTERVAL_S:
        doubts.append(f"flashes follow each other within {LONGEST_INTERVAL_S:g} s, these after {interval_s:,.0f} s")
    if group is not None and _changes_class(onset, label, group):
        doubts.append("a stimulus group has one class throughout a trial, and here it changes from flash to flash")
    if _in_twos(label, group):
        interval_ms = 1e3 * float(np.median(np.diff(onset)[::2])) / sfreq
        doubts.append(
            f"each flash has one event, and here all come in twos of one class, some {interval_ms:.0f} ms apart, as if a flash's end had "
            "an event too"
        )
    return doubts


def _in_twos(label: NDArray[np.int32], group: NDArray[np.int32] | None) -> bool:
    """Tell whether flashes come in twos of the same class and group, far more regularly than by chance."""
    what = label if group is None else label + 4 * group
    n = len(label) // 2 * 2
    if not (what[:n:2] == what[1:n:2]).all():
        return False
    edges = np.flatnonzero(np.diff(label, prepend=0, append=0))
    of_targets = np.diff(edges)[label[edges[:-1]] == TARGET]
    share = float((label == TARGET).mean())
    by_chance = (share**2 + (1 - share) ** 2) ** (n // 2)
    return len(of_targets) >= FEWEST_RUNS and float(np.median(of_targets)) == 2 and by_chance < LARGEST_BY_CHANCE


def _changes_class(onset: NDArray[np.int64], label: NDArray[np.int32], group: NDArray[np.int32]) -> bool:
    """Tell whether the classes of groups change so often that one of the two is not what it says.

    Within a trial, between two pauses, a group is a target or is not. Where a target changes without a pause, it changes
    for all groups at once, and each repetition has the same number of targets.
    """
    has_group = group != 0
    onset, label, group = onset[has_group], label[has_group], group[has_group]
    if not len(group):
        return False
    n_boundaries = n_changing = 0
    targets_per_repetition = []
    interval = np.diff(onset)
    pauses = np.flatnonzero(interval > PAUSE_FACTOR * np.median(interval)) + 1
    known, numbers = np.unique(group, return_inverse=True)
    # Of most recordings no group has two classes in any trial, and the rest would cost more than all other checks here.
    group_of_trial = np.searchsorted(pauses, np.arange(len(group)), side="right") * len(known) + numbers
    n_targets = np.bincount(group_of_trial, label == TARGET)
    if ((n_targets == 0) | (n_targets == np.bincount(group_of_trial))).all():
        return False
    for index, labels in zip(np.split(numbers, pauses), np.split(label, pauses), strict=True):
        in_trial = np.bincount(index, minlength=len(known)) > 0
        n_groups = int(np.count_nonzero(in_trial))
        n_repetitions = len(index) // n_groups
        if n_repetitions < 2 or n_groups < 2:
            continue
        classes = np.zeros(
            (n_repetitions, len(known)), np.int32
        )  # of each group in each repetition; 0 where it did not flash
        whole = n_repetitions * n_groups
        classes[np.arange(whole) // n_groups, index[:whole]] = labels[:whole]
        targets_per_repetition += (classes == TARGET).sum(axis=1).tolist()
        changed = (classes[1:] != classes[:-1]) & (classes[1:] != 0) & (classes[:-1] != 0)
        n_boundaries += n_repetitions - 1
        n_changing += int(np.count_nonzero(changed.any(axis=1)))
    if n_boundaries < FEWEST_REPETITIONS or n_changing <= LARGEST_CHANGING * n_boundaries:
        return False
    return len(set(targets_per_repetition)) > 1
