"""Leaving folds of recordings out: models fitted to the others, scores, and the calibration that they give.

In three steps, so that folds can be fitted and scored in processes of their own: `fit_folds`, `adapt_folds`, which needs scores of all
folds, and `combine`. `cross_validate` does all three.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from p300.models.base import Estimator, FoldOf
from p300.models.calibration import Calibration, fit_calibration
from p300.models.data import RecordingEpochs, Recordings
from p300.models.epoch_classifier import Array
from p300.models.flash_groups import session_log_likelihood_ratio
from p300.scoring import Scorer

Labels = NDArray[np.integer]
Place = tuple[str, str, int]
"""A recording, whose it is, and how many epochs it has."""


@dataclass(frozen=True)
class FoldFit:
    """A fold scored by a model that was fitted to the others.

    Attributes
    ----------
    recordings : tuple of (str, str, int)
        Name, subject and number of epochs of each, in the order of the epochs.
    arrays : dict
        The model, uncalibrated, as `p300.scoring.Scorer` takes it.
    y : ndarray of int, shape (n_epochs,)
        Labels.
    alone : ndarray, shape (n_epochs,)
        Scores of each epoch on its own.
    """

    recordings: tuple[Place, ...]
    arrays: Mapping[str, NDArray[np.generic]]
    y: Labels
    alone: Array

    def by_subject(self) -> dict[str, tuple[Labels, Array]]:
        """Return labels and scores of each subject."""
        subject = np.repeat([own for _, own, _ in self.recordings], [n for _, _, n in self.recordings])
        return {
            name: (self.y[subject == name], self.alone[subject == name]) for name in dict.fromkeys(subject.tolist())
        }


@dataclass(frozen=True)
class FoldPredictions:
    """Predictions for a fold by a model that saw neither it nor its labels, calibrated on the other folds.

    Attributes
    ----------
    recordings : tuple of (str, str, int)
        As in `FoldFit`.
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

    recordings: tuple[Place, ...]
    y: Labels
    alone: Array
    within_recording: Array
    score: Array
    session: Array | None = None

    def take(self, recordings: Collection[str]) -> "FoldPredictions":
        """Keep only some recordings, by name."""
        chosen = tuple(place for place in self.recordings if place[0] in recordings)
        rows = np.repeat([name in recordings for name, _, _ in self.recordings], [n for _, _, n in self.recordings])
        return FoldPredictions(
            chosen,
            self.y[rows],
            self.alone[rows],
            self.within_recording[rows],
            self.score[rows],
            None if self.session is None else self.session[rows],
        )


@dataclass(frozen=True)
class CrossValidation:
    """What leaving every fold out once gives: predictions, and a calibration for the model of all folds."""

    folds: dict[str, FoldPredictions]
    calibration: Calibration
    recording_calibration: Calibration

    def by_recording(self) -> dict[str, FoldPredictions]:
        """Return the predictions for each recording."""
        return {name: fold.take({name}) for fold in self.folds.values() for name, _, _ in fold.recordings}

    def by_subject(self) -> dict[str, FoldPredictions]:
        """Return the predictions for each subject, where folds are of whole subjects."""
        found = {}
        for fold in self.folds.values():
            for subject in dict.fromkeys(subject for _, subject, _ in fold.recordings):
                found[subject] = fold.take({name for name, own, _ in fold.recordings if own == subject})
        return found


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
    fits = fit_folds(model.leave_out(recordings, fold_of))
    return combine(fits, adapt_folds(model, fits, calibrations(fits), recordings, fold_of))


def fit_folds(left_out: Iterator[tuple[str, Estimator, list[RecordingEpochs]]]) -> dict[str, FoldFit]:
    """Score folds by models fitted to the others, each epoch on its own: the first step of `cross_validate`.

    Parameters
    ----------
    left_out : iterator
        What `Estimator.leave_out` yields.

    Returns
    -------
    fits : dict of str to FoldFit
    """
    fits = {}
    for fold, trained, own in left_out:
        arrays = trained.to_arrays()
        scorer = Scorer(arrays)
        fits[fold] = FoldFit(
            tuple((recording.recording, recording.subject, len(recording.y)) for recording in own),
            arrays,
            np.concatenate([recording.y for recording in own]),
            np.concatenate([scorer.score(recording.X) for recording in own]),
        )
    return fits


def rescored(
    left_out: Iterator[tuple[str, Estimator, list[RecordingEpochs]]], recordings: Recordings, fold_of: Mapping[str, str]
) -> dict[str, FoldFit]:
    """Score all epochs of folds by models that were fitted to drawn epochs of the others.

    Parameters
    ----------
    left_out : iterator
        What `Estimator.leave_out` yields, of recordings with some of their epochs.
    recordings : iterable of RecordingEpochs
        With all of them.
    fold_of : mapping of str to str
        The fold of each subject.

    Returns
    -------
    fits : dict of str to FoldFit
    """
    arrays = {fold: trained.to_arrays() for fold, trained, _ in left_out}
    scorers = {fold: Scorer(model) for fold, model in arrays.items()}
    parts: dict[str, list[tuple[Place, Labels, Array]]] = {fold: [] for fold in arrays}
    for recording in recordings:
        place = (recording.recording, recording.subject, len(recording.y))
        fold = fold_of[recording.subject]
        parts[fold].append((place, recording.y, scorers[fold].score(recording.X)))
    return {
        fold: FoldFit(
            tuple(place for place, _, _ in own),
            arrays[fold],
            np.concatenate([y for _, y, _ in own]),
            np.concatenate([score for _, _, score in own]),
        )
        for fold, own in parts.items()
    }


