"""Sufficient statistics of labelled epochs: counts, sums and Gram matrices per class, which add and subtract."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from p300.recording import NON_TARGET, TARGET

Array = NDArray[np.float64]
CLASSES = (NON_TARGET, TARGET)
GRAM_EPOCHS = 2048
"""Epochs of one class that go into a Gram matrix at once: with fewer, BLAS's threads wait for each other."""
CHUNK_EPOCHS = 64
"""Epochs that the second pass takes at once: few enough to stay in a core's cache."""


@dataclass
class Stratum:
    """Epochs of one class, or of both, as seen from the origin.

    Attributes
    ----------
    n : int
        Number of epochs.
    mean : ndarray, shape (n_features,)
        In volts from the origin.
    scale : ndarray, shape (n_features,)
        Standard deviation in volts (divided by n), 1 where a feature is constant.
    """

    n: int
    mean: Array
    scale: Array


class Moments:
    """Counts, sums and squares per class, about a fixed origin near the data's mean.

    The origin keeps sums of squares from cancelling where features have a large offset.

    Parameters
    ----------
    origin : ndarray, shape (n_features,)
        In volts.
    gram : bool
        Whether to keep Gram matrices, or only their diagonals.
    """

    def __init__(self, origin: Array, *, gram: bool) -> None:
        n_features = len(origin)
        self.origin = origin
        self.n = np.zeros(2, dtype=int)
        self._sums = np.zeros((2, n_features))
        self._squares = np.zeros((2, n_features))
        # Lower triangles, Fortran order: what BLAS accumulates into without a copy.
        self._grams = [np.zeros((n_features, n_features), order="F") for _ in CLASSES] if gram else []
        self._waiting = [np.empty((GRAM_EPOCHS if gram else 0, n_features)) for _ in CLASSES]
        self._n_waiting = [0, 0]

    @property
    def grams(self) -> list[Array]:
        """Lower triangles of the Gram matrices about the origin, one for each class; empty where they are not kept."""
        self._settle()
        return self._grams

    @property
    def sums(self) -> Array:
        """Sums of the epochs of each class about the origin, shape (2, n_features)."""
        self._settle()
        return self._sums

    @property
    def squares(self) -> Array:
        """Sums of squares of the same, shape (2, n_features)."""
        self._settle()
        return self._squares

    def add(self, X: NDArray[np.floating], y: NDArray[np.integer]) -> Self:
        """Add epochs.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_features)
            In volts.
        y : ndarray of int, shape (n_epochs,)
            1 or 2.

        Returns
        -------
        self : Moments
        """
        for row, label in enumerate(CLASSES):
            members = np.flatnonzero(y == label)
            self.n[row] += len(members)
            if not self._grams:
                shifted = np.subtract(X[members], self.origin, dtype=np.float64)
                self._sums[row] += shifted.sum(axis=0)
                self._squares[row] += np.einsum("ij,ij->j", shifted, shifted)
                continue
            while len(members):
                filled = self._n_waiting[row]
                part = members[: GRAM_EPOCHS - filled]
                members = members[len(part) :]
                np.subtract(X[part], self.origin, out=self._waiting[row][filled : filled + len(part)])
                self._n_waiting[row] += len(part)
                if self._n_waiting[row] == GRAM_EPOCHS:
                    self._accumulate(row)
        return self

    def _settle(self) -> None:
        for row, n_waiting in enumerate(self._n_waiting):
            if n_waiting:
                self._accumulate(row)

    def _accumulate(self, row: int) -> None:
        """Take the epochs that wait into a class's sums and Gram matrix."""
        from scipy.linalg.blas import dsyrk

        shifted = self._waiting[row][: self._n_waiting[row]]
        self._n_waiting[row] = 0
        self._sums[row] += shifted.sum(axis=0)
        self._grams[row] = dsyrk(1.0, shifted.T, beta=1.0, c=self._grams[row], lower=1, overwrite_c=1)
        self._squares[row] = np.diagonal(self._grams[row])

    def without(self, other: "Moments") -> "Moments":
        """Return these moments with another's taken out; exact up to rounding.

        Parameters
        ----------
        other : Moments
            Of a part of the same epochs, about the same origin.

        Returns
        -------
        rest : Moments
        """
        rest = Moments(self.origin, gram=False)
        rest.n = self.n - other.n
        rest._sums = self.sums - other.sums
        rest._squares = self.squares - other.squares
        if self.grams and other.grams:
            rest._grams = [mine - theirs for mine, theirs in zip(self.grams, other.grams, strict=True)]
        return rest

    def stratum(self, rows: list[int]) -> Stratum:
        """Return mean and scale of one class or of both, about the origin.

        Parameters
        ----------
        rows : list of int
            ``[0]`` for non-targets, ``[1]`` for targets, ``[0, 1]`` for both.

        Returns
        -------
        stratum : Stratum
        """
        n = int(self.n[rows].sum())
        mean = self.sums[rows].sum(axis=0) / n
        variance = self.squares[rows].sum(axis=0) / n - mean**2
        # The bound under which scikit-learn's StandardScaler takes a feature for constant.
        eps = np.finfo(np.float64).eps
        constant = variance <= n * eps * np.abs(variance) + (n * (mean + self.origin) * eps) ** 2
        return Stratum(n, mean, np.sqrt(np.where(constant, 1.0, variance)))

    def correlation(self, rows: list[int], stratum: Stratum) -> Array:
        """Return the covariance of a stratum's standardised features.

        Parameters
        ----------
        rows : list of int
            As in `stratum`.
        stratum : Stratum
            What `stratum` returned for them.

        Returns
        -------
        correlation : ndarray, shape (n_features, n_features)
            Without a unit.
        """
        lower = self.grams[rows[0]] if len(rows) == 1 else self.grams[0] + self.grams[1]
        covariance: Array = (np.tril(lower) + np.tril(lower, -1).T) / stratum.n - np.outer(stratum.mean, stratum.mean)
        covariance /= stratum.scale
        covariance /= stratum.scale[:, None]
        return covariance


