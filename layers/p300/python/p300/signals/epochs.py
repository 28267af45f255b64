"""From raw epochs, cut by somebody else at the amplifier's rate, to features as `extract` makes them of a recording."""

import math
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError

from . import fir
from .parameters import Parameters
from .resampling import epoch_matrix, window_samples

MAX_SFREQ = 20_000.0
_SAMPLES_AT_ONCE = 1 << 20  # filtered: they must fit into a function's memory


@dataclass(frozen=True)
class EpochFeatures:
    """Features of raw epochs.

    Attributes
    ----------
    X : ndarray of float32, shape (n_epochs, n_channels * n_times)
        In volts, channel-major.
    rejected : ndarray of bool, shape (n_epochs,)
        Where a channel exceeds the rejection limit: no epoch of a recording that does becomes features.
    filter : {"exact", "approximate", "none"}
        Whether samples around the epoch reached as far as the filter does, or were extrapolated; none of epochs that were
        filtered before.
    """

    X: NDArray[np.float32]
    rejected: NDArray[np.bool_]
    filter: Literal["exact", "approximate", "none"]


def features_of_epochs(
    epochs: NDArray[np.floating],
    sfreq: float,
    parameters: Parameters,
    *,
    tmin: float | None = None,
    filtered: bool = False,
) -> EpochFeatures:
    """Filter, baseline-correct and resample raw epochs with the parameters that a recording would have been.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_samples)
        In microvolts. They cover the parameters' ``tmin..tmax``, both ends included; samples before and after are what the
        filter needs.
    sfreq : float
        Their rate in Hz.
    parameters : Parameters
        What is wanted.
    tmin : float, optional
        Time of the first sample in seconds from the flash's first sample; by default the parameters'.
    filtered : bool
        Whether the epochs were cut from a recording that had been filtered: nothing is filtered again.

    Returns
    -------
    EpochFeatures

    Raises
    ------
    RecordingError
        ``bad_sfreq`` or ``too_short``.

    Notes
    -----
    The filter has zero phase and reaches `reach_s` to each side, 1.65 s for a high-pass at 1 Hz. Epochs with that much around
    them get the features that `extract` gives to their recording, except that a broken channel is not replaced. With less, each
    channel is continued by its mean: on real recordings (two amplifiers, 128 and 256 Hz) features then differ by 0.5 % (root mean
    square) with 1 s around the window, 3 to 5 % with 0.5 s, 6 to 9 % with 0.25 s, and 7 to 12 % with nothing, more where electrodes
    drift; single-flash AUC by less than 0.005. The point reflection that a recording is continued by at its ends is worse here, 60 %
    with nothing: the reflected slope looks like a wave that the high-pass keeps.
    """
    if not 2 * parameters.h_freq < sfreq <= MAX_SFREQ:
        raise RecordingError(
            "bad_sfreq",
            f"sfreq is {sfreq:g} Hz; a band up to {parameters.h_freq:g} Hz needs more than {2 * parameters.h_freq:g} Hz, and at most "
            f"{MAX_SFREQ:g} Hz is taken.",
        )
    begins = parameters.tmin if tmin is None else tmin
    first, last = window_samples(sfreq, parameters.tmin, parameters.tmax)
    before = first - round(begins * sfreq)
    n_raw_times = last - first + 1
    n_epochs, n_channels, n_samples = epochs.shape
    after = n_samples - before - n_raw_times
    if before < 0 or after < 0:
        raise RecordingError(
            "too_short",
            f"Epochs have {n_samples} samples at {sfreq:g} Hz from {begins:g} s on; expected them to cover {parameters.tmin:g} to "
            f"{parameters.tmax:g} s, both ends included: {n_raw_times} samples, and better {reach_s(sfreq, parameters):.2f} s more on "
            "each side for the filter.",
        )
    matrix = epoch_matrix(sfreq, parameters)
    limit = np.inf if parameters.reject_peak_to_peak_uv is None else parameters.reject_peak_to_peak_uv * 1e-6
    X = np.empty((n_epochs, n_channels * matrix.shape[1]), np.float32)
    rejected = np.empty(n_epochs, bool)
    at_once = max(1, _SAMPLES_AT_ONCE // (n_channels * n_samples))
    for start in range(0, n_epochs, at_once):
        some = slice(start, min(start + at_once, n_epochs))
        rows = epochs[some].reshape(-1, n_samples)
        window = slice(before, before + n_raw_times)
        cut = rows[:, window] if filtered else _band(rows, sfreq, parameters, before, n_raw_times)
        cut = cut * 1e-6
        over = cut.max(axis=1) - cut.min(axis=1) > limit
        rejected[some] = over.reshape(-1, n_channels).any(axis=1)
        X[some] = (cut @ matrix).reshape(some.stop - some.start, -1)
    enough = min(before, after) >= round(reach_s(sfreq, parameters) * sfreq)
    return EpochFeatures(X, rejected, "none" if filtered else "exact" if enough else "approximate")


def reach_s(sfreq: float, parameters: Parameters) -> float:
    """Return how far to each side of a sample the filters look.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    parameters : Parameters
        Pass band and line frequency.

    Returns
    -------
    reach : float
        In seconds.
    """
    return sum(len(h) // 2 for h in fir.filters(sfreq, parameters)) / sfreq


def _band(
    rows: NDArray[np.floating], sfreq: float, parameters: Parameters, before: int, n_times: int
) -> NDArray[np.float64]:
    """Return ``n_times`` samples from ``before`` on of each row, filtered."""
    h = reduce(np.convolve, fir.filters(sfreq, parameters))
    n_samples = rows.shape[1]
    n_fft = 1 << math.ceil(math.log2(n_samples + len(h) - 1))
    spectrum = np.fft.rfft(rows - rows.mean(axis=1, keepdims=True), n_fft, axis=1)
    start = before + len(h) // 2
    return np.fft.irfft(spectrum * np.fft.rfft(h, n_fft), n_fft, axis=1)[:, start : start + n_times]
