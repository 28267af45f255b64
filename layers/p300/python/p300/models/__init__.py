"""Estimators by name: fitted on recordings read one at a time, exported to plain arrays.

Nothing but numpy is imported here, and no estimator before it is made: scoring shares this package's numerics.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from p300.errors import TrainingError
from p300.models.data import RecordingEpochs, Recordings
from p300.models.draw import MOST_FITTED_EPOCHS, MOST_FOLDS

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
    "fitted_epochs",
    "make",
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


def fitted_epochs(kind: str, n_people: int, n_epochs: int, n_evaluations: int = 1) -> int:
    """Return how many epochs a training fits and reads in all, in units of the time that fitting one takes, as it was seen.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.
    n_people : int
        They are left out in turn, by a subtraction or by fits of their own: at most `p300.models.draw.MOST_FOLDS`.
    n_epochs : int
        That there are; a fit of most kinds takes up to `p300.models.draw.MOST_FITTED_EPOCHS` of them.
    n_evaluations : int
        How many times people are left out.
    """
    if kind in ("lda", "ridge"):
        return 6 * n_epochs * n_evaluations
    fits = min(n_people, MOST_FOLDS) * n_evaluations + 12
    return fits * min(n_epochs, MOST_FITTED_EPOCHS) + 2 * n_epochs


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
