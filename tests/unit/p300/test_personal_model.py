"""One subject's model: it gains from the first symbol on, survives its file, learns from use, and not from what is wrong."""

import io
from dataclasses import replace

import numpy as np
import pytest
from p300 import models
from p300.decoding import Response, SessionDecoder
from p300.errors import ArtifactError, RequestError, TrainingError
from p300.models.personal import PersonalModel
from p300.scoring import RESPONSE_FLASHES, Scorer, read_arrays

from tests.support.spellers import LATER, N_CHANNELS, N_TIMES, SFREQ, TRIALS, auc, person, recordings

MIX = np.random.default_rng(5).standard_normal((2, N_CHANNELS, N_CHANNELS)) * 0.35 + np.eye(N_CHANNELS)
"""How two people's electrodes see the same noise."""


def mixed(X, who):
    return (MIX[who] @ X.reshape(len(X), N_CHANNELS, -1)).reshape(X.shape).astype(np.float32)


@pytest.fixture(scope="module")
def population():
    people = list(recordings(range(6)))
    return (
        models.make("ensemble", n_channels=N_CHANNELS, n_times=N_TIMES, sfreq=SFREQ).fit_recordings(people).to_arrays()
    )


@pytest.fixture
def calibrated(population):
    """A subject's model after a calibration of five symbols, whose electrodes see the noise in their own way."""
    X, _, y, _ = person(100, **LATER)
    return PersonalModel(population).fit(mixed(X, 0), y)


def spelling(seed=101, who=0):
    X, lit, y, truth = person(seed, amplitude_uv=4.0, latency=0.41)
    return mixed(X, who), lit, y, truth


def test_it_starts_as_the_populations(population):
    X, _, _, _ = person(100)
    model, scorer = PersonalModel(population), Scorer(population)
    np.testing.assert_array_equal(model.decision_function(X), scorer.log_odds(X))
    np.testing.assert_array_equal(model.predict_proba(X, adapt=True)[:, 1], scorer.probability_target(X, adapt=True))
    assert model.statistics is None


@pytest.mark.parametrize("n_symbols", [1, 2, 5])
def test_it_gains_from_the_first_symbol_on(population, n_symbols):
    gains = []
    for seed in range(100, 106):
        X, _, y, _ = person(seed, **LATER)
        test, _, y_test, _ = person(1000 + seed, **LATER)
        model = PersonalModel(population).fit(X[: 144 * n_symbols], y[: 144 * n_symbols])
        before = auc(y_test, Scorer(population).log_odds(test))
        gains.append(auc(y_test, model.decision_function(test)) - before)
    assert np.mean(gains) > 0.015
    assert min(gains) > -0.01


def test_an_epochs_score_is_a_dot_product_and_the_populations(calibrated, population):
    X, *_ = spelling()
    weights, intercept = SessionDecoder(calibrated.response).linear()
    ratio = X @ weights + intercept + np.log(1 / 5)
    share = RESPONSE_FLASHES / (RESPONSE_FLASHES + calibrated.statistics.weight)
    blended = share * Scorer(population).log_odds(X) + (1 - share) * ratio
    _, _, floor, ceiling = population["calibration"]
    expected = floor + (1 - floor - ceiling) / (1 + np.exp(-blended))
    np.testing.assert_allclose(calibrated.predict_proba(X)[:, 1], expected, rtol=1e-9)
    one_by_one = [calibrated.predict_proba(X[k : k + 1])[0, 1] for k in range(5)]
    np.testing.assert_allclose(one_by_one, expected[:5], rtol=1e-9)


def test_the_response_is_the_posterior_mean_of_a_gaussian(calibrated, population):
    """By brute force: whitened epochs, dense prior covariance, one linear system."""
    from p300.decoding.whitened import Whitened

    X, _, y, _ = person(100, **LATER)
    X = mixed(X, 0)
    response = Response.from_arrays(population)
    assert response is not None
    white = Whitened.of(X, response)
    c = (y == 2) - (y == 2).mean()
    contrast = sum(factor * epoch for factor, epoch in zip(c, white.epochs, strict=True))
    np.testing.assert_allclose(calibrated.statistics.contrast, contrast, rtol=1e-9)
    assert calibrated.statistics.weight == pytest.approx((c**2).sum())
    later = Whitened.of(X[:0], calibrated.response)
    m_0 = later.start().weighted - later.own_contrast
    covariance = np.diag(1 / later.precision)
    expected = np.linalg.solve(
        np.linalg.inv(covariance) + (c**2).sum() * np.eye(len(m_0)), m_0 + later.matrix.T @ contrast.ravel()
    )
    np.testing.assert_allclose(later.start().mean, expected, rtol=1e-9)


