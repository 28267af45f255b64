"""Layouts, Bayesian accumulation and trials: against Bayes' rule written out, and its properties."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from p300.decoding import (
    Layout,
    attended,
    brain_invaders,
    decode,
    evidence,
    grid,
    split_trials,
    wilson_interval,
    with_gaps,
    wolpaw_bits,
)
from p300.decoding.bayes import EVIDENCE_WEIGHT
from p300.decoding.layouts import SPELLER_6X6
from p300.errors import RequestError

LETTERS = tuple("ABCDEFGH")
ratios = st.floats(-30, 30)
sessions = st.integers(1, 40).flatmap(
    lambda n: st.tuples(arrays(bool, (n, len(LETTERS))), arrays(float, n, elements=ratios))
)


def test_codes_of_a_grid_are_columns_then_rows():
    layout = grid(SPELLER_6X6)
    assert len(layout.symbols) == 36
    assert layout.groups[1] == set("AGMSY5")
    assert layout.groups[6] == set("FLRX40")
    assert layout.groups[7] == set("ABCDEF")
    assert layout.groups[12] == set("567890")
    assert grid(SPELLER_6X6, rows_first=True).groups[1] == set("ABCDEF")


@given(st.integers(1, 7), st.integers(2, 7), st.booleans())
@settings(deadline=None)
def test_a_grid_equals_explicit_sets(n_rows, n_columns, rows_first):
    rows = [[f"{r}/{c}" for c in range(n_columns)] for r in range(n_rows)]
    layout = grid(rows, rows_first=rows_first)
    explicit = Layout(layout.symbols, {})
    assert sorted(layout.groups) == list(range(1, n_rows + n_columns + 1))
    np.testing.assert_array_equal(
        layout.lit(sorted(layout.groups)), explicit.lit([sorted(layout.groups[code]) for code in sorted(layout.groups)])
    )
    assert (layout.lit(layout.groups).sum(axis=0) == 2).all()


def test_brain_invaders_has_12_groups_of_6_and_a_pair_for_each_alien():
    layout = brain_invaders()
    lit = layout.lit(range(1, 13))
    assert lit.shape == (12, 36)
    assert (lit.sum(axis=1) == 6).all()
    assert len({tuple(np.flatnonzero(column)) for column in lit.T}) == 36
    assert (lit[:6].sum(axis=0) == 1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Layout(("A",), {}), "at least two"),
        (lambda: Layout(("A", "B", "A"), {}), "all different"),
        (lambda: Layout(("A", "B"), {3: frozenset("AC")}), "group 3 lights C"),
        (lambda: Layout(("A", "B"), {3: frozenset()}), "group 3 lights no symbol"),
        (lambda: grid(["AB", "C"]), r"\[1, 2\] symbols"),
        (lambda: grid(["AB", "CA"]), "all different"),
        (lambda: grid(["AB", "CD"]).lit([1, 5]), "Flash 1 lit group 5; the layout has the groups 1, 2, 3, 4"),
        (lambda: grid(["AB", "CD"]).lit([1, ["A", "Z"]]), "Flash 1 lights Z"),
        (lambda: grid(["AB", "CD"]).lit(["AB"]), "Flash 0 lights AB"),
    ],
)
def test_what_is_not_a_layout_or_not_in_it_is_named(make, message):
    with pytest.raises(RequestError, match=message):
        make()


@given(sessions, arrays(float, len(LETTERS), elements=st.floats(0.01, 1)))
@settings(deadline=None)
def test_posterior_is_bayes_rule_written_out(session, prior):
    lit, ratio = session
    # p(x | target) and p(x | non-target) of each flash, with the ratio asked for
    target, non_target = 1 / (1 + np.exp(-ratio)), 1 / (1 + np.exp(ratio))
    joint = [
        p * np.prod([target[i] if lit[i, s] else non_target[i] for i in range(len(ratio))]) for s, p in enumerate(prior)
    ]
    if np.sum(joint) > 1e-200:  # the product form underflows where the logarithms do not
        np.testing.assert_allclose(
            decode(lit, ratio, prior=prior).posterior, joint / np.sum(joint), rtol=1e-6, atol=1e-9
        )


@given(sessions, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_posterior_sums_to_one_and_order_does_not_matter(session, random):
    lit, ratio = session
    decoding = decode(lit, ratio)
    assert decoding.posterior.sum() == pytest.approx(1)
    assert decoding.posterior[decoding.best] == decoding.confidence == decoding.posterior.max()
    assert (decoding.n_flashes, decoding.stop) == (len(ratio), False)
    order = random.sample(range(len(ratio)), len(ratio))
    np.testing.assert_allclose(decode(lit[order], ratio[order]).posterior, decoding.posterior, rtol=1e-9, atol=1e-12)


@given(sessions, st.integers(0, len(LETTERS) - 1), st.floats(0.1, 5))
@settings(deadline=None)
def test_evidence_for_a_symbol_raises_it(session, symbol, strength):
    lit, ratio = session
    before = decode(lit, ratio).posterior
    only = np.arange(len(LETTERS)) == symbol
    after = decode(np.vstack([lit, only]), np.append(ratio, strength)).posterior
    assert after[symbol] > before[symbol] or before[symbol] > 1 - 1e-12
    assert (after[~only] <= before[~only]).all()


@given(sessions, ratios)
@settings(deadline=None)
def test_a_flash_of_all_symbols_or_without_an_epoch_changes_nothing(session, strength):
    lit, ratio = session
    expected = decode(lit, ratio).posterior
    for row, score in ((np.ones(len(LETTERS), bool), strength), (lit[0], 0.0)):
        found = decode(np.vstack([lit, row]), np.append(ratio, score)).posterior
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@given(sessions, st.floats(0.2, 0.999))
@settings(deadline=None)
def test_stops_at_the_first_flash_that_reaches_the_confidence(session, confidence):
    lit, ratio = session
    decoding = decode(lit, ratio, confidence=confidence)
    reached = [n for n in range(len(ratio) + 1) if decode(lit[:n], ratio[:n]).confidence >= confidence]
    assert decoding.stop is bool(reached)
    assert decoding.n_flashes == (reached[0] if reached else len(ratio))
    used = decoding.n_flashes
    np.testing.assert_array_equal(decoding.posterior, decode(lit[:used], ratio[:used]).posterior)


def test_extreme_evidence_stays_finite():
    lit = grid(SPELLER_6X6).lit(np.tile(np.arange(1, 13), 500))
    ratio = np.where(np.tile(np.arange(1, 13), 500) % 6 == 0, 1e5, -1e5)
    with np.errstate(all="raise", under="ignore"):
        decoding = decode(lit, ratio, confidence=0.99)
    assert decoding.stop
    assert np.isfinite(decoding.posterior).all()


def test_no_flashes_leave_the_prior():
    lit = np.zeros((0, 4), bool)
    np.testing.assert_allclose(decode(lit, np.zeros(0)).posterior, 0.25)
    decoding = decode(lit, np.zeros(0), prior=np.array([0, 2, 1, 1.0]), confidence=0.5)
    np.testing.assert_allclose(decoding.posterior, [0, 0.5, 0.25, 0.25])
    assert (decoding.stop, decoding.n_flashes, decoding.best) == (True, 0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"log_likelihood_ratio": np.zeros(3)}, "2 flashes with scores of shape"),
        ({"log_likelihood_ratio": np.array([0, np.nan])}, "score of flash 1 is nan"),
        ({"confidence": 0}, "more than 0 and at most 1"),
        ({"confidence": 1.1}, "more than 0 and at most 1"),
        ({"prior": np.array([1, -1, 1.0])}, "none negative"),
        ({"prior": np.zeros(3)}, "not all 0"),
        ({"prior": np.ones(2)}, "3 probabilities"),
    ],
)
def test_impossible_requests_say_what_is_expected(arguments, message):
    with pytest.raises(RequestError, match=message):
        decode(np.ones((2, 3), bool), **{"log_likelihood_ratio": np.zeros(2), **arguments})


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_trials_end_at_pauses(lengths, random):
    if max(lengths) < 3 and len(lengths) > 1:
        lengths.append(30)  # most gaps must be gaps between flashes
    if sum(lengths) < 3 * len(lengths):
        lengths.append(30)
    gaps = []
    for length in lengths:
        gaps += [random.randint(18, 22) for _ in range(length - 1)] + [400]
    onset = np.cumsum([100, *gaps[:-1]])
    bounds = np.cumsum([0, *lengths])
    assert split_trials(onset) == [slice(a, b) for a, b in pairwise(bounds)]


def test_no_flashes_are_no_trials():
    assert split_trials(np.array([])) == []
    assert split_trials(np.array([5])) == [slice(0, 1)]


def test_rejected_epochs_leave_a_gap():
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    full = with_gaps(X, np.array([10, 30, 50]), np.array([10, 20, 30, 40, 50]))
    np.testing.assert_array_equal(full[[0, 2, 4]], X)
    assert np.isnan(full[[1, 3]]).all()
    assert full.dtype == np.float32


def test_evidence_is_the_log_odds_less_the_prior_s():
    log_odds = np.array([np.log(0.2), 0.0, np.nan])
    np.testing.assert_allclose(evidence(log_odds, 1 / 6), [0, EVIDENCE_WEIGHT * np.log(5), 0], atol=1e-12)


@given(st.integers(0, 35), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_attended_symbol_is_the_one_the_labels_agree_with(symbol, random):
    lit = brain_invaders().lit(random.sample(range(1, 13), 12))
    assert attended(lit, lit[:, symbol]) == symbol
    assert attended(lit, ~lit[:, symbol]) is None
    assert attended(lit[:0], lit[:0, symbol]) is None


@pytest.mark.parametrize(
    ("accuracy", "n_symbols", "bits"),
    # log2(36); and 1 - H(0.9), which is the capacity of a binary symmetric channel
    [
        (1.0, 36, 5.1699),
        (0.9, 2, 0.5310),
        (0.5, 2, 0.0),
        (1.0, 2, 1.0),
        (0.9, 4, 1.3725),
        (1 / 36, 36, 0.0),
        (0.0, 2, 0.0),
    ],
)
def test_wolpaw_bits(accuracy, n_symbols, bits):
    assert wolpaw_bits(accuracy, n_symbols) == pytest.approx(bits, abs=5e-5)


@given(st.integers(2, 100), st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None)
def test_more_accuracy_is_never_fewer_bits(n_symbols, one, other):
    low, high = sorted((one, other))
    assert 0 <= wolpaw_bits(low, n_symbols) <= wolpaw_bits(high, n_symbols) + 1e-9 <= np.log2(n_symbols) + 2e-9


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_wilson_interval_is_scipys(counts):
    from scipy.stats import binomtest

    expected = binomtest(*counts).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson_interval(*counts), (expected.low, expected.high), atol=1e-12)


def test_decoding_imports_neither_scipy_nor_scikit_learn():
    code = "import sys, p300.decoding; print(*({'scipy', 'sklearn', 'pyriemann', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
