"""Linear estimators in closed form: no copy of the epochs is kept, and leaving a subject out is a subtraction."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from p300.errors import TrainingError
from p300.models.alignment import spatial_covariance, whitener
from p300.models.base import Estimator, FoldOf
from p300.models.data import RecordingEpochs, Recordings, require_rereadable
from p300.models.moments import CLASSES, Array, FourthMoments, Moments, Stratum, ledoit_wolf_shrinkage


class LinearEstimator(Estimator):
    """Base of estimators that are a weight vector, solved from `Moments`.

    Attributes
    ----------
    weights_ : ndarray, shape (n_channels * n_times,)
        Per volt (of aligned epochs, where ``align``); scaling is folded in.
    intercept_ : float
    """

    strata: tuple[list[int], ...]
    weights_: Array
    intercept_: float

    @abstractmethod
    def _solve(self, moments: Moments, strata: list[Stratum], fourth: Array) -> tuple[Array, float]:
        """Return weights and intercept for features as seen from the moments' origin."""

    def _fit(self, recordings: Recordings) -> None:
        """Fit in two passes over the recordings; memory does not grow with their number."""
        total, _ = self._first_pass(recordings, None)
        self._begin(total.shape)
        strata = [total.moments.stratum(rows) for rows in self.strata]
        passes = [FourthMoments(total.moments.origin, [stratum]) for stratum in strata]
        fourth = np.zeros(len(strata))
        for recording in recordings:
            features = self._features(recording)
            for k, rows in enumerate(self.strata):
                fourth[k] += passes[k].of(features[_members(recording.y, rows)])[0]
        self._set(total.moments, strata, fourth)
        self.reference_ = total.covariance / total.n_recordings

    def leave_out(
        self, recordings: Recordings, fold_of: FoldOf
    ) -> Iterator[tuple[str, Estimator, list[RecordingEpochs]]]:
        """Fit once for each fold, without it, exactly: its moments are subtracted from the total's.

        Three passes over the recordings; memory holds one fold's epochs and Gram matrices, and a few vectors a fold.

        Parameters and what is yielded are those of `Estimator.leave_out`.

        Raises
        ------
        TrainingError
            ``no_recordings``, ``bad_features``, or ``missing_class`` where without a fold a class is missing.
        """
        require_rereadable(recordings)
        total, parts = self._first_pass(recordings, fold_of)
        origin = total.moments.origin
        rests = [total.moments.without(part.moments) for part in parts.values()]
        for rest in rests:
            self._check_classes(*rest.n)
        names = list(parts)
        strata = [[rest.stratum(rows) for rest in rests] for rows in self.strata]
        passes = [FourthMoments(origin, row) for row in strata]
        fourth = np.zeros((len(self.strata), len(names)))
        for recording in recordings:
            features = self._features(recording)
            others = np.array(names) != fold_of(recording)
            for k, rows in enumerate(self.strata):
                fourth[k] += others * passes[k].of(features[_members(recording.y, rows)])
        unfinished: dict[str, tuple[Moments, list[RecordingEpochs]]] = {}
        for recording in recordings:
            name = fold_of(recording)
            moments, left_out = unfinished.setdefault(name, (Moments(origin, gram=True), []))
            moments.add(self._features(recording), recording.y)
            left_out.append(recording)
            part = parts[name]
            if len(left_out) < part.n_recordings:
                continue
            del unfinished[name]
            fold = names.index(name)
            model = self.unfitted()
            model._begin(total.shape)
            model._set(total.moments.without(moments), [row[fold] for row in strata], fourth[:, fold])
            model.reference_ = (total.covariance - part.covariance) / (total.n_recordings - part.n_recordings)
            yield name, model, left_out

    def _features(self, recording: RecordingEpochs) -> NDArray[np.floating]:
        """Return what the weights are solved for, of one whole recording."""
        if not self.align:
            return recording.X
        whitening = whitener(spatial_covariance(recording.epochs))
        aligned: Array = (whitening @ recording.epochs).reshape(recording.X.shape)
        return aligned

    def _first_pass(self, recordings: Recordings, fold_of: FoldOf | None) -> tuple["_Sums", dict[str, "_Sums"]]:
        total: _Sums | None = None
        parts: dict[str, _Sums] = {}
        for recording in recordings:
            shape = self._shape_of(recording, total.shape if total else None)
            features = self._features(recording)
            if total is None:
                total = _Sums(shape, Moments(features.mean(axis=0, dtype=np.float64), gram=True))
            growing = [total]
            if fold_of is not None:
                part = _Sums(shape, Moments(total.moments.origin, gram=False))
                growing.append(parts.setdefault(fold_of(recording), part))
            for sums in growing:
                sums.moments.add(features, recording.y)
                sums.n_recordings += 1
                if self.align:
                    sums.covariance = sums.covariance + spatial_covariance(recording.epochs)
        if total is None:
            raise TrainingError("no_recordings", "There are no recordings with features; land and preprocess some.")
        self._check_classes(*total.moments.n)
        return total, parts

    def _set(self, moments: Moments, strata: list[Stratum], fourth: Array) -> None:
        self.prior_target_ = float(moments.n[1] / moments.n.sum())
        self.weights_, intercept = self._solve(moments, strata, fourth)
        self.intercept_ = intercept - float(self.weights_ @ moments.origin)

    def _arrays(self) -> Mapping[str, NDArray[np.generic]]:
        return {"weights": self.weights_, "intercept": np.array(self.intercept_)}


