"""Missing data that is not NaN, in every format: repeated samples, an amplifier at its limit, a channel dead for a time."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.features import read_features, write_features
from p300.readers import open_recording
from p300.recording import Recording
from p300.recording_report import report
from p300.signals import Parameters, extract
from p300.signals.resampling import window_samples
from p300.signals.stillness import Stillness

from tests.support.labs import FORMATS, SFREQ, Lab, generated, lab, write

DOUBLE = Parameters(precision="float64")
KINDS = ("repeated", "dead", "limit", "packets")


def spoiled(made: Lab, kind: str, channel: int, start: int, n_samples: int) -> Lab:
    """Return the recording with samples that were not measured: of one channel, or of all where packets were lost."""
    uv = made.uv.copy()
    span = slice(start, start + n_samples)
    if kind == "packets":
        uv[:, span] = uv[:, start - 1 : start]
    else:
        uv[channel, span] = {"repeated": uv[channel, start - 1], "dead": 0.0, "limit": 60.0}[kind]
    return Lab(uv, made.names, made.stim)


def touching(made: Lab, start: int, n_samples: int) -> NDArray[np.bool_]:
    first, last = window_samples(SFREQ, DOUBLE.tmin, DOUBLE.tmax)
    return (made.onsets + first < start + n_samples) & (made.onsets + last >= start)


@given(
    st.sampled_from(KINDS),
    st.sampled_from(FORMATS),
    st.integers(0, 7),
    st.integers(600, 3400),
    st.integers(40, 250),
    st.integers(0, 50),
)
@generated(16)
def test_epochs_of_samples_that_stand_still_are_left_out_or_replaced(
    tmp_path: Path, kind: str, extension: str, channel: int, start: int, n_samples: int, seed: int
) -> None:
    made = lab(seed)
    features = extract(
        open_recording(write(tmp_path, spoiled(made, kind, channel, start, n_samples), extension)), DOUBLE
    )
    touched = touching(made, start, n_samples)
    kept = np.isin(made.onsets, features.onset_sample)
    if features.rejection.bad_channels:
        assert features.rejection.bad_channels == (made.names[channel],)
    else:
        assert not (kept & touched).any()
    name = made.names[channel]
    assert features.rejection.missing_by_channel[name] >= touched.sum() > 0 or not touched.any()
    assert any("stand still" in note and name in note for note in features.notes)
    others = [n for other, n in features.rejection.missing_by_channel.items() if other != name]
    assert kind == "packets" or not any(others)


@given(st.integers(0, 1000), st.sampled_from(FORMATS), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.booleans())
@generated(12)
@example(0, "parquet", 1.0, True)
def test_eeg_in_coarse_steps_does_not_stand_still(
    tmp_path: Path, seed: int, extension: str, step_uv: float, smooth: bool
) -> None:
    made = lab(seed)
    uv = made.uv
    if smooth:
        uv = np.apply_along_axis(np.convolve, 1, uv, np.full(6, 1 / 6), "same")
    if step_uv:
        uv = np.round(uv / step_uv) * step_uv
    features = extract(open_recording(write(tmp_path, Lab(uv, made.names, made.stim), extension)), DOUBLE)
    assert not any("stand still" in note for note in features.notes)
    assert not any(features.rejection.missing_by_channel.values())


@given(st.data())
@generated(30)
def test_runs_are_found_whatever_the_length_of_the_blocks(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    eeg = rng.normal(0, 10, (3, 20_000)).round(data.draw(st.sampled_from([0, 1, 9])))
    expected = eeg.copy()
    starts = []
    for _ in range(data.draw(st.integers(0, 6))):
        channel, start, n = (
            data.draw(st.integers(0, 2)),
            data.draw(st.integers(0, 19_900)),
            data.draw(st.integers(100, 9000)),
        )
        starts.append(start)
        eeg[channel, start : start + n] = 12345.0
        expected[channel, start : start + n] = np.nan
    cuts = st.integers(1, 19_999) | st.sampled_from([start + i for start in starts for i in (0, 1)] or [7])
    edges = sorted({0, 20_000, *data.draw(st.lists(cuts, max_size=12))})
    stillness = Stillness(256.0)
    pieces = list(stillness.blanked(eeg[:, a:b] for a, b in pairwise(edges)))
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), expected)
    np.testing.assert_array_equal(stillness.n_still, np.isnan(expected).sum(axis=1))


def test_a_channel_dead_for_most_of_the_time_is_replaced(tmp_path: Path) -> None:
    made = lab()
    features = extract(open_recording(write(tmp_path, spoiled(made, "dead", 2, 800, 2500), "parquet")), DOUBLE)
    assert features.rejection.bad_channels == (made.names[2],)
    assert features.rejection.n_kept > 50


@pytest.mark.parametrize("reject_uv", [None, 100.0])
def test_a_dead_channel_is_replaced_also_where_nothing_is_rejected_by_size(reject_uv: float | None) -> None:
    made = spoiled(lab(), "dead", 2, 0, 1 << 20)
    recording = Recording(tuple(made.names), SFREQ, made.uv * 1e-6, made.stim)
    features = extract(recording, Parameters(reject_peak_to_peak_uv=reject_uv))
    assert features.rejection.bad_channels == (made.names[2],)


def test_all_channels_dead_is_refused() -> None:
    made = lab()
    recording = Recording(tuple(made.names), SFREQ, np.zeros_like(made.uv), made.stim)
    with pytest.raises(RecordingError) as raised:
        extract(recording)
    assert raised.value.code == "no_epochs_kept"


def test_what_stands_still_is_kept_with_the_features_and_reported(tmp_path: Path) -> None:
    made = spoiled(lab(), "repeated", 3, 2000, 60)
    features = extract(Recording(tuple(made.names), SFREQ, made.uv * 1e-6, made.stim))
    write_features(features, tmp_path / "f.parquet", {})
    counted = report(read_features(tmp_path / "f.parquet"))["missing_by_channel"]
    assert counted == features.rejection.missing_by_channel
    assert counted[made.names[3]] > 0


@given(st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 7), st.booleans())
@generated(6)
def test_samples_that_are_not_finite_are_told(tmp_path: Path, value: float, channel: int, whole: bool) -> None:
    made = lab()
    made.uv[channel, slice(None) if whole else slice(700, 828)] = value
    seconds = made.uv.shape[1] / SFREQ if whole else 0.5
    features = extract(open_recording(write(tmp_path, made, "parquet")), DOUBLE)
    (note,) = [note for note in features.notes if "missing" in note]
    infinite = "stand still" if np.isinf(value) else "missing in the file (not a number, or infinite)"
    assert infinite in note
    assert f"{made.names[channel]} {seconds:.1f} s, " in note
    assert sum(f"{name} " in note.partition(": ")[2] for name in made.names) == 1


def test_samples_that_all_channels_lack_are_named_as_the_cause(tmp_path: Path) -> None:
    made = lab()
    uv = made.uv.copy()
    uv[:, ::20] = np.nan
    recording = Recording(tuple(made.names), SFREQ, uv * 1e-6, made.stim)
    with pytest.raises(RecordingError) as raised:
        extract(recording)
    assert "No Target and no NonTarget epoch is left of 60 flashes: 60 lack samples in" in raised.value.message
    assert "reject_peak_to_peak_uv" not in raised.value.message
    with pytest.raises(RecordingError) as raised:
        extract(Recording(tuple(made.names), SFREQ, made.uv * 1e-4, made.stim))
    assert "60 exceed 100.0 uV peak to peak in" in raised.value.message
    assert "or raise reject_peak_to_peak_uv" in raised.value.message
    assert "lack" not in raised.value.message
