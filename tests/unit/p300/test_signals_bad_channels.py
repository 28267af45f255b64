"""Broken electrodes are told from blinks, replaced, and reported."""

import dataclasses

import mne
import numpy as np
import pytest
from p300.errors import RecordingError
from p300.recording import Recording
from p300.signals import Parameters, extract
from p300.signals.bad_channels import find_bad_channels, replacement

NAMES = ("Fp1", "Fp2", "Cz", "P3", "Pz", "P4", "O1", "O2")
N_EPOCHS = 100
ALIVE = np.full((N_EPOCHS, len(NAMES)), 2e-5)


def over(**channels: range) -> np.ndarray:
    spoiled = np.zeros((N_EPOCHS, len(NAMES)), bool)
    for name, epochs in channels.items():
        spoiled[list(epochs), NAMES.index(name)] = True
    return spoiled


def bad_names(spoiled: np.ndarray, peak_to_peak: np.ndarray = ALIVE) -> set[str]:
    return {name for name, is_bad in zip(NAMES, find_bad_channels(spoiled, peak_to_peak), strict=True) if is_bad}


def test_a_channel_that_spoils_most_epochs_is_bad() -> None:
    assert bad_names(over(Cz=range(51))) == {"Cz"}


def test_a_channel_that_alone_spoils_a_tenth_is_bad() -> None:
    assert bad_names(over(Cz=range(11))) == {"Cz"}
    assert bad_names(over(Cz=range(10))) == set()


def test_blinks_make_no_channel_bad() -> None:
    assert bad_names(over(Fp1=range(30), Fp2=range(30))) == set()


def test_a_broken_channel_does_not_hide_a_second_one() -> None:
    assert bad_names(over(Cz=range(90), Pz=range(12))) == {"Cz", "Pz"}


def test_a_flat_channel_is_bad() -> None:
    flat = ALIVE.copy()
    flat[:, 4] = 1e-20
    assert bad_names(over(), flat) == {"Pz"}


def test_nothing_is_replaced_where_half_is_bad() -> None:
    assert bad_names(over(Cz=range(60), Pz=range(60), P3=range(60), P4=range(60))) == set()


def test_replacement_is_mnes_interpolation() -> None:
    bad = np.array([name in ("Cz", "O2") for name in NAMES])
    weights, how = replacement(NAMES, bad)
    data = np.random.default_rng(0).normal(0, 1e-5, (len(NAMES), 50))
    raw = mne.io.RawArray(data, mne.create_info(list(NAMES), 100.0, "eeg"), verbose="error")
    raw.set_montage("colin27_1005", verbose="error")
    raw.info["bads"] = ["Cz", "O2"]
    np.testing.assert_allclose(weights @ data, raw.interpolate_bads(verbose="error").get_data(), rtol=0, atol=1e-15)
    assert how == "spherical splines"


def test_replacement_without_positions_is_the_mean() -> None:
    weights, how = replacement(("a", "b", "c"), np.array([False, True, False]))
    np.testing.assert_array_equal(weights, [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]])
    assert "positions unknown" in how


def recording(flaw_uv: float, channels: slice) -> Recording:
    rng = np.random.default_rng(0)
    data = rng.normal(0, 5e-6, (len(NAMES), 256 * 40))
    data[channels] += rng.normal(0, flaw_uv * 1e-6, data[channels].shape)
    stim = np.zeros(data.shape[1], np.int32)
    stim[300:-300:50] = 1
    stim[300:-300:300] = 2
    return Recording(NAMES, 256.0, data, stim)


def test_a_replaced_channel_saves_the_epochs_and_is_reported() -> None:
    features = extract(recording(500, slice(2, 3)))
    assert features.rejection.bad_channels == ("Cz",)
    assert features.rejection.n_kept == features.rejection.n_flashes
    assert features.rejection.by_channel["Cz"] > 0.9 * features.rejection.n_flashes
    assert features.notes[-1] == "bad channels Cz replaced by spherical splines"
    assert features.X.shape[1] == len(NAMES) * 70


def test_a_recording_of_noise_is_refused_with_the_counts() -> None:
    with pytest.raises(RecordingError, match=r"exceed 100\.0 uV") as raised:
        extract(recording(500, slice(None)))
    assert raised.value.code == "no_epochs_kept"


def test_without_a_limit_no_channel_is_replaced() -> None:
    features = extract(recording(500, slice(2, 3)), Parameters(reject_peak_to_peak_uv=None))
    assert features.rejection.bad_channels == ()
    assert features.rejection.n_kept == features.rejection.n_flashes


def test_gaps_hold_the_last_value_and_spoil_the_epochs_they_touch() -> None:
    source = recording(0, slice(0))
    data = source.data.copy()
    data[3, 5005:5024] = np.nan  # the epoch at 4850 ends just before it, that at 5050 begins just after
    features = extract(Recording(NAMES, 256.0, data, source.stim), Parameters(precision="float64"))
    onsets = np.flatnonzero(source.stim)
    touched = (onsets - 26 < 5024) & (onsets + 154 >= 5005)
    np.testing.assert_array_equal(features.onset_sample, onsets[~touched])
    assert features.rejection.by_channel["P3"] == touched.sum()
    held = data.copy()
    held[3, 5005:5024] = data[3, 5004] + 1e-15 * np.arange(19)  # equal samples would stand still
    expected = extract(Recording(NAMES, 256.0, held, source.stim), Parameters(precision="float64"))
    np.testing.assert_allclose(features.X, expected.X[~touched], rtol=0, atol=1e-13)


def test_a_stream_that_ends_early_is_refused() -> None:
    stream = recording(0, slice(0)).stream()
    with pytest.raises(RecordingError, match="ends after 5000 of 10240") as raised:
        extract(dataclasses.replace(stream, blocks=lambda: iter([next(iter(stream.blocks()))[:, :5000]])))
    assert raised.value.code == "unreadable"


def test_a_sampling_rate_below_the_band_is_refused() -> None:
    source = recording(0, slice(0))
    with pytest.raises(RecordingError, match="Lower h_freq or record faster") as raised:
        extract(Recording(NAMES, 40.0, source.data, source.stim))
    assert raised.value.code == "sfreq_too_low"


def test_three_channels_are_too_few_for_splines() -> None:
    weights, how = replacement(("Fz", "Cz", "Pz"), np.array([False, True, False]))
    np.testing.assert_allclose(weights[1], [0.5, 0.0, 0.5])
    assert "too few" in how
