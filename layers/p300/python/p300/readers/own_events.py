"""Events of a recording's own file whose classes are not known, compared with the flashes of a table: times, then order of classes.

The codes of a file (``S 13``, ``S 23``) need not say which class they are to show that a table is late, slow or shuffled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import CLASS_NAMES, NON_TARGET, TARGET
from p300.text import n_of

from .event_messages import counted
from .events import Stimulation
from .seen import doubt
from .two_sources import LARGEST_APART_S, LARGEST_UNMATCHED, nearest

LARGEST_DELAY_S = 0.05
"""By which a table may differ from the file throughout: tables are corrected for the delay of a screen."""
SEARCHED_S = 1.0
"""How far from its flash an event of the file is looked for."""
SHARE_OF_INTERVAL = 0.125
"""Of the shortest usual interval, which the tolerance never exceeds, as any event would be near some flash."""
LEAST_NEAR, LEAST_COVERED = 0.5, 0.9
"""Share of a code's events near a flash, and of flashes near an event, from which the codes are those of the flashes."""
MOST_COMBINED = 8
"""Codes of which every combination is tried for one with as many events as there are flashes."""
MOST_LOOKED_AT = 500
"""Flashes by which the delay is estimated."""
MOST_MISSED = 2
"""Events at either end that one of the two may lack."""


@dataclass(frozen=True)
class Source:
    """Events of one place in a file.

    Attributes
    ----------
    name : str
        What to call it: ``the annotations``, a stim channel.
    events : mapping of str to ndarray of int
        Samples of each name or code, ascending.
    """

    name: str
    events: Mapping[str, NDArray[np.int64]]


def compare(
    flashes: Stimulation, sources: Sequence[Source], sfreq: float, name: str, table: str, way_out: str | None
) -> tuple[str, ...]:
    """Refuse a table of events that the codes of the recording's own file contradict.

    Parameters
    ----------
    flashes : Stimulation
        Those of the table.
    sources : sequence of Source
        Events of the file.
    sfreq : float
        The recording's rate in Hz.
    name : str
        What to call the recording in messages.
    table : str
        What to call the table.
    way_out : str or None
        How to declare that the table is right; None where a person has done so: then a note says what contradicts it.

    Returns
    -------
    notes : tuple of str
        What was compared, and what could not be.

    Raises
    ------
    RecordingError
        ``contradictory_events``.
    """
    notes = []
    for source in sources:
        is_contradicted, said = _compared(flashes, source, sfreq)
        if is_contradicted and way_out is not None:
            raise RecordingError(
                "contradictory_events",
                f"{name}: {table} contradicts the recording's own file: {said}. Expected both at the same times, in the same order. "
                f"{way_out}",
            )
        if is_contradicted:
            doubt()
        notes.append(f"flashes taken from {table}, as declared, though {said}" if is_contradicted else said)
    return tuple(notes)


def _compared(flashes: Stimulation, source: Source, sfreq: float) -> tuple[bool, str]:
    """Tell whether a source contradicts the flashes, and how; or what to note of it."""
    onset = np.flatnonzero(flashes.stim)
    label = flashes.stim[onset]
    events = {event: np.unique(samples) for event, samples in source.events.items() if len(samples)}
    told = f"{source.name} ({counted({event: len(at) for event, at in events.items()}, most=12)})"
    usual = float(np.quantile(np.diff(onset), 0.1)) if len(onset) > 1 else sfreq
    within = int(max(1, min(LARGEST_APART_S * sfreq, SHARE_OF_INTERVAL * usual)))
    aligned = _best([_aligned(onset, events, delay, within) for delay in (0, *_delays(onset, events, within, sfreq))])
    if aligned is None:
        return _other_times(onset, label, events, within, sfreq, told)
    together, delay = aligned.together, float(np.median(aligned.apart[aligned.together]))
    if abs(delay) > max(1.0, LARGEST_DELAY_S * sfreq):
        return True, f"the events of {told} come {_later(delay, sfreq)} than the flashes of the table, throughout"
    if n_lost := int((~together).sum()):
        said = f"{n_lost} of {len(onset)} flashes of the table have no event of {told} near"
        if n_lost > max(2, LARGEST_UNMATCHED * len(onset)):
            return True, said
        told = f"{told}, but for {n_of(n_lost, 'flash')},"
    merged = np.sort(np.concatenate([events[code] for code in aligned.codes])) - round(delay)
    n_alone = int((np.abs(onset[nearest(merged, onset)] - merged) > 2 * within).sum())
    alone = f"; {n_alone:,} of these {n_of(len(merged), 'event')} have no flash of the table near" if n_alone else ""
    late = f", {_later(delay, sfreq)}" if abs(delay) > within else ""
    own = {code: events[code] for code in aligned.codes}
    is_told_apart, (is_contradicted, said) = _same_order(
        label[together], (onset + aligned.apart)[together], own, told, late
    )
    is_short = is_told_apart and n_alone > max(2, LARGEST_UNMATCHED * len(merged))
    return is_contradicted or is_short, f"{said}{alone}"


