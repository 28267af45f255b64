"""Baseline correction and resampling of an epoch as one fixed matrix."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .parameters import Parameters


def window_samples(sfreq: float, tmin: float, tmax: float) -> tuple[int, int]:
    """First and last sample of a window relative to the event, both included, as ``mne.Epochs`` rounds them."""
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
    impulses = np.eye(last - first + 1)
    if parameters.baseline is not None:
        times = np.arange(first, last + 1) / sfreq
        inside = (parameters.baseline[0] <= times) & (times <= parameters.baseline[1])
        impulses[inside] -= 1 / max(int(inside.sum()), 1)
    if not math.isclose(sfreq, parameters.sfreq, rel_tol=1e-6):  # where MNE leaves the data alone
        impulses = _resample(impulses, parameters.sfreq / sfreq)
    return np.ascontiguousarray(impulses[:, : parameters.n_times])


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
