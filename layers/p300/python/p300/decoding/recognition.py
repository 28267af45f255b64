"""Whether a session is of the subject that a model is of, with every electrode where it was: what nobody knows must not be learnt from.

The noise tells. Its covariance over channels and time is a subject's own, and an electrode that moved shows in it at once.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from p300.decoding.noise import covariance
from p300.decoding.personal_statistics import PersonalStatistics
from p300.decoding.response import Response
from p300.decoding.whitened import PRIOR_EPOCHS

Array = NDArray[np.float64]

MAX_GAIN = 3.0
"""A session's noise has at most so many times the amplitude of the subject's before, and at least that part of it."""
MAX_GAIN_OF_OTHERS = 10.0
"""The same where nothing is known of the subject: other people's. Another laboratory's amplitude was seen to be 4 times as large."""
SWAP_RATIO_OF_OTHERS = 0.8
"""Swapping two channels must make a session so much more like other people's, where nothing is known of the subject. Of 11 recordings,
none came below 0.91 as it was; swapped, 96 % of those of the same laboratory did (``benchmarks/personal.py``)."""


def recognise(session: PersonalStatistics, response: Response, ch_names: Sequence[str] | None = None) -> list[str]:
    """Compare a session with what is known of a subject.

    Parameters
    ----------
    session : PersonalStatistics
        Of the session (`SessionDecoder.statistics`).
    response : Response
        With ``own``: the subject's.
    ch_names : sequence of str, optional
        To name electrodes with; by default they are numbered from 1.

    Returns
    -------
    problems : list of str
        Why the session is not taken for the subject's, in words for a person. Empty where it is.

    Notes
    -----
    Three checks: the session's noise is about as large as the subject's; its Kullback-Leibler divergence from the subject's noise is
    smaller than from other people's; and no two channels make it more alike to the subject's when they are swapped. Where nothing is
    known of the subject, other people stand in for the subject, with wider limits, and whose session it is cannot be told.
    """
    if not session.n_epochs:
        return []
    own = response.own if response.own and response.own.n_epochs else None
    found = covariance(session.noise_sum / session.n_epochs)
    of_others, gain = _divergence(found, covariance(response.noise))
    whose, max_gain = "other subjects'", MAX_GAIN_OF_OTHERS
    channels, ratio = response.channel_covariance, SWAP_RATIO_OF_OTHERS
    problems = []
    if own:
        known = (PRIOR_EPOCHS * response.noise + own.noise_sum) / (PRIOR_EPOCHS + own.n_epochs)
        divergence, gain = _divergence(found, covariance(known))
        whose, max_gain, channels, ratio = "the subject's before", MAX_GAIN, own.channel_sum, 1.0
        if divergence >= of_others:
            problems.append(
                f"The session's noise is less like this subject's (divergence {divergence:.3f}) than like other people's "
                f"({of_others:.3f}). Check whose session it is and where the electrodes are, or calibrate again."
            )
    if not 1 / max_gain <= gain <= max_gain:
        problems.append(
            f"The session's noise has {gain:.2g} times the amplitude of {whose}; expected {1 / max_gain:.2g} to {max_gain:g} times. "
            "Check that features are in volts, the amplifier's gain and the electrodes' contacts, or calibrate again."
        )
    if pair := _swapped(channels, session.channel_sum, ratio):
        one, other = (ch_names[k] if ch_names else str(k + 1) for k in pair)
        problems.append(
            f"Channels {one} and {other} look swapped: exchanged, they are more like {whose}. Check the cables, or calibrate again."
        )
    return problems


def _divergence(found: Array, expected: Array) -> tuple[float, float]:
    """Return the Kullback-Leibler divergence of Gaussian noise per dimension, amplitude apart, and the amplitude as a ratio."""
    root = np.linalg.cholesky(expected)
    half = np.linalg.solve(root, found)
    relative = np.linalg.solve(root, half.T)
    n = len(relative)
    variance = float(np.trace(relative)) / n
    if variance <= 0:
        return np.inf, 0.0
    sign, log_determinant = np.linalg.slogdet(relative / variance)
    return (float(-0.5 * log_determinant / n) if sign > 0 else np.inf), float(np.sqrt(variance))


def _swapped(known: Array, found: Array, ratio: float) -> tuple[int, int] | None:
    """Return the two channels that were swapped where the covariance is likelier so, under the known one.

    Swapping leaves the determinant alone, so the likelihood depends on the trace of the inverse of the one times the other. It must fall
    below that ratio of what it is.
    """
    n = len(known)
    jitter = 1e-9 * np.trace(known) / n * np.eye(n)
    precision = np.linalg.inv(known + jitter)
    least, pair = ratio * float((precision * found).sum()), None
    for one in range(n):
        for other in range(one + 1, n):
            order = np.arange(n)
            order[[one, other]] = other, one
            trace = float((precision * found[np.ix_(order, order)]).sum())
            if trace < least:
                least, pair = trace, (one, other)
    return pair
