"""What could be known of each flash when it came: every answer from past and present flashes alone."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from p300.decoding.response import Response
from p300.decoding.session_decoder import SessionDecoder

Array = NDArray[np.float64]

GROWTH = 0.03
"""What is learnt is learnt again after `MIN_FLASHES`, in long sessions when so much more has been seen: the cost stays linear."""
MIN_FLASHES = 12


def causal_log_likelihood_ratio(
    X: NDArray[np.floating],
    response: Response,
    lit: NDArray[np.bool_] | None = None,
    trials: Sequence[slice] | None = None,
    symbols: Sequence[int | None] | None = None,
) -> Array:
    """Weigh every flash with a response learnt from the flashes before it.

    Parameters
    ----------
    X : ndarray, shape (n_flashes, n_channels * n_times)
        As in `SessionDecoder.fit`.
    response : Response
        Of other people, with what is known of this person in ``response.own`` where anything is.
    lit : ndarray of bool, shape (n_flashes, n_symbols), optional
        As in `SessionDecoder.fit`.
    trials : sequence of slice, optional
        As in `SessionDecoder.fit`, one after the other.
    symbols : sequence of int or None, optional
        As in `SessionDecoder.fit`. A known symbol is known from its trial's end on.

    Returns
    -------
    log_likelihood_ratio : ndarray, shape (n_flashes,)
        That of ``SessionDecoder.log_likelihood_ratio_``, were the session over with each flash: noise and response are those of the
        last time that something was learnt (`GROWTH`, `MIN_FLASHES`). As there, a score of single flashes.

    Raises
    ------
    RequestError
        As `SessionDecoder.fit`.
    """
    trials = [slice(0, len(X))] if trials is None else trials
    known = [None] * len(trials) if symbols is None else list(symbols)
    ends = [trial.stop for trial in trials]
    ratio = np.zeros(len(X))
    for first, stop in pairwise(_steps(len(X))):
        begun = [trial for trial in trials if trial.start < first]
        so_far = [slice(trial.start, min(trial.stop, first)) for trial in begun]
        told = [symbol if end <= first else None for symbol, end in zip(known, ends, strict=True)][: len(begun)]
        decoder = SessionDecoder(response)
        if lit is None:
            decoder.fit(X[:first])
        else:
            decoder.fit(X[:first], lit[:first], so_far, told)
        ratio[first:stop] = decoder.score(X[first:stop])
    return ratio


def _steps(n_flashes: int) -> list[int]:
    """Return before which flashes something is learnt."""
    steps = [0]
    while steps[-1] < n_flashes:
        steps.append(min(n_flashes, max(steps[-1] + MIN_FLASHES, int(steps[-1] * (1 + GROWTH)))))
    return steps
