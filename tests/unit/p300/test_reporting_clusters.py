"""The cluster permutation test is MNE's, and its p-values are those of shuffled labels."""

from typing import Any

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.reporting.clusters import cluster_test
from p300.reporting.positions import neighbours
from scipy import sparse, stats
from scipy.ndimage import gaussian_filter1d

CHANNELS = ("Fz", "Cz", "P3", "Pz", "P4", "PO7", "Oz", "PO8", "unheard of")


def noise(seed: int, n_epochs: int = 120, effect: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = gaussian_filter1d(rng.standard_normal((n_epochs, len(CHANNELS), 30)), 2, axis=2)
    is_target = np.arange(n_epochs) % 6 == rng.integers(6)
    X[is_target, 2:5, 12:20] += effect
    return X, is_target


def by_mne(X: np.ndarray, is_target: np.ndarray, pairs: list[tuple[int, int]], n: int) -> Any:
    adjacency = np.zeros((len(CHANNELS),) * 2)
    for one, other in pairs:
        adjacency[one, other] = adjacency[other, one] = 1
    threshold = stats.t.isf(0.025, len(X) - 2)
    samples = [X[rows].transpose(0, 2, 1) for rows in (is_target, ~is_target)]
    t, masks, p, _ = mne.stats.spatio_temporal_cluster_test(
        samples,
        threshold=threshold,
        stat_fun=mne.stats.ttest_ind_no_p,
        tail=1,
        adjacency=sparse.csr_array(adjacency),
        n_permutations=n,
        seed=3,
        out_type="mask",
        verbose="error",
    )
    return t.T, [(mask.T, float(t[mask].sum()), float(one)) for mask, one in zip(masks, p, strict=True)]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("effect", [0.0, 0.15, 0.4])
def test_t_clusters_and_p_values_are_mnes(effect: float) -> None:
    X, is_target = noise(7, effect=effect)
    pairs, n = neighbours(CHANNELS), 400
    t, clusters = cluster_test(X, is_target, pairs, n_permutations=n)
    for sign in (-1, 1):  # with tail=-1, MNE compares with the smallest cluster of each permutation
        expected_t, expected = by_mne(sign * X, is_target, pairs, n)
        np.testing.assert_allclose(sign * t, expected_t, atol=1e-10)
        found = sorted((one for one in clusters if np.sign(one.mass) == sign), key=lambda one: abs(one.mass))
        expected.sort(key=lambda one: one[1])
        assert len(found) == len(expected)
        for ours, (mask, mass, p_value) in zip(found, expected, strict=True):
            assert np.array_equal(ours.mask, mask)
            assert abs(ours.mass) == pytest.approx(mass, rel=1e-9)
            # Two draws of permutations: four standard errors of their difference.
            p = np.clip(p_value, 1 / n, 1)
            assert min(1.0, 2 * p_value) == pytest.approx(
                ours.p_value, abs=2 * 4 * np.sqrt(2 * p * (1 - p) / n) + 2 / n
            )


def test_neighbours_are_those_of_mne() -> None:
    info = mne.create_info(list(CHANNELS[:8]), 100.0, "eeg", verbose="error").set_montage("colin27_1005")
    adjacency, _ = mne.channels.find_ch_adjacency(info, "eeg")
    expected = {(i, j) for i, j in zip(*adjacency.nonzero(), strict=True) if i < j}
    assert set(neighbours(CHANNELS)) == expected
    assert neighbours(("Fz", "Cz", "Pz")) == []  # too few for a triangulation


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), at_once=st.sampled_from((1 << 12, 1 << 16)))
def test_batches_of_permutations_change_nothing_but_the_draw(seed: int, at_once: int) -> None:
    from p300.reporting import clusters

    X, is_target = noise(seed, n_epochs=36, effect=0.3)
    _, expected = cluster_test(X, is_target, [(2, 3)], n_permutations=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "_VALUES_AT_ONCE", at_once)
        _, found = cluster_test(X, is_target, [(2, 3)], n_permutations=60)
    by_mass = [sorted(clusters_found, key=lambda one: one.mass) for clusters_found in (expected, found)]
    for one, other in zip(*by_mass, strict=True):
        assert np.array_equal(one.mask, other.mask)
        assert one.mass == pytest.approx(other.mass)


def test_a_difference_between_blocks_is_none_between_classes() -> None:
    """Where all targets come in the first half, which is larger by itself, nothing can be told."""
    X, _ = noise(1)
    is_target = np.arange(len(X)) < 40
    block = (np.arange(len(X)) >= 40).astype(int)
    X[:40] += 1.0
    assert cluster_test(X, is_target)[1][0].p_value < 0.01
    assert all(one.p_value == 1 for one in cluster_test(X, is_target, block=block)[1])


@pytest.mark.parametrize("is_target", [np.zeros(5, bool), np.ones(5, bool), np.array([True, False])])
def test_refuses_what_cannot_be_tested(is_target: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected both classes"):
        cluster_test(np.zeros((len(is_target), 2, 3)), is_target)


def test_a_constant_channel_shows_nothing() -> None:
    X, is_target = noise(2, effect=0.5)
    X[:, 3] = 1e-5
    t, _ = cluster_test(X, is_target, n_permutations=20)
    assert np.isfinite(t).all()
    assert not t[3].any()