def test_it_survives_its_file_exactly(calibrated):
    file = io.BytesIO()
    np.savez(file, **calibrated.to_arrays())
    assert len(file.getvalue()) < 200_000
    arrays = read_arrays(file.getvalue())
    again = PersonalModel.from_arrays(arrays)
    X, lit, _, _ = spelling()
    np.testing.assert_array_equal(again.decision_function(X), calibrated.decision_function(X))
    np.testing.assert_array_equal(Scorer(arrays).log_odds(X, adapt=True), calibrated.scorer.log_odds(X, adapt=True))
    session, expected = (model.session(X, lit, TRIALS).log_likelihood_ratio_ for model in (again, calibrated))
    np.testing.assert_array_equal(session, expected)
    for name, array in calibrated.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], array, err_msg=name)


def test_more_calibration_adds_up(population):
    X, _, y, _ = person(100, **LATER)
    model = PersonalModel(population).partial_fit(X[:144], y[:144]).partial_fit(X[144:288], y[144:288])
    assert model.statistics is not None
    assert (model.statistics.n_sessions, model.statistics.n_epochs) == (2, 288)
    model.fit(X[:144], y[:144])
    assert (model.statistics.n_sessions, model.statistics.n_epochs) == (1, 144)


def test_it_learns_from_spelling(calibrated):
    X, lit, _, _ = spelling()
    lesson = calibrated.learn(X, lit, TRIALS)
    assert (lesson.learnt, lesson.problems, lesson.n_symbols) == (True, (), 5)
    assert calibrated.statistics.n_sessions == 2
    assert calibrated.statistics.weight == pytest.approx(lesson.before.weight + lesson.n_certain * 144 * 5 / 36)


def test_learning_from_nothing_approaches_a_calibration(population):
    learnt, labelled, before = [], [], []
    for seed in range(200, 206):
        X, lit, y, _ = person(seed, amplitude_uv=4.0, latency=0.41)
        test, _, y_test, _ = person(1000 + seed, amplitude_uv=4.0, latency=0.41)
        model = PersonalModel(population)
        assert model.learn(X, lit, TRIALS).learnt
        learnt.append(auc(y_test, model.decision_function(test)))
        labelled.append(auc(y_test, PersonalModel(population).fit(X, y).decision_function(test)))
        before.append(auc(y_test, PersonalModel(population).decision_function(test)))
    assert np.mean(learnt) > np.mean(before) + 0.03
    assert np.mean(learnt) > np.mean(labelled) - 0.01


def test_a_lesson_can_be_taken_back(calibrated):
    X, lit, _, _ = spelling()
    before = calibrated.to_arrays()
    lesson = calibrated.learn(X, lit, TRIALS)
    calibrated.statistics = lesson.before
    for name, array in before.items():
        np.testing.assert_array_equal(calibrated.to_arrays()[name], array, err_msg=name)


def swapped(X, one, other):
    epochs = X.reshape(len(X), N_CHANNELS, -1).copy()
    epochs[:, [one, other]] = epochs[:, [other, one]]
    return epochs.reshape(X.shape)


