"""What is gathered of the raw signal while it is filtered: the same whatever the blocks, and SciPy's spectrum."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.recording import RecordingStream
from p300.signals.survey import SNIPPET_STEP_UV, Survey, intervals, snippet_uv, timeline
from scipy.signal import welch

SFREQ, N_CHANNELS, N_SAMPLES = 200.0, 3, 4000
ONSETS = np.arange(200, 3800, 50)


def signal() -> np.ndarray:
    rng = np.random.default_rng(0)
    times = np.arange(N_SAMPLES) / SFREQ
    return rng.normal(0, 5, (N_CHANNELS, N_SAMPLES)) + np.array([[0], [0], [20]]) * np.sin(2 * np.pi * 50 * times)


def surveyed(uv: np.ndarray, edges: list[int], kept: np.ndarray | None = None) -> Any:
    stim = np.zeros(uv.shape[1], np.int32)
    stim[ONSETS] = np.where(np.arange(len(ONSETS)) % 6 == 0, 2, 1)

    def blocks() -> Iterator[np.ndarray]:
        yield from np.split(uv, sorted(edges), axis=1)

    stream = RecordingStream(("Cz", "Pz", "Oz"), SFREQ, uv.shape[1], stim, None, blocks, 1e-6)
    survey = Survey(stream)
    passed = np.concatenate(list(survey.watched(stream.blocks())), axis=1)
    np.testing.assert_array_equal(passed, uv)
    return survey.facts(np.ones(len(ONSETS), bool) if kept is None else kept)


@settings(deadline=None, max_examples=30)
@given(edges=st.lists(st.integers(0, N_SAMPLES), max_size=12))
def test_blocks_of_any_length_give_the_same(edges: list[int]) -> None:
    assert surveyed(signal(), edges) == surveyed(signal(), [])


def test_the_spectrum_is_scipys_and_the_line_is_named() -> None:
    spectrum = surveyed(signal(), [1000])["spectrum"]
    frequency, density = welch(signal(), SFREQ, nperseg=400, noverlap=0, detrend="constant")
    inside = (frequency > 0) & (frequency <= 130)
    np.testing.assert_allclose(spectrum["frequency_hz"], frequency[inside])
    # But for the Nyquist frequency, which SciPy does not double.
    np.testing.assert_allclose(
        spectrum["median_db"][:-1], 10 * np.log10(np.median(density[:, inside], axis=0))[:-1], atol=0.06
    )
    line, other = spectrum["line"]
    assert (line["frequency_hz"], line["channel"]) == (50.0, "Oz")
    assert line["highest_db"] > 20 > 6 > line["median_db"]
    assert other["frequency_hz"] == 60.0
    assert other["highest_db"] < 8


def test_the_snippet_is_the_signal() -> None:
    found = surveyed(signal(), [1900, 2000])["snippet"]
    start = round(found["start_s"] * SFREQ)
    expected = signal()[:, start : start + 400]
    expected -= np.median(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(snippet_uv(found), expected, atol=SNIPPET_STEP_UV / 2 + 1e-9)
    assert found["flashes"]
    assert all(round(onset * SFREQ) in ONSETS for onset, _ in found["flashes"])


def test_missing_samples_spoil_nothing() -> None:
    uv = signal()
    uv[0] = np.nan
    uv[1, 100:200] = np.nan
    found = surveyed(uv, [])
    assert np.isfinite(found["spectrum"]["median_db"]).all()
    assert np.isfinite(snippet_uv(found["snippet"])).all()
    uv[:] = np.nan
    assert surveyed(uv, [])["spectrum"] is None


@pytest.mark.parametrize("n_samples", [3790, 3900])
def test_every_flash_is_counted_once(n_samples: int) -> None:
    kept = np.arange(len(ONSETS)) % 3 > 0
    found = timeline(ONSETS, kept, n_samples, SFREQ)
    assert found is not None
    assert (sum(found["n_flashes"]), sum(found["n_kept"])) == (len(ONSETS), kept.sum())
    assert found["width_s"] * len(found["n_kept"]) == pytest.approx(n_samples / SFREQ)
    assert timeline(ONSETS[:0], kept[:0], n_samples, SFREQ) is None


def test_intervals_are_those_between_flashes() -> None:
    found = intervals(np.array([0.0, 0.2, 0.4, 0.65, 5.0]))
    assert found is not None
    assert (found["shortest_s"], found["longest_s"], found["n_longer"]) == (0.2, 4.35, 1)
    assert sum(found["counts"]) == 3
    assert intervals(np.array([1.0])) is None
    assert intervals(np.array([1.0, 1.5, 2.0])) is not None  # all alike
