"""Adaptation: it gains on a person the model does not fit, sees no labels, and copes with missing epochs."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.decoding import Response, adapt, decode
from p300.decoding.adaptation import _lagged_covariance, _toeplitz, _whitening
from p300.errors import ArtifactError, RequestError, TrainingError
from p300.models import RecordingEpochs

from tests.support.spellers import (
    LATER,
    LAYOUT,
    N_CHANNELS,
    N_TIMES,
    SFREQ,
    TRIALS,
    person,
    recordings,
)


@pytest.fixture(scope="module")
def response():
    return Response.fit(recordings(range(6)), SFREQ)


def n_right(ratio, lit, truth):
    return sum(decode(lit[trial], ratio[trial]).best == s for trial, s in zip(TRIALS, truth, strict=True))


def test_adaptation_gains_on_people_that_the_model_does_not_fit(response, monkeypatch):
    response = replace(response, latency_sd_bins=0.0)  # finding the latency first leaves little to gain on these people
    sessions = [person(seed, **LATER) for seed in range(100, 120)]
    adapted = sum(n_right(adapt(X, lit, TRIALS, response), lit, truth) for X, lit, _, truth in sessions)
    monkeypatch.setattr("p300.decoding.adaptation.N_ITERATIONS", 0)
    transferred = sum(n_right(adapt(X, lit, TRIALS, response), lit, truth) for X, lit, _, truth in sessions)
    assert transferred >= 40  # of 100, where chance is 3
    assert adapted >= transferred + 8


def test_later_symbols_help_to_revise_the_first(response):
    sessions = [person(seed, **LATER) for seed in range(100, 120)]
    first = TRIALS[0]
    alone = sum(
        decode(lit[first], adapt(X[first], lit[first], [first], response)).best == truth[0]
        for X, lit, _, truth in sessions
    )
    revised = sum(
        decode(lit[first], adapt(X, lit, TRIALS, response)[first]).best == truth[0] for X, lit, _, truth in sessions
    )
    assert revised > alone


def test_a_trial_does_not_teach_itself(response, monkeypatch):
    X, lit, _, _ = person(100)
    trial = TRIALS[0]
    learnt = adapt(X[trial], lit[trial], [trial], response)
    monkeypatch.setattr("p300.decoding.adaptation.N_ITERATIONS", 0)
    np.testing.assert_allclose(learnt, adapt(X[trial], lit[trial], [trial], response), rtol=1e-9, atol=1e-12)


def test_confidence_is_not_above_accuracy(response):
    confidences, right = [], []
    for seed in range(200, 220):
        X, lit, _, truth = person(seed, **LATER)
        ratio = adapt(X, lit, TRIALS, response)
        for trial, symbol in zip(TRIALS, truth, strict=True):
            decoding = decode(lit[trial], ratio[trial])
            confidences.append(decoding.confidence)
            right.append(decoding.best == symbol)
    assert 0.3 < np.mean(right) < 0.99  # neither hopeless nor trivial: only then is there something to calibrate
    assert np.mean(confidences) <= np.mean(right) + 0.05


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_flashes_without_an_epoch_have_no_evidence(response, seed):
    X, lit, _, _ = person(3)
    missing = np.random.default_rng(seed).random(len(X)) < 0.3
    X = np.where(missing[:, None], np.nan, X)
    ratio = adapt(X, lit, TRIALS, response)
    assert (ratio[missing] == 0).all()
    kept = [np.flatnonzero(~missing[trial]) for trial in TRIALS]
    ends = np.cumsum([0, *map(len, kept)])
    trials = [slice(a, b) for a, b in pairwise(ends)]
    np.testing.assert_allclose(
        ratio[~missing], adapt(X[~missing], lit[~missing], trials, response), rtol=1e-9, atol=1e-12
    )


def test_no_epoch_at_all_is_no_evidence(response):
    X, lit, _, _ = person(3)
    np.testing.assert_array_equal(adapt(np.full_like(X, np.nan), lit, TRIALS, response), np.zeros(len(X)))
    assert adapt(X[:0], lit[:0], [], response).shape == (0,)


def test_one_flash_can_be_decoded(response):
    X, lit, _, _ = person(3)
    ratio = adapt(X[:1], lit[:1], [slice(0, 1)], response)
    assert np.isfinite(ratio).all()


def test_a_burst_has_a_bounded_say(response):
    X, lit, _, truth = person(4)
    before = n_right(adapt(X, lit, TRIALS, response), lit, truth)
    X = X.copy()
    X[7] *= 1e4
    ratio = adapt(X, lit, TRIALS, response)
    assert abs(ratio[7]) < 5
    assert n_right(ratio, lit, truth) >= before - 1


def test_scale_of_the_features_does_not_matter():
    X, lit, _, _ = person(5)
    in_volts = adapt(X, lit, TRIALS, Response.fit(recordings(range(3)), SFREQ))
    scaled = [RecordingEpochs(r.recording, r.subject, r.X * 1e6, r.y, r.n_channels) for r in recordings(range(3))]
    np.testing.assert_allclose(adapt(X * 1e6, lit, TRIALS, Response.fit(scaled, SFREQ)), in_volts, rtol=1e-4, atol=1e-5)


def test_response_is_the_difference_of_the_class_means(response):
    assert response.difference.shape == response.mean.shape == (4, 20)
    assert response.noise.shape == (20, 4, 4)
    assert response.prior_target == pytest.approx(1 / 6)
    assert np.argmax(response.difference[0]) in (11, 12)  # 360 ms in bins of 30 ms
    assert response.difference[0].max() * 1e6 == pytest.approx(3.0, rel=0.3)
    assert np.abs(response.difference[3]).max() * 1e6 < 1.0


def test_block_toeplitz_covariance_is_that_of_stationary_noise():
    epochs = stationary_noise()
    covariance = _toeplitz(_lagged_covariance(epochs)).transpose(0, 2, 1, 3)
    expected = np.cov(epochs.reshape(len(epochs), -1).T).reshape(2, 6, 2, 6)
    taper = 1 - np.abs(np.subtract.outer(np.arange(6), np.arange(6))) / 6
    np.testing.assert_allclose(covariance, expected * taper[None, :, None, :], atol=0.05)


def test_whitening_is_blind_to_a_channel_s_mean_and_to_nothing_else():
    epochs = stationary_noise()
    whitening = _whitening(_lagged_covariance(epochs))
    assert whitening.shape == (10, 12)
    assert np.linalg.matrix_rank(whitening) == 10
    np.testing.assert_allclose(whitening @ np.repeat([3.0, -2.0], 6), 0, atol=1e-9)
    white = epochs.reshape(len(epochs), -1) @ whitening.T
    values = np.linalg.eigvalsh(np.cov(white.T))
    assert 0.4 < values.min() <= values.max() < 4  # the taper alone keeps it from being 1


def stationary_noise():
    rng = np.random.default_rng(0)
    mixing = np.array([[1.0, 0.5], [0.0, 1.0]])
    signal = mixing @ np.convolve(rng.standard_normal(200_002), [1, 0.5, 0.25], "valid").reshape(2, -1)
    return np.lib.stride_tricks.sliding_window_view(signal, 6, axis=1)[:, ::6].transpose(1, 0, 2)


@pytest.mark.parametrize("n_people", [1, 4])
def test_a_baseline_changes_nothing(n_people):
    def corrected(X):
        epochs = X.reshape(len(X), N_CHANNELS, N_TIMES)
        return (epochs - epochs[:, :, :10].mean(axis=2, keepdims=True)).reshape(X.shape)

    X, lit, _, _ = person(5)
    plain = list(recordings(range(n_people)))
    with_baseline = [replace(recording, X=corrected(recording.X)) for recording in plain]
    np.testing.assert_allclose(
        adapt(corrected(X), lit, TRIALS, Response.fit(with_baseline, SFREQ)),
        adapt(X, lit, TRIALS, Response.fit(plain, SFREQ)),
        rtol=1e-3,
        atol=1e-4,
    )


def test_people_who_differ_are_a_weaker_prior(response):
    alike = response.prior_flashes
    late = [0.30, 0.34, 0.36, 0.38, 0.42, 0.46]
    differing = Response.fit(
        (recording for seed, latency in enumerate(late) for recording in recordings([seed], latency=latency)), SFREQ
    )
    assert 25 <= differing.prior_flashes < 0.7 * alike <= 200
    assert response.latency_sd_bins == pytest.approx(1.0)


def test_a_model_of_one_person_is_taken_to_be_this_person_s():
    one = Response.fit(recordings([0]), SFREQ)
    assert (one.prior_flashes, one.latency_sd_bins) == (200.0, 0.0)


def test_later_answers_are_found_to_be_later(response):
    early = replace(response, latency_sd_bins=0.0)
    sessions = [person(seed, latency=0.42) for seed in range(300, 320)]
    moved, fixed = (
        sum(n_right(adapt(X, lit, TRIALS, model), lit, truth) for X, lit, _, truth in sessions)
        for model in (response, early)
    )
    assert moved >= fixed + 5  # of 100


def test_a_response_survives_its_arrays(response):
    arrays = response.to_arrays()
    assert sum(array.nbytes for array in arrays.values()) < 10_000
    again = Response.from_arrays({**arrays, "weights": np.zeros(3)})
    assert again is not None
    X, lit, _, _ = person(1)
    np.testing.assert_array_equal(adapt(X, lit, TRIALS, again), adapt(X, lit, TRIALS, response))
    assert Response.from_arrays({"weights": np.zeros(3)}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("response_noise"), "expected response_difference"),
        (lambda a: a.update(response_noise=a["response_noise"][:-1]), "found shapes"),
        (lambda a: a.update(response_mean=a["response_mean"][:, :-1]), "found shapes"),
        (lambda a: a.update(response_difference=a["response_difference"] * np.nan), "finite"),
        (lambda a: a.update(response_difference=np.array("x")), "finite"),
        (lambda a: a.update(response_difference=np.zeros(3)), "found shapes"),
        (lambda a: a.update(response_prior_target=np.array(1.0)), "found shapes"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(response, change, message):
    arrays = response.to_arrays()
    change(arrays)
    with pytest.raises(ArtifactError, match=message):
        Response.from_arrays(arrays)


@pytest.mark.parametrize(("n_times", "sfreq", "sample"), [(8, 100.0, 3), (23, 256.0, 9)])
def test_a_window_of_a_few_bins_is_cut_into_those_that_were_learnt(n_times, sfreq, sample):
    """The answer is one sample next to the edge of two bins: in bins of another width it would change sides."""
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.permutation(12) + 1 for _ in range(60)])
    lit = LAYOUT.lit(codes)
    target = lit[:, 7]
    X = rng.normal(0, 1e-6, (len(codes), N_CHANNELS, n_times))
    X[target, :, sample] += 10e-6
    X = X.reshape(len(codes), -1)
    learnt = Response.fit([RecordingEpochs("a", "a", X, np.where(target, 2, 1), N_CHANNELS)], sfreq)
    ratio = adapt(X, lit, [slice(None)], learnt)
    assert (ratio[target][:, None] > ratio[~target]).mean() > 0.9


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(TrainingError, match="no recordings"):
        Response.fit([], SFREQ)
    X, _, y, _ = person(0)
    with pytest.raises(TrainingError, match="subject_00/a holds 0 Target of 720"):
        Response.fit([RecordingEpochs("subject_00/a", "subject_00", X, np.ones_like(y), N_CHANNELS)], SFREQ)


def test_epochs_that_do_not_fit_are_refused(response):
    X, lit, _, _ = person(0)
    with pytest.raises(RequestError, match="4 channels x 60 samples"):
        adapt(X[:, :-1], lit, TRIALS, response)
    with pytest.raises(RequestError, match="720 epochs for 719 flashes"):
        adapt(X, lit[1:], TRIALS, response)
    with pytest.raises(RequestError, match="row of NaN only"):
        adapt(np.where(np.arange(240) == 3, np.nan, X), lit, TRIALS, response)
