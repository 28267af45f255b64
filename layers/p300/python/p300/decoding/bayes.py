"""Bayesian accumulation of single-flash evidence over the symbols, and when to stop flashing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p300.errors import RequestError

Array = NDArray[np.float64]

EVIDENCE_WEIGHT = 0.5
"""How much of a flash's log likelihood ratio counts. Epochs of 0.6 s at a flash every 78 ms share most of their samples, and a
model is never quite this person's: with all of it, symbols were right less often than their probability said. 0.5 has the
least log-loss for models of the same and of other people alike (``benchmarks/decoding.py``).
"""


def evidence(log_odds: NDArray[np.floating], prior_target: float) -> Array:
    """Turn a model's log-odds into what `decode` accumulates.

    Parameters
    ----------
    log_odds : ndarray, shape (n_flashes,)
        Calibrated log P(target) / P(non-target): ``Scorer.log_odds``. NaN where a flash has no usable epoch.
    prior_target : float
        Fraction of targets in training, which the log-odds contain: ``Scorer.prior_target``.

    Returns
    -------
    log_likelihood_ratio : ndarray, shape (n_flashes,)
        Tempered by `EVIDENCE_WEIGHT`; 0 where there is no epoch.
    """
    ratio = np.asarray(log_odds, dtype=np.float64) - np.log(prior_target / (1 - prior_target))
    return np.where(np.isnan(ratio), 0.0, EVIDENCE_WEIGHT * ratio)


@dataclass(frozen=True)
class Decoding:
    """What the flashes so far say.

    Attributes
    ----------
    posterior : ndarray, shape (n_symbols,)
        Sums to 1.
    best : int
        Index of the likeliest symbol.
    confidence : float
        Its probability.
    stop : bool
        Whether the confidence asked for was reached.
    n_flashes : int
        Flashes used: up to the one that reached it, else all.
    """

    posterior: Array
    best: int
    confidence: float
    stop: bool
    n_flashes: int


def decode(
    lit: NDArray[np.bool_],
    log_likelihood_ratio: NDArray[np.floating],
    *,
    confidence: float = 1.0,
    prior: NDArray[np.floating] | None = None,
) -> Decoding:
    """Decode one symbol from its flashes.

    Parameters
    ----------
    lit : ndarray of bool, shape (n_flashes, n_symbols)
        Which symbols each flash lit, in order of time: `Layout.lit`.
    log_likelihood_ratio : ndarray, shape (n_flashes,)
        Logarithm of p(epoch | target) / p(epoch | non-target) of each flash, from `evidence` or `adapt`. 0 where a flash has
        no usable epoch.
    confidence : float
        Stop at the first flash after which a symbol has at least this probability. 1 uses all flashes.
    prior : ndarray, shape (n_symbols,), optional
        Probability of each symbol before the first flash, from a language model for instance; uniform by default.

    Returns
    -------
    decoding : Decoding

    Raises
    ------
    RequestError
        ``bad_flashes``, ``not_finite``, ``bad_prior``, ``bad_confidence``.

    Notes
    -----
    Flashes taken as independent given the symbol s, Bayes' rule over the epochs x_1 ... x_n is

        log P(s | x_1 ... x_n) = log P(s) + sum over the flashes i that lit s of log p(x_i | target) / p(x_i | non-target)

    up to a constant, because every symbol has the non-target likelihoods of all flashes in common (Speier et al. 2012,
    Natural language processing with dynamic classification improves P300 speller accuracy and bit rate, J. Neural Eng.
    9:016004; Throckmorton et al. 2013, Bayesian approach to dynamically controlling data collection in P300 spellers, IEEE
    Trans. Neural Syst. Rehabil. Eng. 21:508-517, who stop at a threshold of the posterior).
    """
    n_flashes, n_symbols = lit.shape
    ratio = np.asarray(log_likelihood_ratio, dtype=np.float64)
    if ratio.shape != (n_flashes,):
        raise RequestError("bad_flashes", f"{n_flashes} flashes with scores of shape {ratio.shape}; expected one each.")
    if not np.isfinite(ratio).all():
        first = int(np.flatnonzero(~np.isfinite(ratio))[0])
        raise RequestError("not_finite", f"The score of flash {first} is {ratio[first]}; expected a finite number.")
    evidence = np.zeros((n_flashes + 1, n_symbols))
    np.cumsum(lit * ratio[:, None], axis=0, out=evidence[1:])
    return decide(evidence, range(n_flashes + 1), confidence=confidence, prior=prior)


def decide(
    log_evidence: Array,
    n_flashes: Sequence[int],
    *,
    confidence: float = 1.0,
    prior: NDArray[np.floating] | None = None,
) -> Decoding:
    """Decode one symbol from the evidence after more and more flashes.

    Parameters
    ----------
    log_evidence : ndarray, shape (n_steps, n_symbols)
        Log likelihood of the flashes so far given each symbol, up to a constant in each row. The first row is of none.
    n_flashes : sequence of int, length n_steps
        How many those are.
    confidence : float
        As in `decode`.
    prior : ndarray, shape (n_symbols,), optional
        As in `decode`.

    Returns
    -------
    decoding : Decoding

    Raises
    ------
    RequestError
        ``bad_prior``, ``bad_confidence``.
    """
    if not 0 < confidence <= 1:
        raise RequestError("bad_confidence", f"confidence is {confidence}; expected more than 0 and at most 1.")
    log_posterior = log_evidence + _log_prior(prior, log_evidence.shape[1])
    log_posterior -= log_posterior.max(axis=1, keepdims=True)
    posterior = np.exp(log_posterior)
    posterior /= posterior.sum(axis=1, keepdims=True)
    # A posterior may round to 1: that is no reason to stop someone who asked for all flashes.
    reached = np.flatnonzero(posterior.max(axis=1) >= confidence) if confidence < 1 else np.array([], dtype=int)
    step = int(reached[0]) if len(reached) else len(posterior) - 1
    best = int(np.argmax(log_posterior[step]))
    return Decoding(posterior[step], best, float(posterior[step, best]), bool(len(reached)), int(n_flashes[step]))


def _log_prior(prior: NDArray[np.floating] | None, n_symbols: int) -> Array:
    if prior is None:
        return np.zeros(n_symbols)
    p = np.asarray(prior, dtype=np.float64)
    if p.shape != (n_symbols,) or not np.isfinite(p).all() or (p < 0).any() or not p.any():
        raise RequestError(
            "bad_prior", f"prior of shape {p.shape}; expected {n_symbols} probabilities, none negative, not all 0."
        )
    with np.errstate(divide="ignore"):
        return np.log(p)
