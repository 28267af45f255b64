"""Decision scores of left-out data to probabilities: Platt scaling, with a floor and a ceiling."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p300.recording import TARGET

MAX_LAPSE = 0.25
"""Floor and ceiling are at most so far from 0 and 1."""
MOST_EPOCHS = 100_000
"""A curve of four parameters gains nothing from more."""


@dataclass(frozen=True)
class Calibration:
    """Probability of Target as ``floor + (1 - floor - ceiling) * sigmoid(slope * score + intercept)``.

    By default the score is taken as log-odds. Floor and ceiling say how often a score that leaves no doubt is wrong none the less: a
    subject looks away, or answers like none of those that the model was trained on. A logistic curve has no place for that, and goes on
    towards 0 and 1 where the frequencies do not.

    Attributes
    ----------
    slope, intercept : float
    floor : float
        Probability of Target at the lowest scores.
    ceiling : float
        That of NonTarget at the highest.
    """

    slope: float = 1.0
    intercept: float = 0.0
    floor: float = 0.0
    ceiling: float = 0.0

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
        share = sigmoid(self.slope * score + self.intercept)
        return self.floor + (1 - self.floor - self.ceiling) * share

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
        logistic = self.slope * score + self.intercept
        if not self.floor and not self.ceiling:
            return logistic
        # log(floor + (1 - ceiling) e^x) - log((1 - floor) + ceiling e^x): finite also where a probability rounds to 0 or 1
        with np.errstate(divide="ignore"):
            low, high = np.log(self.floor), np.log(self.ceiling)
        target = np.logaddexp(low, np.log1p(-self.ceiling) + logistic)
        rest = np.logaddexp(np.log1p(-self.floor), high + logistic)
        return np.asarray(target - rest)


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


def fit_calibration(score: NDArray[np.float64], y: NDArray[np.integer]) -> Calibration:
    """Fit a logistic curve with floor and ceiling through scores of epochs that the scoring model did not see.

    Parameters
    ----------
    score : ndarray, shape (n_epochs,)
        Decision function.
    y : ndarray of int, shape (n_epochs,)
        1 (NonTarget) or 2 (Target).

    Returns
    -------
    calibration : Calibration
        The maximum likelihood fit from `platt` on, of the same smoothed labels. Of more than `MOST_EPOCHS` epochs, every so many are
        taken of each class, in the order of their scores.
    """
    from scipy.optimize import minimize

    score, y = _thinned(score, y)
    start = platt(score, y)
    logistic = start.log_odds(score)
    target = y == TARGET
    n_targets, n_non_targets = int(target.sum()), int((~target).sum())
    goal = np.where(target, (n_targets + 1) / (n_targets + 2), 1 / (n_non_targets + 2))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope, intercept, floor, ceiling = parameters
        share = sigmoid(slope * logistic + intercept)
        room = 1 - floor - ceiling
        p = np.clip(floor + room * share, 1e-12, 1 - 1e-12)
        by_p = (p - goal) / (p * (1 - p))
        by_x = by_p * room * share * (1 - share)
        gradient = [by_x @ logistic, by_x.sum(), by_p @ (1 - share), -by_p @ share]
        value = -(goal @ np.log(p) + (1 - goal) @ np.log1p(-p))
        return float(value) / len(y), np.array(gradient) / len(y)

    bounds = [(1e-3, None), (None, None), (0.0, MAX_LAPSE), (0.0, MAX_LAPSE)]
    found = minimize(loss, [1.0, 0.0, 1e-3, 1e-3], jac=True, bounds=bounds, method="L-BFGS-B")
    slope, intercept, floor, ceiling = (float(value) for value in found.x)
    return Calibration(slope * start.slope, slope * start.intercept + intercept, floor, ceiling)


def _thinned(score: NDArray[np.float64], y: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    step = -(-len(y) // MOST_EPOCHS)
    if step == 1:
        return score, y
    order = np.lexsort((score, y))
    of_class = [order[y[order] == label] for label in np.unique(y)]
    rows = np.concatenate([members[step // 2 :: step] for members in of_class])
    return score[rows], y[rows]