class FourthMoments:
    """Second pass: sum over epochs of the fourth power of the standardised epoch's norm, for many strata at once.

    Parameters
    ----------
    origin : ndarray, shape (n_features,)
        Subtracted from each epoch first, as in the first pass.
    strata : list of Stratum
        Whose mean and scale to standardise by: one for each fold.
    """

    def __init__(self, origin: Array, strata: list[Stratum]) -> None:
        self.origin = origin
        weight = np.column_stack([1 / stratum.scale**2 for stratum in strata])
        mean = np.column_stack([stratum.mean for stratum in strata])
        self._weight, self._weighted_mean = weight, weight * mean
        self._offset = np.einsum("pf,pf->f", self._weighted_mean, mean)

    def of(self, X: NDArray[np.floating]) -> Array:
        """Return the sum for each stratum over these epochs.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_features)
            In volts.

        Returns
        -------
        sums : ndarray, shape (n_strata,)
            Without a unit.
        """
        sums = np.zeros(len(self._offset))
        for start in range(0, len(X), CHUNK_EPOCHS):
            shifted = np.subtract(X[start : start + CHUNK_EPOCHS], self.origin, dtype=np.float64)
            norm2 = shifted @ self._weighted_mean
            norm2 *= -2
            shifted *= shifted
            norm2 += shifted @ self._weight
            norm2 += self._offset
            sums += np.einsum("nf,nf->f", norm2, norm2)
        return sums


def ledoit_wolf_shrinkage(correlation: Array, n: int, fourth: float) -> tuple[float, float]:
    """Return the Ledoit-Wolf shrinkage and the mean variance it shrinks towards.

    Parameters
    ----------
    correlation : ndarray, shape (n_features, n_features)
        Covariance of standardised features.
    n : int
        Epochs it was estimated from.
    fourth : float
        Sum over them of the fourth power of the standardised epoch's norm.

    Returns
    -------
    shrinkage : float
        From 0 (the covariance as it is) to 1 (a multiple of the identity).
    mean_variance : float

    Notes
    -----
    The formula of [1]_ in the form of ``sklearn.covariance.ledoit_wolf_shrinkage``, whose sum over all pairs of products of squared
    features is the sum of fourth powers of norms used here.

    References
    ----------
    .. [1] O. Ledoit and M. Wolf (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of Multivariate
       Analysis, 88, 365-411.
    """
    p = len(correlation)
    mean_variance = float(np.trace(correlation)) / p
    squared = float(np.einsum("ij,ij->", correlation, correlation))
    beta = (fourth / n - squared) / (p * n)
    delta = squared / p - mean_variance**2
    beta = min(beta, delta)
    return (0.0 if beta <= 0 else beta / delta), mean_variance
