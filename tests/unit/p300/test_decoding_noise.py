"""Block-Toeplitz noise: it is estimated as it was made, whitened as it should be, and bursts do not pass for it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.decoding.noise import clipped, lagged_covariance, toeplitz, whitening


def test_block_toeplitz_covariance_is_that_of_stationary_noise():
    epochs = stationary_noise()
    covariance = toeplitz(lagged_covariance(epochs)).transpose(0, 2, 1, 3)
    expected = np.cov(epochs.reshape(len(epochs), -1).T).reshape(2, 6, 2, 6)
    taper = 1 - np.abs(np.subtract.outer(np.arange(6), np.arange(6))) / 12
    np.testing.assert_allclose(covariance, expected * taper[None, :, None, :], atol=0.05)


def test_whitening_is_blind_to_a_channel_s_mean_and_to_nothing_else():
    epochs = stationary_noise()
    white = whitening(lagged_covariance(epochs))
    assert white.shape == (10, 12)
    assert np.linalg.matrix_rank(white) == 10
    np.testing.assert_allclose(white @ np.repeat([3.0, -2.0], 6), 0, atol=1e-9)
    values = np.linalg.eigvalsh(np.cov(epochs.reshape(len(epochs), -1) @ white.T, rowvar=False))
    assert 0.4 < values.min() <= values.max() < 4  # the taper alone keeps it from being 1


def stationary_noise():
    rng = np.random.default_rng(0)
    mixing = np.array([[1.0, 0.5], [0.0, 1.0]])
    signal = mixing @ np.convolve(rng.standard_normal(200_002), [1, 0.5, 0.25], "valid").reshape(2, -1)
    return np.lib.stride_tricks.sliding_window_view(signal, 6, axis=1)[:, ::6].transpose(1, 0, 2)


def test_a_burst_does_not_pass_for_the_noise():
    rng = np.random.default_rng(1)
    epochs = rng.standard_normal((200, 3, 8))
    burst = epochs.copy()
    burst[7] *= 1e4
    np.testing.assert_allclose(lagged_covariance(clipped(burst)), lagged_covariance(clipped(epochs)), atol=0.1)
    np.testing.assert_array_equal(clipped(epochs[8:20]), epochs[8:20])


@pytest.mark.parametrize("epochs", [np.zeros((0, 2, 5)), np.zeros((4, 2, 5)), np.ones((1, 1, 1))])
def test_nothing_to_clip_stays_as_it_is(epochs):
    np.testing.assert_array_equal(clipped(epochs), epochs)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 12), st.integers(0, 2**16))
def test_any_epochs_can_be_whitened(n_epochs, n_channels, n_bins, seed):
    """Few epochs do not bear the long taper; duplicate channels and single bins have less than full rank."""
    rng = np.random.default_rng(seed)
    epochs = rng.standard_normal((n_epochs, 1, n_bins)) + np.arange(n_channels)[None, :, None]
    epochs -= epochs.mean(axis=2, keepdims=True) if n_bins > 1 else 0
    assert np.isfinite(whitening(lagged_covariance(epochs))).all()
