"""What every estimator shares: the scikit-learn side, calibration, and leaving people out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from p300.errors import TrainingError
from p300.models.calibration import Calibration, platt
from p300.models.data import RecordingEpochs, Recordings, blocks, from_arrays, require_rereadable
from p300.recording import NON_TARGET, TARGET
from p300.scoring import NEWEST_FORMAT, Scorer

N_CALIBRATION_FOLDS = 5
"""A few large folds calibrate as well as many."""

Array = NDArray[np.float64]
Labels = NDArray[np.integer]
Groups = NDArray[np.generic] | None
FoldOf = Callable[[RecordingEpochs], str]
"""Names the fold a recording is left out with: usually its subject."""


class Estimator(ABC):
    """A P300 classifier.

    Parameters
    ----------
    seed : int
        Of everything random in the fit.
    n_channels, n_times : int
        Shape of one epoch.
    align : bool, optional
        Whether to re-centre each recording; by default ``aligns_by_default``.

    Attributes
    ----------
    classes_ : ndarray, shape (2,)
        1 (NonTarget), 2 (Target).
    prior_target_ : float
        Fraction of targets in the training epochs: what a decoder divides out of a probability.
    reference_ : ndarray, shape (n_channels, n_channels)
        Mean covariance of the training recordings in V^2, where ``align``.
    calibration, recording_calibration : Calibration
        From score to log-odds: for an epoch on its own, and within its recording.
    """

    kind: ClassVar[str]
    aligns_by_default: ClassVar[bool] = False
    calibrates_in_fit: ClassVar[bool] = False
    classes_ = np.array([NON_TARGET, TARGET])
    reference_: Array

    def __init__(self, *, seed: int = 0, n_channels: int, n_times: int, align: bool | None = None) -> None:
        self.seed = seed
        self.n_channels = n_channels
        self.n_times = n_times
        self.align = self.aligns_by_default if align is None else align
        self.calibration = Calibration()
        self.recording_calibration = Calibration()
        self.prior_target_ = float("nan")

    @abstractmethod
    def _fit(self, recordings: Recordings) -> None:
        """Fit, uncalibrated."""

    @abstractmethod
    def leave_out(
        self, recordings: Recordings, fold_of: FoldOf
    ) -> Iterator[tuple[str, "Estimator", list[RecordingEpochs]]]:
        """Fit once for each fold, without it.

        Parameters
        ----------
        recordings : iterable of RecordingEpochs
            May be iterated several times.
        fold_of : callable
            Names a recording's fold.

        Yields
        ------
        fold : str
        model : Estimator
            Fitted on the other folds, uncalibrated.
        left_out : list of RecordingEpochs
            The fold.
        """

    @abstractmethod
    def _arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Return what only this kind of model holds."""

    def fit(self, X: NDArray[np.floating], y: Labels, groups: Groups = None) -> Self:
        """Fit.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_channels * n_times)
            Features in volts, channel-major, in the order of recording.
        y : ndarray of int, shape (n_epochs,)
            1 (NonTarget) or 2 (Target).
        groups : ndarray, shape (n_epochs,), optional
            Recording each epoch comes from; without it all come from one.

        Returns
        -------
        self : Estimator

        Raises
        ------
        TrainingError
            Where a class is missing or shapes do not fit.
        """
        return self.fit_recordings(from_arrays(X, y, groups, self.n_channels))

    def fit_recordings(self, recordings: Recordings) -> Self:
        """Fit on recordings read one at a time, several times over.

        Kinds whose scores are no log-odds are calibrated on left-out recordings; where there is one, on blocks of it.
        """
        require_rereadable(recordings)
        self._fit(recordings)
        if self.calibrates_in_fit:
            names = list(dict.fromkeys(recording.recording for recording in recordings))
            if len(names) > 1:
                fold = {name: str(k % N_CALIBRATION_FOLDS) for k, name in enumerate(names)}
                left_out = cross_validate(self, recordings, lambda recording: fold[recording.recording])
            else:
                left_out = cross_validate(self, blocks(recordings, N_CALIBRATION_FOLDS), lambda block: block.subject)
            self.calibrate(left_out)
        return self

    def calibrate(self, left_out: "CrossValidation") -> Self:
        """Take over the calibration found on left-out people."""
        self.calibration, self.recording_calibration = left_out.calibration, left_out.recording_calibration
        return self

    def decision_function(self, X: NDArray[np.floating], groups: Groups = None) -> Array:
        """Score epochs, before calibration; positive for Target. Parameters as in `predict_proba`."""
        return self._by_group(X, groups, Scorer.score, Scorer.recording_score)

    def predict_proba(self, X: NDArray[np.floating], groups: Groups = None) -> Array:
        """Return the probability of NonTarget and Target.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_channels * n_times)
            Features in volts.
        groups : ndarray, shape (n_epochs,), optional
            Recording each epoch comes from: the model adapts to each recording, without labels. Without it each epoch
            is taken on its own, whatever else is in ``X``.

        Returns
        -------
        probability : ndarray, shape (n_epochs, 2)
        """
        target = self._by_group(
            X, groups, Scorer.probability_target, lambda scorer, part: scorer.probability_target(part, adapt=True)
        )
        return np.column_stack([1 - target, target])

    def predict(self, X: NDArray[np.floating], groups: Groups = None) -> Labels:
        """Return the likelier class of each epoch, 1 or 2."""
        return np.where(self.predict_proba(X, groups)[:, 1] >= 0.5, TARGET, NON_TARGET)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Export everything that inference needs as plain arrays, for ``numpy.savez``."""
        arrays: dict[str, NDArray[np.generic]] = {
            "format_version": np.array(NEWEST_FORMAT),
            "kind": np.array(self.kind),
            "n_channels": np.array(self.n_channels),
            "n_times": np.array(self.n_times),
            "prior_target": np.array(self.prior_target_),
            "calibration": np.array([self.calibration.slope, self.calibration.intercept]),
            "recording_calibration": np.array([self.recording_calibration.slope, self.recording_calibration.intercept]),
            "aligned": np.array(int(self.align)),
            **self._arrays(),
        }
        if self.align:
            arrays["reference_covariance"] = self.reference_
        return arrays

    def unfitted(self) -> Self:
        """Return a new estimator with the same parameters."""
        return type(self)(seed=self.seed, n_channels=self.n_channels, n_times=self.n_times, align=self.align)

    def _by_group(
        self,
        X: NDArray[np.floating],
        groups: Groups,
        alone: Callable[[Scorer, NDArray[np.floating]], Array],
        together: Callable[[Scorer, NDArray[np.floating]], Array],
    ) -> Array:
        self._check_shape(X)
        scorer = Scorer(self.to_arrays())
        if groups is None:
            return alone(scorer, X)
        scores = np.empty(len(X))
        for group in np.unique(groups):
            scores[groups == group] = together(scorer, X[groups == group])
        return scores

    def _check_classes(self, n_non_targets: int, n_targets: int) -> None:
        if min(n_non_targets, n_targets) < 2:
            raise TrainingError(
                "missing_class",
                f"Training epochs hold {n_non_targets} NonTarget and {n_targets} Target; expected at least 2 of each.",
            )

    def _check_shape(self, X: NDArray[np.floating]) -> None:
        n_features = self.n_channels * self.n_times
        if X.ndim != 2 or X.shape[1] != n_features:
            raise TrainingError(
                "bad_features",
                f"Features of shape {X.shape}; expected (n_epochs, {n_features}) "
                f"for {self.n_channels} channels x {self.n_times} samples.",
            )


@dataclass(frozen=True)
class FoldPredictions:
    """Predictions for a fold by a model that saw neither it nor its labels, calibrated on the other folds.

    Attributes
    ----------
    y : ndarray of int, shape (n_epochs,)
    alone : ndarray, shape (n_epochs,)
        Probability of Target, each epoch on its own.
    within_recording : ndarray, shape (n_epochs,)
        The same with the model adapted to the recording, without labels.
    """

    y: Labels
    alone: Array
    within_recording: Array


@dataclass(frozen=True)
class CrossValidation:
    """What leaving every fold out once gives: predictions, and a calibration for the model of all folds."""

    folds: dict[str, FoldPredictions]
    calibration: Calibration
    recording_calibration: Calibration


def cross_validate(model: Estimator, recordings: Recordings, fold_of: FoldOf) -> CrossValidation:
    """Leave each fold out once.

    Parameters
    ----------
    model : Estimator
        Its kind and parameters are used; it is not changed.
    recordings : iterable of RecordingEpochs
        Recordings of at least two folds.
    fold_of : callable
        Names a recording's fold, such as its subject.

    Returns
    -------
    left_out : CrossValidation
        Predictions for each fold by a model fitted to the others.
    """
    labels: dict[str, Labels] = {}
    alone: dict[str, Array] = {}
    fitted: dict[str, Estimator] = {}
    for fold, trained, left_out in model.leave_out(recordings, fold_of):
        labels[fold] = np.concatenate([recording.y for recording in left_out])
        alone[fold] = np.concatenate([trained.decision_function(recording.X) for recording in left_out])
        fitted[fold] = trained
    curves = _calibrations(labels, alone)
    within = alone
    if model.align:
        parts: dict[str, list[Array]] = {fold: [] for fold in labels}
        for recording in recordings:
            fold = fold_of(recording)
            fitted[fold].calibration = curves[fold]
            scores = fitted[fold].decision_function(recording.X, np.full(len(recording.y), recording.recording))
            parts[fold].append(scores)
        within = {fold: np.concatenate(scores) for fold, scores in parts.items()}
    within_curves = _calibrations(labels, within)
    return CrossValidation(
        {
            fold: FoldPredictions(
                labels[fold],
                curves[fold].probability(alone[fold]),
                within_curves[fold].probability(within[fold]),
            )
            for fold in labels
        },
        _calibration(labels, alone, list(labels)),
        _calibration(labels, within, list(labels)),
    )


def _calibrations(labels: dict[str, Labels], scores: dict[str, Array]) -> dict[str, Calibration]:
    """Return each fold's calibration, fitted on the others."""
    return {fold: _calibration(labels, scores, [other for other in labels if other != fold]) for fold in labels}


def _calibration(labels: dict[str, Labels], scores: dict[str, Array], folds: list[str]) -> Calibration:
    return platt(np.concatenate([scores[fold] for fold in folds]), np.concatenate([labels[fold] for fold in folds]))
