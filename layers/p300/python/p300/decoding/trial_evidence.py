"""What the flashes of one trial say: which symbol it was, given what is believed of the response, and the other way round."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p300.decoding.bayes import EVIDENCE_WEIGHT
from p300.decoding.whitened import Belief

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TrialEvidence:
    """One trial: its flashes, and what they say of each symbol.

    Symbols that no flash of the trial told apart are one set: a trial of a few flashes has few sets, however many symbols there are.

    Attributes
    ----------
    first, n_flashes : int
        Where it begins in the session, and how many flashes it has.
    rows : ndarray of int, shape (n_epochs,)
        Which flashes of the session have an epoch.
    z : ndarray, shape (n_epochs, n_white)
    set_of : ndarray of int, shape (n_symbols,)
        Each symbol's set.
    lit : ndarray of bool, shape (n_epochs, n_sets)
    factor : ndarray, shape (n_epochs, n_sets)
        What the response is multiplied with in each epoch, were a symbol of each set the one.
    contrast : ndarray, shape (n_sets, n_white)
        Sum of the epochs times their factors, and ``weight``, shape (n_sets,), of the factors' squares.
    known : int or None
    """

    first: int
    n_flashes: int
    rows: NDArray[np.intp]
    z: Array
    set_of: NDArray[np.intp]
    lit: NDArray[np.bool_]
    factor: Array
    contrast: Array
    weight: Array
    known: int | None

    @classmethod
    def of(
        cls,
        flashes: NDArray[np.intp],
        present: NDArray[np.bool_],
        z: Array,
        lit: NDArray[np.bool_],
        known: int | None,
        prior_target: float,
    ) -> "TrialEvidence":
        """Take a trial out of a session.

        Parameters
        ----------
        flashes : ndarray of int, shape (n_flashes,)
            Which of the session's are the trial's, in a row.
        present : ndarray of bool, shape (n_session,)
            Whether each of the session's has an epoch.
        z : ndarray, shape (n_session, n_white)
            The session's whitened epochs; 0 where there is none.
        lit : ndarray of bool, shape (n_session, n_symbols)
            Which symbols each of the session's flashes lit.
        known : int or None
            The symbol, where it is known.
        prior_target : float
            Fraction of targets among the flashes.

        Returns
        -------
        trial : TrialEvidence
        """
        rows = flashes[present[flashes]]
        sets, set_of = _sets(lit[rows])
        factor = np.asarray(sets - prior_target, dtype=np.float64)
        first = int(flashes[0]) if len(flashes) else 0
        contrast: Array = factor.T @ z[rows]
        weight: Array = np.square(factor).sum(axis=0)
        return cls(first, len(flashes), rows, z[rows], set_of, sets, factor, contrast, weight, known)

    def evidence(self, belief: Belief) -> Array:
        """Return the evidence of each symbol, shape (n_symbols,), up to a constant."""
        return EVIDENCE_WEIGHT * belief.log_evidence(self.contrast, self.weight)[self.set_of]

    def posterior(self, belief: Belief) -> Array:
        """Return how likely each symbol is, shape (n_symbols,)."""
        if self.known is not None:
            certain: Array = np.zeros(len(self.set_of))
            certain[self.known] = 1.0
            return certain
        evidence = self.evidence(belief)
        posterior = np.exp(evidence - evidence.max())
        posterior /= posterior.sum()
        return np.asarray(posterior)

    def log_likelihood(self, responses: Array, energy: Array) -> Array:
        """Return how likely the flashes are with each response, whatever the symbol was, or with the known one.

        Parameters
        ----------
        responses : ndarray, shape (n_responses, n_white)
            Whitened.
        energy : ndarray, shape (n_responses,)
            Their squared lengths.
        """
        by_set = EVIDENCE_WEIGHT * (responses @ self.contrast.T - 0.5 * np.outer(energy, self.weight))
        by_symbol = by_set[:, self.set_of]
        total: Array = by_symbol[:, self.known] if self.known is not None else np.logaddexp.reduce(by_symbol, axis=1)
        return total

    def believed(self, posterior: Array) -> tuple[Array, float]:
        """Return how likely each flash was a target less the mean of that, and how many target flashes' worth they are."""
        target = self.lit @ np.bincount(self.set_of, posterior, self.lit.shape[1])
        mean = float(target.mean()) if len(target) else 0.0
        return target - mean, len(target) * mean * (1 - mean)

    def running_evidence(self, belief: Belief) -> Array:
        """Return each symbol's evidence after 0, 1, 2 ... flashes, shape (n_flashes + 1, n_symbols)."""
        evidence = np.zeros((self.n_flashes + 1, len(self.set_of)))
        contrast, weight = np.zeros_like(self.contrast), np.zeros_like(self.weight)
        for row, z, factor in zip(self.rows - self.first, self.z, self.factor, strict=True):
            contrast += np.outer(factor, z)
            weight += factor**2
            evidence[row + 1 :] = EVIDENCE_WEIGHT * belief.log_evidence(contrast, weight)[self.set_of]
        return evidence


def _sets(lit: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return the distinct columns, and which of them each column is; of many flashes the columns as they are."""
    n_flashes, n_symbols = lit.shape
    if n_symbols < 2 or 2**n_flashes >= n_symbols:
        return lit, np.arange(n_symbols)
    code = (1 << np.arange(n_flashes)) @ lit  # fewer flashes than bits: an integer tells columns apart
    _, first, set_of = np.unique(code, return_index=True, return_inverse=True)
    return lit[:, first], set_of
