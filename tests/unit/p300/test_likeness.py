"""Copies of a recording are found however they were exported, and nothing else is taken for one."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from p300 import likeness
from p300.likeness import alike, sketch
from p300.readers import read_recording
from p300.recording import Recording
from p300.signals import extract
from p300.synth import write_subjects
from scipy.signal import butter, resample_poly, sosfiltfilt

from tests.support import real_data
from tests.support.features import make_features

Export = Callable[[Recording], Recording]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    """Three people's, made up."""
    paths = write_subjects(tmp_path_factory.mktemp("synthetic"), [1, 2, 3], n_repetitions=10)
    return {path.parent.name: read_recording(path) for path in paths}


def data(recording: Recording, change: Callable[[Any], Any]) -> Recording:
    return dataclasses.replace(recording, data=change(np.asarray(recording.data, np.float64)))


def later(recording: Recording, n_samples: int) -> Recording:
    flash = None if recording.flash is None else np.roll(recording.flash, n_samples)
    return dataclasses.replace(recording, stim=np.roll(recording.stim, n_samples), flash=flash)


def from_sample(recording: Recording, first: int) -> Recording:
    flash = None if recording.flash is None else recording.flash[first:]
    return dataclasses.replace(
        recording, data=np.asarray(recording.data)[:, first:], stim=recording.stim[first:], flash=flash
    )


def twice_the_rate(recording: Recording) -> Recording:
    def spread(column: Any) -> Any:
        wide = np.zeros(2 * len(column), column.dtype)
        wide[::2] = column
        return wide

    return dataclasses.replace(
        recording,
        sfreq=2 * recording.sfreq,
        data=resample_poly(np.asarray(recording.data, np.float64), 2, 1, axis=1),
        stim=spread(recording.stim),
        flash=None if recording.flash is None else spread(recording.flash),
    )


def filtered(recording: Recording) -> Recording:
    band = butter(2, [0.5, 30], fs=recording.sfreq, btype="band", output="sos")
    return data(recording, lambda values: sosfiltfilt(band, values))


EXPORTS: dict[str, Export] = {
    "the same": lambda r: r,
    "gain": lambda r: data(r, lambda x: 0.5 * x),
    "gain of each channel": lambda r: data(r, lambda x: x * np.linspace(0.8, 1.3, len(x))[:, None]),
    "sign": lambda r: data(r, lambda x: -x),
    "average reference": lambda r: data(r, lambda x: x - x.mean(axis=0)),
    "another reference": lambda r: data(r, lambda x: x - 0.9 * x[2]),
    "rounded to microvolts": lambda r: data(r, lambda x: np.round(x * 1e6) * 1e-6),
    "trigger a few milliseconds later": lambda r: later(r, round(0.012 * r.sfreq)),
    "without its first third": lambda r: from_sample(r, r.stim.size // 3),
    "twice the rate": twice_the_rate,
    "filtered before": filtered,
}


@pytest.mark.parametrize("export", EXPORTS)
def test_a_copy_is_found_however_it_was_exported(recordings: dict[str, Recording], export: str) -> None:
    sketches = {name: sketch(extract(recording).epochs) for name, recording in recordings.items()}
    sketches["copy"] = sketch(extract(EXPORTS[export](recordings["subject_02"])).epochs)
    assert list(alike(sketches)) == [("subject_02", "copy")]


@pytest.mark.parametrize("n_channels", [1, 2, 8])
def test_other_people_are_not_alike_however_few_channels_there_are(
    recordings: dict[str, Recording], n_channels: int
) -> None:
    sketches = {name: sketch(extract(one).epochs[:, :n_channels]) for name, one in recordings.items()}
    assert not list(alike(sketches))


def test_many_recordings_are_compared_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "MANY", 3)
    sketches = {str(seed): sketch(make_features(seed=seed, n_times=20).epochs) for seed in range(6)}
    sketches["copy"] = sketches["4"]
    assert list(alike(sketches)) == [("4", "copy")]


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 2), (2, 1, 3), (3, 2, 70)])
@pytest.mark.parametrize("value", [0.0, 1e-5])
def test_hardly_anything_can_be_compared_too(shape: tuple[int, int, int], value: float) -> None:
    found = list(alike({"a": sketch(np.full(shape, value)), "b": sketch(np.full(shape, value))}))
    assert found in ([], [("a", "b")])
    assert not list(alike({"a": sketch(np.full(shape, value))}))
    assert not list(alike({}))


@pytest.mark.real_data
def test_runs_of_real_people_are_not_alike() -> None:
    sketches = {
        path.stem: sketch(extract(read_recording(path)).epochs) for path in real_data.recordings("bnci_2015_003")
    }
    assert not list(alike(sketches))
