"""Whether scores know anything of labels: a permutation test of the ROC AUC.

The scores are fixed and labels are shuffled within each recording, so nothing is fitted again.
"""

import math
from collections.abc import Iterable, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.errors import ArtifactError
from p300.json_text import is_number
from p300.recording import TARGET

ALPHA = 0.05
"""A p-value from here on is "at chance"."""
N_PERMUTATIONS = 2000
_VALUES_AT_ONCE = 1 << 18
"""Ranks in memory: permutations are drawn in batches of so many."""
FEWEST_FOR_NORMAL = 50
"""With so many epochs of the rarer class and few ties, the normal approximation is within 0.01 of the permutations' p-value."""
CROSS_VALIDATION_VARIANCE = 2.0
"""In a cross-validation each pair of recordings is compared twice: either one trains the model that scores the other. The variance of the
mean AUC of recordings without any effect is therefore up to twice that of independent test sets."""

Scores = tuple[NDArray[np.integer], NDArray[np.floating]]
"""Labels (1 NonTarget, 2 Target) and scores of the epochs of one recording, both of shape (n_epochs,)."""
Ranked = list[tuple[NDArray[np.float64], NDArray[np.bool_]]]


def against_chance(recordings: Iterable[Scores], seed: int = 0) -> dict[str, Any]:
    """Test cross-validated scores against labels shuffled within each recording, one-sided.

    Parameters
    ----------
    recordings : iterable of (ndarray of int, ndarray)
        Labels and scores of each recording (or block of time), by a model that saw neither. Scores must be as the model gives them: a
        calibration fitted on the other recordings can turn them around, and would make chance look like an effect.
    seed : int
        Of the permutations, where there are any.

    Returns
    -------
    dict
        ``roc_auc``, the mean over recordings with both classes; ``p_value``; ``at_chance``, whether the p-value is `ALPHA` or more; and
        ``n_permutations``, None where the normal approximation replaces them. With no recording of both classes nothing can be shown:
        ``roc_auc`` and ``p_value`` are None and ``at_chance`` is True.
    """
    ranked = _of_both_classes(recordings)
    if not ranked:
        return {"roc_auc": None, "p_value": None, "at_chance": True, "n_permutations": None}
    excess = float(np.mean([_excess(float(rank[target].sum()), target) for rank, target in ranked]))
    # Instead of a wider distribution, a smaller deviation from its centre.
    deviation = excess / math.sqrt(CROSS_VALIDATION_VARIANCE)
    normal = _is_normal(ranked)
    p_value = (
        0.5 * math.erfc(deviation / _sd(ranked) / math.sqrt(2)) if normal else _p_permuted(ranked, deviation, seed)
    )
    return {
        "roc_auc": 0.5 + excess,
        "p_value": p_value,
        "at_chance": p_value >= ALPHA,
        "n_permutations": None if normal else N_PERMUTATIONS,
    }


def shuffled_interval(recordings: Iterable[Scores], seed: int = 0) -> tuple[float, float] | None:
    """Return the interval that holds 95 % of the mean AUCs of cross-validated scores that know nothing of the labels.

    Parameters
    ----------
    recordings : iterable of (ndarray of int, ndarray)
        As `against_chance` takes them.
    seed : int
        Of the permutations.

    Returns
    -------
    low, high : float
        Quantiles of the AUC with labels shuffled within each recording, by the normal approximation where `against_chance` takes it, their
        distance from 0.5 widened as `CROSS_VALIDATION_VARIANCE` says; None with no recording of both classes.
    """
    ranked = _of_both_classes(recordings)
    if not ranked:
        return None
    if _is_normal(ranked):
        high = NormalDist().inv_cdf(1 - ALPHA / 2) * _sd(ranked)
        low = -high
    else:
        low, high = np.quantile(_permuted(ranked, seed), [ALPHA / 2, 1 - ALPHA / 2]).tolist()
    wider = math.sqrt(CROSS_VALIDATION_VARIANCE)
    return max(0.0, 0.5 + low * wider), min(1.0, 0.5 + high * wider)


