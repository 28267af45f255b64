"""A gain that changes within a recording leaves a note."""

import numpy as np
import pytest
from p300.recording import Recording
from p300.signals import Parameters, extract
from p300.signals.steadiness import changed_gain

from tests.support.labs import SFREQ, Lab, lab


def notes_of(made: Lab) -> list[str]:
    stream = Recording(tuple(made.names), SFREQ, made.uv * 1e-6, made.stim)
    return [note for note in extract(stream, Parameters()).notes if "amplitude changes" in note]


@pytest.mark.parametrize("factor", [0.1, 1 / 15, 6.0, 10.0])
def test_a_gain_that_changes_is_noted_with_its_time_and_channels(factor: float) -> None:
    made = lab(2, n_repetitions=10)
    half = made.uv.shape[1] // 2
    one = Lab(made.uv.copy(), made.names, made.stim)
    one.uv[3, half:] *= factor
    (note,) = notes_of(one)
    assert f"{made.names[3]} {'0.' if factor < 1 else ''}" in note
    assert not any(f"{name} " in note.partition(": ")[2] for n, name in enumerate(made.names) if n != 3)
    whole = Lab(made.uv.copy(), made.names, made.stim)
    whole.uv[:, half:] *= factor
    (note,) = notes_of(whole)
    assert all(f"{name} " in note for name in made.names[:5])


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_gain_has_no_note(seed: int) -> None:
    made = lab(seed, n_repetitions=10)
    assert notes_of(made) == []
    rng = np.random.default_rng(seed)
    made.uv *= rng.uniform(0.5, 2, (len(made.uv), 1))
    assert notes_of(made) == []


@pytest.mark.parametrize("n_epochs", [0, 1, 19, 40])
def test_epochs_too_few_to_compare_have_no_note(n_epochs: int) -> None:
    sizes = np.ones((n_epochs, 2))
    assert changed_gain(sizes, np.arange(n_epochs), SFREQ, ["Fz", "Cz"]) == []
