"""Estimators by name: fitted on recordings read one at a time, exported to plain arrays.

Nothing but numpy is imported here, and no estimator before it is made: scoring shares this package's numerics.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from p300.errors import TrainingError
from p300.models.data import RecordingEpochs, Recordings

if TYPE_CHECKING:
    from p300.models.base import Estimator

__all__ = ["DEFAULT_KIND", "KINDS", "RecordingEpochs", "Recordings", "make", "n_fits"]

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


def make(kind: str, *, seed: int = 0, n_channels: int, n_times: int, align: bool | None = None) -> "Estimator":
    """Make an unfitted estimator.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.
    seed : int
        Of everything random in the fit.
    n_channels, n_times : int
        Shape of one epoch; features are channel-major, ``n_channels * n_times`` long.
    align : bool, optional
        Whether to re-centre each recording (`p300.models.alignment`); by default where it helps: ``xdawn_ts`` and
        ``ensemble`` do, ``lda`` and ``ridge`` stay the plain ones that others can be compared with.

    Returns
    -------
    estimator : Estimator
        With ``fit(X, y, groups)``, ``predict_proba(X, groups)`` and ``to_arrays()``.

    Raises
    ------
    TrainingError
        ``unknown_model`` where there is no such kind.
    """
    if kind not in _ESTIMATORS:
        raise TrainingError("unknown_model", f"Model {kind!r} is not known; choose one of {', '.join(KINDS)}.")
    module, name = _ESTIMATORS[kind]
    estimator: type[Estimator] = getattr(import_module(f"p300.models.{module}"), name)
    return estimator(seed=seed, n_channels=n_channels, n_times=n_times, align=align)