def in_words(chance: Mapping[str, Any]) -> str:
    """Return the result of a test in words.

    Parameters
    ----------
    chance : mapping
        With ``p_value`` and ``at_chance``, as `against_chance` returns.

    Returns
    -------
    str
        Such as ``at chance (p = 0.34)`` or ``above chance (p < 0.001)``.
    """
    where, p_value = "at chance" if chance["at_chance"] else "above chance", chance.get("p_value")
    if p_value is None:
        return f"{where} (not testable)"
    digits = 2 if p_value >= 0.1 else 3
    return f"{where} (p {f'= {p_value:.{digits}f}' if p_value >= 0.001 else '< 0.001'})"


def chance_of(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the test against chance; None where an evaluation was made before there was one.

    Raises
    ------
    ArtifactError
        ``bad_manifest`` where it is no such test.
    """
    found = metrics.get("chance")
    if found is None:
        return None
    if (
        not isinstance(found, dict)
        or not isinstance(found.get("at_chance"), bool)
        or not (found.get("p_value") is None or is_number(found["p_value"]))
    ):
        raise ArtifactError("bad_manifest", "A test against chance that no evaluation wrote. Train again.")
    return {"p_value": None, **found}


def _ranks(score: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ranks from 1; ties share the mean of theirs."""
    _, inverse, count = np.unique(score, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(count) - (count - 1) / 2)[inverse]
    return ranks


def _excess[T: (float, NDArray[np.float64])](rank_sum: T, target: NDArray[np.bool_]) -> T:
    """Return the AUC above 0.5 of targets with this sum of ranks."""
    n, n_targets = len(target), int(target.sum())
    return (rank_sum - n_targets * (n + 1) / 2) / (n_targets * (n - n_targets))


def _of_both_classes(recordings: Iterable[Scores]) -> Ranked:
    """Return ranks of scores, and which are of targets, for each recording that has both classes."""
    ranked = [(_ranks(score), y == TARGET) for y, score in recordings]
    return [(rank, target) for rank, target in ranked if target.any() and not target.all()]


def _is_normal(ranked: Ranked) -> bool:
    rarer = sum(min(int(target.sum()), int((~target).sum())) for _, target in ranked)
    return rarer >= FEWEST_FOR_NORMAL and all(2 * len(np.unique(rank)) >= len(rank) for rank, _ in ranked)


def _sd(ranked: Ranked) -> float:
    """Return the standard deviation of the mean AUC with shuffled labels."""
    variance = 0.0
    for rank, target in ranked:
        n, n_targets = len(target), int(target.sum())
        # Of a sum of ranks drawn without replacement; exact, ties included.
        variance += float(np.var(rank, ddof=1)) / (n * n_targets * (n - n_targets))
    return math.sqrt(variance) / len(ranked)


def _p_permuted(ranked: Ranked, deviation: float, seed: int) -> float:
    # The labels as they are count as one of the permutations.
    return (1 + int(np.sum(_permuted(ranked, seed) >= deviation - 1e-12))) / (1 + N_PERMUTATIONS)


def _permuted(ranked: Ranked, seed: int) -> NDArray[np.float64]:
    """Return the mean AUC above 0.5 of each permutation."""
    rng = np.random.default_rng(seed)
    excess = np.zeros(N_PERMUTATIONS)
    for rank, target in ranked:
        at_once = max(1, _VALUES_AT_ONCE // len(rank))
        for start in range(0, N_PERMUTATIONS, at_once):
            drawn = excess[start : start + at_once]
            shuffled = rng.permuted(np.broadcast_to(rank, (len(drawn), len(rank))), axis=1)
            drawn += _excess(shuffled[:, : int(target.sum())].sum(axis=1), target)
    return excess / len(ranked)