@dataclass(frozen=True)
class _Aligned:
    """Flashes beside the events of some codes: which have one near, how far each is, and how well they fit, in samples."""

    codes: list[str]
    together: NDArray[np.bool_]
    apart: NDArray[np.int64]
    misfit: float


def _aligned(
    onset: NDArray[np.int64], events: Mapping[str, NDArray[np.int64]], delay: int, within: int
) -> _Aligned | None:
    codes = [
        code
        for code, samples in events.items()
        if (np.abs(onset[nearest(samples - delay, onset)] + delay - samples) <= within).mean() > LEAST_NEAR
    ]
    if not codes:
        return None
    merged = np.sort(np.concatenate([events[code] for code in codes]))
    apart = merged[nearest(onset + delay, merged)] - onset
    together = np.abs(apart - delay) <= within
    if together.mean() < LEAST_COVERED:
        return None
    misfit = np.minimum(np.abs(apart - np.median(apart[together])), within).mean()
    return _Aligned(codes, together, apart, float(misfit))


def _best(found: list[_Aligned | None]) -> _Aligned | None:
    """Return the first that fits, unless another does so clearly better: by an interval, flashes are near each other's events too."""
    fitting = [one for one in found if one is not None]
    if not fitting:
        return None
    first, best = fitting[0], min(fitting, key=lambda one: one.misfit)
    more = (
        best.together.sum() > first.together.sum() and best.codes == first.codes
    )  # other codes may be those of a flash's end
    better = best.misfit < first.misfit / 2 and (first.misfit > 1 or more)
    return best if better else first


def _same_order(
    label: NDArray[np.int32],
    at: NDArray[np.int64],
    events: Mapping[str, NDArray[np.int64]],
    told: str,
    late: str,
) -> tuple[bool, tuple[bool, str]]:
    """Compare the order of classes with that of two codes that are as many as the classes; of others, only say what they show.

    Returns
    -------
    is_told_apart : bool
        Whether the codes tell the classes of the table apart.
    compared : (bool, str)
        Whether they contradict it, and what to say of them.
    """
    of_class = {code: label[np.isin(at, samples)] for code, samples in events.items()}
    classes = {
        code: TARGET if 2 * int((found == TARGET).sum()) > len(found) else NON_TARGET
        for code, found in of_class.items()
        if len(found)
    }
    n_other = sum(int((of_class[code] != expected).sum()) for code, expected in classes.items())
    few = max(2, LARGEST_UNMATCHED * len(label))
    if n_other <= few and set(classes.values()) == {TARGET, NON_TARGET}:
        return True, (False, f"the events of {told} are at the same times{late}, in the same order of classes")
    n_of_class = [int((label == code).sum()) for code in (NON_TARGET, TARGET)]
    codes = sorted(of_class, key=lambda code: len(of_class[code]))
    counts = [len(of_class[code]) for code in codes]
    if (
        len(codes) == 2
        and abs(n_of_class[0] - n_of_class[1]) > 2 * few
        and all(abs(n - m) <= few for n, m in zip(counts, sorted(n_of_class), strict=True))
    ):
        rarer = TARGET if n_of_class[1] < n_of_class[0] else NON_TARGET
        wrong = int((of_class[codes[0]] != rarer).sum())
        return False, (
            True,
            f"the events of {told} are at the same times{late}, with codes as many as the classes, in another order: {wrong} of "
            f"{counts[0]} flashes at {codes[0]} are not {CLASS_NAMES[rarer]} in the table",
        )
    return False, (
        False,
        f"the events of {told} are at the same times{late}; their codes do not tell the classes apart, which are the table's alone",
    )


