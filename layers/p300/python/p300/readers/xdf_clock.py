"""When an XDF stream's samples were taken: clocks of several machines brought together, jitter removed, losses found.

Clock offsets, clock resets and jitter are handled as pyxdf's ``load_xdf`` handles them by default. It leaves losses of up to a second, or
of 500 samples, where they are, and a straight line through them shifts what is around them: here they are gaps.
"""

from bisect import bisect, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .timing import GAP_STEPS

WINSOR_S = 1e-4
ITERATIONS = 1000
RESET_STDS, RESET_S, RESET_VALUE_STDS, RESET_VALUE_S = 5, 5.0, 10, 1.0
BREAK_S, BREAK_SAMPLES = 1.0, 500
ODD_LAST = 10.0
"""Times the usual interval or deviation of clock offsets, beyond which the last one is no measurement (pylsl issue 67)."""
LASTING_S = 1.0
"""For so long, samples are late after a loss; those that were only delivered late catch up."""
MOST_CANDIDATES = 10_000


@dataclass(frozen=True)
class Clock:
    """Time stamps of a stream on the recorder's clock.

    Attributes
    ----------
    times : ndarray, shape (n_samples,)
        In seconds, evenly spaced from one gap to the next.
    gaps : ndarray of int, shape (n_gaps,)
        Sample at which each gap ends.
    rate : float
        Measured, in Hz; NaN where there is too little to measure.
    jitter_s : float
        Largest deviation of a time stamp from `times`.
    drift_s : float
        Largest deviation of the median of `LASTING_S`: what evenly spaced samples do not explain.
    """

    times: NDArray[np.float64]
    gaps: NDArray[np.int64]
    rate: float
    jitter_s: float
    drift_s: float


