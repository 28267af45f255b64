"""XDAWN covariances in the tangent space, with numpy alone: what a fitted `xdawn_ts` computes of an epoch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TangentSpace:
    """From epochs to tangent vectors.

    Each epoch is spatially filtered and stacked under the filtered mean target response; the covariance of both is
    mapped to the tangent space at the training covariances' log-Euclidean mean. The same as pyRiemann's
    ``XdawnCovariances(classes=[2], estimator="oas")`` and ``TangentSpace({"mean": "logeuclid", "map": "riemann"})``
    (Rivet et al. 2009, IEEE Trans. Biomed. Eng. 56:2035-2043; Barachant et al. 2013, Neurocomputing 112:172-178;
    Barachant and Congedo 2014, arXiv:1409.0107).

    Attributes
    ----------
    filters : ndarray, shape (n_filters, n_channels)
    prototype : ndarray, shape (n_filters, n_times)
        Filtered mean response to targets.
    whitening : ndarray, shape (2 * n_filters, 2 * n_filters)
        Inverse square root of the mean covariance.
    """

    filters: Array
    prototype: Array
    whitening: Array

    def transform(self, epochs: NDArray[np.floating]) -> Array:
        """Return tangent vectors, shape (n_epochs, n_filters * (2 * n_filters + 1))."""
        return self.vectors(self.covariances(epochs))

    def vectors(self, covariances: Array) -> Array:
        """Return tangent vectors of covariances, shape (n_epochs, n_filters * (2 * n_filters + 1))."""
        values, vectors = np.linalg.eigh(self.whitening @ covariances @ self.whitening)
        logarithm = (vectors * np.log(values)[:, None, :]) @ vectors.transpose(0, 2, 1)
        rows, columns = np.triu_indices(len(self.whitening))
        vector: Array = logarithm[:, rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2))
        return vector

    def covariances(self, epochs: NDArray[np.floating]) -> Array:
        """Return the shrunk covariances, shape (n_epochs, 2 * n_filters, 2 * n_filters)."""
        filtered = self.filters @ np.asarray(epochs, dtype=np.float64)
        prototype = np.broadcast_to(self.prototype, filtered.shape)
        stacked = np.concatenate([prototype, filtered], axis=1)
        stacked -= stacked.mean(axis=2, keepdims=True)
        n_times = stacked.shape[2]
        return _shrink(stacked @ stacked.transpose(0, 2, 1) / n_times, n_times)


def _shrink(covariance: Array, n_times: int) -> Array:
    """Oracle approximating shrinkage (Chen et al. 2010, IEEE Trans. Signal Process. 58:5016), as in scikit-learn."""
    p = covariance.shape[-1]
    square = np.mean(covariance**2, axis=(1, 2))
    mean = np.trace(covariance, axis1=1, axis2=2) / p
    spread = (n_times + 1) * (square - mean**2 / p)
    flat = spread <= 0
    shrinkage = np.where(flat, 1.0, np.minimum((square + mean**2) / np.where(flat, 1.0, spread), 1.0))
    shrunk: Array = (1 - shrinkage)[:, None, None] * covariance
    shrunk += (shrinkage * mean)[:, None, None] * np.eye(p)
    return shrunk
