"""From epochs to fewer numbers: a few spatial filters, a few bins in time."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BIN_S = 0.03
"""Features are averaged over this long: they are low-passed at 20 Hz or so, and fewer numbers are learnt sooner."""
LOW_PASS_HZ = 15.0
LOW_PASS_S = 0.1
"""Half the length of the low-pass filter."""
N_FILTERS = 6
"""Spatial filters at most. Of eight channels' six tell targets as well as all, of people left out, and symbols better: there is less noise
to learn (``benchmarks/personal.py --filters``). Cost grows with their cube, whatever the montage."""
N_FILTERS_OF_ONE = 8
"""The same of one subject's recordings alone: there are no other subjects to tell from noise (log-loss of that subject's symbols 0.69,
with six filters 0.72; ``benchmarks/decoding.py``)."""
_ABSENT = 1e-6
"""Of the mean variance: a direction with less noise is rounding (an average reference leaves one)."""


def temporal_matrix(n_times: int, sfreq: float) -> Array:
    """Return what low-passes epochs and averages them over bins.

    Parameters
    ----------
    n_times : int
        Samples of an epoch.
    sfreq : float
        In Hz.

    Returns
    -------
    matrix : ndarray, shape (n_times, n_bins)
        To be multiplied from the right. Its columns sum to 1; samples that no full bin is left for are cut off.
    """
    n_bins = n_times // max(1, min(round(BIN_S * sfreq), n_times // 2))
    width = n_times // n_bins
    averaging = np.zeros((n_times, n_bins))
    for number in range(n_bins):
        averaging[width * number : width * (number + 1), number] = 1 / width
    return _low_pass(n_times, sfreq) @ averaging


def _low_pass(n_times: int, sfreq: float) -> Array:
    """Return a windowed-sinc filter as a matrix from the right, shape (n_times, n_times); an epoch's ends are held."""
    if sfreq <= 2 * LOW_PASS_HZ:
        return np.eye(n_times)
    half = round(LOW_PASS_S * sfreq)
    taps = np.sinc(2 * LOW_PASS_HZ / sfreq * np.arange(-half, half + 1)) * np.hamming(2 * half + 1)
    taps /= taps.sum()
    matrix = np.zeros((n_times, n_times))
    for offset, tap in zip(range(-half, half + 1), taps, strict=True):
        source = np.clip(np.arange(n_times) + offset, 0, n_times - 1)
        np.add.at(matrix, (source, np.arange(n_times)), tap)
    return matrix


def spatial_filters(differences: Array, covariance: Array) -> Array:
    """Return the filters that tell targets best, in any person.

    Parameters
    ----------
    differences : ndarray, shape (n_people, n_channels, n_bins)
        Mean target minus mean non-target epoch of each person.
    covariance : ndarray, shape (n_channels, n_channels)
        Of the noise.

    Returns
    -------
    filters : ndarray, shape (n_filters, n_channels)
        Noise filtered by them has the identity as its covariance. Generalised eigenvectors of the people's mean and spread against the
        noise, as in xDAWN (Rivet et al. 2009, IEEE Trans. Biomed. Eng. 56:2035-2043).
    """
    n_filters = N_FILTERS if len(differences) > 1 else N_FILTERS_OF_ONE
    mean = differences.mean(axis=0)
    spread = differences - mean
    signal = mean @ mean.T + np.einsum("pct,pdt->cd", spread, spread) / len(differences)
    values, vectors = np.linalg.eigh(covariance)
    present = values > _ABSENT * values.mean()
    white = (vectors[:, present] / np.sqrt(values[present])).T
    if not present.any():
        return np.eye(len(covariance))[:n_filters]
    _, directions = np.linalg.eigh(white @ signal @ white.T)
    filters: Array = directions[:, ::-1][:, :n_filters].T @ white
    return filters
