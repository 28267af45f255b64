"""What every estimator shares on recordings: calibration, export, and leaving people out."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from p300.errors import TrainingError
from p300.models.data import RecordingEpochs, Recordings, blocks, require_rereadable
from p300.models.epoch_classifier import Array, EpochClassifier, Groups
from p300.scoring import NEWEST_FORMAT, Scorer

if TYPE_CHECKING:
    from p300.models.cross_validation import CrossValidation

N_CALIBRATION_FOLDS = 5
"""A few large folds calibrate as well as many."""

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
            ``no_recordings``, ``missing_class``, ``bad_features``.
        TypeError
            Where ``recordings`` can be read only once.
        """
        from p300.models.cross_validation import cross_validate  # which imports this module

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

    def n_fitted(self, n_epochs: int) -> int:
        """Return how many of so many epochs a fit takes: all, where the kind draws none.

        Parameters
        ----------
        n_epochs : int
            That there are.
        """
        return n_epochs

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
