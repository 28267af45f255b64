"""The signal path gives MNE-Python's numbers, keeps the same epochs and the same labels."""

from typing import Literal

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.recording import Recording, RecordingStream
from p300.signals import Parameters, extract, fir
from p300.signals.flashes import find_flashes

from tests.support.by_mne import NAMES_10_05, assert_equal

RATES = (128.0, 200.0, 250.0, 256.0, 500.0, 512.0, 600.0, 1000.0)


def noise(rng: np.random.Generator, n_channels: int, n_samples: int) -> NDArray[np.float64]:
    """Drifting noise in volts on electrode offsets, with one artefact that the rejection has to find."""
    white = rng.normal(0, 5e-6, (n_channels, n_samples))
    data: NDArray[np.float64] = np.cumsum(white, axis=1) + 2 * white + rng.normal(0, 1e-2, (n_channels, 1))
    data[0, n_samples // 2 : n_samples // 2 + 20] += 500e-6
    return data


def regular(sfreq: float, n_channels: int = 3, seconds: float = 30) -> Recording:
    n_samples = round(seconds * sfreq)
    stim = np.zeros(n_samples, np.int32)
    for i, onset in enumerate(np.arange(sfreq, n_samples - sfreq, 0.2 * sfreq).astype(int)):
        stim[onset : onset + 3] = 2 if i % 6 == 0 else 1
    data = noise(np.random.default_rng(0), n_channels, n_samples)
    return Recording(tuple(f"EEG{i}" for i in range(n_channels)), sfreq, data, stim)


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    sfreq = draw(st.sampled_from(RATES) | st.floats(128, 1000))
    n_channels = draw(st.integers(1, 64))
    n_samples = round(draw(st.sampled_from([1.2, 2.5, 6.0, 12.0])) * sfreq)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    data = noise(rng, n_channels, n_samples)
    for flaw in draw(st.lists(st.sampled_from(["flat", "clipped", "loose", "gap", "gap"]), max_size=2)):
        channel = draw(st.integers(0, n_channels - 1))
        start = draw(st.sampled_from([0, n_samples // 3, n_samples - 1]))
        if flaw == "flat":
            data[channel] = data[channel, 0]
        elif flaw == "clipped":
            data[channel] = np.clip(data[channel], *np.quantile(data[channel], [0.3, 0.7]))
        elif flaw == "loose":
            data[channel] += rng.normal(0, 1e-3, n_samples)
        else:
            data[channel, start : start + draw(st.sampled_from([1, 5, n_samples // 8, n_samples]))] = np.nan
    stim = np.zeros(n_samples, np.int32)
    classes = draw(st.sampled_from([[1, 2]] * 8 + [[1], [2]]))
    edges = rng.choice([0, 1, n_samples - 1, n_samples - 2], draw(st.integers(0, 2)))
    n_flashes = draw(st.sampled_from([0, 20, 60, 60]))
    for onset in (*edges, *rng.integers(0, n_samples, n_flashes)):
        stim[onset : onset + rng.integers(1, 40)] = rng.choice(classes)
    names = NAMES_10_05 if draw(st.booleans()) else [f"EEG{i}" for i in range(n_channels)]
    return Recording(tuple(names[:n_channels]), sfreq, data, stim)


@given(recordings(), st.sampled_from(["float64", "float32"]), st.sampled_from([None, 300.0, 600.0]))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_recording_gives_mnes_epochs(recording: Recording, precision: str, limit: float | None) -> None:
    assert_equal(recording, Parameters(precision=precision, reject_peak_to_peak_uv=limit))  # type: ignore[arg-type]


@pytest.mark.parametrize("sfreq", RATES)
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_every_rate_gives_seventy_samples_of_mnes(sfreq: float, precision: str) -> None:
    parameters = Parameters(precision=precision, reject_peak_to_peak_uv=200.0)  # type: ignore[arg-type]
    features = extract(regular(sfreq), parameters)
    assert 0 < features.rejection.n_kept < features.rejection.n_flashes
    assert features.n_times == 70
    assert_equal(regular(sfreq), parameters)


@pytest.mark.parametrize("sfreq", RATES)
@pytest.mark.parametrize(("l_freq", "h_freq"), [(1.0, 20.0), (0.1, 30.0), (0.5, 12.0), (10.0, 50.0)])
def test_filter_design_is_mnes(sfreq: float, l_freq: float, h_freq: float) -> None:
    designed = mne.filter.create_filter(None, sfreq, l_freq, h_freq, verbose="error")
    np.testing.assert_allclose(fir.band_pass(sfreq, l_freq, h_freq), designed, rtol=0, atol=1e-15)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"h_freq": 45.0, "notch_freq": 20.0},
        {"baseline": None},
        {"baseline": (-0.2, 0.05), "tmin": -0.2, "tmax": 0.8},
        {"sfreq": 128.0, "tmin": 0.0, "tmax": 1.0, "baseline": None},
        {"sfreq": 256.0},
    ],
)
def test_other_parameters_give_mnes_epochs(precision: str, parameters: dict[str, object]) -> None:
    chosen = Parameters(**{"precision": precision, "reject_peak_to_peak_uv": 400.0} | parameters)  # type: ignore[arg-type]
    assert_equal(regular(512.0), chosen)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_notch_that_is_longer_than_the_pieces_of_the_band_pass(precision: Literal["float32", "float64"]) -> None:
    parameters = Parameters(
        l_freq=64.0, h_freq=90.0, notch_freq=60.0, sfreq=200.0, precision=precision, reject_peak_to_peak_uv=None
    )
    assert_equal(regular(300.0, seconds=30), parameters)


def test_a_single_channel_in_single_precision_input() -> None:
    source = regular(256.0, n_channels=1)
    single = Recording(source.ch_names, source.sfreq, source.data.astype(np.float32), source.stim)
    assert_equal(single, Parameters(reject_peak_to_peak_uv=None))


@pytest.mark.parametrize("block", [1, 7, 100, 1691, 5000, 100_000])
def test_blocks_of_any_length_give_the_same(block: int) -> None:
    source = regular(256.0, seconds=10)
    parameters = Parameters(precision="float64", reject_peak_to_peak_uv=None)
    pieces = np.split(source.data, range(block, source.data.shape[1], block), axis=1)
    stream = RecordingStream(
        source.ch_names, source.sfreq, source.data.shape[1], source.stim, None, lambda: iter(pieces), 1.0
    )
    np.testing.assert_array_equal(extract(stream, parameters).X, extract(source, parameters).X)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_onsets_are_those_of_find_events(values: list[int]) -> None:
    stim = np.array(values, np.int32)
    raw = mne.io.RawArray(stim[np.newaxis].astype(float), mne.create_info(["STI"], 100.0, "stim"), verbose="error")
    events = mne.find_events(raw, "STI", consecutive="increasing", shortest_event=1, verbose="error")
    flashes = find_flashes(stim)
    np.testing.assert_array_equal(flashes.onset_sample, events[:, 0])
    np.testing.assert_array_equal(flashes.label, events[:, 2])
