"""Figures and curves of labels and probabilities, as scikit-learn defines them, with numpy alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.errors import RequestError
from p300.recording import TARGET, UNLABELLED

N_CALIBRATION_BINS = 10
N_CURVE_POINTS = 50

Report = dict[str, Any]
Scored = dict[str, tuple[NDArray[np.integer], NDArray[np.float64]]]
"""Labels and probabilities of Target, by what was left out."""


def classification_metrics(y: NDArray[np.integer], probability_target: NDArray[np.floating]) -> Report:
    """Return the figures for one set of predictions.

    Parameters
    ----------
    y : ndarray of int, shape (n_epochs,)
        1 (NonTarget) or 2 (Target).
    probability_target : ndarray, shape (n_epochs,)
        Predicted probability of Target, 0 to 1.

    Returns
    -------
    metrics : dict
        ``roc_auc``, ``average_precision``, ``balanced_accuracy``, ``accuracy``, ``kappa`` (Cohen), ``brier``,
        ``confusion_matrix`` (rows true NonTarget, Target; columns predicted), ``n_epochs``, ``n_targets``. Labels are
        predicted at a probability of 0.5. A figure that needs both classes is None where one is absent. All are
        defined as in ``sklearn.metrics``.
    """
    _check_labelled(y)
    truth = np.asarray(y) == TARGET
    probability = np.asarray(probability_target, dtype=np.float64)
    n, n_targets = len(truth), int(truth.sum())
    n_non_targets = n - n_targets
    predicted = probability >= 0.5
    confusion = np.zeros((2, 2), dtype=int)
    np.add.at(confusion, (truth.astype(int), predicted.astype(int)), 1)
    accuracy = float(np.trace(confusion)) / n
    chance = float(confusion.sum(axis=0) @ confusion.sum(axis=1)) / n**2
    both = n_targets > 0 and n_non_targets > 0
    return {
        "roc_auc": roc_auc(np.asarray(y), probability),
        "average_precision": _average_precision(truth, probability) if both else None,
        "balanced_accuracy": float(np.mean(np.diag(confusion) / confusion.sum(axis=1))) if both else None,
        "accuracy": accuracy,
        "kappa": (accuracy - chance) / (1 - chance) if chance < 1 else None,
        "brier": float(np.mean((probability - truth) ** 2)),
        "confusion_matrix": confusion.tolist(),
        "n_epochs": n,
        "n_targets": n_targets,
    }


def roc_auc(y: NDArray[np.integer], score: NDArray[np.float64]) -> float | None:
    """Return the area under the ROC curve.

    Parameters
    ----------
    y : ndarray of int, shape (n_epochs,)
        1 (NonTarget) or 2 (Target).
    score : ndarray, shape (n_epochs,)
        The higher, the likelier a target.

    Returns
    -------
    auc : float or None
        None where a class is absent.
    """
    _check_labelled(y)
    truth = y == TARGET
    return _roc_auc(truth, score) if truth.any() and not truth.all() else None


def _check_labelled(y: NDArray[np.integer]) -> None:
    if (np.asarray(y) == UNLABELLED).any():
        raise RequestError(
            "unlabelled",
            "The recording is unlabelled: nobody says which flashes were targets, so no score can be tested.",
        )


def _roc_auc(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    # Mann-Whitney U: ties share the mean of their ranks.
    _, inverse, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[inverse]
    n_targets = int(truth.sum())
    return float((rank[truth].sum() - n_targets * (n_targets + 1) / 2) / (n_targets * (len(truth) - n_targets)))


def _average_precision(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    hits, called = _thresholds(truth, score)
    return float(np.sum(np.diff(hits, prepend=0) * hits / called) / truth.sum())


def _thresholds(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, at each distinct score from the highest on, how many targets and how many epochs reach it."""
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    return np.cumsum(truth[order])[last_of_tie], last_of_tie + 1


