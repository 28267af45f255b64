"""The session decoder: as its formulas say, it gains on people the model does not fit, sees no labels, and copes with missing epochs."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.decoding import Response, SessionDecoder, lit_sets
from p300.errors import RequestError
from p300.models import RecordingEpochs

from tests.support.plain_session import plain_lone_flashes, plain_session
from tests.support.spellers import (
    LATER,
    LAYOUT,
    N_CHANNELS,
    N_TIMES,
    SFREQ,
    TRIALS,
    auc,
    n_right,
    person,
    recordings,
    scores,
)


@pytest.fixture(scope="module")
def response():
    return Response.fit(recordings(range(6)), SFREQ)


def few(seed=7, n_repetitions=2, n_trials=3, **how):
    """A short session, for what takes long."""
    X, lit, y, truth = person(seed, **how)
    flashes = np.concatenate([np.arange(t.start, t.start + 12 * n_repetitions) for t in TRIALS[:n_trials]])
    n = 12 * n_repetitions
    return X[flashes], lit[flashes], y[flashes], truth[:n_trials], [slice(n * k, n * (k + 1)) for k in range(n_trials)]


@pytest.mark.parametrize("known", [None, [3, None, None]], ids=["none known", "one known"])
@pytest.mark.parametrize("personal", [False, True])
def test_it_is_what_the_formulas_say(response, known, personal):
    X, lit, _, truth, trials = few()
    if known:
        known[0] = truth[0]
    if personal:
        Xc, litc, _, truthc, trialsc = few(8)
        response = replace(response, own=SessionDecoder(response).fit(Xc, litc, trialsc, truthc).statistics())
    ratio, posteriors = plain_session(X, lit, trials, response, known)
    ours = SessionDecoder(response).fit(X, lit, trials, known)
    np.testing.assert_allclose(ours.log_likelihood_ratio_, ratio, rtol=1e-6, atol=1e-8)
    for found, expected in zip(ours.posterior_, posteriors, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("personal", [False, True])
def test_flashes_without_groups_are_scored_as_the_formulas_say(response, personal):
    X, lit, _, truth, trials = few()
    if personal:
        response = replace(
            response, own=SessionDecoder(response).fit(X[::-1], lit[::-1], trials, truth[::-1]).statistics()
        )
    ours = SessionDecoder(response).fit(X).log_likelihood_ratio_
    np.testing.assert_allclose(ours, plain_lone_flashes(X, response), rtol=1e-6, atol=1e-8)


def test_a_calibration_before_counts_as_one_in_the_session(response):
    """Exactly, but for the noise by which epochs are cut to length, and the mean that is taken from each."""
    X, lit, _, truth = person(31, **LATER)
    first, rest = slice(0, 144), slice(144, None)
    trials = [slice(t.start - 144, t.stop - 144) for t in TRIALS[1:]]
    own = SessionDecoder(response).fit(X[first], lit[first], symbols=[truth[0]]).statistics()
    before = SessionDecoder(replace(response, own=own)).fit(X[rest], lit[rest], trials).log_likelihood_ratio_
    within = (
        SessionDecoder(response).fit(X, lit, TRIALS, [truth[0], None, None, None, None]).log_likelihood_ratio_[rest]
    )
    without = SessionDecoder(response).fit(X[rest], lit[rest], trials).log_likelihood_ratio_
    assert np.corrcoef(before, within)[0, 1] > 0.995
    assert np.abs(before - within).mean() < 0.3 * np.abs(without - within).mean()


def test_calibrated_symbols_help(response):
    def mean_auc(k):
        aucs = []
        for seed in range(100, 112):
            X, lit, y, truth = person(seed, latency=0.43, amplitude_uv=1.2)
            known = [*truth[:k], *[None] * (5 - k)]
            ratio = SessionDecoder(response).fit(X, lit, TRIALS, known).log_likelihood_ratio_
            aucs.append(auc(y[288:], ratio[288:]))
        return np.mean(aucs)

    assert mean_auc(2) > mean_auc(0) + 0.01


def test_flashes_without_groups_gain_from_each_other(response):
    gains = []
    for seed in range(100, 112):
        X, _, y, _ = person(seed, **LATER)
        lone = SessionDecoder(response).fit(X[:0]).score(X)
        together = SessionDecoder(response).fit(X).log_likelihood_ratio_
        gains.append(auc(y, together) - auc(y, lone))
    assert np.mean(gains) > 0.02


def test_numbers_of_groups_do_without_the_layout(response):
    X, lit, y, _ = person(5)
    sets = lit_sets(lit_codes(lit), response.prior_target)
    assert sets.shape == (len(X), 66)
    with_layout = auc(y, SessionDecoder(response).fit(X, lit, TRIALS).log_likelihood_ratio_)
    with_numbers = auc(y, SessionDecoder(response).fit(X, sets, TRIALS).log_likelihood_ratio_)
    assert abs(with_layout - with_numbers) < 0.01


def lit_codes(lit):
    _, codes = np.unique(lit, axis=0, return_inverse=True)
    return codes


def test_too_many_sets_are_refused():
    with pytest.raises(RequestError, match="30 groups have 142506 sets of 5; expected at most 4096"):
        lit_sets(np.arange(30), 1 / 6)


def test_score_of_further_flashes_is_that_of_a_linear_model_but_for_their_length(response):
    X, lit, _, _ = person(3)
    decoder = SessionDecoder(response).fit(X[:576], lit[:576], TRIALS[:4])
    weights, intercept = decoder.linear()
    linear = X[576:] @ weights + intercept
    assert np.corrcoef(decoder.score(X[576:]), linear)[0, 1] > 0.97
    burst = X[576:] * 1e4
    assert np.abs(decoder.score(burst)).max() < 15 < np.abs(burst @ weights + intercept).max()


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 0.99))
@settings(max_examples=10, deadline=None)
def test_it_stops_where_the_running_posterior_says_so(response, seed, confidence):
    X, lit, _, _, trials = few(seed % 50, n_repetitions=4, n_trials=2)
    X = np.where(np.random.default_rng(seed).random(len(X))[:, None] < 0.2, np.nan, X)
    decoder = SessionDecoder(response).fit(X, lit, trials)
    whole, stopped = decoder.decode(), decoder.decode(confidence=confidence)
    np.testing.assert_allclose(whole.posterior, decoder.posterior_[-1], rtol=1e-9)
    assert (whole.n_flashes, whole.stop) == (48, False)
    if not stopped.stop:
        assert stopped.n_flashes == 48
        np.testing.assert_allclose(stopped.posterior, whole.posterior, rtol=1e-6)
    else:
        assert stopped.confidence >= confidence


def test_a_known_symbol_does_not_stand_in_for_what_its_flashes_say(response):
    X, lit, _, truth, trials = few()
    wrong = (int(truth[-1]) + 1) % 36
    told = SessionDecoder(response).fit(X, lit, trials, [None, None, wrong])
    assert told.posterior_[-1][wrong] == 1
    assert told.decode().posterior[wrong] < 0.5


def test_constant_features_are_refused_or_scored_but_never_a_traceback(response):
    X, lit, _, _ = person(0)
    for odd in (np.zeros_like(X), np.full_like(X, 1e-3), X * 0 + X[:1]):
        assert np.isfinite(SessionDecoder(response).fit(odd, lit, TRIALS).log_likelihood_ratio_).all()


def test_known_symbols_are_one_for_each_trial(response):
    X, lit, _, _ = person(0)
    with pytest.raises(RequestError, match="2 known symbols for 5 trials"):
        SessionDecoder(response).fit(X, lit, TRIALS, [1, None])


def test_adaptation_gains_on_people_that_the_model_does_not_fit(response, monkeypatch):
    response = replace(response, latency_sd_bins=0.0)  # finding the latency first leaves little to gain on these people
    sessions = [person(seed, **LATER) for seed in range(100, 120)]
    adapted = sum(n_right(X, lit, truth, response) for X, lit, _, truth in sessions)
    monkeypatch.setattr("p300.decoding.session_decoder.N_ITERATIONS", 0)
    transferred = sum(n_right(X, lit, truth, response) for X, lit, _, truth in sessions)
    assert transferred >= 40  # of 100, where chance is 3
    assert adapted >= transferred + 5


def test_later_symbols_help_to_revise_the_first(response):
    sessions = [person(seed, **LATER) for seed in range(100, 120)]
    first = TRIALS[0]
    alone = sum(
        SessionDecoder(response).fit(X[first], lit[first], [first]).decode().best == truth[0]
        for X, lit, _, truth in sessions
    )
    revised = sum(
        SessionDecoder(response).fit(X, lit, TRIALS).decode(0).best == truth[0] for X, lit, _, truth in sessions
    )
    assert revised > alone


def test_a_trial_does_not_teach_itself_its_symbol(response, monkeypatch):
    X, lit, _, _ = person(100)
    trial = TRIALS[0]
    (learnt,) = SessionDecoder(response).fit(X[trial], lit[trial], [trial]).posterior_
    monkeypatch.setattr("p300.decoding.session_decoder.N_ITERATIONS", 0)
    (expected,) = SessionDecoder(response).fit(X[trial], lit[trial], [trial]).posterior_
    np.testing.assert_allclose(learnt, expected, rtol=1e-9, atol=1e-12)


def test_confidence_is_not_above_accuracy(response):
    confidences, right = [], []
    for seed in range(200, 220):
        X, lit, _, truth = person(seed, **LATER)
        decoder = SessionDecoder(response).fit(X, lit, TRIALS)
        for number, symbol in enumerate(truth):
            decoding = decoder.decode(number)
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
    ratio = scores(X, lit, TRIALS, response)
    assert (ratio[missing] == 0).all()
    kept = [np.flatnonzero(~missing[trial]) for trial in TRIALS]
    ends = np.cumsum([0, *map(len, kept)])
    trials = [slice(a, b) for a, b in pairwise(ends)]
    np.testing.assert_allclose(
        ratio[~missing], scores(X[~missing], lit[~missing], trials, response), rtol=1e-9, atol=1e-12
    )


def test_no_epoch_at_all_is_no_evidence(response):
    X, lit, _, _ = person(3)
    np.testing.assert_array_equal(scores(np.full_like(X, np.nan), lit, TRIALS, response), np.zeros(len(X)))
    assert scores(X[:0], lit[:0], [], response).shape == (0,)


def test_one_flash_can_be_decoded(response):
    X, lit, _, _ = person(3)
    ratio = scores(X[:1], lit[:1], [slice(0, 1)], response)
    assert np.isfinite(ratio).all()


def test_a_burst_has_a_bounded_say(response):
    X, lit, _, truth = person(4)
    before = n_right(X, lit, truth, response)
    X = X.copy()
    X[7] *= 1e4
    assert abs(scores(X, lit, TRIALS, response)[7]) < 5
    assert n_right(X, lit, truth, response) >= before - 1


def test_scale_of_the_features_does_not_matter():
    X, lit, _, _ = person(5)
    in_volts = scores(X, lit, TRIALS, Response.fit(recordings(range(3)), SFREQ))
    scaled = [RecordingEpochs(r.recording, r.subject, r.X * 1e6, r.y, r.n_channels) for r in recordings(range(3))]
    np.testing.assert_allclose(
        scores(X * 1e6, lit, TRIALS, Response.fit(scaled, SFREQ)), in_volts, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("n_people", [1, 4])
def test_a_baseline_changes_nothing(n_people):
    def corrected(X):
        epochs = X.reshape(len(X), N_CHANNELS, N_TIMES)
        return (epochs - epochs[:, :, :10].mean(axis=2, keepdims=True)).reshape(X.shape)

    X, lit, _, _ = person(5)
    plain = list(recordings(range(n_people)))
    with_baseline = [replace(recording, X=corrected(recording.X)) for recording in plain]
    np.testing.assert_allclose(
        scores(corrected(X), lit, TRIALS, Response.fit(with_baseline, SFREQ)),
        scores(X, lit, TRIALS, Response.fit(plain, SFREQ)),
        rtol=1e-3,
        atol=1e-4,
    )


def test_later_answers_are_found_to_be_later(response):
    early = replace(response, latency_sd_bins=0.0)
    sessions = [person(seed, latency=0.42, amplitude_uv=2.0) for seed in range(300, 320)]
    moved, fixed = (sum(n_right(X, lit, truth, model) for X, lit, _, truth in sessions) for model in (response, early))
    assert moved >= fixed + 20  # of 100


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
    ratio = scores(X, lit, [slice(None)], learnt)
    assert (ratio[target][:, None] > ratio[~target]).mean() > 0.9


def test_epochs_that_do_not_fit_are_refused(response):
    X, lit, _, _ = person(0)
    with pytest.raises(RequestError, match="4 channels x 60 samples"):
        scores(X[:, :-1], lit, TRIALS, response)
    with pytest.raises(RequestError, match="720 epochs for 719 flashes"):
        scores(X, lit[1:], TRIALS, response)
    with pytest.raises(RequestError, match="row of NaN only"):
        scores(np.where(np.arange(240) == 3, np.nan, X), lit, TRIALS, response)