def shuffled(X):
    return X[np.random.default_rng(0).permutation(len(X))]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda X: np.random.default_rng(0).standard_normal(X.shape) * 1e-5, "of 5 symbols are at least 90% likely"),
        (shuffled, "of 5 symbols are at least 90% likely"),
        (
            lambda X: mixed(np.linalg.inv(MIX[0]) @ X.reshape(len(X), N_CHANNELS, -1), 1).reshape(X.shape),
            "other people",
        ),
        (lambda X: swapped(X, 0, 1), "Channels Fz and Cz look swapped"),
        (lambda X: swapped(X, 1, 3), "Channels Cz and Oz look swapped"),
        (lambda X: X * 1e6, "times the amplitude"),
    ],
    ids=["noise", "flashes in disorder", "another subject", "swapped", "swapped too", "microvolts"],
)
def test_it_does_not_learn_from_what_is_wrong(calibrated, wrong, says):
    X, lit, _, _ = spelling()
    before = calibrated.to_arrays()
    lesson = calibrated.learn(wrong(X), lit, TRIALS, ch_names=["Fz", "Cz", "Pz", "Oz"])
    assert not lesson.learnt
    assert lesson.n_certain == 0
    assert any(says in problem for problem in lesson.problems), lesson.problems
    for name, array in before.items():
        np.testing.assert_array_equal(calibrated.to_arrays()[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda X: swapped(X, 0, 1), "Channels Fz and Cz look swapped: exchanged, they are more like other subjects'"),
        (lambda X: swapped(X, 1, 3), "Channels Cz and Oz look swapped"),
        (lambda X: X * 1e6, "1e+06 times the amplitude of other subjects'; expected 0.1 to 10 times"),
    ],
    ids=["swapped", "swapped too", "microvolts"],
)
def test_a_first_session_is_compared_with_other_peoples(wrong, says):
    """Nothing is known of the subject yet, but the montage and the unit are other people's."""
    people = [replace(one, X=mixed(one.X, 0)) for one in recordings(range(4))]
    model = PersonalModel(models.make("ensemble", n_channels=N_CHANNELS).fit_recordings(people).to_arrays())
    X, lit, _, _ = spelling()
    lesson = model.learn(wrong(X), lit, TRIALS, ch_names=["Fz", "Cz", "Pz", "Oz"])
    assert not lesson.learnt
    assert model.statistics is None
    assert any(says in problem for problem in lesson.problems), lesson.problems
    assert model.learn(X, lit, TRIALS).learnt


def test_every_swap_is_seen(calibrated):
    X, lit, _, _ = spelling()
    for one in range(N_CHANNELS):
        for other in range(one):
            lesson = calibrated.learn(swapped(X, one, other), lit, TRIALS)
            assert any(f"Channels {other + 1} and {one + 1}" in problem for problem in lesson.problems)


def test_confirmed_symbols_are_learnt_from_though_not_certain(calibrated):
    X, lit, _, truth = spelling(102)
    few = np.concatenate([np.arange(t.start, t.start + 36) for t in TRIALS])
    trials = [slice(36 * k, 36 * (k + 1)) for k in range(5)]
    assert not calibrated.learn(X[few], lit[few], trials).learnt
    lesson = calibrated.learn(X[few], lit[few], trials, confirmed=truth.tolist())
    assert (lesson.learnt, lesson.n_certain) == (True, 5)


def test_symbols_confirmed_that_the_flashes_contradict_are_not(calibrated):
    X, lit, _, truth = spelling(102)
    lesson = calibrated.learn(X, lit, TRIALS, confirmed=[(int(symbol) + 7) % 36 for symbol in truth])
    assert not lesson.learnt
    assert "do not agree with the 5 symbols confirmed" in lesson.problems[0]


def test_what_cannot_be_used_is_refused(population):
    X, _, y, _ = person(100)
    model = PersonalModel(population)
    with pytest.raises(TrainingError, match="hold 0 Target of 120"):
        model.fit(X[:120], np.ones(120, int))
    with pytest.raises(RequestError, match="4 channels x 60 samples"):
        model.fit(X[:, :-1], y)
    with pytest.raises(ArtifactError, match="no response"):
        PersonalModel({name: array for name, array in population.items() if not name.startswith("response_")})
    arrays = model.fit(X, y).to_arrays()
    with pytest.raises(ArtifactError, match="statistics of its subject"):
        PersonalModel({**arrays, "own_noise_sum": arrays["own_noise_sum"][:-1]})
    with pytest.raises(ArtifactError, match="weight -1"):
        PersonalModel({**arrays, "own_weight": np.array(-1.0)})
