"""A session's symbols and repetitions, as a speller showed them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.decoding import Share, bits_per_minute, brain_invaders, by_repetitions, find_trials, wolpaw_bits
from p300.decoding.sessions import repetition_ends

LAYOUT = brain_invaders()


def session(symbols, n_repetitions, *, pause_after_repetition, seed=0):
    """Onsets in seconds, codes, what they lit and whether they were targets."""
    rng = np.random.default_rng(seed)
    onset, code, target, now = [], [], [], 0.0
    for symbol in symbols:
        for _ in range(n_repetitions):
            for group in rng.permutation(12) + 1:
                onset.append(now)
                code.append(int(group))
                target.append(LAYOUT.symbols[symbol] in LAYOUT.groups[int(group)])
                now += 0.2
            now += 1.0 if pause_after_repetition else 0.0
        now += 3.0
    return np.array(onset), np.array(code), LAYOUT.lit(code), np.array(target)


@given(
    st.lists(st.integers(0, 35), min_size=1, max_size=4).filter(lambda s: all(a != b for a, b in pairwise(s))),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 1000),
)
@settings(deadline=None)
def test_symbols_and_repetitions_are_found(symbols, n_repetitions, pause_after_repetition, seed):
    trials = find_trials(*session(symbols, n_repetitions, pause_after_repetition=pause_after_repetition, seed=seed))
    assert [trial.symbol for trial in trials] == symbols
    assert all(trial.ends == tuple(12 * (n + 1) for n in range(n_repetitions)) for trial in trials)
    assert [trial.flashes.start for trial in trials] == [12 * n_repetitions * k for k in range(len(symbols))]


def test_the_same_symbol_twice_is_two_trials_where_only_symbols_are_parted():
    trials = find_trials(*session([7, 7], 3, pause_after_repetition=False))
    assert [trial.symbol for trial in trials] == [7, 7]


def test_first_repetitions():
    trial = find_trials(*session([3, 5], 3, pause_after_repetition=False))[1]
    assert trial.first(2) == slice(36, 60)
    assert trial.first(9) == slice(36, 72)


def test_a_piece_without_a_repetition_is_no_trial():
    onset, code, lit, target = session([4, 9], 2, pause_after_repetition=False)
    cut = slice(0, 24 + 5)  # the second symbol was given up after five flashes, each of another group
    trials = find_trials(onset[cut], code[cut], lit[cut], target[cut])
    assert [(trial.symbol, trial.ends) for trial in trials] == [(4, (12, 24))]


@pytest.mark.parametrize(
    ("codes", "ends"), [([], ()), ([1, 2, 3], (3,)), ([1, 1, 2, 2], (3, 4)), ([1, 2, 1], (2,)), ([2, 1, 2, 1], (2, 4))]
)
def test_a_repetition_ends_when_every_group_has_come(codes, ends):
    assert repetition_ends(np.array(codes, dtype=int), np.unique(codes)) == ends


def test_accuracy_by_repetitions_counts_symbols_that_had_so_many():
    shares = by_repetitions([[False, True, True], [True], [False, False, True]])
    assert [(share.n_right, share.n) for share in shares] == [(1, 3), (1, 2), (2, 2)]
    assert by_repetitions([]) == []
    assert Share(0, 0).accuracy is None
    interval = Share(22, 25).interval
    assert interval is not None
    assert interval[0] < 0.88 < interval[1]
    assert Share(22, 25).accuracy == 0.88


def test_rate_counts_the_time_of_a_symbol():
    assert bits_per_minute(0.9, 36, 15.0) == pytest.approx(4 * wolpaw_bits(0.9, 36))
