"""Euclidean alignment: each recording's channels are whitened by its own covariance, without labels [1]_.

A recording's whitener needs nothing from other recordings, so leaving out a subject stays exact. What arrives for prediction may be a
single epoch, though, which is too little to estimate a covariance from. The estimate is therefore the average of the training
recordings' covariances and of the epochs' own, weighted by the number of epochs: a single epoch gets the reference, a whole recording
its own.

References
----------
.. [1] H. He and D. Wu (2020). Transfer learning for brain-computer interfaces: a Euclidean space data alignment approach. IEEE
   Transactions on Biomedical Engineering, 67, 399-410.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

REFERENCE_WEIGHT_EPOCHS = 100
"""The epochs' own covariance counts as much as the reference once there are this many of them."""
ABSENT_EIGENVALUE = 1e-6
"""Of the mean one; below it a direction is rounding noise (an average reference leaves one), and is left out."""


def spatial_covariance(epochs: NDArray[np.floating]) -> Array:
    """Return the mean spatial covariance about zero.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_times)
        In volts, band-passed.

    Returns
    -------
    covariance : ndarray, shape (n_channels, n_channels)
        In V^2.
    """
    n_epochs, n_channels, n_times = epochs.shape
    flat = np.asarray(epochs, dtype=np.float64).transpose(1, 0, 2).reshape(n_channels, -1)
    covariance: Array = flat @ flat.T / (n_epochs * n_times)
    return covariance


def whitener(covariance: Array) -> Array:
    """Return the symmetric inverse square root of a covariance.

    Parameters
    ----------
    covariance : ndarray, shape (n_channels, n_channels)
        In V^2.

    Returns
    -------
    whitening : ndarray, shape (n_channels, n_channels)
        In 1/V; zero in directions where the covariance has no power (`ABSENT_EIGENVALUE`).
    """
    values, vectors = np.linalg.eigh(covariance)
    floor = ABSENT_EIGENVALUE * values.mean()
    inverse_root = np.where(values > floor, 1 / np.sqrt(np.maximum(values, floor or 1.0)), 0.0)
    whitening: Array = (vectors * inverse_root) @ vectors.T
    return whitening


def adapted_whitener(epochs: NDArray[np.floating], reference: Array) -> Array:
    """Return the whitener for epochs of one recording, however few.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_times)
        In volts.
    reference : ndarray, shape (n_channels, n_channels)
        Mean of the training recordings' covariances, in V^2.

    Returns
    -------
    whitening : ndarray, shape (n_channels, n_channels)
        In 1/V.
    """
    n = len(epochs)
    return whitener(
        (n * spatial_covariance(epochs) + REFERENCE_WEIGHT_EPOCHS * reference) / (n + REFERENCE_WEIGHT_EPOCHS)
    )
