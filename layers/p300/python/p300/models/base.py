"""What every estimator shares on recordings: calibration, export, and leaving people out."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from p300.errors import TrainingError
from p300.models.calibration import Calibration, fit_calibration
from p300.models.data import RecordingEpochs, Recordings, blocks, require_rereadable
from p300.models.epoch_classifier import Array, EpochClassifier, Groups
from p300.models.flash_groups import session_log_likelihood_ratio
from p300.scoring import NEWEST_FORMAT, Scorer

N_CALIBRATION_FOLDS = 5
"""A few large folds calibrate as well as many."""

Labels = NDArray[np.integer]
FoldOf = Callable[[RecordingEpochs], str]
"""Names the fold a recording is left out with: usually its subject."""


class Estimator(EpochClassifier):
    """A kind of P300 classifier, fitted on recordings; the array side is `EpochClassifier`'s."""

    kind: ClassVar[str]
    calibrates_in_fit: ClassVar[bool] = False

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

    def fit_recordings(self, recordings: Recordings) -> Self:
        """Fit on recordings read one at a time, several times over.

        Kinds whose scores are no log-odds are calibrated on left-out recordings; where there is one, on blocks of it.

        Parameters
        ----------
        recordings : iterable of RecordingEpochs
            A list, or an object whose ``__iter__`` starts anew.

        Returns
        -------
        self : Estimator

        Raises
        ------
        TrainingError
            ``no_recordings``, ``missing_class``, ``bad_features``; and ``too_many_epochs`` where leaving out would take too long.
        TypeError
            Where ``recordings`` can be read only once.
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
        """Take over the calibration found on left-out people.

        Parameters
        ----------
        left_out : CrossValidation
            Of the same kind of model on the same recordings.

        Returns
        -------
        self : Estimator
        """
        self.calibration_, self.recording_calibration_ = left_out.calibration, left_out.recording_calibration
        return self

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Export everything that inference needs as plain arrays, for ``numpy.savez``.

        Returns
        -------
        arrays : dict
            What `p300.scoring.Scorer.from_arrays` takes.
        """
        arrays: dict[str, NDArray[np.generic]] = {
            "format_version": np.array(NEWEST_FORMAT),
            "kind": np.array(self.kind),
            "n_channels": np.array(self.n_channels_),
            "n_times": np.array(self.n_times_),
            "prior_target": np.array(self.prior_target_),
            "calibration": np.array(astuple(self.calibration_)),
            "recording_calibration": np.array(astuple(self.recording_calibration_)),
            "aligned": np.array(int(self.align)),
            **self._arrays(),
        }
        if self.align:
            arrays["reference_covariance"] = self.reference_
        return arrays

    def unfitted(self) -> Self:
        """Return a new estimator with the same parameters.

        Returns
        -------
        estimator : Estimator
        """
        return type(self)(
            n_channels=self.n_channels,
            n_times=self.n_times,
            align=self.align,
            random_state=self.random_state,
            sfreq=self.sfreq,
        )

    @property
    def _adapts(self) -> bool:
        """Whether scores within a recording are others than those of epochs on their own."""
        return self.align

    def _uncalibrated(self, X: NDArray[np.floating], groups: Groups = None) -> Array:
        """Score flattened epochs before calibration."""
        return self._by_group(X, groups, Scorer.score, Scorer.recording_score)

    def _check_classes(self, n_non_targets: int, n_targets: int) -> None:
        if min(n_non_targets, n_targets) < 2:
            raise TrainingError(
                "missing_class",
                f"Training epochs hold {n_non_targets} NonTarget and {n_targets} Target; expected at least 2 of each class.",
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
    score : ndarray, shape (n_epochs,)
        Of each epoch on its own, before calibration: owes nothing to the labels of the fold, not even its sign.
    session : ndarray, shape (n_epochs,), or None
        The probability with the flashes' groups and the whole session known (`SessionDecoder`); None where the kind has no response
        or a recording of the fold no groups.
    """

    y: Labels
    alone: Array
    within_recording: Array
    score: Array
    session: Array | None = None


@dataclass(frozen=True)
class CrossValidation:
    """What leaving every fold out once gives: predictions, and a calibration for the model of all folds."""

    folds: dict[str, FoldPredictions]
    calibration: Calibration
    recording_calibration: Calibration

    def by_recording(self, recordings: Recordings) -> list[tuple[str, FoldPredictions, slice]]:
        """Return each recording with the predictions for its subject's fold, and its place in them: they are in the order of reading.

        Parameters
        ----------
        recordings : iterable of RecordingEpochs
            Those that were left out; a fold is a subject.

        Returns
        -------
        places : list of (str, FoldPredictions, slice)
        """
        read: dict[str, int] = {}
        places = []
        for recording in recordings:
            begin = read.get(recording.subject, 0)
            end = read[recording.subject] = begin + len(recording.y)
            places.append((recording.recording, self.folds[recording.subject], slice(begin, end)))
        return places


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
        alone[fold] = np.concatenate([trained._uncalibrated(recording.X) for recording in left_out])
        fitted[fold] = trained
    curves = _calibrations(labels, alone)
    within = alone
    if model._adapts:
        parts: dict[str, list[Array]] = {fold: [] for fold in labels}
        for recording in recordings:
            fold = fold_of(recording)
            fitted[fold].calibration_ = curves[fold]
            scores = fitted[fold]._uncalibrated(recording.X, np.full(len(recording.y), recording.recording))
            parts[fold].append(scores)
        within = {fold: np.concatenate(scores) for fold, scores in parts.items()}
    within_curves = _calibrations(labels, within)
    sessions = _sessions(fitted, recordings, fold_of)
    return CrossValidation(
        {
            fold: FoldPredictions(
                labels[fold],
                curves[fold].probability(alone[fold]),
                within_curves[fold].probability(within[fold]),
                alone[fold],
                within_curves[fold].probability(sessions[fold]) if fold in sessions else None,
            )
            for fold in labels
        },
        _calibration(labels, alone, list(labels)),
        _calibration(labels, within, list(labels)),
    )


def left_out_scores(model: Estimator, recordings: Recordings, fold_of: FoldOf) -> Iterator[tuple[Labels, Array]]:
    """Yield labels and uncalibrated scores of each recording, by a model fitted to the other folds; arguments as `cross_validate` takes."""
    for _, trained, left_out in model.leave_out(recordings, fold_of):
        for recording in left_out:
            yield recording.y, trained._uncalibrated(recording.X)


def _sessions(fitted: dict[str, Estimator], recordings: Recordings, fold_of: FoldOf) -> dict[str, Array]:
    """Return log-odds of the flashes of each fold whose sessions can be decoded."""
    parts: dict[str, list[Array | None]] = {}
    responses = {fold: getattr(model, "response_", None) for fold, model in fitted.items()}
    for recording in recordings if any(responses.values()) else []:
        fold = fold_of(recording)
        if response := responses[fold]:
            ratio = session_log_likelihood_ratio(recording, response)
            prior = np.log(response.prior_target / (1 - response.prior_target))
            parts.setdefault(fold, []).append(None if ratio is None else ratio + prior)
    whole = {fold: [part for part in found if part is not None] for fold, found in parts.items()}
    return {fold: np.concatenate(found) for fold, found in whole.items() if len(found) == len(parts[fold])}


def _calibrations(labels: dict[str, Labels], scores: dict[str, Array]) -> dict[str, Calibration]:
    """Return each fold's calibration, fitted on the others."""
    return {fold: _calibration(labels, scores, [other for other in labels if other != fold]) for fold in labels}


def _calibration(labels: dict[str, Labels], scores: dict[str, Array], folds: list[str]) -> Calibration:
    score, y = (np.concatenate([by_fold[fold] for fold in folds]) for by_fold in (scores, labels))
    return fit_calibration(score, y)
