"""The estimators as scikit-learn's: its own checks, cloning, pipelines, model selection, metadata, epochs in two and three dimensions."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import sklearn
from p300 import models
from p300.errors import RequestError, TrainingError
from p300.evaluation import within_recording
from p300.models import LDA, Ensemble, RecordingEpochs, Ridge, XdawnTangentSpace
from p300.models.cross_validation import cross_validate
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

N_CHANNELS, N_TIMES = 4, 20
ESTIMATORS = [LDA, Ridge, XdawnTangentSpace, Ensemble]
_NO_TIME_COURSE = (
    "points in a plane, taken for epochs of two samples: neither XDAWN nor a covariance makes anything of them"
)
_SINGULAR = "six epochs of two samples each: their covariances are singular, and pyRiemann refuses them"
EXCEPTIONS = {
    "LDA": {},
    "Ridge": {},
    "XdawnTangentSpace": {
        "check_classifiers_train": _NO_TIME_COURSE,
        "check_classifier_data_not_an_array": _SINGULAR,
    },
    "Ensemble": {"check_classifier_data_not_an_array": _SINGULAR},
}


# scikit-learn's checks come with points of a few features: taken for epochs of one channel.
@parametrize_with_checks(
    [estimator(n_channels=1) for estimator in ESTIMATORS],
    expected_failed_checks=lambda estimator: EXCEPTIONS[type(estimator).__name__],
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def recordings():
    """Three recordings of 120 epochs with a bump after targets, each with a mixing of channels of its own."""
    found = []
    for number in range(3):
        rng = np.random.default_rng(number)
        y = np.where(rng.permutation(120) % 4 == 0, 2, 1)
        epochs = rng.normal(0, 1e-5, (120, N_CHANNELS, N_TIMES))
        epochs[y == 2, :, 8:14] += 5e-6
        mixed = (np.eye(N_CHANNELS) + 0.3 * rng.standard_normal((N_CHANNELS, N_CHANNELS))) @ epochs
        found.append(RecordingEpochs(f"run_{number}", f"subject_{number}", mixed.reshape(120, -1), y, N_CHANNELS))
    return found


@pytest.fixture(scope="module")
def epochs(recordings):
    return np.concatenate([recording.epochs for recording in recordings])


@pytest.fixture(scope="module")
def y(recordings):
    return np.concatenate([recording.y for recording in recordings])


@pytest.fixture(scope="module")
def groups(recordings):
    return np.concatenate([[recording.recording] * len(recording.y) for recording in recordings])


@pytest.fixture(params=ESTIMATORS, ids=lambda estimator: estimator.kind)
def estimator(request):
    return request.param()


def test_every_kind_is_a_scikit_learn_classifier():
    assert [estimator.kind for estimator in ESTIMATORS] == list(models.KINDS)
    assert all(
        issubclass(estimator, BaseEstimator) and issubclass(estimator, ClassifierMixin) for estimator in ESTIMATORS
    )
    with pytest.raises(AttributeError, match="SVM"):
        models.SVM  # noqa: B018


def test_make_sets_the_parameters_and_leaves_the_kinds_default_of_align():
    made = {kind: models.make(kind, seed=3, n_channels=4).get_params() for kind in models.KINDS}
    shared = {"n_channels": 4, "n_times": None, "random_state": 3, "sfreq": 100.0}
    assert made == {kind: {**shared, "align": kind in ("xdawn_ts", "ensemble")} for kind in models.KINDS}
    assert models.make("lda", align=True).align


def test_flattened_epochs_and_epochs_in_three_dimensions_are_the_same(estimator, epochs, y, groups):
    flat = epochs.reshape(len(epochs), -1)
    by_shape = clone(estimator).fit(epochs, y, groups)
    by_channels = clone(estimator).set_params(n_channels=N_CHANNELS).fit(flat, y, groups)
    by_times = clone(estimator).set_params(n_times=N_TIMES).fit(flat, y, groups)
    expected = by_shape.predict_proba(epochs)
    for fitted in (by_shape, by_channels, by_times):
        assert (fitted.n_channels_, fitted.n_times_, fitted.n_features_in_) == (
            N_CHANNELS,
            N_TIMES,
            N_CHANNELS * N_TIMES,
        )
        for X in (epochs, flat, epochs.tolist()):
            np.testing.assert_array_equal(fitted.predict_proba(X), expected)


def test_fitting_arrays_is_fitting_their_recordings(estimator, recordings, epochs, y, groups):
    arrays = clone(estimator).fit(epochs, y, groups).to_arrays()
    for name, array in clone(estimator).fit_recordings(recordings).to_arrays().items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)


@pytest.mark.parametrize("labels", [(0, 1), (-1, 1), ("NonTarget", "Target"), (False, True)])
def test_the_second_label_is_the_target(estimator, epochs, y, labels):
    own = np.array(labels)[y - 1]
    fitted = clone(estimator).fit(epochs, own)
    np.testing.assert_array_equal(fitted.classes_, labels)
    plain = clone(estimator).fit(epochs, y)
    np.testing.assert_array_equal(fitted.predict_proba(epochs), plain.predict_proba(epochs))
    np.testing.assert_array_equal(fitted.predict(epochs), np.array(labels)[plain.predict(epochs) - 1])


def test_the_decision_function_is_the_log_odds_of_what_is_predicted(estimator, recordings, epochs, groups):
    fitted = estimator.fit_recordings(recordings)
    for given in (None, groups):
        decision, probability = fitted.decision_function(epochs, given), fitted.predict_proba(epochs, given)
        np.testing.assert_allclose(decision, np.log(probability[:, 1] / probability[:, 0]), atol=1e-9)
        np.testing.assert_array_equal(fitted.predict(epochs, given), np.where(decision >= 0, 2, 1))


def test_a_second_fit_forgets_the_first(estimator, recordings):
    fresh = clone(estimator).fit_recordings(recordings[:2])
    again = estimator.fit_recordings(recordings)
    again.calibrate(cross_validate(again, recordings, lambda recording: recording.subject))
    again.fit_recordings(recordings[:2])
    np.testing.assert_array_equal(again.predict_proba(recordings[2].X), fresh.predict_proba(recordings[2].X))


def test_parameters_survive_clone_pickle_and_set_params(estimator, recordings):
    estimator.set_params(align=True, random_state=7)
    assert clone(estimator.fit_recordings(recordings)).get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        clone(estimator).predict(recordings[0].X)
    loaded = pickle.loads(pickle.dumps(estimator))  # noqa: S301
    np.testing.assert_array_equal(loaded.predict_proba(recordings[0].X), estimator.predict_proba(recordings[0].X))
    with pytest.raises(ValueError, match="shrinkage"):
        estimator.set_params(shrinkage=0.5)


def test_cross_val_score_and_a_pipeline(estimator, epochs, y, groups):
    in_microvolts = make_pipeline(FunctionTransformer(_times, kw_args={"factor": 1e6}), clone(estimator))
    for classifier in (estimator, in_microvolts):
        aucs = cross_val_score(classifier, epochs, y, groups=groups, cv=LeaveOneGroupOut(), scoring="roc_auc")
        assert aucs.shape == (3,)
        assert aucs.mean() > 0.75


def _times(X, factor):
    return X * factor


def test_grid_search_chooses_whether_to_align(epochs, y):
    search = GridSearchCV(LDA(), {"align": [False, True]}, cv=StratifiedKFold(3), scoring="roc_auc").fit(epochs, y)
    assert search.best_params_["align"] in (False, True)
    assert search.predict(epochs).shape == y.shape


def test_recordings_are_metadata_for_the_fits_of_model_selection(epochs, y, groups):
    how = {"cv": LeaveOneGroupOut(), "method": "predict_proba", "params": {"groups": groups}}
    with sklearn.config_context(enable_metadata_routing=True):
        aware = cross_val_predict(Ensemble().set_fit_request(groups=True), epochs, y, **how)
        blind = cross_val_predict(Ensemble().set_fit_request(groups=False), epochs, y, **how)
    for name in np.unique(groups):
        train, test = groups != name, groups == name
        fitted = Ensemble().fit(epochs[train], y[train], groups[train])
        np.testing.assert_allclose(aware[test], fitted.predict_proba(epochs[test]), rtol=0, atol=1e-12)
    assert np.abs(aware - blind).max() > 0.01


def test_recordings_are_metadata_for_a_pipeline(epochs, y, groups):
    with sklearn.config_context(enable_metadata_routing=True):
        aware = Ensemble().set_fit_request(groups=True).set_predict_proba_request(groups=True)
        pipeline = make_pipeline(FunctionTransformer(), aware).fit(epochs, y, groups=groups)
        found = pipeline.predict_proba(epochs, groups=groups)
    np.testing.assert_array_equal(found, Ensemble().fit(epochs, y, groups).predict_proba(epochs, groups))


def test_each_group_is_a_recording(recordings, epochs, y, groups):
    flat = [recording.epochs.transpose(1, 0, 2).reshape(N_CHANNELS, -1) for recording in recordings]
    by_hand = np.mean([one @ one.T / one.shape[1] for one in flat], axis=0)
    fitted = LDA(align=True).fit(epochs, y, groups)
    np.testing.assert_allclose(fitted.reference_, by_hand, rtol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "shape", "told"),
    [
        ({}, (12, 80), r"flattened to 80 features.*Pass LDA\(n_channels=\.\.\.\)"),
        ({"n_channels": 5}, (12, 4, 20), "4 channels x 20 samples; expected 5 x 20"),
        ({"n_channels": 4, "n_times": 10}, (12, 4, 20), "4 channels x 20 samples; expected 4 x 10"),
        ({"n_channels": 3}, (12, 80), "3 channels; expected"),
        ({"n_channels": 0}, (12, 80), "flattened to 80 features"),
        ({"n_times": 100}, (12, 80), "1 channels x 80 samples; expected 1 x 100"),
    ],
)
def test_epochs_of_another_shape_are_refused(parameters, shape, told):
    X = np.random.default_rng(0).standard_normal(shape)
    with pytest.raises(TrainingError, match=told):
        LDA(**parameters).fit(X, np.tile([1, 2], 6))


def test_as_many_features_of_another_shape_are_refused(epochs, y):
    fitted = LDA().fit(epochs, y)
    with pytest.raises(RequestError, match="20 channels x 4 samples; LDA was trained on 4 x 20"):
        fitted.predict(epochs.transpose(0, 2, 1))


def test_recordings_of_different_shapes_are_refused(estimator, recordings):
    odd = RecordingEpochs("odd", "odd", recordings[0].X, recordings[0].y, 2)
    with pytest.raises(TrainingError, match="Recording odd: epochs of 2 channels x 40 samples; expected 4 x 20"):
        estimator.fit_recordings([*recordings, odd])


@pytest.mark.parametrize("n", [1, 361])
def test_groups_of_another_length_are_refused(epochs, y, n):
    with pytest.raises(TrainingError, match=f"{n} groups for 360 epochs"):
        LDA().fit(epochs, y, np.zeros(n))
    with pytest.raises(RequestError, match="groups for 360 epochs"):
        LDA().fit(epochs, y).predict_proba(epochs, np.zeros(n))


def test_three_classes_are_refused(estimator, epochs):
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        estimator.fit(epochs, np.arange(360) % 3)


def test_epochs_of_one_sample_have_no_time_course():
    X, y = np.random.default_rng(0).standard_normal((40, 4, 1)), np.tile([1, 2], 20)
    with pytest.raises(TrainingError, match="4 channels x 1 sample"):
        XdawnTangentSpace().fit(X, y)


def test_recordings_are_evaluated_where_scikit_learn_is_not_installed(recordings, tmp_path):
    """As where reports are drawn: only the layer of training has it."""
    code = """
import json, sys
sys.modules["sklearn"] = None
import numpy as np
from p300.evaluation import within_recording
from p300.models import RecordingEpochs
arrays = np.load(sys.argv[1])
print(json.dumps(within_recording(RecordingEpochs("a", "a", arrays["X"], arrays["y"], 4))))
"""
    np.savez(tmp_path / "epochs.npz", X=recordings[0].X, y=recordings[0].y)
    command = [sys.executable, "-c", code, tmp_path / "epochs.npz"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found == within_recording(recordings[0])
