"""A recording that keeps fewer than half of its epochs says so, with numbers, reasons and what to do."""

import re

import numpy as np
import pytest
from p300.features import Rejection
from p300.recording import Recording
from p300.recording_report import report
from p300.signals import Parameters, extract
from p300.signals.few_kept import few_kept

from tests.support.labs import SFREQ, lab
from tests.support.real_data import file

N_FLASHES = 120
MADE = lab(3, n_repetitions=10)


def loud(scale: float, **facts: object) -> Recording:
    return Recording(tuple(MADE.names), SFREQ, MADE.uv * 1e-6 * scale, MADE.stim, **facts)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def too_loud() -> Recording:
    """As much louder as makes the median epoch's channel 105 uV peak to peak, where 100 uV are the limit."""
    features = extract(loud(1.0), Parameters(reject_peak_to_peak_uv=None))
    return loud(105e-6 / float(np.median(np.ptp(features.epochs, axis=2))))


def test_a_recording_that_keeps_half_has_no_such_note() -> None:
    features = extract(loud(1.0))
    assert features.rejection.n_kept >= N_FLASHES / 2
    assert features.rejection.few_kept == ""
    assert report(features)["few_kept"] == ""
    assert not any("epochs are kept" in note for note in features.notes)


def test_large_amplitudes_name_their_reasons_and_a_limit_that_keeps_most(too_loud: Recording) -> None:
    features = extract(too_loud)
    told = features.rejection.few_kept
    assert features.notes[-1] == told == report(features)["few_kept"]
    n_kept = features.rejection.n_kept
    assert told.startswith(f"only {n_kept} of {N_FLASHES} epochs are kept ({100 * n_kept / N_FLASHES:.0f} %")
    assert f"{N_FLASHES - n_kept} exceed 100 uV peak to peak" in told
    assert "the unit and the gain, the reference electrode and slow drift" in told
    suggested = re.search(r'\{"reject_peak_to_peak_uv": (\d+)\} would keep about (\d+)', told)
    assert suggested
    larger = extract(too_loud, Parameters(reject_peak_to_peak_uv=float(suggested[1])))
    assert larger.rejection.n_kept == pytest.approx(int(suggested[2]), abs=2)
    assert larger.rejection.n_kept >= 0.7 * N_FLASHES
    assert larger.rejection.few_kept == ""


def test_gaps_marked_spans_and_ends_are_counted_apart() -> None:
    onsets = MADE.onsets
    gaps = tuple(int(onset) + 10 for onset in onsets[4:40:2])
    features = extract(loud(0.2, gaps=gaps, bad_spans=((int(onsets[50]), int(onsets[-12])),)))
    rejection = features.rejection
    assert rejection.n_kept < N_FLASHES / 2
    assert f"{rejection.n_across_gaps} are at a gap in it; {rejection.n_marked_bad} are in spans marked as bad" in (
        rejection.few_kept
    )
    assert "uV" not in rejection.few_kept


def test_a_few_loud_electrodes_are_named() -> None:
    over = np.zeros((10, 8), bool)
    over[:7, :2] = True
    rejection = Rejection(10, 0, 3, {name: int(n) for name, n in zip(MADE.names, over.sum(axis=0), strict=True)})
    told = few_kept(rejection, over, np.zeros_like(over), np.where(over, 9e-4, 5e-5), Parameters())
    assert f"{MADE.names[0]} (7), {MADE.names[1]} (7)" in told
    assert "check these electrodes, or declare them bad" in told
    assert "would keep" not in told, "no limit is suggested that lets artifacts in"


def test_missing_samples_are_no_amplitude() -> None:
    uv = MADE.uv.copy()
    uv[:, MADE.onsets[50] :] = 0.0
    told = extract(Recording(tuple(MADE.names), SFREQ, uv * 1e-6, MADE.stim)).rejection.few_kept
    assert "miss samples: check the amplifier's connection" in told
    assert "uV" not in told


@pytest.mark.real_data
def test_bci2000s_sample_says_that_few_are_kept() -> None:
    from p300.readers import open_recording

    told = extract(open_recording(file("formats/bci2000/eeg3_1.dat"))).rejection.few_kept
    assert told.startswith("only 51 of 720 epochs are kept (7 %")
    assert '{"reject_peak_to_peak_uv": 200} would keep about 6' in told
