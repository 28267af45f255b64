"""Causal scores: nothing of what comes after, and nearly what the whole session says in the end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.decoding import Response, SessionDecoder, causal_log_likelihood_ratio

from tests.support.spellers import LATER, SFREQ, TRIALS, auc, person, recordings


@pytest.fixture(scope="module")
def response():
    return Response.fit(recordings(range(4)), SFREQ)


@pytest.mark.parametrize("groups", [True, False])
@given(cut=st.integers(1, 700))
@settings(max_examples=8, deadline=None)
def test_what_comes_after_changes_nothing(response, groups, cut):
    X, lit, _, _ = person(5)
    spoilt = X.copy()
    spoilt[cut:] = np.nan if cut % 2 else spoilt[cut:][::-1] * 50
    known = (lit, TRIALS) if groups else (None, None)
    found = causal_log_likelihood_ratio(X, response, *known)
    # Rounding aside: BLAS multiplies other shapes in another order.
    again = causal_log_likelihood_ratio(spoilt, response, *known)
    np.testing.assert_allclose(again[:cut], found[:cut], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("groups", [True, False])
def test_it_learns_while_the_session_goes_on(response, groups):
    first, last = [], []
    for seed in range(100, 108):
        X, lit, y, _ = person(seed, **LATER)
        ratio = causal_log_likelihood_ratio(X, response, *((lit, TRIALS) if groups else (None, None)))
        first.append(auc(y[:144], ratio[:144]))
        last.append(auc(y[-144:], ratio[-144:]))
    assert np.mean(last) > np.mean(first) + 0.02


def test_in_the_end_it_is_what_the_session_says(response):
    X, lit, _, _ = person(101)
    causal = causal_log_likelihood_ratio(X, response, lit, TRIALS)[-144:]
    whole = SessionDecoder(response).fit(X, lit, TRIALS).log_likelihood_ratio_[-144:]
    assert np.corrcoef(causal, whole)[0, 1] > 0.97


def test_a_known_symbol_is_known_when_its_trial_is_over(response):
    X, lit, _, truth = person(7, **LATER)
    known = [int(truth[0]), *[None] * 4]
    told = causal_log_likelihood_ratio(X, response, lit, TRIALS, known)
    untold = causal_log_likelihood_ratio(X, response, lit, TRIALS)
    np.testing.assert_allclose(told[:144], untold[:144], rtol=1e-9)
    assert (told[288:] != untold[288:]).any()


def test_an_empty_session_has_no_scores(response):
    X, lit, _, _ = person(7)
    assert causal_log_likelihood_ratio(X[:0], response, lit[:0], []).shape == (0,)
    assert causal_log_likelihood_ratio(X[:0], response).shape == (0,)
