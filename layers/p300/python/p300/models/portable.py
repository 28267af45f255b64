"""Fitted estimators as pipelines of scikit-learn and pyRiemann parts, which load where this package is not installed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder

from p300.models.alignment import whitener
from p300.models.base import Estimator
from p300.models.ensemble import Ensemble
from p300.models.linear import LDA, LinearEstimator
from p300.models.xdawn import N_FILTERS, REGULARISATION_C, XdawnTangentSpace

Array = NDArray[np.float64]


def to_pipeline(estimator: Estimator) -> Pipeline:
    """Return a fitted pipeline of scikit-learn and pyRiemann parts that predicts as the estimator does.

    Parameters
    ----------
    estimator : Estimator
        Fitted, of any kind.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Takes epochs in volts, of shape (n_epochs, n_channels, n_times) or flattened, each on its own. Its probabilities are those of
        the estimator without ``groups``, its classes the estimator's. The last step is

        - ``lda``: a `LinearDiscriminantAnalysis`;
        - ``ridge``: a `LogisticRegression` that holds the ridge regression's weights, as a `RidgeClassifier` has no probabilities;
        - ``xdawn_ts``: a `LogisticRegression` on scaled tangent vectors, after `XdawnCovariances` and `TangentSpace`;
        - ``ensemble``: a `LogisticRegression` on both samples and scaled tangent vectors, which holds the mean of both members.

        The calibration is folded into the last step's coefficients, and the alignment to the mean training recording into the weights
        and filters. Where the calibration has a floor or a ceiling, the last step is a `VotingClassifier` of that classifier and a
        `DummyClassifier`. What is not in it is the adaptation to a recording, for which `predict_proba` needs ``groups``.

    Raises
    ------
    TypeError
        Where the estimator is of none of these kinds.
    """
    n_channels, n_times = estimator.n_channels_, estimator.n_times_
    whitening = whitener(estimator.reference_) if estimator.align else np.eye(n_channels)
    float64 = ("float64", FunctionTransformer(np.asarray, kw_args={"dtype": "float64"}))
    flat = FunctionTransformer(np.reshape, kw_args={"shape": (-1, n_channels * n_times)})
    epochs = ("epochs", FunctionTransformer(np.reshape, kw_args={"shape": (-1, n_channels, n_times)}))
    target = estimator.classes_[1]
    match estimator:
        case LinearEstimator():
            lda = isinstance(estimator, LDA)
            last = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto") if lda else LogisticRegression()
            _set(last, estimator, _whitened(estimator, whitening), estimator.intercept_)
            steps = [("flat", flat), ("lda" if lda else "ridge", _bounded(last, estimator))]
        case XdawnTangentSpace():
            last = LogisticRegression(C=REGULARISATION_C, max_iter=1000)
            _set(last, estimator, estimator.regression_.coef_[0], estimator.regression_.intercept_[0])
            steps = [epochs, *_tangent_steps(estimator, whitening, target), ("regression", _bounded(last, estimator))]
        case Ensemble(lda_=linear, xdawn_=tangent):
            last = LogisticRegression(C=REGULARISATION_C, max_iter=1000)
            weights = np.concatenate([_whitened(linear, whitening), tangent.regression_.coef_[0]])
            _set(last, estimator, 0.5 * weights, 0.5 * (linear.intercept_ + tangent.regression_.intercept_[0]))
            both = FeatureUnion([("flat", flat), ("tangent", Pipeline(_tangent_steps(tangent, whitening, target)))])
            steps = [epochs, ("features", both), ("mean", _bounded(last, estimator))]
        case _:
            raise TypeError(f"{type(estimator).__name__} has no equal among scikit-learn's and pyRiemann's classes")
    return Pipeline([float64, *steps])


def _whitened(linear: LinearEstimator, whitening: Array) -> Array:
    """Return the weights for epochs that are not whitened yet."""
    return (whitening @ linear.weights_.reshape(len(whitening), -1)).ravel()


def _set(classifier: Any, estimator: Estimator, weights: Array, intercept: float) -> None:
    """Fill in what a linear classifier's fit would have found: weights and intercept, calibrated."""
    calibration = estimator.calibration_
    classifier.classes_ = estimator.classes_
    classifier.coef_ = calibration.slope * weights[None, :]
    classifier.intercept_ = np.array([calibration.slope * intercept + calibration.intercept])
    classifier.n_features_in_ = len(weights)


def _bounded(classifier: Any, estimator: Estimator) -> Any:
    """Return a classifier with the calibration's floor and ceiling: a mixture with one that knows nothing of the epoch."""
    floor, ceiling = estimator.calibration_.floor, estimator.calibration_.ceiling
    if not floor + ceiling:
        return classifier
    guess = DummyClassifier().fit(np.zeros((2, 1)), estimator.classes_, sample_weight=[ceiling, floor])
    weights = [1 - floor - ceiling, floor + ceiling]
    mixture = VotingClassifier([("epoch", classifier), ("guess", guess)], voting="soft", weights=weights)
    mixture.estimators_ = [classifier, guess]
    mixture.le_ = LabelEncoder().fit(estimator.classes_)
    mixture.classes_ = mixture.le_.classes_
    return mixture


def _tangent_steps(fitted: XdawnTangentSpace, whitening: Array, target: Any) -> list[tuple[str, Any]]:
    from pyriemann.estimation import XdawnCovariances
    from pyriemann.spatialfilters import Xdawn
    from pyriemann.tangentspace import TangentSpace

    xdawn = Xdawn(nfilter=N_FILTERS, classes=[target])
    xdawn.classes_ = [target]
    xdawn.filters_ = fitted.tangent_.filters @ whitening
    xdawn.patterns_ = np.linalg.pinv(xdawn.filters_).T
    xdawn.evokeds_ = fitted.tangent_.prototype
    covariances = XdawnCovariances(nfilter=N_FILTERS, classes=[target], estimator="oas")
    covariances.Xd_, covariances.P_ = xdawn, xdawn.evokeds_
    tangent = TangentSpace(metric={"mean": "logeuclid", "map": "riemann"})
    tangent.reference_ = fitted.mean_covariance_
    return [("covariances", covariances), ("tangent", tangent), ("scaler", fitted.scaler_)]
