"""XDAWN covariances, tangent space and logistic regression, through pyRiemann and scikit-learn."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.models.alignment import spatial_covariance, whitener
from p300.models.base import Array, Estimator, FoldOf
from p300.models.data import RecordingEpochs, Recordings
from p300.models.tangent import TangentSpace
from p300.recording import TARGET

if TYPE_CHECKING:
    from collections.abc import Sequence

N_FILTERS = 4
"""As usual for P300 with XDAWN in pyRiemann and MOABB."""
REGULARISATION_C = 0.1


class InMemoryEstimator(Estimator):
    """Base of estimators that hold the aligned epochs, in float32, while they are fitted."""

    aligns_by_default = True

    def _fit(self, recordings: Recordings) -> None:
        aligned, covariances = self._align(list(recordings))
        self._fit_aligned(aligned, covariances)

    def _fit_aligned(self, aligned: "Sequence[RecordingEpochs]", covariances: "Sequence[Array]") -> None:
        """Fit on recordings that are aligned already, given what each one's covariance was."""
        n_targets = sum(int((recording.y == TARGET).sum()) for recording in aligned)
        n_epochs = sum(len(recording.y) for recording in aligned)
        self._check_classes(n_epochs - n_targets, n_targets)
        self.prior_target_ = n_targets / n_epochs
        if self.align:
            self.reference_ = np.mean(covariances, axis=0)

    def leave_out(
        self, recordings: Recordings, fold_of: FoldOf
    ) -> Iterator[tuple[str, Estimator, list[RecordingEpochs]]]:
        """Fit once for each fold, without it; recordings are aligned once, as that needs no other recording."""
        loaded = list(recordings)
        aligned, covariances = self._align(loaded)
        names = [fold_of(recording) for recording in loaded]
        for fold in dict.fromkeys(names):
            model = self.unfitted()
            rest = [k for k, name in enumerate(names) if name != fold]
            model._fit_aligned([aligned[k] for k in rest], [covariances[k] for k in rest])
            yield fold, model, [recording for recording, name in zip(loaded, names, strict=True) if name == fold]

    def _align(self, recordings: list[RecordingEpochs]) -> tuple[list[RecordingEpochs], list[Array]]:
        aligned, covariances = [], []
        for recording in recordings:
            self._check_shape(recording.X)
            epochs = recording.X.reshape(len(recording.y), self.n_channels, self.n_times)
            covariances.append(spatial_covariance(epochs))
            if not self.align:
                aligned.append(recording)
                continue
            whitened = (whitener(covariances[-1]) @ epochs).astype(np.float32)
            aligned.append(replace(recording, X=whitened.reshape(recording.X.shape)))
        return aligned, covariances


class XdawnTangentSpace(InMemoryEstimator):
    """XDAWN covariances, tangent space, standardisation and logistic regression.

    Attributes
    ----------
    tangent_ : TangentSpace
    weights_ : ndarray, shape (n_tangent,)
    intercept_ : float
    """

    kind = "xdawn_ts"

    def _fit_aligned(self, aligned: "Sequence[RecordingEpochs]", covariances: "Sequence[Array]") -> None:
        super()._fit_aligned(aligned, covariances)
        from pyriemann.geometry.mean import mean_logeuclid
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        filters, prototype = self._xdawn(aligned)
        unmapped = TangentSpace(filters, prototype, np.eye(2 * len(filters)))
        matrices = np.concatenate([unmapped.covariances(self._epochs(recording)) for recording in aligned])
        # Leaving people out gives the same figures with the Riemannian mean, which takes ten times as long.
        self.tangent_ = replace(unmapped, whitening=whitener(mean_logeuclid(matrices)))
        vectors = np.concatenate([self.tangent_.transform(self._epochs(recording)) for recording in aligned])
        y = np.concatenate([recording.y for recording in aligned])
        scaler = StandardScaler().fit(vectors)
        regression = LogisticRegression(C=REGULARISATION_C, max_iter=1000, random_state=self.seed)
        regression.fit(scaler.transform(vectors), y)
        self.weights_ = regression.coef_[0] / scaler.scale_
        self.intercept_ = float(regression.intercept_[0] - self.weights_ @ scaler.mean_)

    def _xdawn(self, aligned: "Sequence[RecordingEpochs]") -> tuple[Array, Array]:
        """Return filters and prototype as ``pyriemann.spatialfilters.Xdawn`` does, from sums over recordings."""
        from scipy.linalg import eigh

        second = np.zeros((self.n_channels, self.n_channels))
        first = np.zeros(self.n_channels)
        response = np.zeros((self.n_channels, self.n_times))
        n_epochs = n_targets = 0
        for recording in aligned:
            epochs, target = self._epochs(recording), recording.y == TARGET
            second += len(epochs) * spatial_covariance(epochs)
            first += epochs.mean(axis=2, dtype=np.float64).sum(axis=0)
            response += epochs[target].sum(axis=0, dtype=np.float64)
            n_epochs += len(epochs)
            n_targets += int(target.sum())
        response /= n_targets
        signal = second / n_epochs - np.outer(first, first) / n_epochs**2
        # An average reference leaves the channels one dimension short, which the generalised problem cannot take.
        signal.flat[:: self.n_channels + 1] += 1e-9 * np.trace(signal) / self.n_channels
        centred = response - response.mean(axis=1, keepdims=True)
        values, vectors = eigh(centred @ centred.T / self.n_times, signal)
        vectors = vectors[:, np.argsort(values)[::-1]]
        vectors /= np.linalg.norm(vectors, axis=0)
        filters = vectors[:, :N_FILTERS].T
        return filters, filters @ response

    def _epochs(self, recording: RecordingEpochs) -> NDArray[np.floating]:
        return recording.X.reshape(len(recording.y), self.n_channels, self.n_times)

    def _arrays(self) -> Mapping[str, NDArray[np.generic]]:
        return {
            "tangent_filters": self.tangent_.filters,
            "tangent_prototype": self.tangent_.prototype,
            "tangent_whitening": self.tangent_.whitening,
            "tangent_weights": self.weights_,
            "tangent_intercept": np.array(self.intercept_),
        }
