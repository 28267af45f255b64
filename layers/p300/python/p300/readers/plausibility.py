"""Whether flashes look like a P300 recording: classes, targets the minority, intervals a person can see, one event a flash."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import CLASS_NAMES, NON_TARGET, TARGET, UNLABELLED
from p300.signals.triggers import settling
from p300.text import n_of

from .doubts import of_flashes
from .event_messages import Events, counted, remedy
from .seen import doubt
from .unlabelled import REMEDY

SHORTEST_INTERVAL_S = 0.02
"""Between flashes. Nobody sees 50 a second."""
LARGEST_TOO_CLOSE = 0.01
SHORTEST_USUAL_S = 0.05
"""From one flash to the next, as a median: the fastest spellers take 60 ms and more, so that less is often a rate that is wrong."""
SHORTEST_TAIL_S, LARGEST_OUTSIDE = 10.0, 0.25
"""Without a flash at the end, if the flashes themselves last no longer; and share of flashes outside: signs of two rates."""


def without_doubles(
    onset: NDArray[np.int64],
    label: NDArray[np.int32],
    group: NDArray[np.int32] | None,
    sfreq: float,
    name: str,
    events: tuple[Events, Mapping[str, int]],
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
    events : (Events, mapping of str to int)
        All events, and the class of those that were read as flashes.

    Returns
    -------
    kept : ndarray of bool, shape (n_flashes,)
    notes : list of str

    Raises
    ------
    RecordingError
        ``implausible_events`` where more than a few are closer than a person could see.
    """
    found, read = events
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
            f"{sfreq:g} Hz? {remedy(found, read=read)}",
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
    events: tuple[Events, Mapping[str, int], Mapping[str, int]],
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
    events : (Events, mapping of str to int, mapping of str to int)
        All events, the class of those whose names say it, and of those that were read as flashes.
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
    found, known, read = events
    n_target, n_non_target = int((label == TARGET).sum()), int((label == NON_TARGET).sum())
    if not len(label):
        raise RecordingError(
            "no_events", f"{name}: no flash. Found events {counted(found)}. {remedy(found, read=read)}"
        )
    if (label == UNLABELLED).all():
        return []
    for code, n, error in ((TARGET, n_target, "no_targets"), (NON_TARGET, n_non_target, "no_non_targets")):
        if not n:
            raise RecordingError(
                error,
                f"{name}: no {CLASS_NAMES[code]} flash. Found events {counted(found)}. Nothing can be learned from one class. "
                f"{remedy(found, known, read=read)}{f' {REMEDY}' if group is not None else ''}",
            )
    doubts = of_flashes(onset, label, group, sfreq)
    if not doubts:
        return []
    seen = f"{n_target:,} Target and {n_non_target:,} NonTarget flashes"
    if is_declared:
        doubt()
        return [f"declared events are unusual: {seen}; {'; '.join(doubts)}"]
    raise RecordingError(
        "implausible_events",
        f"{name}: {seen}, and in a P300 recording {'; '.join(doubts)}. Found events {counted(found)}. "
        f"{remedy(found, read=read)}",
    )


def extent_notes(onset: NDArray[np.int64], n_outside: int, n_samples: int, sfreq: float) -> list[str]:
    """Describe flashes that follow each other, or fill the recording, as if another rate than the signal's were meant.

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
    fast = []
    usual_s = float(np.median(np.diff(onset))) / sfreq if len(onset) > 1 else SHORTEST_USUAL_S
    if SHORTEST_INTERVAL_S <= usual_s < SHORTEST_USUAL_S:
        fast = [f"flashes follow each other within {1e3 * usual_s:.0f} ms. Check the sampling rate, {sfreq:g} Hz"]
    if n_outside > LARGEST_OUTSIDE * (n_outside + len(onset)):
        share = 100 * n_outside / (n_outside + len(onset))
        return [*fast, f"{share:.0f} % of the flashes lie outside of the recording. {advice}"]
    first_s, last_s, end_s = onset[0] / sfreq, onset[-1] / sfreq, n_samples / sfreq
    if end_s - last_s > max(SHORTEST_TAIL_S, last_s - first_s):
        return [*fast, f"the last flash is at {last_s:,.0f} s of {end_s:,.0f} s. {advice}"]
    return fast
