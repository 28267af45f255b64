"""`xdawn_ts` against pyRiemann's pipeline, `ensemble` against its members, alignment and adaptation by their effect."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300 import models
from p300.models import RecordingEpochs, prepared
from p300.models.alignment import REFERENCE_WEIGHT_EPOCHS, adapted_whitener, spatial_covariance, whitener
from p300.models.cross_validation import cross_validate
from p300.models.draw import quotas
from p300.scoring import Scorer
from pyriemann.estimation import XdawnCovariances
from pyriemann.tangentspace import TangentSpace
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

N_CHANNELS, N_TIMES = 6, 32


def recording(subject, run=1, *, n=240, effect_uv=5.0, gain=1.0):
    """Mixed noise; the response's latency and topography, and the mixing, are the subject's own."""
    own = np.random.default_rng(subject)
    mix = np.eye(N_CHANNELS) + 0.4 * own.standard_normal((N_CHANNELS, N_CHANNELS))
    topography = np.linspace(0.4, 1, N_CHANNELS) + 0.15 * own.standard_normal(N_CHANNELS)
    latency = 18 + own.integers(-2, 3)
    rng = np.random.default_rng([subject, run])
    X = rng.standard_normal((n, N_CHANNELS, N_TIMES)) * 1e-5
    y = np.where(rng.permutation(n) % 6 == 0, 2, 1)
    wave = np.exp(-(((np.arange(N_TIMES) - latency) / 4) ** 2))
    X[y == 2] += effect_uv * 1e-6 * np.outer(topography, wave)
    X = gain * (mix @ X)
    name = f"subject_{subject:02d}"
    return RecordingEpochs(f"{name}/run_{run}", name, X.reshape(n, -1).astype(np.float32), y, N_CHANNELS)


@pytest.fixture(scope="module")
def recordings():
    return [recording(subject) for subject in (1, 2, 3, 4)]


def make(kind, **kwargs):
    return models.make(kind, n_channels=N_CHANNELS, n_times=N_TIMES, **kwargs)


def as_epochs(X):
    return X.reshape(len(X), N_CHANNELS, N_TIMES).astype(np.float64)


def auc(y, score):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(y == 2, score)


def test_xdawn_ts_is_pyriemanns(recordings):
    X = np.concatenate([r.X for r in recordings])
    y = np.concatenate([r.y for r in recordings])
    ours = make("xdawn_ts", align=False).fit(X, y)
    theirs = make_pipeline(
        XdawnCovariances(nfilter=4, classes=[2], estimator="oas"),
        TangentSpace(metric={"mean": "logeuclid", "map": "riemann"}),
        StandardScaler(),
        LogisticRegression(C=0.1, max_iter=1000),
    ).fit(as_epochs(X), y)
    expected = theirs.predict_proba(as_epochs(X))
    np.testing.assert_allclose(ours.predict_proba(X), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(Scorer(ours.to_arrays()).probability_target(X), expected[:, 1], rtol=0, atol=1e-6)


def test_aligned_xdawn_ts_is_pyriemanns_on_whitened_recordings(recordings):
    whitened = [whitener(spatial_covariance(as_epochs(r.X))) @ as_epochs(r.X) for r in recordings]
    y = np.concatenate([r.y for r in recordings])
    theirs = make_pipeline(
        XdawnCovariances(nfilter=4, classes=[2], estimator="oas"),
        TangentSpace(metric={"mean": "logeuclid", "map": "riemann"}),
        StandardScaler(),
        LogisticRegression(C=0.1, max_iter=1000),
    ).fit(np.concatenate(whitened), y)
    ours = make("xdawn_ts").fit_recordings(recordings)
    # Epochs on their own are whitened by the mean of the recordings' covariances.
    reference = whitener(np.mean([spatial_covariance(as_epochs(r.X)) for r in recordings], axis=0))
    new = recording(9).X
    np.testing.assert_allclose(
        ours.predict_proba(new), theirs.predict_proba(reference @ as_epochs(new)), rtol=0, atol=1e-5
    )


def test_an_average_reference_does_not_break_xdawn_ts():
    referenced = []
    for r in [recording(subject, effect_uv=15) for subject in (1, 2, 3, 4)]:
        epochs = as_epochs(r.X)
        X = (epochs - epochs.mean(axis=1, keepdims=True)).reshape(r.X.shape).astype(np.float32)
        referenced.append(RecordingEpochs(r.recording, r.subject, X, r.y, N_CHANNELS))
    for align in (True, False):
        left_out = cross_validate(make("xdawn_ts", align=align), referenced, lambda r: r.subject)
        assert np.mean([auc(p.y, p.alone) for p in left_out.folds.values()]) > 0.75


@pytest.mark.parametrize("kind", ["xdawn_ts", "ensemble"])
def test_leaving_a_subject_out_equals_refitting_without_it(recordings, kind):
    for fold, model, left_out in make(kind).leave_out(recordings, lambda r: r.subject):
        (own,) = left_out
        assert own.subject == fold
        refitted = make(kind)
        refitted._fit([r for r in recordings if r.subject != fold])
        groups = np.zeros(len(own.y))
        for g in (None, groups):
            np.testing.assert_allclose(
                model.decision_function(own.X, g), refitted.decision_function(own.X, g), rtol=0, atol=1e-9
            )


def test_the_ensembles_score_is_the_mean_of_its_members(recordings):
    model = make("ensemble")
    model._fit(recordings)
    X = recording(9).X
    reference = whitener(model.reference_)
    aligned = (reference @ as_epochs(X)).reshape(X.shape)
    mean = 0.5 * (model.lda_.decision_function(aligned) + model.xdawn_.decision_function(X))
    np.testing.assert_allclose(model.decision_function(X), mean, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", models.KINDS)
def test_an_epochs_answer_depends_on_others_only_where_it_is_asked_to(recordings, kind):
    model = make(kind).fit_recordings(recordings)
    X = recording(9).X
    together = model.predict_proba(X)
    one_by_one = np.concatenate([model.predict_proba(X[k : k + 1]) for k in range(20)])
    np.testing.assert_allclose(one_by_one, together[:20], rtol=0, atol=1e-12)
    adapted = model.predict_proba(X, np.zeros(len(X)))
    assert np.allclose(adapted, together) == (not model.align)


@pytest.mark.parametrize("kind", ["xdawn_ts", "ensemble"])
def test_adapted_probabilities_survive_export(recordings, kind):
    model = make(kind).fit_recordings(recordings)
    file = io.BytesIO()
    np.savez(file, **model.to_arrays())
    X = recording(9).X
    expected = model.predict_proba(X, np.zeros(len(X)))[:, 1]
    adapted = Scorer.load(file.getvalue()).probability_target(X, adapt=True)
    np.testing.assert_allclose(adapted, expected, rtol=0, atol=1e-12)


def test_recordings_are_adapted_to_apart(recordings):
    model = make("ensemble").fit_recordings(recordings)
    a, b = recording(8), recording(9)
    groups = np.repeat(["a", "b"], [len(a.y), len(b.y)])
    shuffled = np.random.default_rng(0).permutation(len(groups))
    both = model.predict_proba(np.concatenate([a.X, b.X])[shuffled], groups[shuffled])
    expected = np.concatenate([model.predict_proba(r.X, np.zeros(len(r.y))) for r in (a, b)])
    np.testing.assert_allclose(both, expected[shuffled], rtol=0, atol=1e-9)


def test_adapting_helps_on_people_not_trained_on():
    people = [recording(subject, n=600) for subject in range(1, 7)]
    left_out = cross_validate(make("ensemble"), people, lambda r: r.subject).folds.values()
    alone = np.mean([auc(p.y, p.alone) for p in left_out])
    within = np.mean([auc(p.y, p.within_recording) for p in left_out])
    assert within > alone + 0.01


@pytest.mark.parametrize("n", [1, 2, 12])
def test_a_few_epochs_change_little(recordings, n):
    model = make("ensemble").fit_recordings(recordings)
    X = recordings[0].X[:n]
    alone, adapted = model.predict_proba(X)[:, 1], model.predict_proba(X, np.zeros(n))[:, 1]
    assert np.abs(adapted - alone).max() < 0.2


@pytest.mark.parametrize("kind", ["xdawn_ts", "ensemble"])
@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e3])
def test_flat_and_huge_epochs_get_a_probability(recordings, kind, scale):
    model = make(kind).fit_recordings(recordings)
    X = (recordings[0].X[:5] * scale).astype(np.float32)
    for groups in (None, np.zeros(5)):
        p = model.predict_proba(X, groups)
        assert np.isfinite(p).all()
        assert ((p >= 0) & (p <= 1)).all()


def test_no_epochs_get_no_probabilities(recordings):
    scorer = Scorer(make("ensemble").fit_recordings(recordings).to_arrays())
    for adapt in (False, True):
        assert scorer.probability_target(np.empty((0, N_CHANNELS * N_TIMES), np.float32), adapt=adapt).shape == (0,)


@given(st.integers(1, 400), st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_alignment_goes_from_the_reference_to_the_recordings_own(n, seed):
    rng = np.random.default_rng(seed)
    epochs = rng.standard_normal((n, 3, 10)) * [[[1], [2], [3]]]
    reference = np.diag([1.0, 1.0, 4.0])
    own = spatial_covariance(epochs)
    inverse = np.linalg.inv(adapted_whitener(epochs, reference))
    weight = n / (n + REFERENCE_WEIGHT_EPOCHS)
    np.testing.assert_allclose(inverse @ inverse, weight * own + (1 - weight) * reference, rtol=1e-9)


def test_aligned_recordings_have_identity_covariance():
    epochs = as_epochs(recording(3, gain=7.0).X)
    aligned = whitener(spatial_covariance(epochs)) @ epochs
    np.testing.assert_allclose(spatial_covariance(aligned), np.eye(N_CHANNELS), atol=1e-9)


def test_fits_are_reproducible_to_the_bit(recordings):
    first, second = (make("ensemble", seed=5).fit_recordings(recordings).to_arrays() for _ in range(2))
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


@pytest.mark.parametrize("kind", ["xdawn_ts", "ensemble"])
def test_a_fit_draws_epochs_of_each_subject_and_keeps_what_whole_recordings_say(recordings, kind, monkeypatch):
    everything = make(kind).prepare(recordings)
    monkeypatch.setattr(prepared, "MOST_FITTED_EPOCHS", 200)
    drawn = make(kind).prepare(recordings)
    assert drawn.n_epochs == make(kind).n_fitted(960) == 200
    assert [len(one.y) for one in drawn] == [50] * 4
    assert {int((one.y == 2).sum()) for one in drawn} == {8}  # a sixth of 50, as of the recording
    for few, all_of in zip(drawn.recordings, everything.recordings, strict=True):
        np.testing.assert_array_equal(few.covariance, all_of.covariance)
        assert {row.tobytes() for row in few.epochs.X} <= {row.tobytes() for row in all_of.epochs.X}
    again = make(kind).prepare([recordings[2], recordings[0], recordings[3], recordings[1]])
    np.testing.assert_array_equal(again.recordings[1].epochs.X, drawn.recordings[0].epochs.X)  # whatever the others are
    other = make(kind, seed=1).prepare(recordings)
    assert not np.array_equal(other.recordings[0].epochs.X, drawn.recordings[0].epochs.X)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=12), st.integers(1, 2000))
def test_subjects_with_few_epochs_give_all_and_the_others_fill_up(sizes, most):
    n_epochs = {f"s{number // 2}/r{number}": n for number, n in enumerate(sizes)}
    subject_of = {name: name.partition("/")[0] for name in n_epochs}
    found = quotas(n_epochs, subject_of, most)
    assert all(found[name] <= n for name, n in n_epochs.items())
    assert most - len(sizes) - len(set(subject_of.values())) <= sum(found.values()) <= most or found == n_epochs
    total = {one: sum(n for name, n in n_epochs.items() if subject_of[name] == one) for one in subject_of.values()}
    given_by = {one: sum(n for name, n in found.items() if subject_of[name] == one) for one in total}
    for one, n in total.items():  # nobody gives much less than another who gives less than all
        if given_by[one] < n - 2:
            assert given_by[one] >= max(given_by.values()) - 4


def test_memory_does_not_grow_with_epochs_but_by_a_few_numbers_each(monkeypatch):
    """Tracked by Python's allocator, which NumPy reports its arrays to."""
    import tracemalloc

    n_channels, n_times, n_epochs = 16, 70, 120
    monkeypatch.setattr(prepared, "MOST_FITTED_EPOCHS", 4 * n_epochs)

    class Made:
        def __init__(self, n_recordings):
            self.n_recordings = n_recordings

        def __iter__(self):
            for number in range(self.n_recordings):
                rng = np.random.default_rng(number)
                X = rng.standard_normal((n_epochs, n_channels * n_times), dtype=np.float32) * 1e-5
                y = np.where(np.arange(n_epochs) % 6 == 0, 2, 1)
                yield RecordingEpochs(f"subject_{number}/run", f"subject_{number}", X, y, n_channels)

    def peak(n_recordings):
        model = models.make("ensemble", n_channels=n_channels, n_times=n_times)
        model._fit(Made(1))  # imports
        tracemalloc.start()
        model._fit(Made(n_recordings))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(4), peak(24)
    # A summary of each recording, 100 kB; the epochs themselves are 4,480 bytes each.
    assert (many - few) / (20 * n_epochs) < 1500
