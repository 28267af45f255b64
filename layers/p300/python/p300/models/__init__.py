"""Estimators by name: fitted on recordings read one at a time, exported to plain arrays.

Nothing but numpy is imported here, and no estimator before it is made: scoring shares this package's numerics.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from p300.errors import TrainingError
from p300.models.data import RecordingEpochs, Recordings

if TYPE_CHECKING:
    from p300.models.base import Estimator
    from p300.models.ensemble import Ensemble
    from p300.models.linear import LDA, Ridge
    from p300.models.xdawn import XdawnTangentSpace

__all__ = [
    "DEFAULT_KIND",
    "KINDS",
    "LDA",
    "Ensemble",
    "RecordingEpochs",
    "Recordings",
    "Ridge",
    "XdawnTangentSpace",
    "make",
    "n_fits",
]

_ESTIMATORS = {
    "lda": ("linear", "LDA"),
    "ridge": ("linear", "Ridge"),
    "xdawn_ts": ("xdawn", "XdawnTangentSpace"),
    "ensemble": ("ensemble", "Ensemble"),
}
KINDS = tuple(_ESTIMATORS)
DEFAULT_KIND = "ensemble"
"""The best on people it was not trained on, in every data set and setting that was tried."""


def n_fits(kind: str, n_people: int) -> int:
    """Return how many fits on all epochs an evaluation and a fit of such a model are worth in time, as it was seen.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.
    n_people : int
        Each is left out once: by a subtraction, or by a fit of its own.
    """
    return 6 if kind in ("lda", "ridge") else n_people + 12


def make(
    kind: str,
    *,
    seed: int = 0,
    n_channels: int | None = None,
    n_times: int | None = None,
    align: bool | None = None,
    sfreq: float = 100.0,
) -> "Estimator":
    """Make an unfitted estimator.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.
    seed : int
        The estimator's ``random_state``.
    n_channels, n_times : int, optional
        Shape of one epoch; features are channel-major, ``n_channels * n_times`` long.
    align : bool, optional
        Whether to re-centre each recording (`p300.models.alignment`); by default where it helps: ``xdawn_ts`` and
        ``ensemble`` do, ``lda`` and ``ridge`` stay the plain ones that others can be compared with.
    sfreq : float
        Rate of the features in Hz.

    Returns
    -------
    estimator : Estimator
        With scikit-learn's API, `fit_recordings` and `to_arrays`.

    Raises
    ------
    TrainingError
        ``unknown_model`` where there is no such kind.
    """
    if kind not in _ESTIMATORS:
        raise TrainingError("unknown_model", f"Model {kind!r} is not known; choose one of {', '.join(KINDS)}.")
    estimator = _imported(*_ESTIMATORS[kind])
    how = {} if align is None else {"align": align}
    return estimator(n_channels=n_channels, n_times=n_times, sfreq=sfreq, random_state=seed, **how)


def __getattr__(name: str) -> "type[Estimator]":
    for module, estimator in _ESTIMATORS.values():
        if estimator == name:
            return _imported(module, estimator)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _imported(module: str, name: str) -> "type[Estimator]":
    estimator: type[Estimator] = getattr(import_module(f"{__name__}.{module}"), name)
    return estimator
