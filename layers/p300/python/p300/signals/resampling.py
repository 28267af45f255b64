"""Baseline correction and resampling of an epoch as one fixed matrix."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .parameters import Parameters

IMPULSE_VALUES = 1 << 20  # resampled at once: 8 MB, and a few times that on the way


def window_samples(sfreq: float, tmin: float, tmax: float) -> tuple[int, int]:
    """Return the ends of a window, as ``mne.Epochs`` rounds them.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    tmin, tmax : float
        In seconds from the event.

    Returns
    -------
    first, last : int
        Samples from the event, both included.
    """
    return round(tmin * sfreq), round(tmax * sfreq)


@lru_cache(maxsize=8)
def epoch_matrix(sfreq: float, parameters: Parameters) -> NDArray[np.float64]:
    """Build the linear map from a raw epoch to its features.

    ``epochs.apply_baseline(baseline).resample(sfreq)`` of MNE-Python is linear in the epoch, and the epoch's length
    never changes, so both are one matrix. Its columns are MNE's result for unit impulses.

    Parameters
    ----------
    sfreq : float
        Sampling rate of the recording in Hz.
    parameters : Parameters
        Window, baseline and the rate of the features.

    Returns
    -------
    ndarray, shape (n_raw_times, n_times)
        Multiply epochs of shape (..., n_raw_times) by it from the right.

    Notes
    -----
    MNE returns ``round(n_raw_times * sfreq_out / sfreq_in)`` samples, one more at some input rates than at others
    (71 at 128 Hz, 70 at 512 Hz), because ``n_raw_times`` counts both ends of the window. Recordings of several rates
    have to meet in one model, so the surplus sample at the end is cut off here.
    """
    first, last = window_samples(sfreq, parameters.tmin, parameters.tmax)
    n_raw_times = last - first + 1
    times = np.arange(first, last + 1) / sfreq
    inside = np.zeros(n_raw_times, bool)
    if parameters.baseline is not None:
        inside = (parameters.baseline[0] <= times) & (times <= parameters.baseline[1])
    mean = 1 / max(int(inside.sum()), 1)
    parts = []
    at_once = max(IMPULSE_VALUES // n_raw_times, 1)
    for start in range(0, n_raw_times, at_once):  # all at once would be the square of an epoch's length
        rows = np.arange(start, min(start + at_once, n_raw_times))
        impulses = np.zeros((len(rows), n_raw_times))
        impulses[np.arange(len(rows)), rows] = 1
        impulses[inside[rows]] -= mean
        if not math.isclose(sfreq, parameters.sfreq, rel_tol=1e-6):  # where MNE leaves the data alone
            impulses = _resample(impulses, parameters.sfreq / sfreq)
        parts.append(impulses[:, : parameters.n_times])
    return np.ascontiguousarray(np.concatenate(parts))


def _resample(x: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """``mne.filter.resample(x, ratio, npad="auto", pad="edge")`` along the last axis."""
    n_in = x.shape[1]
    n_out = max(round(n_in * ratio), 1)
    n_pad = 2 ** math.ceil(math.log2(n_in + 2 * min(n_in // 8, 100))) - n_in
    before, after = n_pad // 2, n_pad - n_pad // 2
    n_padded = n_in + n_pad
    n_new = max(round(ratio * n_padded), 1)
    spectrum = np.fft.rfft(np.pad(x, ((0, 0), (before, after)), "edge"), axis=1)
    n_shorter = min(n_new, n_padded)
    if n_shorter % 2 == 0:
        spectrum[:, n_shorter // 2] *= 2 if n_new < n_padded else 0.5  # the Nyquist bin stands for both signs
    resampled = np.fft.irfft(spectrum * (n_new / n_padded), n_new, axis=1)
    start = round(ratio * before)
    return resampled[:, start : start + n_out]
