"""A personal model is compared with the population's on flashes that it did not learn from, and that overlap none of those."""

import numpy as np
import pytest
from p300 import models
from p300.models import RecordingEpochs, personal_comparison
from p300.models.personal import PersonalModel
from p300.models.personal_comparison import N_BLOCKS, compare_by_recording, compare_by_time, statistics_of, total

from tests.support.spellers import LATER, N_CHANNELS, N_TIMES, SFREQ, person, recordings

GAP = 25.0


@pytest.fixture(scope="module")
def population():
    people = list(recordings(range(6)))
    return models.make("lda", n_channels=N_CHANNELS, n_times=N_TIMES).fit_recordings(people).to_arrays() | _response()


def _response():
    from p300.decoding import Response

    return Response.fit(list(recordings(range(6))), SFREQ).to_arrays()


def run(name, seed):
    X, _, y, _ = person(seed, **LATER)
    return RecordingEpochs(name, "subject_07", X, y, N_CHANNELS, onset=10 * np.arange(len(y)))


def test_blocks_of_time_learn_from_nothing_that_overlaps_them(population, monkeypatch):
    recording, learnt_from = run("a", 100), []

    def seen(of, rest):
        learnt_from.append(rest.onset)
        return statistics_of(of, rest)

    monkeypatch.setattr(personal_comparison, "statistics_of", seen)
    (compared,) = compare_by_time(population, recording, GAP)
    assert compared.n_flashes == len(recording.y)
    assert compared.auc_personal > compared.auc_population
    blocks = np.array_split(recording.onset, N_BLOCKS)
    assert len(learnt_from) == len(blocks)
    for block, onsets in zip(blocks, learnt_from, strict=True):
        assert np.abs(block[:, None] - onsets).min() > GAP
        assert len(onsets) + len(block) >= len(recording.y) - 2 * np.ceil(GAP / 10)


def test_a_recording_with_too_little_beside_a_block_is_not_compared(population):
    recording = run("a", 100)
    assert compare_by_time(population, recording, gap=1e9) == []
    assert compare_by_time(population, recording.take(np.arange(3)), GAP) == []


def test_each_recording_is_tested_by_the_others_alone(population, monkeypatch):
    first, second, third = (run(name, 100 + number) for number, name in enumerate("abc"))
    statistics = {one.recording: statistics_of(population, one) for one in (first, second, third)}
    used = []

    def seen(of, known):
        used.append(known.n_epochs)
        return PersonalModel(of, known)

    monkeypatch.setattr(personal_comparison, "PersonalModel", seen)
    compared = compare_by_recording(population, [first, second, third], statistics)
    assert [one.recording for one in compared] == ["a", "b", "c"]
    assert used == [len(second.y) + len(third.y), len(first.y) + len(third.y), len(first.y) + len(second.y)]


def test_statistics_add_up_in_any_order(population):
    one, other = (statistics_of(population, run(name, seed)) for name, seed in (("a", 100), ("b", 101)))
    np.testing.assert_array_equal(total([one, other]).contrast, total([other, one]).contrast)
