"""P300 classifiers with scikit-learn's API: epochs and labels as arrays."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from p300.errors import RequestError, TrainingError
from p300.models.calibration import Calibration
from p300.models.data import RecordingEpochs, Recordings, from_arrays
from p300.recording import NON_TARGET, TARGET
from p300.scoring import Scorer

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
except ImportError:  # recordings are fitted and scored without scikit-learn too, which is where reports are drawn

    class BaseEstimator:  # type: ignore[no-redef]
        """In place of scikit-learn's."""

    class ClassifierMixin:  # type: ignore[no-redef]
        """In place of scikit-learn's."""


SFREQ = 100.0
"""Of the features that the pipeline makes, in Hz."""

Array = NDArray[np.float64]
Groups = ArrayLike | None


class EpochClassifier(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A P300 classifier with scikit-learn's API.

    Parameters
    ----------
    n_channels, n_times : int, optional
        Shape of one epoch. Read from epochs in three dimensions, which then must have it; flattened ones need ``n_channels``.
    align : bool
        Whether to re-centre each recording (`p300.models.alignment`).
    random_state : int
        Of everything random in the fit.
    sfreq : float
        Rate of the epochs' samples in Hz.

    Attributes
    ----------
    classes_ : ndarray, shape (2,)
        The two labels, sorted: the second is the target. After `fit_recordings` 1 (NonTarget) and 2 (Target).
    n_channels_, n_times_ : int
        Shape of one epoch.
    n_features_in_ : int
        Their product.
    prior_target_ : float
        Fraction of targets in the training epochs: what a decoder divides out of a probability.
    reference_ : ndarray, shape (n_channels, n_channels)
        Mean covariance of the training recordings in V^2, where ``align``.
    calibration_, recording_calibration_ : Calibration
        From score to log-odds: for an epoch on its own, and within its recording.

    Notes
    -----
    Epochs are given as MNE, MOABB and pyRiemann hold them, of shape (n_epochs, n_channels, n_times), or flattened channel by channel, as
    this package stores features. They are in volts; any other unit serves as well where it is the same in training and prediction.

    `fit` and the methods that predict take ``groups``, the recording that each epoch comes from. To scikit-learn they are metadata,
    requested with ``set_fit_request(groups=True)`` and, for the prediction of a pipeline, ``set_predict_proba_request(groups=True)``;
    its model selection passes metadata to fits alone.
    """

    classes_: NDArray[Any]
    n_channels_: int
    n_times_: int
    n_features_in_: int
    prior_target_: float
    reference_: Array
    calibration_: Calibration
    recording_calibration_: Calibration

    def __init__(
        self,
        *,
        n_channels: int | None = None,
        n_times: int | None = None,
        align: bool = False,
        random_state: int = 0,
        sfreq: float = SFREQ,
    ) -> None:
        self.n_channels = n_channels
        self.n_times = n_times
        self.align = align
        self.random_state = random_state
        self.sfreq = sfreq

    @abstractmethod
    def fit_recordings(self, recordings: Recordings) -> Self:
        """Fit on recordings read one at a time.

        Parameters
        ----------
        recordings : iterable of RecordingEpochs
            Read several times: not a one-shot iterator.

        Returns
        -------
        self : EpochClassifier
        """

    @abstractmethod
    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Export everything that inference needs as plain arrays.

        Returns
        -------
        arrays : dict
        """

    def fit(self, X: ArrayLike, y: ArrayLike, groups: Groups = None) -> Self:
        """Fit.

        Parameters
        ----------
        X : array_like, shape (n_epochs, n_channels, n_times) or (n_epochs, n_channels * n_times)
            Epochs in volts, in the order of recording; flattened ones channel by channel.
        y : array_like, shape (n_epochs,)
            Two labels, such as 1 (NonTarget) and 2 (Target): the second of them, sorted, is the target.
        groups : array_like, shape (n_epochs,), optional
            Recording that each epoch comes from. Without it all come from one.

        Returns
        -------
        self : EpochClassifier

        Raises
        ------
        TrainingError
            ``missing_class`` where there are not two epochs of each class, ``bad_features`` where shapes do not fit, ``bad_groups``.
        ValueError
            Where scikit-learn refuses the arrays: other than two classes, NaN, text, no epochs.
        """
        from sklearn.utils.multiclass import check_classification_targets, type_of_target
        from sklearn.utils.validation import validate_data

        flat, shape = _flattened(X)
        flat, y = validate_data(self, flat, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) > 2:
            raise ValueError(f"Only binary classification is supported. The type of the target is {type_of_target(y)}.")
        if len(classes) < 2:
            raise TrainingError("missing_class", f"y has one class only, {classes[0]}; expected two.")
        n_channels = shape[0] if shape else self._n_channels_of(flat.shape[1])
        labels = np.where(codes == 1, TARGET, NON_TARGET)
        names = None if groups is None else np.asarray(groups)
        self.fit_recordings(from_arrays(flat, labels, names, n_channels))
        self.classes_ = classes
        return self

    def decision_function(self, X: ArrayLike, groups: Groups = None) -> Array:
        """Return the log-odds of the target, calibrated: positive where `predict` returns the target.

        Parameters
        ----------
        X : array-like
            As in `predict_proba`.
        groups : array-like, shape (n_epochs,), or None
            As in `predict_proba`.

        Returns
        -------
        log_odds : ndarray, shape (n_epochs,)
        """
        return self._by_group(
            self._checked(X), groups, Scorer.log_odds, lambda scorer, part: scorer.log_odds(part, adapt=True)
        )

    def predict_proba(self, X: ArrayLike, groups: Groups = None) -> Array:
        """Return the probability of each class.

        Parameters
        ----------
        X : array_like, shape (n_epochs, n_channels, n_times) or (n_epochs, n_channels * n_times)
            Epochs in volts.
        groups : array_like, shape (n_epochs,), optional
            Recording that each epoch comes from: the model adapts to each recording, without labels. Without it each epoch
            is taken on its own, whatever else is in ``X``.

        Returns
        -------
        probability : ndarray, shape (n_epochs, 2)
            Of non-target and target, in the order of ``classes_``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        RequestError
            ``wrong_shape`` where epochs have other numbers of channels and samples than those of the training.
        ValueError
            Where scikit-learn refuses the array: another number of features, NaN, text.
        """
        target = self._by_group(
            self._checked(X),
            groups,
            Scorer.probability_target,
            lambda scorer, part: scorer.probability_target(part, adapt=True),
        )
        return np.column_stack([1 - target, target])

    def predict(self, X: ArrayLike, groups: Groups = None) -> NDArray[Any]:
        """Return the likelier class of each epoch.

        Parameters
        ----------
        X : array-like
            As in `predict_proba`.
        groups : array-like, shape (n_epochs,), or None
            As in `predict_proba`.

        Returns
        -------
        y : ndarray, shape (n_epochs,)
            Labels out of ``classes_``.
        """
        target = self.predict_proba(X, groups)[:, 1] >= 0.5
        chosen: NDArray[Any] = self.classes_[target.astype(int)]
        return chosen

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.three_d_array = True
        return tags

    def _begin(self, shape: tuple[int, int]) -> None:
        """Take over the shape of an epoch, and forget an earlier fit."""
        self.n_channels_, self.n_times_ = shape
        self.n_features_in_ = shape[0] * shape[1]
        self.classes_ = np.array([NON_TARGET, TARGET])
        self.calibration_ = self.recording_calibration_ = Calibration()

    def _by_group(
        self,
        X: NDArray[np.floating],
        groups: Groups,
        alone: Callable[[Scorer, NDArray[np.floating]], Array],
        together: Callable[[Scorer, NDArray[np.floating]], Array],
    ) -> Array:
        scorer = Scorer(self.to_arrays())
        if groups is None:
            return alone(scorer, X)
        names = np.asarray(groups)
        if names.shape != (len(X),):
            raise RequestError(
                "bad_groups", f"{names.shape} groups for {len(X)} epochs; expected one recording id each."
            )
        scores = np.empty(len(X))
        for name in np.unique(names):
            scores[names == name] = together(scorer, X[names == name])
        return scores

    def _checked(self, X: ArrayLike) -> NDArray[np.floating]:
        """Return epochs flattened, if they are of the shape that was trained on."""
        from sklearn.utils.validation import check_is_fitted, validate_data

        check_is_fitted(self)
        flat, shape = _flattened(X)
        if shape and shape != (self.n_channels_, self.n_times_):
            raise RequestError(
                "wrong_shape",
                f"Epochs of {shape[0]} channels x {shape[1]} samples; {type(self).__name__} was trained on "
                f"{self.n_channels_} x {self.n_times_}.",
            )
        checked: NDArray[np.floating] = validate_data(self, flat, reset=False, dtype=[np.float64, np.float32])
        return checked

    def _n_channels_of(self, n_features: int) -> int:
        if self.n_channels:
            return self.n_channels
        if self.n_times:
            return max(n_features // self.n_times, 1)
        raise TrainingError(
            "unknown_shape",
            f"Epochs are flattened to {n_features} features, which may be of any number of channels. Pass "
            f"{type(self).__name__}(n_channels=...), or epochs of shape (n_epochs, n_channels, n_times).",
        )

    def _shape_of(self, recording: RecordingEpochs, first: tuple[int, int] | None) -> tuple[int, int]:
        """Return an epoch's shape, if it is that of the parameters and of the first recording."""
        shape = recording.n_channels, recording.n_times
        expected = first or (self.n_channels or shape[0], self.n_times or shape[1])
        if shape != expected:
            raise TrainingError(
                "bad_features",
                f"Recording {recording.recording}: epochs of {shape[0]} channels x {shape[1]} samples; "
                f"expected {expected[0]} x {expected[1]}.",
            )
        return shape


def _flattened(X: ArrayLike) -> tuple[Any, tuple[int, int] | None]:
    """Return epochs in two dimensions, and their shape where they came in three."""
    if not hasattr(X, "ndim"):
        X = np.asarray(X)
    if X.ndim != 3:
        return X, None
    epochs = np.asarray(X)
    n_epochs, n_channels, n_times = epochs.shape
    return epochs.reshape(n_epochs, n_channels * n_times), (n_channels, n_times)