def _other_times(
    onset: NDArray[np.int64],
    label: NDArray[np.int32],
    events: Mapping[str, NDArray[np.int64]],
    within: int,
    sfreq: float,
    told: str,
) -> tuple[bool, str]:
    """Look for codes that are as many as the flashes, at times that run faster or slower, or are others altogether."""
    few = min(MOST_MISSED, len(onset) // 10)
    for codes in _as_many(events, len(onset), few):
        merged = np.sort(np.concatenate([events[code] for code in codes]))
        for first in range(-few, few + 1):
            own, other = onset[max(first, 0) :], merged[max(-first, 0) :]
            n = min(len(own), len(other))
            if n < 3 or n < len(onset) - few:
                continue
            slope, begin = np.polyfit(own[:n], other[:n], 1)
            if np.abs(begin + slope * own[:n] - other[:n]).max() <= max(2, within):
                faster = f"{100 * abs(slope - 1):.2g} % {'faster' if slope > 1 else 'slower'}"
                return True, (
                    f"the events of {told} are at the times of the flashes of a table that runs {faster}: they are "
                    f"{(other[0] - own[0]) / sfreq * 1000:+.0f} ms from the first flash and "
                    f"{(other[n - 1] - own[n - 1]) / sfreq * 1000:+.0f} ms from the last"
                )
        n_of_class = sorted(int((label == code).sum()) for code in (NON_TARGET, TARGET))
        of_code = sorted(len(events[code]) for code in codes)
        if len(codes) == 2 and max(abs(n - m) for n, m in zip(of_code, n_of_class, strict=True)) <= few:
            return True, f"the events of {told} are as many as the table's flashes of each class, at other times"
    return False, f"not compared with the flashes, as its times are others: {told}"


def _as_many(events: Mapping[str, NDArray[np.int64]], n_flashes: int, few: int) -> list[tuple[str, ...]]:
    """Return combinations of codes that have as many events as there are flashes: all, then those of fewer codes."""
    names = sorted(events, key=lambda code: -len(events[code]))
    found = [tuple(names)]
    for n in range(1, min(MOST_COMBINED, len(names))):
        found += combinations(names[:MOST_COMBINED], n)
    return [some for some in found if some and abs(sum(len(events[code]) for code in some) - n_flashes) <= few]


def _delays(onset: NDArray[np.int64], events: Mapping[str, NDArray[np.int64]], within: int, sfreq: float) -> list[int]:
    """Return the delays that most events of the file have from flashes, the commonest first and the smaller of two as common."""
    if not events:
        return []
    merged = np.unique(np.concatenate(list(events.values())))
    some, reach = onset[:MOST_LOOKED_AT], round(SEARCHED_S * sfreq)
    first, last = np.searchsorted(merged, some - reach), np.searchsorted(merged, some + reach, side="right")
    apart = np.concatenate([merged[a:b] - at for at, a, b in zip(some, first, last, strict=True)] or [merged[:0]])
    if not len(apart):
        return []
    width = 2 * within + 1
    bins, n = np.unique(np.floor((apart + within) / width).astype(np.int64), return_counts=True)
    order = np.lexsort((np.abs(bins), -(n // max(1, len(some) // 20))))
    return [int(np.median(apart[np.floor((apart + within) / width) == bins[place]])) for place in order[:5]]


def _later(samples: float, sfreq: float) -> str:
    return f"{abs(samples):.0f} samples ({1000 * abs(samples) / sfreq:.0f} ms) {'later' if samples > 0 else 'earlier'}"
