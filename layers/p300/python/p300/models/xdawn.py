"""XDAWN covariances, tangent space and logistic regression, through pyRiemann and scikit-learn."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from p300.decoding.response_fit import RecordingSummary
from p300.errors import TrainingError
from p300.models.alignment import whitener
from p300.models.base import Estimator, FoldOf
from p300.models.data import RecordingEpochs, Recordings
from p300.models.draw import MOST_TANGENT_EPOCHS
from p300.models.epoch_classifier import SFREQ, Array
from p300.models.prepared import Prepared, most_fitted, prepare
from p300.models.tangent import TangentSpace

N_FILTERS = 4
"""As usual for P300 with XDAWN in pyRiemann and MOABB."""
REGULARISATION_C = 0.1


class AlignedEstimator(Estimator):
    """Base of estimators that are fitted on aligned epochs."""

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
    def _fit_prepared(self, prepared: Prepared) -> None:
        """Fit on recordings that are aligned already."""

    def prepare(self, recordings: Recordings) -> Prepared:
        """Align recordings, and draw the epochs that fits take.

        Parameters
        ----------
        recordings : iterable of RecordingEpochs
            May be iterated several times.

        Returns
        -------
        prepared : Prepared
            What `leave_out_prepared` takes.
        """
        shape: tuple[int, int] | None = None

        def look(recording: RecordingEpochs) -> RecordingSummary | None:
            nonlocal shape
            shape = self._shape_of(recording, shape)
            return self._summarise(recording)

        return prepare(recordings, align=self.align, seed=self.random_state, look=look)

    def n_fitted(self, n_epochs: int) -> int:
        """Return how many of so many epochs a fit takes."""
        n_features = (self.n_channels or 1) * (self.n_times or 1)
        return min(n_epochs, most_fitted(n_features))

    def _fit(self, recordings: Recordings) -> None:
        self.fit_prepared(self.prepare(recordings))

    def fit_prepared(self, prepared: Prepared) -> Self:
        """Fit, uncalibrated, on what `prepare` returned.

        Parameters
        ----------
        prepared : Prepared
            Without the recordings to be left out.

        Returns
        -------
        self : AlignedEstimator
        """
        self._fit_prepared(prepared)
        self._complete(prepared)
        return self

    def leave_out(
        self, recordings: Recordings, fold_of: FoldOf
    ) -> Iterator[tuple[str, "Estimator", list[RecordingEpochs]]]:
        """Fit once for each fold, without it; a recording's alignment needs no other recording.

        Memory holds the epochs that fits take (`p300.models.draw`), and a fold.

        Parameters and what is yielded are those of `Estimator.leave_out`.
        """
        yield from self.leave_out_prepared(self.prepare(recordings), recordings, fold_of)

    def leave_out_prepared(
        self, prepared: Prepared, recordings: Recordings, fold_of: FoldOf
    ) -> Iterator[tuple[str, "Estimator", list[RecordingEpochs]]]:
        """Do the same for some of the folds.

        Parameters
        ----------
        prepared : Prepared
            Of the recordings of all folds.
        recordings : iterable of RecordingEpochs
            All recordings of the folds to be left out, and no others.
        fold_of : callable
            As `Estimator.leave_out` takes it.

        Yields
        ------
        fold, model, left_out
            As `Estimator.leave_out` does.
        """
        folds = {recording.recording: fold_of(recording) for recording in recordings}
        names = list(folds.values())
        others = {one.epochs.recording: fold_of(one.epochs) for one in prepared.recordings}
        unfinished: dict[str, list[RecordingEpochs]] = {}
        for recording in recordings:
            fold = folds[recording.recording]
            left_out = unfinished.setdefault(fold, [])
            left_out.append(recording)
            if len(left_out) < names.count(fold):
                continue
            rest = prepared.but({name for name, other in others.items() if other == fold})
            yield fold, self.unfitted().fit_prepared(rest), unfinished.pop(fold)

    def _complete(self, prepared: Prepared) -> None:
        """Take over what is known of whole recordings."""
        self.reference_ = prepared.reference

    def _summarise(self, recording: RecordingEpochs) -> RecordingSummary | None:
        """Keep of a recording, before it is aligned, what `_complete` needs."""
        return None


class XdawnTangentSpace(AlignedEstimator):
    """XDAWN covariances, tangent space, standardisation and logistic regression [1]_.

    Parameters are those of `EpochClassifier`; recordings are aligned by default.

    Beside the epochs that it is fitted on, memory holds a covariance of `N_FILTERS` filters and as many prototypes for each of them, 36
    numbers.

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

    def _fit_prepared(self, prepared: Prepared) -> None:
        from pyriemann.geometry.base import expm, logm
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        filters, prototype = self._xdawn(prepared)
        unmapped = TangentSpace(filters, prototype, np.eye(2 * len(filters)))
        rows, columns = np.triu_indices(2 * len(filters))
        sum_of_logs = np.zeros((2 * len(filters), 2 * len(filters)))
        kept: list[Array] = []
        labels = []
        for recording in prepared.drawn(MOST_TANGENT_EPOCHS, self.random_state):
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

    def _xdawn(self, prepared: Prepared) -> tuple[Array, Array]:
        """Return filters and prototype as ``pyriemann.spatialfilters.Xdawn`` does, from sums over recordings."""
        from scipy.linalg import eigh

        sums = [one.sums for one in prepared.recordings]
        if not sums:
            raise TrainingError("no_recordings", "There are no recordings with features; land and preprocess some.")
        second, first, response = (
            np.sum([getattr(one, name) for one in sums], axis=0) for name in ("second", "first", "response")
        )
        n_epochs, n_targets = prepared.n_epochs, sum(one.n_targets for one in sums)
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
