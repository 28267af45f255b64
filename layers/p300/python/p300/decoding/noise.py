"""Noise that is stationary in time: its covariance from few epochs, and what whitens them.

The covariance of a whole epoch is block-Toeplitz: how two channels vary together depends on how far apart in time they are read, not
on when (Sosulski and Tangermann 2022, Introducing block-Toeplitz covariance matrices to remaster linear discriminant analysis for
event-related potential brain-computer interfaces, J. Neural Eng. 19:066001). A baseline subtracts the same number from every sample of
a channel, so all of this ignores a channel's mean over the epoch.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CLIP = 2.0
"""Epochs longer than this many times the median are scaled down to it: a burst must not pass for the noise's covariance."""
_JITTER = 1e-6
"""Of the mean variance, on the covariance's diagonal."""


def clipped(epochs: Array) -> Array:
    """Scale down epochs with bursts.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_bins)
        Each channel with mean 0.

    Returns
    -------
    epochs : ndarray, same shape
        None longer than `CLIP` times the median length, which is the root mean square over time of the Mahalanobis length over channels.
    """
    if not len(epochs):
        return epochs
    flat = epochs.transpose(1, 0, 2).reshape(epochs.shape[1], -1)
    values, vectors = np.linalg.eigh(flat @ flat.T / flat.shape[1])
    roots = np.where(values > 1e-12 * values[-1], 1 / np.sqrt(np.maximum(values, np.finfo(float).tiny)), 0.0)
    length = np.sqrt((((vectors * roots).T @ epochs) ** 2).sum(axis=(1, 2)))
    limit = CLIP * np.median(length)
    scaled: Array = epochs * (limit / np.maximum(length, limit))[:, None, None] if limit > 0 else epochs
    return scaled


def channel_sum(epochs: Array) -> Array:
    """Sum the channels' covariances over epochs, bursts scaled down.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_bins)
        Each channel with mean 0.

    Returns
    -------
    total : ndarray, shape (n_channels, n_channels)
    """
    if not len(epochs):
        return np.zeros((epochs.shape[1], epochs.shape[1]))
    epochs = clipped(epochs - epochs.mean(axis=0))
    flat = epochs.transpose(1, 0, 2).reshape(epochs.shape[1], -1)
    total: Array = flat @ flat.T / epochs.shape[2]
    return total


def lagged_covariance(epochs: Array) -> Array:
    """Return the covariance of the channels now with the channels 0, 1, 2 ... bins later.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_bins)
        With mean 0.

    Returns
    -------
    lagged : ndarray, shape (n_bins, n_channels, n_channels)
        Mean over all pairs of bins that far apart, times ``1 - lag / (2 n_bins)``: a taper twice as long as the epoch.
    """
    n_epochs, n_channels, n_bins = epochs.shape
    lagged = np.empty((n_bins, n_channels, n_channels))
    by_channel = np.ascontiguousarray(epochs.transpose(1, 2, 0))
    taper = _taper(n_bins)
    for lag in range(n_bins):
        now = by_channel[:, : n_bins - lag].reshape(n_channels, -1)
        later = by_channel[:, lag:].reshape(n_channels, -1)
        lagged[lag] = now @ later.T * (taper[lag] / (n_epochs * (n_bins - lag)))
    return lagged


def whitening(lagged: Array) -> Array:
    """Return what whitens whole epochs, channel-major, whose channels have mean 0.

    Parameters
    ----------
    lagged : ndarray, shape (n_bins, n_channels, n_channels)
        From `lagged_covariance`.

    Returns
    -------
    whitening : ndarray, shape (n_channels * (n_bins - 1), n_channels * n_bins)
    """
    n_bins, n_channels, _ = lagged.shape
    contrasts = _contrasts(n_bins)
    try:
        root = np.linalg.cholesky(covariance(lagged))
    except np.linalg.LinAlgError:
        # Few epochs may not bear the long taper; with one as long as the epoch no covariance is negative.
        shorter = (1 - np.arange(n_bins) / n_bins) / _taper(n_bins)
        root = np.linalg.cholesky(covariance(lagged * shorter[:, None, None]))
    white: Array = np.linalg.solve(root, np.kron(np.eye(n_channels), contrasts))
    return white


def covariance(lagged: Array) -> Array:
    """Return the covariance of whole epochs without their channels' means, with a little on its diagonal.

    Its shape is (n_channels * (n_bins - 1), n_channels * (n_bins - 1)).
    """
    contrasts = _contrasts(len(lagged))
    whole = (contrasts @ toeplitz(lagged) @ contrasts.T).transpose(0, 2, 1, 3)
    whole = whole.reshape(lagged.shape[1] * len(contrasts), -1)
    mean_variance = float(np.trace(whole)) / len(whole)
    whole.flat[:: len(whole) + 1] += _JITTER * mean_variance if mean_variance > 0 else 1.0
    return whole


def toeplitz(lagged: Array) -> Array:
    """Return the covariance of whole epochs, shape (n_channels, n_channels, n_bins, n_bins)."""
    n_bins = len(lagged)
    both = np.concatenate([lagged[:0:-1].transpose(0, 2, 1), lagged])
    bins = np.arange(n_bins)
    whole: Array = both[bins[None, :] - bins[:, None] + n_bins - 1].transpose(2, 3, 0, 1)
    return whole


def _taper(n_bins: int) -> Array:
    taper: Array = 1 - np.arange(n_bins) / (2 * n_bins)
    return taper


def _contrasts(n_bins: int) -> Array:
    """Return orthonormal rows that see all of a channel but its mean (Helmert's)."""
    if n_bins == 1:
        return np.eye(1)
    rows = np.tril(np.ones((n_bins - 1, n_bins)))
    rows[np.arange(n_bins - 1), np.arange(1, n_bins)] = -np.arange(1.0, n_bins)
    contrasts: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return contrasts
