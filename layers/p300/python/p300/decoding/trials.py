"""A session's flashes: where one symbol's end and the next one's begin, which epochs are missing, what was looked at."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

PAUSE_FACTOR = 4.0


def split_trials(onset: NDArray[np.number], *, pause_factor: float = PAUSE_FACTOR) -> list[slice]:
    """Split a session's flashes into trials, one for each symbol, at the pauses between them.

    Parameters
    ----------
    onset : ndarray, shape (n_flashes,)
        When each flash began, ascending, in samples or seconds. All flashes, also those whose epoch was rejected: a blink
        rejects so many in a row that their gap would look like a pause.
    pause_factor : float
        A gap this many times the median gap is a pause.

    Returns
    -------
    trials : list of slice
        Of consecutive flashes. A speller rests for seconds between symbols and for less than a second between flashes.
    """
    n_flashes = len(onset)
    if n_flashes < 2:
        return [slice(0, n_flashes)] * n_flashes
    gap = np.diff(onset)
    starts = [0, *(np.flatnonzero(gap > pause_factor * np.median(gap)) + 1).tolist(), n_flashes]
    return [slice(first, last) for first, last in pairwise(starts)]


def with_gaps(
    X: NDArray[np.floating], onset: NDArray[np.integer], all_onsets: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Give every flash a row of features: NaN where its epoch was rejected or lay outside the recording.

    Parameters
    ----------
    X : ndarray, shape (n_epochs, n_features)
        Features of the epochs that were kept.
    onset : ndarray of int, shape (n_epochs,)
        Their first samples: ``FeatureSet.onset_sample``.
    all_onsets : ndarray of int, shape (n_flashes,)
        First samples of all flashes, ascending; contains `onset`.

    Returns
    -------
    X : ndarray, shape (n_flashes, n_features)
    """
    full = np.full((len(all_onsets), X.shape[1]), np.nan, X.dtype)
    full[np.searchsorted(all_onsets, onset)] = X
    return full


def attended(lit: NDArray[np.bool_], target: NDArray[np.bool_]) -> int | None:
    """Return the symbol that a labelled trial's flashes agree with, for counting how many were decoded right.

    Parameters
    ----------
    lit : ndarray of bool, shape (n_flashes, n_symbols)
        Which symbols each flash lit.
    target : ndarray of bool, shape (n_flashes,)
        Whether each flash was a target.

    Returns
    -------
    symbol : int or None
        Lit by every target flash and by no other; None where no symbol or more than one is.
    """
    (symbols,) = np.nonzero((lit == target[:, None]).all(axis=0))
    return int(symbols[0]) if len(symbols) == 1 else None
