"""The closed-form estimators against scikit-learn's, and leaving out by subtraction against refitting."""

import numpy as np
import pytest
from p300 import models
from p300.errors import TrainingError
from p300.models import RecordingEpochs
from p300.models.calibration import platt
from p300.models.moments import GRAM_EPOCHS
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def epochs(seed, n=240, n_channels=4, n_times=15, offset=0.0):
    """Correlated noise in volts with a bump on the targets' later samples."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((n_channels * n_times, n_channels * n_times)) * np.linspace(0.2, 3, n_channels * n_times)
    X = rng.standard_normal((n, n_channels * n_times)) @ mix * 1e-6 + offset
    y = np.where(rng.random(n) < 1 / 6, 2, 1)
    X[y == 2, n_times // 2 : n_times] += 2e-5
    return X.astype(np.float32), y


def recording(subject, run=1, **kwargs):
    X, y = epochs(100 * subject + run, **kwargs)
    return RecordingEpochs(f"subject_{subject:02d}/run_{run:02d}", f"subject_{subject:02d}", X, y, 4)


@pytest.fixture(scope="module")
def recordings():
    return [recording(s, run) for s in (1, 2, 3) for run in (1, 2)]


def make(kind="lda", **kwargs):
    return models.make(kind, n_channels=4, n_times=15, **kwargs)


@pytest.mark.parametrize("offset", [0.0, 1e-3], ids=["centred", "large-offset"])
@pytest.mark.parametrize("n", [40, 600, 7000], ids=["fewer-epochs-than-features", "more", "several-batches"])
def test_lda_is_scikit_learns(n, offset):
    X, y = epochs(1, n=n, offset=offset)
    X64 = X.astype(np.float64)
    theirs = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")).fit(X64, y)
    assert n < 7000 or (y == 1).sum() > 2 * GRAM_EPOCHS
    ours = make().fit(X, y, groups=np.arange(n) % 3)
    scaler, lda = theirs[0], theirs[1]
    np.testing.assert_allclose(ours.weights_ * scaler.scale_, lda.coef_[0], rtol=0, atol=1e-9 * np.abs(lda.coef_).max())
    # Scores are in the hundreds where the offset is large.
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X64), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X64), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X64))


def test_lda_with_constant_features_is_scikit_learns():
    X, y = epochs(2)
    X[:, 7] = 0
    X[:, 8] = 3e-5
    X64 = X.astype(np.float64)
    theirs = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")).fit(X64, y)
    np.testing.assert_allclose(make().fit(X, y).decision_function(X), theirs.decision_function(X64), atol=1e-9)


@pytest.mark.parametrize("n", [40, 600])
def test_ridge_is_scikit_learns(n):
    X, y = epochs(3, n=n)
    X64 = X.astype(np.float64)
    ours = make("ridge").fit(X, y)
    theirs = make_pipeline(StandardScaler(), RidgeClassifier(alpha=ours.alpha_)).fit(X64, y)
    np.testing.assert_allclose(ours._uncalibrated(X), theirs.decision_function(X64), rtol=0, atol=1e-9)
    assert ours.alpha_ > 0


def test_platt_is_a_logistic_regression():
    rng = np.random.default_rng(0)
    y = np.where(rng.random(20_000) < 1 / 6, 2, 1)
    score = rng.standard_normal(len(y)) * 1e-7 + 2e-7 * (y == 2) + 5e-7
    ours = platt(score, y)
    scaled = ((score - 5e-7) / 1e-7)[:, None]
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(scaled, y).predict_proba(scaled)[:, 1]
    np.testing.assert_allclose(ours.probability(score), theirs, atol=1e-3)


def test_platt_of_separable_scores_stays_finite():
    y = np.array([1, 1, 1, 2, 2])
    p = platt(np.array([-3.0, -2, -1, 1, 2]), y).probability(np.array([-3.0, 2]))
    assert np.isfinite(p).all()
    assert p[0] < 0.3 < 0.7 < p[1]


@pytest.mark.parametrize("align", [False, True], ids=["plain", "aligned"])
@pytest.mark.parametrize("kind", ["lda", "ridge"])
def test_leaving_a_subject_out_equals_refitting_without_it(recordings, kind, align):
    # Interleaved: a subject's recordings need not follow each other.
    interleaved = recordings[::2] + recordings[1::2]
    seen = []
    for fold, model, left_out in make(kind, align=align).leave_out(interleaved, lambda r: r.subject):
        seen.append(fold)
        assert left_out == [r for r in interleaved if r.subject == fold]
        refitted = make(kind, align=align).fit_recordings([r for r in interleaved if r.subject != fold])
        for groups in (None, np.zeros(len(left_out[0].y))):
            score, expected = (m._uncalibrated(left_out[0].X, groups) for m in (model, refitted))
            np.testing.assert_allclose(score, expected, rtol=0, atol=1e-9)
    assert sorted(seen) == ["subject_01", "subject_02", "subject_03"]


def test_recordings_are_read_one_at_a_time():
    class Stream:
        alive = 0
        most_alive = 0

        def __iter__(self):
            import weakref

            for subject in range(1, 8):
                one = recording(subject)
                Stream.alive += 1
                weakref.finalize(one.X, Stream.drop)
                Stream.most_alive = max(Stream.most_alive, Stream.alive)
                yield one
                del one

        @classmethod
        def drop(cls):
            cls.alive -= 1

    make().fit_recordings(Stream())
    for _ in make().leave_out(Stream(), lambda r: r.subject):
        pass
    # The one being read, the last one, and the left-out subject's.
    assert Stream.most_alive <= 3


def test_a_generator_is_refused(recordings):
    with pytest.raises(TypeError, match="one-shot"):
        make().fit_recordings(iter(recordings))


def test_one_class_is_refused():
    X, _ = epochs(4)
    with pytest.raises(TrainingError, match="y has one class only, 1; expected two"):
        make().fit(X, np.ones(len(X), int))
    with pytest.raises(TrainingError, match="240 NonTarget and 0 Target"):
        make().fit_recordings([RecordingEpochs("a", "a", X, np.ones(len(X), int), 4)])


def test_a_fold_whose_rest_lacks_a_class_is_refused():
    all_non_target = recording(1)
    all_non_target = RecordingEpochs("a", "a", all_non_target.X, np.ones_like(all_non_target.y), 4)
    with pytest.raises(TrainingError, match="0 Target"):
        list(make().leave_out([all_non_target, recording(2)], lambda r: r.subject))


def test_no_recordings_are_refused():
    with pytest.raises(TrainingError, match="no recordings"):
        make().fit_recordings([])


def test_wrong_length_is_refused(recordings):
    with pytest.raises(ValueError, match="X has 59 features, but LDA is expecting 60"):
        make().fit_recordings(recordings).decision_function(np.zeros((1, 59)))


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(TrainingError, match=r"'svm' is not known; choose one of lda, ridge"):
        make("svm")


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((2, 60), np.float32), np.array([0, 1]), "labels"),
        (np.full((2, 60), np.nan, np.float32), np.array([2, 1]), "NaN"),
        (np.zeros((2, 61), np.float32), np.array([2, 1]), "shape"),
        (np.zeros((2, 60), np.float32), np.array([2, 1, 1]), "shape"),
    ],
)
def test_bad_epochs_are_refused_by_name(X, y, message):
    with pytest.raises(TrainingError, match=f"subject_01/a.*{message}"):
        RecordingEpochs("subject_01/a", "subject_01", X, y, 4)
