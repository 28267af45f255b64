"""Whether flashes look like a P300 recording: classes, targets the minority, intervals a person can see, one event a flash."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import CLASS_NAMES, NON_TARGET, TARGET
from p300.signals.triggers import settling
from p300.text import n_of

from .event_messages import counted, remedy

FEWEST_OF_A_CLASS = 2
"""One repetition of a speller with rows and columns has two targets."""
LARGEST_TARGET_SHARE = 0.45
"""An oddball is rare; codes the other way round, or that stand for something else, make it the majority or half."""
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.02, 60.0
"""Between flashes. Nobody sees 50 a second; a median beyond a minute is that of blocks."""
LARGEST_TOO_CLOSE = 0.01
LARGEST_CHANGING = 0.5
"""Share of repetitions in a trial after which a group's class may be another one."""
FEWEST_REPETITIONS = 4
FEWEST_RUNS, LARGEST_BY_CHANCE = 6, 1e-6
"""Of targets that come in twos, and how probable it may be that all flashes do by chance: else each flash has two markers."""
SHORTEST_TAIL_S, LARGEST_OUTSIDE = 10.0, 0.25
"""Without a flash at the end, if the flashes themselves last no longer; and share of flashes outside: signs of two rates."""
PAUSE_FACTOR = 4.0
"""Times the median interval between flashes that a pause between trials lasts."""


def without_doubles(
    onset: NDArray[np.int64],
    label: NDArray[np.int32],
    group: NDArray[np.int32] | None,
    sfreq: float,
    name: str,
    found: Mapping[str, int],
) -> tuple[NDArray[np.bool_], list[str]]:
    """Tell which flashes are left once those that were written twice, or contradict each other, are out.

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
    name : str
        What to call the recording.
    found : mapping of str to int
        All events, with their counts.

    Returns
    -------
    kept : ndarray of bool, shape (n_flashes,)
    notes : list of str

    Raises
    ------
    RecordingError
        ``implausible_events`` where more than a few are closer than a person could see.
    """
    kept = np.ones(len(onset), bool)
    interval = np.diff(onset)
    close = np.flatnonzero(interval < SHORTEST_INTERVAL_S * sfreq)
    if not len(close):
        return kept, []
    same = label[close] == label[close + 1]
    if group is not None:
        same &= group[close] == group[close + 1]
    twice = same & (interval[close] <= settling(sfreq))
    kept[close[twice] + 1] = False
    others = close[~twice]
    notes = [f"{n_of(int(twice.sum()), 'flash')} written twice counted once"] if twice.any() else []
    if len(others) > max(2, LARGEST_TOO_CLOSE * len(onset)):
        raise RecordingError(
            "implausible_events",
            f"{name}: {len(others):,} of {len(onset):,} flashes follow another within {1e3 * SHORTEST_INTERVAL_S:g} ms. Found events "
            f"{counted(found)}. Expected flashes that a person can tell apart. Are the events flashes, and the sampling rate "
            f"{sfreq:g} Hz? {remedy(found)}",
        )
    if len(others):
        kept[others] = kept[others + 1] = False
        notes.append(f"{n_of(len(others), 'pair')} of flashes within {1e3 * SHORTEST_INTERVAL_S:g} ms ignored")
    return kept, notes


def check_plausible(
    onset: NDArray[np.int64],
    label: NDArray[np.int32],
    group: NDArray[np.int32] | None,
    sfreq: float,
    name: str,
    found: Mapping[str, int],
    known: Mapping[str, int],
    *,
    is_declared: bool,
) -> list[str]:
    """Refuse flashes that contradict a P300 recording; of declared ones, return notes instead.

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
    name : str
        What to call the recording.
    found : mapping of str to int
        All events, with their counts.
    known : mapping of str to int
        Those that are flashes, and their classes.
    is_declared : bool
        Whether a person declared which events are flashes.

    Returns
    -------
    notes : list of str

    Raises
    ------
    RecordingError
        ``no_events``, ``no_targets``, ``no_non_targets``, ``implausible_events``.
    """
    n_target, n_non_target = int((label == TARGET).sum()), int((label == NON_TARGET).sum())
    if not len(label):
        raise RecordingError("no_events", f"{name}: no flash. Found events {counted(found)}. {remedy(found)}")
    for code, n, error in ((TARGET, n_target, "no_targets"), (NON_TARGET, n_non_target, "no_non_targets")):
        if not n:
            raise RecordingError(
                error,
                f"{name}: no {CLASS_NAMES[code]} flash. Found events {counted(found)}. Nothing can be learned from one class. "
                f"{remedy(found, known)}",
            )
    doubts = []
    if min(n_target, n_non_target) < FEWEST_OF_A_CLASS:
        doubts.append(f"at least {FEWEST_OF_A_CLASS} flashes of each class are needed")
    if n_target > LARGEST_TARGET_SHARE * len(label):
        doubts.append("targets are the minority of flashes")
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
    if not doubts:
        return []
    seen = f"{n_target:,} Target and {n_non_target:,} NonTarget flashes"
    if is_declared:
        return [f"declared events are unusual: {seen}; {'; '.join(doubts)}"]
    raise RecordingError(
        "implausible_events",
        f"{name}: {seen}, and in a P300 recording {'; '.join(doubts)}. Found events {counted(found)}. Check what they stand for: what is "
        f"declared is taken as it is. {remedy(found)}",
    )


def extent_notes(onset: NDArray[np.int64], n_outside: int, n_samples: int, sfreq: float) -> list[str]:
    """Describe flashes that fill the recording as if they were counted at another rate than the signal.

    Parameters
    ----------
    onset : ndarray of int, shape (n_flashes,)
        Ascending, within the recording.
    n_outside : int
        Flashes outside of it.
    n_samples : int
        Its length.
    sfreq : float
        Its rate in Hz.

    Returns
    -------
    notes : list of str
    """
    if not len(onset):
        return []
    advice = "Check that events and signal are counted at the same rate"
    if n_outside > LARGEST_OUTSIDE * (n_outside + len(onset)):
        share = 100 * n_outside / (n_outside + len(onset))
        return [f"{share:.0f} % of the flashes lie outside of the recording. {advice}"]
    first_s, last_s, end_s = onset[0] / sfreq, onset[-1] / sfreq, n_samples / sfreq
    if end_s - last_s > max(SHORTEST_TAIL_S, last_s - first_s):
        return [f"the last flash is at {last_s:,.0f} s of {end_s:,.0f} s. {advice}"]
    return []


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
