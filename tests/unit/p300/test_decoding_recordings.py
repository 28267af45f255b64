"""Symbols of real people: five subjects' two runs, one word each, epochs as the pipeline makes them; benchmarks/decoding.py says more."""

from functools import cache

import numpy as np
import pytest
from p300.decoding import Response, SessionDecoder, attended, grid, split_trials, with_gaps
from p300.decoding.layouts import SPELLER_6X6
from p300.models import RecordingEpochs
from p300.readers import read_recording
from p300.signals import Parameters, extract

from tests.support.real_data import recordings

pytestmark = pytest.mark.real_data
SUBJECTS = [f"subject_{n:02d}" for n in range(6, 11)]
LAYOUT = grid(SPELLER_6X6)


@cache
def run(subject, number):
    """Features of all flashes, NaN where the epoch was rejected."""
    (path,) = (path for path in recordings("bnci_2015_003") if path.stem == f"{subject}_run_{number:02d}_eeg_stim")
    recording = read_recording(path)
    features = extract(recording, Parameters())
    assert recording.flash is not None
    onsets = np.flatnonzero(recording.stim)
    lit, target = LAYOUT.lit(recording.flash[onsets]), recording.stim[onsets] == 2
    trials = split_trials(onsets)
    epochs = RecordingEpochs(f"{subject}/{number}", subject, features.X, features.label, 8)
    return epochs, with_gaps(features.X, features.onset_sample, onsets), lit, target, trials


@pytest.mark.parametrize("subject", SUBJECTS)
def test_codes_are_columns_then_rows_and_spell_the_words(subject):
    for number, word in ((1, "LUKAS"), (2, "WATER")):
        _, _, lit, target, trials = run(subject, number)
        assert [t.stop - t.start for t in trials] == [180] * 5
        symbols = [attended(lit[trial], target[trial]) for trial in trials]
        assert "".join(LAYOUT.symbols[symbol] for symbol in symbols if symbol is not None) == word


def decisions(training, n, *, revised=False):
    """Decode run 2 of everybody after n repetitions of every symbol; yields whether right, and the confidence."""
    for subject in SUBJECTS:
        _, X, lit, target, trials = run(subject, 2)
        response = Response.fit([run(*key)[0] for key in training(subject)], 100.0)
        parts = [np.arange(trial.start, trial.start + 12 * n) for trial in trials]
        slices = [slice(12 * n * k, 12 * n * (k + 1)) for k in range(len(parts))]
        for k, part in enumerate(parts):
            session = np.concatenate(parts if revised else parts[: k + 1])
            so_far = slices if revised else slices[: k + 1]
            decoding = SessionDecoder(response).fit(X[session], lit[session], so_far).decode(k)
            yield decoding.best == attended(lit[part], target[part]), decoding.confidence


def own(subject):
    return [(subject, 1)]


def others(subject):
    return [(other, number) for other in SUBJECTS if other != subject for number in (1, 2)]


@pytest.mark.parametrize(
    ("training", "n", "at_least"),  # of 25; measured: 20, 23, 19, 24
    [(own, 4, 17), (own, 15, 21), (others, 4, 16), (others, 15, 22)],
)
def test_symbols_right(training, n, at_least):
    assert sum(right for right, _ in decisions(training, n)) >= at_least


def test_what_is_said_to_be_sure_is_right():
    found = [pair for training in (own, others) for n in (4, 8, 15) for pair in decisions(training, n)]
    sure = [right for right, confidence in found if confidence >= 0.9]
    assert len(sure) >= 50  # of 150
    assert np.mean(sure) >= 0.9
