"""XDAWN covariances in the tangent space, with numpy alone: what a fitted `xdawn_ts` computes of an epoch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TangentSpace:
    """From epochs to tangent vectors.

    Each epoch is spatially filtered and stacked under the filtered mean target response; the covariance of both is
    mapped to the tangent space at the training covariances' log-Euclidean mean. The same as pyRiemann's
    ``XdawnCovariances(classes=[2], estimator="oas")`` [1]_ [3]_ and ``TangentSpace({"mean": "logeuclid", "map": "riemann"})`` [2]_.

    Attributes
    ----------
    filters : ndarray, shape (n_filters, n_channels)
    prototype : ndarray, shape (n_filters, n_times)
        Filtered mean response to targets, in the epochs' unit.
    whitening : ndarray, shape (2 * n_filters, 2 * n_filters)
        Inverse square root of the mean covariance.

    References
    ----------
    .. [1] B. Rivet, A. Souloumiac, V. Attina and G. Gibert (2009). xDAWN algorithm to enhance evoked potentials: application to
       brain-computer interface. IEEE Transactions on Biomedical Engineering, 56, 2035-2043.
    .. [2] A. Barachant, S. Bonnet, M. Congedo and C. Jutten (2013). Classification of covariance matrices using a Riemannian-based kernel
       for BCI applications. Neurocomputing, 112, 172-178.
    .. [3] A. Barachant and M. Congedo (2014). A plug&play P300 BCI using information geometry. arXiv:1409.0107.
    """

    filters: Array
    prototype: Array
    whitening: Array

    def vectors(self, covariances: Array) -> Array:
        """Return tangent vectors of covariances.

        Parameters
        ----------
        covariances : ndarray, shape (n_epochs, 2 * n_filters, 2 * n_filters)
            As `covariances` makes them of epochs.

        Returns
        -------
        vectors : ndarray, shape (n_epochs, n_filters * (2 * n_filters + 1))
            Upper triangles, row by row, those off the diagonal times the square root of 2.
        """
        values, vectors = np.linalg.eigh(self.whitening @ covariances @ self.whitening)
        logarithm = (vectors * np.log(values)[:, None, :]) @ vectors.transpose(0, 2, 1)
        rows, columns, weights = self._upper
        vector: Array = logarithm[:, rows, columns] * weights
        return vector

    def project(self, epochs: NDArray[np.floating], weights: Array) -> Array:
        """Return the tangent vectors' products with one vector, without making them: ``vectors(covariances(epochs)) @ weights``.

        Parameters
        ----------
        epochs : ndarray, shape (n_epochs, n_channels, n_times)
            Epochs to project, in volts.
        weights : ndarray, shape (2 * n_filters, 2 * n_filters)
            As `matrix` makes it of a vector.

        Returns
        -------
        products : ndarray, shape (n_epochs,)

        Notes
        -----
        The product of a symmetric matrix ``V diag(l) V'`` with another, element by element and summed, is the sum of
        ``l_k * v_k' W v_k``.
        """
        values, vectors = np.linalg.eigh(self.whitening @ self.covariances(epochs) @ self.whitening)
        along = ((weights @ vectors) * vectors).sum(axis=1)
        products: Array = (np.log(values) * along).sum(axis=1)
        return products

    def matrix(self, weights: Array) -> Array:
        """Return weights of tangent vectors as the symmetric matrix of the same product.

        Parameters
        ----------
        weights : ndarray, shape (n_filters * (2 * n_filters + 1),)
            One for each entry of a tangent vector.

        Returns
        -------
        matrix : ndarray, shape (2 * n_filters, 2 * n_filters)
        """
        rows, columns, of_upper = self._upper
        half = np.zeros_like(self.whitening)
        half[rows, columns] = 0.5 * weights * of_upper
        return half + half.T

    def covariances(self, epochs: NDArray[np.floating]) -> Array:
        """Return the shrunk covariances of the filtered epochs and the prototype.

        Parameters
        ----------
        epochs : ndarray, shape (n_epochs, n_channels, n_times)
            In volts.

        Returns
        -------
        covariances : ndarray, shape (n_epochs, 2 * n_filters, 2 * n_filters)
            The prototype's rows first.
        """
        n_filters, n_times = self.prototype.shape
        stacked = np.empty((len(epochs), 2 * n_filters, n_times))
        stacked[:, :n_filters] = self._centred_prototype
        filtered = stacked[:, n_filters:]
        np.matmul(self.filters, epochs, out=filtered)
        filtered -= filtered.sum(axis=2, keepdims=True) / n_times
        covariances = stacked @ stacked.transpose(0, 2, 1)
        covariances /= n_times
        return _shrink(covariances, n_times)

    @cached_property
    def _centred_prototype(self) -> Array:
        centred: Array = self.prototype - self.prototype.mean(axis=1, keepdims=True)
        return centred

    @cached_property
    def _upper(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
        rows, columns = np.triu_indices(len(self.whitening))
        return rows, columns, np.where(rows == columns, 1.0, np.sqrt(2))


def _shrink(covariance: Array, n_times: int) -> Array:
    """Shrink in place by oracle approximation [1]_, as ``sklearn.covariance.oas`` does.

    References
    ----------
    .. [1] Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero (2010). Shrinkage algorithms for MMSE covariance estimation. IEEE Transactions on
       Signal Processing, 58, 5016-5029.
    """
    p = covariance.shape[-1]
    flat = covariance.reshape(len(covariance), p * p)
    diagonal = flat[:, :: p + 1]
    square = (flat * flat).sum(axis=1) / p**2
    mean = diagonal.sum(axis=1) / p
    spread = (n_times + 1) * (square - mean**2 / p)
    shrinkage = np.ones(len(flat))
    np.divide(square + mean**2, spread, out=shrinkage, where=spread > 0)
    np.minimum(shrinkage, 1.0, out=shrinkage)
    flat *= (1 - shrinkage)[:, None]
    diagonal += (shrinkage * mean)[:, None]
    return covariance
