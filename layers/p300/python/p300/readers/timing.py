"""How a file's samples lie in time, decided once for all formats: the rate, and where a sample does not follow the one before it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.limits import HIGHEST_RATE_HZ

from .seen import suggest

LOWEST_RATE_HZ = 50
"""Of EEG amplifiers."""
LARGEST_RATE_ERROR = 0.005
"""Between a declared rate and that of the time stamps: 3 ms at the end of an epoch."""
LARGEST_JITTER_S = 0.01
"""Of time stamps from a steady clock; at low rates one and a half samples where that is more."""
GAP_STEPS = 1.5
"""Times the usual step between time stamps, from which on a sample is missing."""
MOST_GAPS = 1000
LONGEST_EPOCH_S = 10.0
FEWEST_EPOCHS = 3
UNITS_PER_S = {1.0: "seconds", 1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}
MOST_NAMED = 3
NOT_CONTINUOUS = "time is not continuous"
"""How a note on gaps begins."""
_BOUNDARY = re.compile(r"(?:bad|edge)[ _]boundary|boundary|new segment/.*", re.IGNORECASE)
_SKIP = re.compile(r"bad_acq_skip", re.IGNORECASE)


@dataclass(frozen=True)
class Timing:
    """When the samples of a recording were taken.

    Attributes
    ----------
    sfreq : float
        Rate in Hz.
    gaps : tuple of int
        Sample at which each discontinuity ends, ascending.
    notes : tuple of str
        What was assumed, for a person.
    """

    sfreq: float
    gaps: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def from_stamps(
    times: NDArray[np.float64], declared_hz: float | None, name: str, *, in_seconds: bool = False
) -> Timing | None:
    """Decide from a time stamp for each sample.

    Parameters
    ----------
    times : ndarray, shape (n_samples,)
        In seconds; in other units, or counted in samples, where the rate is declared.
    declared_hz : float or None
        Rate that the file says beside them.
    name : str
        What to call the recording in messages.
    in_seconds : bool, optional
        Whether the file says the stamps' unit, so that they cannot be anything else.

    Returns
    -------
    Timing or None
        None where the time stamps say nothing: fewer than two, or constant.

    Raises
    ------
    RecordingError
        ``missing_sfreq`` for stamps that are not in seconds; ``contradictory_rate``, ``irregular_time``, ``not_continuous``.
    """
    index = np.flatnonzero(np.isfinite(times))
    stamps = times[index]
    if len(index) < 2 or stamps.max() == stamps.min():
        return None
    steps = np.diff(stamps) / np.diff(index)
    usual = np.percentile(steps, 99)  # of stamps that come in packets, most steps are zero
    if usual <= 0:
        raise RecordingError(
            "irregular_time", f"{name}: the time column falls from sample to sample. Expected seconds that rise."
        )
    jumps = np.flatnonzero((steps > GAP_STEPS * usual) | (steps < -0.5 * usual)) + 1
    bounds = np.r_[0, jumps, len(index)]
    first, last = bounds[:-1], bounds[1:] - 1
    span = float((stamps[last] - stamps[first]).sum())
    n_steps = int((index[last] - index[first]).sum())
    if span <= 0 or not n_steps:
        raise RecordingError(
            "irregular_time",
            f"{name}: the time column jumps at {len(jumps):,} of {len(times):,} samples. Expected seconds that rise evenly.",
        )
    measured = n_steps / span
    sfreq, per_s, notes = _rate(measured, declared_hz, name, in_seconds=in_seconds)
    n_missing = len(times) - len(index)
    if n_missing:
        notes.append(f"time column: {n_missing:,} of {len(times):,} stamps missing")
    gaps = index[jumps]
    check_continuous(gaps, len(times), sfreq, name)
    segment = np.repeat(np.arange(len(first)), np.diff(bounds))
    residual_s = (stamps - stamps[first][segment]) / per_s - (index - index[first][segment]) / (measured * per_s)
    _check_jitter(residual_s, sfreq, name, notes)
    lost_s = (stamps[jumps] - stamps[jumps - 1]) / per_s - (index[jumps] - index[jumps - 1]) / sfreq
    return Timing(sfreq, tuple(gaps.tolist()), (*notes, *gap_notes(gaps, lost_s, sfreq)))


def of_layout(times: NDArray[np.float64], sfreq: float, name: str) -> Timing:
    """Decide from the first column of a known layout, whose rate is known: some of its files do not hold time there.

    Parameters
    ----------
    times : ndarray, shape (n_samples,)
        The column.
    sfreq : float
        The layout's rate in Hz.
    name : str
        What to call the recording in messages.

    Returns
    -------
    Timing
        At the layout's rate where the column says nothing of use, with a note.
    """
    try:
        return from_stamps(times, sfreq, name) or Timing(sfreq)
    except RecordingError as refusal:
        if refusal.code == "not_continuous":
            raise
        return Timing(sfreq, (), (f"time column ignored: it does not say {sfreq:g} Hz",))


def _rate(measured: float, declared_hz: float | None, name: str, *, in_seconds: bool) -> tuple[float, float, list[str]]:
    """Return the rate in Hz, how many of the column's units are a second, and notes."""
    if declared_hz is None:
        if measured < LOWEST_RATE_HZ:
            raise RecordingError(
                "missing_sfreq",
                f"{name}: by its time column in seconds, the sampling rate would be {measured:g} Hz. Expected time in seconds, and at "
                f"least {LOWEST_RATE_HZ} Hz; {_looks_like(measured, in_seconds=in_seconds)}. Write seconds, or declare the rate: "
                "'# sfreq=512' as a csv file's first line, or {\"sfreq\": 512} in its sidecar.",
            )
        return round(measured, 2), 1.0, []
    for per_s, unit in list(UNITS_PER_S.items())[: 1 if in_seconds else None]:
        if abs(measured * per_s / declared_hz - 1) <= LARGEST_RATE_ERROR:
            return declared_hz, per_s, [f"time column read as {unit}"] if per_s > 1 else []
    if _counts_samples(measured) and not in_seconds:
        return declared_hz, declared_hz, ["time column counts samples"]
    raise RecordingError(
        "contradictory_rate",
        f"{name}: the time column says {measured:g} Hz, and the file declares {declared_hz:g} Hz. Expected both within "
        f"{LARGEST_RATE_ERROR:.1%}. Correct one of them, or leave it out.",
    )


