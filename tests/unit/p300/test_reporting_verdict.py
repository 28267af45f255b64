"""The verdict: noise holds no P300, a response does, and too few flashes say nothing."""

from typing import Any

import numpy as np
import pytest
from p300 import synth
from p300.features import FeatureSet
from p300.recording import Recording
from p300.reporting.component import at_usual_sites
from p300.reporting.verdict import (
    CANNOT_TELL,
    FEWEST_TARGETS,
    FOUND,
    NOT_FOUND,
    ONLY_TOLD_APART,
    judge,
    referenced,
    signal_to_noise,
    spans,
)
from p300.signals import extract

from tests.support.features import make_features
from tests.support.real_data import recordings

CHANNELS = ("Fz", "Cz", "P3", "Pz", "P4", "Oz")


def epochs(seed: int, n_epochs: int = 360, effect_uv: float = 0.0) -> FeatureSet:
    """Coloured noise, much of it the same in all channels, and a wave at 300 ms at some of them."""
    from scipy.ndimage import gaussian_filter1d

    rng = np.random.default_rng(seed)
    features: FeatureSet = make_features(channels=CHANNELS, n_epochs=n_epochs, n_times=70, tmin=-0.1, tmax=0.6)
    own, common = rng.standard_normal(features.epochs.shape), rng.standard_normal((n_epochs, 1, 70))
    X = 1e-5 * gaussian_filter1d(own + 2 * common, 3, axis=2)
    wave = np.exp(-(((np.arange(70) - 40) / 6) ** 2))
    X[features.label == 2, 2:5] += effect_uv * 1e-6 * wave
    features.X[:] = X.reshape(n_epochs, -1)
    return features


def test_noise_holds_no_p300() -> None:
    words = [judge(epochs(seed, n_epochs=264), "subject_01/x").facts["words"] for seed in range(12)]
    assert words.count(NOT_FOUND) >= 11


def test_noise_of_a_synthetic_recording_holds_no_p300(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drift, blinks, alpha and a response to every flash, but none to targets alone."""
    responses = synth._responses
    monkeypatch.setattr(synth, "_responses", lambda rng: (responses(rng)[0], np.zeros_like(responses(rng)[1])))
    words = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        stim, flash = synth._stimulation(rng, 30, 0.2)
        recording = Recording(synth.CHANNELS, synth.SFREQ, synth._eeg(rng, stim) * 1e-6, stim, flash)
        words.append(judge(extract(recording), "subject_01/x").facts["words"])
    assert words == [NOT_FOUND] * 3


def test_a_response_is_found_where_it_is() -> None:
    finding = judge(epochs(1, effect_uv=4.0), "subject_01/x")
    p300 = finding.facts["p300"]
    assert finding.facts["words"] == FOUND
    assert finding.facts["sentence"].startswith("P300 found: ")
    assert p300["p_value"] == pytest.approx(0.002)  # the smallest that so many permutations can give
    assert 0.2 <= p300["start_s"] < 0.3 < p300["end_s"] < 0.5
    assert p300["peak"]["channel"] in p300["channels"]
    assert finding.single_flash["roc_auc"] > finding.single_flash["shuffled"][1]
    assert finding.facts["snr"]["db"] > 3
    assert finding.clusters[0].mask.shape == (6, 70)
    assert not finding.clusters[0].mask[:, :30].any()


def test_the_same_epochs_give_the_same_verdict() -> None:
    features = epochs(2, effect_uv=2.0)
    assert judge(features, "subject_01/x").facts == judge(features, "subject_01/x").facts


@pytest.mark.parametrize("n_epochs", [3, 8, 60, 6 * FEWEST_TARGETS - 6])
def test_too_few_flashes_say_nothing(n_epochs: int) -> None:
    facts = judge(epochs(3, n_epochs=max(n_epochs, 6)), "subject_01/x").facts
    assert (facts["found"], facts["words"]) == (None, CANNOT_TELL)
    assert f"at least {FEWEST_TARGETS} target flashes" in facts["sentence"]


def test_few_flashes_may_show_a_response_all_the_same() -> None:
    assert judge(epochs(4, n_epochs=180, effect_uv=12.0), "subject_01/x").facts["found"] is True


def test_an_early_difference_is_no_p300() -> None:
    features = epochs(5)
    features.epochs[features.label == 2, 2:5, 12:20] += 8e-6
    facts = judge(features, "subject_01/x").facts
    assert (facts["found"], facts["words"]) == (False, ONLY_TOLD_APART)
    assert "comes earlier" in facts["sentence"]


@pytest.mark.parametrize(("first", "last"), [(28, 33), (36, 50)])
def test_a_negative_difference_is_no_p300(first: int, last: int) -> None:
    """At the window's start, and where a P300 is, as with labels the other way round."""
    features = epochs(7)
    features.epochs[features.label == 2, 1:, first:last] -= 8e-6
    facts = judge(features, "subject_01/x").facts
    assert facts["clusters"]
    assert (facts["found"], facts["words"], facts["p300"]) == (False, ONLY_TOLD_APART, None)
    assert "what differs is not a P300" in facts["sentence"]
    assert "AUC" in facts["sentence"]


def test_the_peak_that_is_named_is_the_positive_one_whatever_else_differs_more() -> None:
    features = epochs(8, effect_uv=4.0)
    features.epochs[features.label == 2, 5, 30:36] -= 2e-5
    peak = judge(features, "subject_01/x").facts["p300"]["peak"]
    assert peak["channel"] in ("P3", "Pz", "P4")
    assert peak["amplitude_uv"] > 0
    assert 0.25 <= peak["latency_s"] <= 0.35


@pytest.mark.parametrize(
    ("names", "usual"),
    [(["Fp1", "EEG Cz", "PO7", "T7"], [False, True, True, False]), (["EEG 1", "EEG 2"], [True, True])],
)
def test_usual_sites_go_by_name(names: list[str], usual: list[bool]) -> None:
    assert at_usual_sites(names).tolist() == usual


def test_signal_to_noise_is_that_of_plus_minus_averages() -> None:
    features = epochs(6, effect_uv=5.0)
    parts = []
    for label in (2, 1):
        late = referenced(features)[features.label == label][:, :, 30:] * 1e6
        late = late[: len(late) // 2 * 2]
        sign = np.where(np.arange(len(late)) % 2, -1.0, 1.0)[:, None, None]
        parts.append((late.mean(axis=0), (sign * late).mean(axis=0)))
    signal, noise = (np.mean((parts[0][k] - parts[1][k]) ** 2) for k in (0, 1))
    found = signal_to_noise(features)
    assert found["ratio"] == pytest.approx((signal - noise) / noise, rel=1e-4)
    assert found["db"] == pytest.approx(10 * np.log10(found["ratio"]))
    nothing: dict[str, Any] = signal_to_noise(epochs(6, n_epochs=6))
    assert (nothing["ratio"], nothing["db"]) == (None, None)


@pytest.mark.parametrize(
    ("row", "expected"), [([0, 0], []), ([1, 1], [(0, 1)]), ([1, 0, 1, 1, 0], [(0, 0), (2, 3)]), ([], [])]
)
def test_spans_are_runs(row: list[int], expected: list[tuple[int, int]]) -> None:
    assert spans(np.array(row, bool)) == expected


@pytest.mark.real_data
def test_real_recordings_hold_a_p300() -> None:
    for path in [*recordings("brain_invaders_2012"), *recordings("bnci_2015_003")[4:6]]:
        from p300.readers import open_recording

        assert judge(extract(open_recording(path)), "subject_01/x").facts["words"] == FOUND, path
