"""Platt scaling: decision scores of left-out data to probabilities."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p300.recording import TARGET


@dataclass(frozen=True)
class Calibration:
    """Log-odds of Target as ``slope * score + intercept``; by default the score is taken as log-odds.

    Attributes
    ----------
    slope, intercept : float
    """

    slope: float = 1.0
    intercept: float = 0.0

    def probability(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of Target.

        Parameters
        ----------
        score : ndarray, shape (n_epochs,)
            Decision scores.

        Returns
        -------
        probability : ndarray, shape (n_epochs,)
        """
        return sigmoid(self.log_odds(score))

    def log_odds(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of Target.

        Parameters
        ----------
        score : ndarray, shape (n_epochs,)
            Decision scores.

        Returns
        -------
        log_odds : ndarray, shape (n_epochs,)
        """
        return self.slope * score + self.intercept


def sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)) without overflow.

    Parameters
    ----------
    log_odds : ndarray
        Of any shape.

    Returns
    -------
    probability : ndarray
        Of the same shape.
    """
    return 0.5 + 0.5 * np.tanh(0.5 * log_odds)


def platt(score: NDArray[np.float64], y: NDArray[np.integer]) -> Calibration:
    """Fit a logistic curve through scores of epochs that the scoring model did not see.

    Parameters
    ----------
    score : ndarray, shape (n_epochs,)
        Decision function.
    y : ndarray of int, shape (n_epochs,)
        1 (NonTarget) or 2 (Target).

    Returns
    -------
    calibration : Calibration
        The maximum likelihood fit with Platt's smoothed labels [1]_, by Newton's method with step halving [2]_.

    References
    ----------
    .. [1] J. Platt (1999). Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods. Advances
       in Large Margin Classifiers, 61-74.
    .. [2] H.-T. Lin, C.-J. Lin and R. C. Weng (2007). A note on Platt's probabilistic outputs for support vector machines. Machine
       Learning, 68, 267-276.
    """
    target = y == TARGET
    n_targets, n_non_targets = int(target.sum()), int((~target).sum())
    goal = np.where(target, (n_targets + 1) / (n_targets + 2), 1 / (n_non_targets + 2))
    # Newton on standardised scores: volts, ridge outputs and log-odds differ by orders of magnitude.
    centre, spread = float(score.mean()), float(score.std()) or 1.0
    design = np.column_stack([(score - centre) / spread, np.ones_like(score)])
    beta = np.array([0.0, np.log((n_targets + 1) / (n_non_targets + 1))])

    def loss(candidate: NDArray[np.float64]) -> float:
        z = design @ candidate
        return float(np.sum(np.logaddexp(0, z) - goal * z))

    current = loss(beta)
    for _ in range(100):
        p = sigmoid(design @ beta)
        gradient = design.T @ (p - goal)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (candidate := loss(beta - size * step)) > current and size > 1e-10:
            size /= 2
        beta = beta - size * step
        if current - candidate < 1e-12 * abs(current):
            break
        current = candidate
    slope, offset = beta
    return Calibration(slope=float(slope / spread), intercept=float(offset - slope * centre / spread))
