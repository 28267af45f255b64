"""Signals that labs' files hold now and then: numbers that wrapped around, sessions in two units, a channel twice, a file cut off."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.readers.declared import Declared
from p300.recording import Recording
from p300.signals import Parameters, extract

from tests.support.labs import SFREQ, Lab, generated, lab, write

MADE = lab(4, n_repetitions=8)
FORMATS = ("parquet", "csv", "mat", "fif", "bdf", "set", "xdf", "gdf", "hdf5")


def wrapped(uv: np.ndarray) -> np.ndarray:
    """Return numbers as int16 keeps those that are several times too large for it."""
    step = float(np.abs(uv).max()) / 2**15 / 3
    return np.round(uv / step).astype(np.int64).astype(np.int16) * step


@given(st.sampled_from(FORMATS), st.integers(0, 7))
@generated(20)
def test_a_channel_whose_numbers_wrapped_around_is_replaced(tmp_path: Path, extension: str, channel: int) -> None:
    uv = MADE.uv.copy()
    uv[channel] = wrapped(uv[channel])
    stream = open_recording(write(tmp_path, Lab(uv, MADE.names, MADE.stim), extension))
    assert stream.bad_channels == (MADE.names[channel],)
    assert any("wraps around" in note for note in stream.notes)


def test_a_recording_whose_numbers_wrapped_around_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="8 of 8 EEG channels hold no EEG by their signal") as raised:
        open_recording(write(tmp_path, Lab(wrapped(MADE.uv), MADE.names, MADE.stim), "parquet"))
    assert raised.value.code == "doubtful_channels"


@pytest.mark.parametrize("lost", [0.0, -9999.0])
def test_single_lost_samples_are_no_numbers_that_wrapped_around(tmp_path: Path, lost: float) -> None:
    uv = MADE.uv + 20_000
    uv[:, 1500:3000:30] = lost
    stream = open_recording(write(tmp_path, Lab(uv, MADE.names, MADE.stim), "parquet"))
    assert stream.bad_channels == ()


@given(st.sampled_from([1e-3, 1e3, 0.02]), st.booleans(), st.sampled_from([100.0, None]))
@generated(8)
def test_sessions_in_two_units_are_refused(factor: float, first: bool, limit_uv: float | None) -> None:
    other = MADE.uv * factor
    uv = np.hstack([other, MADE.uv] if first else [MADE.uv, other])
    made = Recording(tuple(MADE.names), SFREQ, uv * 1e-6, np.r_[MADE.stim, MADE.stim])
    parameters = Parameters(reject_peak_to_peak_uv=limit_uv)
    if limit_uv and factor > 1:  # rejected as artifacts, and said so
        assert 0 < extract(made, parameters).rejection.n_kept <= len(MADE.onsets)
    elif limit_uv is None and factor == 0.02:
        extract(made, parameters)
    else:
        with pytest.raises(RecordingError, match="one unit and one gain throughout"):
            extract(made, parameters)


@given(st.sampled_from(FORMATS), st.permutations(range(8)))
@generated(9)
def test_a_channel_that_is_there_twice_is_named(tmp_path: Path, extension: str, order: list[int]) -> None:
    first, second = sorted(order[:2])
    uv = MADE.uv.copy()
    uv[second] = uv[first]
    stream = open_recording(write(tmp_path, Lab(uv, MADE.names, MADE.stim), extension))
    assert f"channels with the same samples as another: {MADE.names[second]} as {MADE.names[first]}" in stream.notes


@pytest.mark.parametrize("cut_bytes", [1, 13, 31])
def test_a_brainvision_signal_that_ends_in_the_middle_of_a_sample_is_refused(tmp_path: Path, cut_bytes: int) -> None:
    path = write(tmp_path, MADE, "vhdr")
    signal = path.with_suffix(".eeg")
    signal.write_bytes(signal.read_bytes()[:-cut_bytes])
    with pytest.raises(RecordingError, match="in the middle of a sample") as raised:
        open_recording(path)
    assert raised.value.code == "unreadable"


def test_a_channel_declared_eeg_is_kept_whatever_its_signal(tmp_path: Path) -> None:
    uv = MADE.uv.copy()
    uv[2] = wrapped(uv[2])
    path = write(tmp_path, Lab(uv, MADE.names, MADE.stim), "parquet")
    stream = open_recording(path, declared=Declared(channel_kinds={MADE.names[2]: "eeg"}))
    assert stream.bad_channels == ()
    assert any("declared EEG, though its signal is no EEG" in note for note in stream.notes)