@dataclass
class _Sums:
    shape: tuple[int, int]
    moments: Moments
    n_recordings: int = 0
    covariance: Array = field(default_factory=lambda: np.zeros(()))


class LDA(LinearEstimator):
    """Linear discriminant analysis with Ledoit-Wolf shrinkage of each class's covariance.

    The same as scikit-learn's ``make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr",
    shrinkage="auto"))`` in float64, without holding the epochs: what [1]_ recommends for single flashes. Parameters and attributes are
    those of `EpochClassifier` and `LinearEstimator`.

    See Also
    --------
    p300.models.portable.to_pipeline : The fitted model as scikit-learn's own.

    References
    ----------
    .. [1] B. Blankertz, S. Lemm, M. Treder, S. Haufe and K.-R. Mueller (2011). Single-trial analysis and classification of ERP
       components: a tutorial. NeuroImage, 56, 814-825.

    Examples
    --------
    >>> import numpy as np
    >>> from p300.models import LDA
    >>> rng = np.random.default_rng(0)
    >>> y = np.tile(["NonTarget", "NonTarget", "Target"], 40)
    >>> epochs = rng.normal(0, 1e-5, (120, 8, 70))
    >>> epochs[y == "Target", :, 30:50] += 5e-6
    >>> LDA().fit(epochs, y).predict(epochs[:3]).tolist()
    ['NonTarget', 'NonTarget', 'Target']
    """

    kind = "lda"
    strata = ([0], [1])

    def _solve(self, moments: Moments, strata: list[Stratum], fourth: Array) -> tuple[Array, float]:
        non_target, target = (stratum.mean for stratum in strata)
        weights = _solve_symmetric(self._covariance(moments, strata, fourth), target - non_target)
        log_prior_ratio = np.log(moments.n[1] / moments.n[0])
        return weights, float(-0.5 * (target + non_target) @ weights + log_prior_ratio)

    def _covariance(self, moments: Moments, strata: list[Stratum], fourth: Array) -> Array:
        """Return the mean of the classes' shrunk covariances, weighted by epochs."""
        pooled = np.zeros_like(moments.grams[0])
        priors = moments.n / moments.n.sum()
        for rows, stratum, prior, sum_fourth in zip(self.strata, strata, priors, fourth, strict=True):
            shrunk = moments.correlation(rows, stratum)
            shrinkage, mean_variance = ledoit_wolf_shrinkage(shrunk, stratum.n, sum_fourth)
            shrunk *= 1 - shrinkage
            shrunk.flat[:: len(shrunk) + 1] += shrinkage * mean_variance
            pooled += prior * stratum.scale[:, None] * shrunk * stratum.scale
        return pooled


class Ridge(LinearEstimator):
    """Ridge regression on labels -1 and 1 of standardised features, its penalty set by the Ledoit-Wolf formula.

    The same as scikit-learn's ``StandardScaler`` and ``RidgeClassifier(alpha=alpha_)``; shrinking the features'
    correlation towards identity by s is a penalty of ``n * s / (1 - s)``, so nothing has to be tuned [1]_. Its outputs are
    not log-odds: a logistic curve is fitted through scores of left-out recordings (of blocks, where there is one).

    Attributes
    ----------
    alpha_ : float
        The penalty.

    References
    ----------
    .. [1] O. Ledoit and M. Wolf (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of Multivariate
       Analysis, 88, 365-411.
    """

    kind = "ridge"
    calibrates_in_fit = True
    strata = ([0, 1],)
    alpha_: float

    def _solve(self, moments: Moments, strata: list[Stratum], fourth: Array) -> tuple[Array, float]:
        (stratum,) = strata
        system = moments.correlation([0, 1], stratum)
        shrinkage, mean_variance = ledoit_wolf_shrinkage(system, stratum.n, fourth[0])
        shrinkage = min(shrinkage, 1 - 1e-9)
        self.alpha_ = stratum.n * mean_variance * shrinkage / (1 - shrinkage)
        system.flat[:: len(system) + 1] += self.alpha_ / stratum.n
        signed = moments.sums[1] - moments.sums[0] - (moments.n[1] - moments.n[0]) * stratum.mean
        weights = _solve_symmetric(system, signed / stratum.scale / stratum.n) / stratum.scale
        mean_label = float(moments.n[1] - moments.n[0]) / stratum.n
        return weights, mean_label - float(stratum.mean @ weights)


def _members(y: NDArray[np.integer], rows: list[int]) -> NDArray[np.bool_]:
    members: NDArray[np.bool_] = np.logical_or.reduce([y == CLASSES[row] for row in rows])
    return members


def _solve_symmetric(matrix: Array, right: Array) -> Array:
    """Solve a symmetric system; a singular one (duplicate channels, no shrinkage) in the least-squares sense."""
    from scipy import linalg

    scale = np.sqrt(np.diagonal(matrix))
    scale = np.where(scale > 0, scale, 1.0)
    matrix = matrix / scale
    matrix /= scale[:, None]
    try:
        solution = linalg.cho_solve(linalg.cho_factor(matrix, lower=True, overwrite_a=False), right / scale)
    except linalg.LinAlgError:
        solution = linalg.lstsq(matrix, right / scale)[0]
    return np.asarray(solution / scale)