def calibrations(fits: Mapping[str, FoldFit], folds: Collection[str] | None = None) -> dict[str, Calibration]:
    """Return the calibration of each fold's scores of epochs on their own, fitted on all other folds.

    Parameters
    ----------
    fits : mapping of str to FoldFit
        Of all folds.
    folds : collection of str, optional
        Those whose calibration is wanted.
    """
    labels, alone = {fold: fit.y for fold, fit in fits.items()}, {fold: fit.alone for fold, fit in fits.items()}
    return _calibrations(labels, alone, labels if folds is None else folds)


Adapted = tuple[Array, Array | None]
"""Scores within recordings, and log-odds with sessions known, of the epochs of a fold."""


def adapt_folds(
    model: Estimator,
    fits: Mapping[str, FoldFit],
    curves: Mapping[str, Calibration],
    recordings: Recordings,
    fold_of: FoldOf,
) -> dict[str, Adapted]:
    """Score folds again, adapted to each recording without labels: the second step of `cross_validate`.

    Parameters
    ----------
    model : Estimator
        As in `cross_validate`.
    fits : mapping of str to FoldFit
        Of all folds, or of some.
    curves : mapping of str to Calibration
        Of these folds, as `calibrations` returns.
    recordings : iterable of RecordingEpochs
        Those of these folds.
    fold_of : callable
        As in `cross_validate`.

    Returns
    -------
    adapted : dict of str to tuple
        By fold, scores before calibration and log-odds with sessions known, as in `FoldPredictions`.
    """
    scorers = {
        fold: Scorer({**fit.arrays, "calibration": np.array(astuple(curves[fold]))}) for fold, fit in fits.items()
    }
    within: dict[str, dict[str, Array]] = {fold: {} for fold in fits}
    sessions: dict[str, dict[str, Array | None]] = {fold: {} for fold in fits}
    reads = model._adapts or any(scorer.response for scorer in scorers.values())
    for recording in recordings if reads else []:
        fold = fold_of(recording)
        if model._adapts:
            within[fold][recording.recording] = scorers[fold].recording_score(recording.X)
        if response := scorers[fold].response:
            ratio = session_log_likelihood_ratio(recording, response)
            prior = np.log(response.prior_target / (1 - response.prior_target))
            sessions[fold][recording.recording] = None if ratio is None else ratio + prior
    return {
        fold: (_in_order(fit, within[fold]) if model._adapts else fit.alone, _whole(fit, sessions[fold]))
        for fold, fit in fits.items()
    }


def _in_order(fit: FoldFit, parts: Mapping[str, Array]) -> Array:
    return np.concatenate([parts[name] for name, _, _ in fit.recordings])


def _whole(fit: FoldFit, parts: Mapping[str, Array | None]) -> Array | None:
    """Return the parts in order, if there are all of them."""
    found = {name: part for name, part in parts.items() if part is not None}
    return _in_order(fit, found) if len(found) == len(fit.recordings) else None


def combine(fits: Mapping[str, FoldFit], adapted: Mapping[str, Adapted]) -> CrossValidation:
    """Calibrate scores of all folds: the last step of `cross_validate`.

    Parameters
    ----------
    fits : mapping of str to FoldFit
        Of all folds.
    adapted : mapping of str to tuple
        As `adapt_folds` returns.

    Returns
    -------
    left_out : CrossValidation
    """
    labels, alone = {fold: fit.y for fold, fit in fits.items()}, {fold: fit.alone for fold, fit in fits.items()}
    within = {fold: adapted[fold][0] for fold in fits}
    curves, within_curves = _calibrations(labels, alone, labels), _calibrations(labels, within, labels)
    sessions = {fold: adapted[fold][1] for fold in fits}
    return CrossValidation(
        {
            fold: FoldPredictions(
                fit.recordings,
                fit.y,
                curves[fold].probability(fit.alone),
                within_curves[fold].probability(within[fold]),
                fit.alone,
                None if (session := sessions[fold]) is None else within_curves[fold].probability(session),
            )
            for fold, fit in fits.items()
        },
        _calibration(labels, alone, list(labels)),
        _calibration(labels, within, list(labels)),
    )


def left_out_scores(model: Estimator, recordings: Recordings, fold_of: FoldOf) -> Iterator[tuple[Labels, Array]]:
    """Yield labels and uncalibrated scores of each recording, by a model fitted to the other folds; arguments as `cross_validate` takes."""
    for _, trained, left_out in model.leave_out(recordings, fold_of):
        for recording in left_out:
            yield recording.y, trained._uncalibrated(recording.X)


def _calibrations(
    labels: Mapping[str, Labels], scores: Mapping[str, Array], folds: Collection[str]
) -> dict[str, Calibration]:
    """Return calibrations of these folds, each fitted on the others."""
    return {fold: _calibration(labels, scores, [other for other in labels if other != fold]) for fold in folds}


def _calibration(labels: Mapping[str, Labels], scores: Mapping[str, Array], folds: list[str]) -> Calibration:
    score, y = (np.concatenate([by_fold[fold] for fold in folds]) for by_fold in (scores, labels))
    return fit_calibration(score, y)
