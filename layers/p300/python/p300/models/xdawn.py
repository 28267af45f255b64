"""XDAWN covariances, tangent space and logistic regression, through pyRiemann and scikit-learn."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from p300.decoding.response_fit import RecordingSummary
from p300.errors import TrainingError
from p300.models.alignment import spatial_covariance, whitener
from p300.models.base import Estimator, FoldOf
from p300.models.data import HELD_BYTES, Derived, RecordingEpochs, Recordings
from p300.models.epoch_classifier import SFREQ, Array
from p300.models.tangent import TangentSpace
from p300.recording import TARGET

N_FILTERS = 4
"""As usual for P300 with XDAWN in pyRiemann and MOABB."""
REGULARISATION_C = 0.1
MAX_FITTED_EPOCHS = 8_000_000
"""In all fits of a cross-validation together: a whole training of so many was seen to take 360 s of a core."""


class AlignedEstimator(Estimator):
    """Base of estimators that are fitted on aligned epochs, several passes over the recordings for each fit."""

    def __init__(
        self,
        *,
        n_channels: int | None = None,
        n_times: int | None = None,
        align: bool = True,
        random_state: int = 0,
        sfreq: float = SFREQ,
    ) -> None:
        super().__init__(n_channels=n_channels, n_times=n_times, align=align, random_state=random_state, sfreq=sfreq)

    @abstractmethod
    def _fit_aligned(self, aligned: Recordings) -> None:
        """Fit on recordings that are aligned already."""

    def _fit(self, recordings: Recordings) -> None:
        aligned = _Aligned(self, recordings)
        self._fit_aligned(aligned)
        self._complete(aligned, None)

    def leave_out(
        self, recordings: Recordings, fold_of: FoldOf
    ) -> Iterator[tuple[str, Estimator, list[RecordingEpochs]]]:
        """Fit once for each fold, without it; a recording's alignment needs no other recording.

        Memory holds aligned epochs up to `HELD_BYTES`, and a fold.

        Parameters and what is yielded are those of `Estimator.leave_out`.

        Raises
        ------
        TrainingError
            ``too_many_epochs`` where fits would take too long.
        """
        aligned = _Aligned(self, recordings)
        folds = {recording.recording: fold_of(recording) for recording in aligned}
        names = list(folds.values())
        n_fitted = aligned.n_epochs * (len(set(names)) - 1)
        if n_fitted > MAX_FITTED_EPOCHS:
            raise TrainingError(
                "too_many_epochs",
                f"Leaving each of {len(set(names))} out of {aligned.n_epochs} epochs fits {self.kind} on {n_fitted} epochs in all; at most "
                f"{MAX_FITTED_EPOCHS} are. Train on a fraction of the subjects, or lda or ridge, which need no fit of their own for each.",
            )
        unfinished: dict[str, list[RecordingEpochs]] = {}
        for recording in recordings:
            fold = folds[recording.recording]
            left_out = unfinished.setdefault(fold, [])
            left_out.append(recording)
            if len(left_out) < names.count(fold):
                continue
            model = self.unfitted()
            model._fit_aligned(_without(aligned, fold, fold_of))
            model._complete(aligned, {name for name, other in folds.items() if other != fold})
            yield fold, model, unfinished.pop(fold)

    def _complete(self, aligned: "_Aligned", names: set[str] | None) -> None:
        """Take over what a pass over these recordings, or all, has found beside the fit."""
        self.reference_ = aligned.reference(names)

    def _summarise(self, recording: RecordingEpochs) -> RecordingSummary | None:
        """Keep of a recording, before it is aligned, what `_complete` needs."""
        return None


def _without(aligned: "_Aligned", fold: str, fold_of: FoldOf) -> Derived:
    def keep(recording: RecordingEpochs) -> Iterator[RecordingEpochs]:
        if fold_of(recording) != fold:
            yield recording

    return Derived(aligned, keep)


class _Aligned:
    """Recordings, each whitened by its own covariance where the estimator aligns; held in float32 as far as `HELD_BYTES` goes.

    Attributes
    ----------
    n_epochs : int
        Seen on the first pass.
    """

    def __init__(self, estimator: AlignedEstimator, recordings: Recordings) -> None:
        self._estimator = estimator
        self._source = recordings
        self._covariances: dict[str, Array] = {}
        self._summaries: dict[str, RecordingSummary] = {}
        self._held: list[RecordingEpochs] | None = None
        self._shape: tuple[int, int] | None = None
        self.n_epochs = 0

    def __iter__(self) -> Iterator[RecordingEpochs]:
        if self._held is not None:
            yield from self._held
            return
        first = not self._covariances
        held: list[RecordingEpochs] = []
        n_bytes = 0
        for recording in self._source:
            aligned = self._align(recording)
            n_bytes += aligned.X.nbytes
            if first:
                self.n_epochs += len(recording.y)
                if n_bytes <= HELD_BYTES:
                    held.append(aligned)
                else:
                    held.clear()
            yield aligned
        if first and n_bytes <= HELD_BYTES:
            self._held = held

    def reference(self, names: set[str] | None) -> Array:
        """Return the mean covariance of these recordings, or of all."""
        covariances = [found for name, found in self._covariances.items() if names is None or name in names]
        mean: Array = np.mean(covariances, axis=0)
        return mean

    def summaries(self, names: set[str] | None) -> list[RecordingSummary]:
        """Return the summaries of these recordings, or of all."""
        return [found for name, found in self._summaries.items() if names is None or name in names]

    def _align(self, recording: RecordingEpochs) -> RecordingEpochs:
        estimator = self._estimator
        self._shape = estimator._shape_of(recording, self._shape)
        if recording.recording not in self._covariances and (summary := estimator._summarise(recording)):
            self._summaries[recording.recording] = summary
        covariance = self._covariances.setdefault(recording.recording, spatial_covariance(recording.epochs))
        if not estimator.align:
            return recording
        whitened = (whitener(covariance) @ recording.epochs).astype(np.float32)
        return replace(recording, X=whitened.reshape(recording.X.shape))


class XdawnTangentSpace(AlignedEstimator):
    """XDAWN covariances, tangent space, standardisation and logistic regression [1]_.

    Parameters are those of `EpochClassifier`; recordings are aligned by default.

    Two passes over the recordings; beside one recording memory holds a covariance of `N_FILTERS` filters and as many prototypes for each
    epoch, 36 numbers.

    Attributes
    ----------
    tangent_ : TangentSpace
    mean_covariance_ : ndarray, shape (2 * n_filters, 2 * n_filters)
        Log-Euclidean mean of the epochs' covariances: where the tangent space touches.
    scaler_ : StandardScaler
    regression_ : LogisticRegression
        Both of tangent vectors.
    weights_ : ndarray, shape (n_tangent,)
        The regression's, the scaler folded in.
    intercept_ : float

    See Also
    --------
    p300.models.tangent.TangentSpace : The features, and where their formulas come from.
    p300.models.portable.to_pipeline : The fitted model as pyRiemann's and scikit-learn's own.

    References
    ----------
    .. [1] A. Barachant and M. Congedo (2014). A plug&play P300 BCI using information geometry. arXiv:1409.0107.
    """

    kind = "xdawn_ts"

    def _fit_aligned(self, aligned: Recordings) -> None:
        from pyriemann.geometry.base import expm, logm
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        filters, prototype = self._xdawn(aligned)
        unmapped = TangentSpace(filters, prototype, np.eye(2 * len(filters)))
        rows, columns = np.triu_indices(2 * len(filters))
        sum_of_logs = np.zeros((2 * len(filters), 2 * len(filters)))
        kept: list[Array] = []
        labels = []
        for recording in aligned:
            matrices = unmapped.covariances(recording.epochs)
            sum_of_logs += logm(matrices).sum(axis=0)
            kept.append(matrices[:, rows, columns])
            labels.append(recording.y)
        y = np.concatenate(labels)
        # Leaving people out gives the same figures with the Riemannian mean, which takes ten times as long.
        self.mean_covariance_ = expm(sum_of_logs / len(y))
        self.tangent_ = replace(unmapped, whitening=whitener(self.mean_covariance_))
        for number, triangles in enumerate(kept):
            matrices = np.empty((len(triangles), *sum_of_logs.shape))
            matrices[:, rows, columns] = matrices[:, columns, rows] = triangles
            kept[number] = self.tangent_.vectors(matrices)
        vectors = np.concatenate(kept)
        del kept
        scaler = StandardScaler(copy=False).fit(vectors)
        regression = LogisticRegression(C=REGULARISATION_C, max_iter=1000, random_state=self.random_state)
        regression.fit(scaler.transform(vectors), y)
        self.scaler_, self.regression_ = scaler, regression
        self.weights_ = regression.coef_[0] / scaler.scale_
        self.intercept_ = float(regression.intercept_[0] - self.weights_ @ scaler.mean_)

    def _xdawn(self, aligned: Recordings) -> tuple[Array, Array]:
        """Return filters and prototype as ``pyriemann.spatialfilters.Xdawn`` does, from sums over recordings."""
        from scipy.linalg import eigh

        second: Array = np.zeros(())
        first: Array = np.zeros(())
        response: Array = np.zeros(())
        n_epochs = n_targets = 0
        for recording in aligned:
            epochs, target = recording.epochs, recording.y == TARGET
            second = second + len(epochs) * spatial_covariance(epochs)
            first = first + epochs.mean(axis=2, dtype=np.float64).sum(axis=0)
            response = response + epochs[target].sum(axis=0, dtype=np.float64)
            n_epochs += len(epochs)
            n_targets += int(target.sum())
        self._check_classes(n_epochs - n_targets, n_targets)
        n_channels, n_times = response.shape[0], response.shape[-1]
        if n_times < 2:
            raise TrainingError(
                "bad_features",
                f"Epochs of {n_channels} channels x {n_times} sample have no time course (n_features = {n_channels}); expected at least "
                "2 samples.",
            )
        self._begin((n_channels, n_times))
        self.prior_target_ = n_targets / n_epochs
        response /= n_targets
        signal = second / n_epochs - np.outer(first, first) / n_epochs**2
        # An average reference leaves the channels one dimension short, which the generalised problem cannot take.
        signal.flat[:: n_channels + 1] += 1e-9 * np.trace(signal) / n_channels
        centred = response - response.mean(axis=1, keepdims=True)
        values, vectors = eigh(centred @ centred.T / n_times, signal)
        vectors = vectors[:, np.argsort(values)[::-1]]
        vectors /= np.linalg.norm(vectors, axis=0)
        filters = vectors[:, :N_FILTERS].T
        return filters, filters @ response

    def _arrays(self) -> Mapping[str, NDArray[np.generic]]:
        return {
            "tangent_filters": self.tangent_.filters,
            "tangent_prototype": self.tangent_.prototype,
            "tangent_whitening": self.tangent_.whitening,
            "tangent_weights": self.weights_,
            "tangent_intercept": np.array(self.intercept_),
        }