def deduced(stamps: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Fill in time stamps that are not written: each a sampling interval after the one before."""
    missing = np.isnan(stamps)
    if not missing.any():
        return stamps
    index = np.arange(len(stamps))
    last = np.maximum.accumulate(np.where(missing, -1, index))
    steps = np.where(last < 0, index + 1, index - last) / rate if rate else np.zeros(len(stamps))
    filled: NDArray[np.float64] = np.where(last < 0, 0.0, stamps[np.maximum(last, 0)]) + steps
    return filled


def without_odd_offset(
    times: Sequence[float], values: Sequence[float], n_samples: int, n_stated: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Drop the offset, and the samples, that a recorder adds when a source vanishes; return offsets and how many samples stay."""
    at, offset = np.array(times), np.array(values)
    if n_stated is None or n_samples <= n_stated or len(at) < 3:
        return at, offset, n_samples
    usual = np.median(np.diff(at)[:-1])
    last = abs(at[-1] - at[-2])
    late = last / usual > ODD_LAST if usual > 0 else last > 0
    median = np.median(offset[:-1])
    spread = 1.4826 * np.median(np.abs(offset[:-1] - median))
    off = spread > np.finfo(float).eps and abs(offset[-1] - median) / spread > ODD_LAST
    return (at[:-1], offset[:-1], n_stated) if late or off else (at, offset, n_samples)


def synchronised(
    stamps: NDArray[np.float64], times: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bring time stamps to the recorder's clock by the offsets measured meanwhile, each stretch between clock resets by its own."""
    if not len(times) or not len(stamps):
        return stamps
    resets = _resets(times, values)
    bounds = [0, *(resets + 1).tolist(), len(times)]
    synced, start = stamps.copy(), 0
    for first, end in pairwise(bounds):
        stop = len(stamps)
        if end < len(times):
            # The next stretch begins with the first stamp that is nearer to its first measurement than to the last one of this.
            later = np.abs(stamps[start:] - times[end - 1]) >= np.abs(stamps[start:] - times[end])
            stop = start + (int(np.argmax(later)) if later.any() else len(later))
        offset, slope = _line(times[first:end], values[first:end])
        synced[start:stop] += offset + slope * stamps[start:stop]
        start = stop
    return synced


def _resets(times: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the measurements after which a clock was set anew."""
    if len(times) < 2:
        return np.empty(0, np.int64)
    steps = np.diff(times)
    glitch = _outside(steps, RESET_STDS, RESET_S) & _outside(np.diff(values), RESET_VALUE_STDS, RESET_VALUE_S)
    return np.flatnonzero((steps < 0) | glitch)


def _outside(steps: NDArray[np.float64], n_deviations: float, least_s: float) -> NDArray[np.bool_]:
    shift = steps - np.median(steps)
    deviation = np.median(np.abs(shift)) + np.finfo(float).eps
    outside: NDArray[np.bool_] = (np.abs(shift / deviation) > n_deviations) & (np.abs(shift) > least_s)
    return outside


def _line(times: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float]:
    """Fit offset and slope with the Huber loss, by the alternating direction method of multipliers as pyxdf does."""
    if len(times) == 1 or np.ptp(times) == 0:
        return float(np.median(values)), 0.0
    begin = times.min() / WINSOR_S
    design = np.column_stack([np.ones(len(times)), times / WINSOR_S - begin])
    y = values / WINSOR_S
    try:
        lower = np.linalg.cholesky(design.T @ design)
    except np.linalg.LinAlgError:  # measured at what is one time beside the size of the numbers
        return float(np.median(values)), 0.0
    z = u = np.zeros(len(y))
    x = np.zeros(2)
    for _ in range(ITERATIONS):
        x = np.linalg.solve(lower.T, np.linalg.solve(lower, design.T @ (y + z - u)))
        d = design @ x - y + u
        inverse = np.divide(1, d, out=np.zeros(len(d)), where=d != 0)
        z, before = (d + np.maximum(0, 1 - 2 * np.abs(inverse)) * d) / 2, z
        u, last = d - z, u
        if np.array_equal(z, before) and np.array_equal(u, last):
            break
    return float((x[0] - x[1] * begin) * WINSOR_S), float(x[1])


def dejittered(stamps: NDArray[np.float64], rate: float) -> Clock:
    """Space samples evenly from one gap to the next.

    Parameters
    ----------
    stamps : ndarray, shape (n_samples,)
        In seconds, of one clock.
    rate : float
        Nominal, in Hz; greater than 0.

    Returns
    -------
    Clock
    """
    breaks = np.flatnonzero(np.abs(np.diff(stamps)) > max(BREAK_S, BREAK_SAMPLES / rate)) + 1
    gaps = np.union1d(breaks, _losses(stamps, breaks, rate)).astype(np.int64)
    times = np.empty(len(stamps))
    bounds = np.r_[0, gaps, len(stamps)]
    duration = drift_s = 0.0
    n_steps = 0
    for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        index = np.arange(end - first) - (end - first - 1) / 2
        part = stamps[first:end]
        slope = float(index @ part / (index @ index)) if end - first > 1 else 0.0
        times[first:end] = part.mean() + slope * index
        n_steps += end - first - 1
        duration += slope * (end - first - 1)
        drift_s = max(drift_s, _drift(part - times[first:end], rate))
    measured = n_steps / duration if duration > 0 else np.nan
    return Clock(times, gaps, measured, float(np.abs(stamps - times).max(initial=0)), drift_s)


def _losses(stamps: NDArray[np.float64], breaks: NDArray[np.int64], rate: float) -> NDArray[np.int64]:
    """Return the samples before which others are missing: from there on, all are late by more than a sample."""
    steps = np.diff(stamps)
    within = np.delete(steps, breaks - 1)
    if len(within) and (mean := float(within.mean())) > 0:
        rate = 1 / mean  # sources are slower than they say
    candidates = np.flatnonzero(steps > GAP_STEPS / rate)
    late = stamps - np.arange(len(stamps)) / rate
    reach = max(2, round(LASTING_S * rate))
    edges = [0, *breaks.tolist(), len(stamps)]
    found = []
    largest_first = candidates[np.argsort(-steps[candidates], kind="stable")][:MOST_CANDIDATES] + 1
    for place in largest_first[~np.isin(largest_first, breaks)].tolist():
        before, after = edges[bisect(edges, place) - 1], edges[bisect(edges, place)]
        earlier = np.median(late[max(before, place - reach) : place])
        later = np.median(late[place : min(after, place + reach)])
        if later - earlier > max(GAP_STEPS / rate, steps[place - 1] / 2):
            found.append(place)
            insort(edges, place)
    return np.array(found, np.int64)


def _drift(residual: NDArray[np.float64], rate: float) -> float:
    width = max(2, round(LASTING_S * rate))
    n_parts = len(residual) // width
    if not n_parts:
        return 0.0
    return float(np.abs(np.median(residual[: n_parts * width].reshape(n_parts, width), axis=1)).max())