def calibration_curve(y: NDArray[np.integer], probability_target: NDArray[np.floating]) -> list[dict[str, float]]:
    """Compare predicted with observed frequencies of Target.

    Parameters
    ----------
    y : ndarray of int, shape (n_epochs,)
        1 (NonTarget) or 2 (Target).
    probability_target : ndarray, shape (n_epochs,)
        Predicted probability of Target, 0 to 1.

    Returns
    -------
    bins : list of dict
        Of equal count, from low to high probability: ``predicted`` (mean probability), ``observed`` (fraction of
        targets), ``n_epochs``.
    """
    order = np.argsort(probability_target, kind="stable")
    return [
        {
            "predicted": float(np.mean(probability_target[rows])),
            "observed": float(np.mean(y[rows] == TARGET)),
            "n_epochs": len(rows),
        }
        for rows in np.array_split(order, N_CALIBRATION_BINS)
        if len(rows)
    ]


def calibration_by_subject(scored: Scored) -> list[dict[str, float]]:
    """Compare predicted with observed frequencies of Target within each subject, and average.

    Pooled deciles mix subjects: the lowest may be of one subject alone, whom the model understands least.

    Parameters
    ----------
    scored : dict
        Labels and probabilities by subject.

    Returns
    -------
    deciles : list of dict
        From each subject's lowest probabilities to its highest: means over subjects of ``predicted`` and ``observed``, the standard error
        ``sem`` of their difference, and ``n_subjects``.
    """
    by_subject = [calibration_curve(y, p) for y, p in scored.values()]
    deciles = []
    for bins in zip(*(curve for curve in by_subject if len(curve) == N_CALIBRATION_BINS), strict=True):
        predicted, observed = (np.array([one[key] for one in bins]) for key in ("predicted", "observed"))
        n = len(bins)
        deciles.append(
            {
                "predicted": float(predicted.mean()),
                "observed": float(observed.mean()),
                "sem": float((observed - predicted).std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0,
                "n_subjects": n,
            }
        )
    return deciles


def curves(y: NDArray[np.integer], probability_target: NDArray[np.floating]) -> dict[str, list[dict[str, float]]]:
    """Return the curves behind the figures of one set of predictions.

    Parameters
    ----------
    y : ndarray of int, shape (n_epochs,)
        1 (NonTarget) or 2 (Target).
    probability_target : ndarray, shape (n_epochs,)
        Predicted probability of Target, 0 to 1.

    Returns
    -------
    curves : dict
        ``roc`` (``false_positive_rate``, ``true_positive_rate``) and ``precision_recall`` (``recall``, ``precision``), empty where a
        class is absent, of at most `N_CURVE_POINTS` + 1 thresholds; ``calibration`` as `calibration_curve` returns.
    """
    truth = np.asarray(y) == TARGET
    probability = np.asarray(probability_target, dtype=np.float64)
    found: dict[str, list[dict[str, float]]] = {
        "roc": [],
        "precision_recall": [],
        "calibration": calibration_curve(y, probability),
    }
    n_targets = int(truth.sum())
    n_non_targets = len(truth) - n_targets
    if not (n_targets and n_non_targets):
        return found
    hits, called = _thresholds(truth, probability)
    false_alarms = called - hits
    # At equal steps of the x axis, where a curve has several points, the best of them.
    last = np.searchsorted(false_alarms, np.linspace(0, n_non_targets, N_CURVE_POINTS), side="right") - 1
    first = np.searchsorted(hits, np.linspace(1, n_targets, N_CURVE_POINTS), side="left")
    found["roc"] = [{"false_positive_rate": 0.0, "true_positive_rate": 0.0}] + [
        {
            "false_positive_rate": round(float(false_alarms[row]) / n_non_targets, 5),
            "true_positive_rate": round(float(hits[row]) / n_targets, 5),
        }
        for row in np.unique(last[last >= 0])
    ]
    found["precision_recall"] = [
        {
            "recall": round(float(hits[row]) / n_targets, 5),
            "precision": round(float(hits[row]) / float(called[row]), 5),
        }
        for row in np.unique(first)
    ]
    return found
