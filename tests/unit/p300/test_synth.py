"""Synthetic subjects: the same seed gives the same bytes of signal, and every repetition is a whole one."""

from pathlib import Path

import numpy as np
from p300.readers import read_recording
from p300.synth import write_subjects


def test_same_seed_same_recording(tmp_path: Path) -> None:
    first, again, other = (
        read_recording(write_subjects(tmp_path / f"{run}", [7], seed, n_repetitions=3)[0])
        for run, seed in enumerate((1, 1, 2))
    )
    np.testing.assert_array_equal(first.data, again.data)
    assert not np.array_equal(first.stim, other.stim)


def test_a_repetition_flashes_every_group_once_with_two_targets(tmp_path: Path) -> None:
    recording = read_recording(write_subjects(tmp_path, [1], n_repetitions=4)[0])
    onsets = np.flatnonzero(recording.stim)
    assert recording.flash is not None
    for repetition in onsets.reshape(4, 12):
        assert sorted(recording.flash[repetition]) == list(range(1, 13))
        assert (recording.stim[repetition] == 2).sum() == 2
    assert recording.sfreq == 512
    assert len(recording.ch_names) == 16