def _counts_samples(measured: float) -> bool:
    return abs(measured - 1) < 1e-6


def _looks_like(measured: float, *, in_seconds: bool) -> str:
    """Say what a time column may hold instead of seconds; propose the rate where it can be one thing only."""
    if in_seconds:
        return "its unit is stated"
    if _counts_samples(measured):
        return "this looks like the numbers of samples, whose rate nobody can tell, or like milliseconds (1000 Hz)"
    likely = [
        (measured * n, unit) for n, unit in UNITS_PER_S.items() if LOWEST_RATE_HZ <= measured * n <= HIGHEST_RATE_HZ
    ]
    if not likely:
        return "this looks like none of the usual units"
    (hz, unit), *_ = likely
    suggest(sfreq=round(hz, 2))
    return f"this looks like {unit} ({hz:g} Hz)"


def _check_jitter(residual_s: NDArray[np.float64], sfreq: float, name: str, notes: list[str]) -> None:
    jitter_s = float(np.abs(residual_s - np.median(residual_s)).max())
    bound_s = max(LARGEST_JITTER_S, GAP_STEPS / sfreq)
    if jitter_s > bound_s:
        raise RecordingError(
            "irregular_time",
            f"{name}: time stamps differ by up to {1e3 * jitter_s:.1f} ms from a steady {sfreq:g} Hz; expected at most {1e3 * bound_s:.1f} "
            "ms. Export the time of each sample instead of the time it arrived, or leave out the time column and declare the rate.",
        )
    if jitter_s > 1 / sfreq:
        notes.append(f"time stamps jitter by up to {1e3 * jitter_s:.1f} ms: samples taken as evenly spaced")


def check_continuous(gaps: NDArray[np.integer], n_samples: int, sfreq: float, name: str) -> None:
    """Refuse epochs one below the other, and recordings in more pieces than lost packets make.

    Raises
    ------
    RecordingError
        ``not_continuous``.
    """
    lengths = np.diff(np.r_[0, gaps, n_samples])
    even = len(lengths) >= FEWEST_EPOCHS and len(set(lengths[:-1].tolist())) == 1 and lengths[-1] <= lengths[0]
    if even and lengths[0] <= LONGEST_EPOCH_S * sfreq:
        raise RecordingError(
            "not_continuous",
            f"{name}: time starts again every {lengths[0] / sfreq:g} s, {len(lengths):,} times: epochs, one below the other. Expected a "
            "continuous recording: the filter needs what is around each epoch. Export it before it is cut.",
        )
    if len(gaps) > MOST_GAPS:
        raise RecordingError(
            "not_continuous",
            f"{name}: {len(gaps):,} gaps or jumps in time; expected at most {MOST_GAPS:,}. Export the time of each sample, or leave out "
            "the time column and declare the rate.",
        )


def gap_notes(gaps: NDArray[np.integer], lost_s: NDArray[np.floating], sfreq: float) -> list[str]:
    """Describe gaps for a person.

    Parameters
    ----------
    gaps : ndarray of int, shape (n_gaps,)
        Sample at which each ends.
    lost_s : ndarray, shape (n_gaps,)
        How much time is missing in seconds, negative where time goes back.
    sfreq : float
        Rate in Hz.

    Returns
    -------
    notes : list of str
    """
    if not len(gaps):
        return []
    named = [
        f"{abs(lost):.3g} s {'missing' if lost > 0 else 'back'} at {gap / sfreq:.3f} s (sample {gap})"
        for gap, lost in list(zip(gaps.tolist(), lost_s.tolist(), strict=True))[:MOST_NAMED]
    ]
    more = f" and {len(gaps) - MOST_NAMED} more" if len(gaps) > MOST_NAMED else ""
    return [f"{NOT_CONTINUOUS}: {', '.join(named)}{more}; no epoch spans these"]


def boundaries(events: Iterable[tuple[float, float, str]], n_samples: int) -> tuple[int, ...]:
    """Return the gaps that boundaries between runs make, by the names that recording software gives them.

    Parameters
    ----------
    events : iterable of (float, float, str)
        Onset and duration in samples, and description, of each annotation: ``boundary`` (EEGLAB), ``EDGE boundary``, ``BAD boundary``
        and ``BAD_ACQ_SKIP`` (MNE-Python), ``New Segment/`` (BrainVision).
    n_samples : int
        Length of the recording.

    Returns
    -------
    gaps : tuple of int
        Ascending.
    """
    found = set()
    for onset, duration, description in events:
        if _BOUNDARY.fullmatch(description):
            found.add(int(np.ceil(onset - 1e-6)))
        elif _SKIP.fullmatch(description):
            found |= {round(onset), round(onset + duration)}
    return tuple(sorted(gap for gap in found if 0 < gap < n_samples))
