"""Is the size of features plausible for EEG? What cannot be in volts is refused; what is unlikely is noted in the answer.

An amplifier's input takes a few hundred millivolts, most of them direct current that the band-pass takes away: features above
`LARGEST_V` are microvolts, millivolts or counts sent as volts. A bad channel or a cable that moves makes millivolts, which no training
has seen: epochs above the rejection limit are left out of it. So the limits of what is plausible follow from the limit that the model
was trained with.
"""

import numpy as np
from numpy.typing import NDArray
from p300.errors import RequestError

from .cache import Served

LARGEST_V = 1.0
TIMES_ABOVE, TIMES_BELOW = 10.0, 1000.0
_UV = 1e6


def scale_notes(name: str, X: NDArray[np.floating], served: Served) -> list[str]:
    """Return what is implausible about the size of features.

    Parameters
    ----------
    name : str
        The field they came in.
    X : ndarray, shape (n_epochs, n_features)
        Features in volts.
    served : Served
        The model.

    Raises
    ------
    RequestError
        ``not_finite`` where there are NaN or infinite values, ``impossible_scale`` above `LARGEST_V`.
    """
    limit = served.rejection_limit_uv
    least, most = limit / TIMES_BELOW / _UV, TIMES_ABOVE * limit / _UV
    sizes = np.abs(X)
    if len(X) == 1 and least <= sizes.max() <= most:  # a single epoch waits for nothing that it does not need
        return []
    peaks = sizes.max(axis=1)
    if all(least <= peak <= most for peak in peaks.tolist()):  # none of them NaN
        return []
    largest = float(peaks.max())
    if not np.isfinite(largest):
        raise RequestError(
            "not_finite", f"{name} holds NaN or infinite values, or some too large for float32; expected finite volts."
        )
    if largest > LARGEST_V:
        raise RequestError(
            "impossible_scale",
            f"{name} reaches {largest:.3g} V in epoch {int(np.argmax(peaks))}; no electrode measures more than {LARGEST_V:g} V. "
            "Features are in volts: are these microvolts? Divide them by 1,000,000, or send raw epochs as epochs_uv.",
        )
    return [*_too_large(name, peaks, limit), *_too_small(name, peaks, limit)]


def _too_large(name: str, peaks: NDArray[np.floating], limit: float) -> list[str]:
    n = int((peaks > TIMES_ABOVE * limit / _UV).sum())
    if not n:
        return []
    return [
        f"{n} of {len(peaks)} epochs in {name} reach up to {float(peaks.max()) * _UV:.4g} uV, more than {TIMES_ABOVE:g} times the "
        f"limit of {limit:g} uV above which epochs were left out of training: a bad channel, or not volts. The answer is not to be "
        "relied on."
    ]


def _too_small(name: str, peaks: NDArray[np.floating], limit: float) -> list[str]:
    n = int((peaks < limit / TIMES_BELOW / _UV).sum())
    if not n:
        return []
    return [
        f"{n} of {len(peaks)} epochs in {name} stay below {limit / TIMES_BELOW:g} uV, which is less than an amplifier's own noise: "
        "no signal, or not volts. The answer is not to be relied on."
    ]
