"""Adapts a model from other subjects to a recording by the recording's own epochs, without labels.

Expectation maximisation in the manner of [1]_, with the model from other subjects as its start and its prior: the recording's mean
difference and covariance are blended with theirs, weighted by epochs, so a few epochs change little and a recording of a thousand counts
as much as all the other subjects.

References
----------
.. [1] P.-J. Kindermans, D. Verstraeten and B. Schrauwen (2012). A Bayesian model for exploiting application constraints to enable
   unsupervised training of a P300-based BCI. PLoS ONE, 7, e33758.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p300.models.calibration import sigmoid
from p300.models.moments import ledoit_wolf_shrinkage

Array = NDArray[np.float64]

WINDOW_SAMPLES = 4
"""Features are means over 40 ms at 100 Hz: below 20 Hz little is lost, and the covariance stays small."""
DIFFERENCE_WEIGHT_TARGETS = 100
COVARIANCE_WEIGHT_EPOCHS = 1000
MEAN_WEIGHT_EPOCHS = 100
"""How many of the recording's epochs the other subjects' difference, covariance and mean count as. Powers of ten: a
finer search over the few recordings at hand would be tuning to them."""
N_ITERATIONS = 8


def window_means(X: NDArray[np.floating], n_channels: int) -> Array:
    """Return means over consecutive windows of each channel.

    Parameters
    ----------
    X : ndarray, shape (n_epochs, n_channels * n_times)
        Epochs in volts, channel by channel.
    n_channels : int
        Number of channels in a row of `X`.

    Returns
    -------
    features : ndarray, shape (n_epochs, n_channels * n_windows)
        In volts. The last window may be shorter.
    """
    epochs = np.asarray(X, dtype=np.float64).reshape(len(X), n_channels, -1)
    return (epochs @ window_matrix(epochs.shape[2])).reshape(len(X), -1)


def window_matrix(n_times: int) -> Array:
    """Return the matrix that averages over windows.

    Parameters
    ----------
    n_times : int
        Samples of an epoch.

    Returns
    -------
    averaging : ndarray, shape (n_times, n_windows)
        Multiply epochs of shape (..., n_times) by it from the right.
    """
    window = np.arange(n_times) // WINDOW_SAMPLES
    member = window[:, None] == np.arange(window[-1] + 1)
    averaging: Array = member / member.sum(axis=0)
    return averaging


@dataclass(frozen=True)
class Adaptation:
    """What other subjects' recordings say, for a new recording to be blended with.

    Attributes
    ----------
    mean, difference : ndarray, shape (n_features,)
        Mean of all epochs, and of targets minus non-targets. Of aligned epochs, without a unit.
    covariance : ndarray, shape (n_features, n_features)
        Within class.
    prior_target : float
        Fraction of targets.
    """

    mean: Array
    difference: Array
    covariance: Array
    prior_target: float

    def log_odds(self, features: Array, start: Array) -> Array:
        """Return log-odds of Target by a classifier adapted to these epochs.

        Parameters
        ----------
        features : ndarray, shape (n_epochs, n_features)
            Of one recording, aligned.
        start : ndarray, shape (n_epochs,)
            Calibrated log-odds by the model from other subjects.

        Returns
        -------
        log_odds : ndarray, shape (n_epochs,)
            Mean of the start's and the adapted classifier's: where the two disagree, neither is trusted alone.
        """
        n = len(features)
        own_mean = features.mean(axis=0)
        centred = features - own_mean
        total = centred.T @ centred / n
        norm2 = np.einsum("ij,ij->i", centred, centred)
        shrinkage, variance = ledoit_wolf_shrinkage(total, n, float(norm2 @ norm2))
        total *= 1 - shrinkage
        total.flat[:: len(total) + 1] += shrinkage * variance
        mean = (n * own_mean + MEAN_WEIGHT_EPOCHS * self.mean) / (n + MEAN_WEIGHT_EPOCHS)
        bias = np.log(self.prior_target / (1 - self.prior_target))
        adapted = start
        for _ in range(N_ITERATIONS):
            target = sigmoid(adapted)
            n_targets = float(target.sum())
            own = _difference(features, target)
            difference = (DIFFERENCE_WEIGHT_TARGETS * self.difference + n_targets * own) / (
                DIFFERENCE_WEIGHT_TARGETS + n_targets
            )
            between = n_targets * (n - n_targets) / n**2 * np.outer(own, own)
            covariance = (COVARIANCE_WEIGHT_EPOCHS * self.covariance + n * (total - between)) / (
                COVARIANCE_WEIGHT_EPOCHS + n
            )
            weights = np.linalg.solve(covariance, difference)
            # The mean lies prior_target of the way from the non-target to the target mean.
            adapted = (features - mean) @ weights - (0.5 - self.prior_target) * (difference @ weights) + bias
        return 0.5 * (start + adapted)


def _difference(features: Array, target: Array) -> Array:
    """Return the weighted mean of targets minus that of non-targets."""
    rest = 1 - target
    tiny = np.finfo(np.float64).tiny
    difference: Array = target @ features / max(target.sum(), tiny) - rest @ features / max(rest.sum(), tiny)
    return difference
