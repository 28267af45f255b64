"""Amplitudes that are possible but unlikely leave a note: a wrong gain of all channels, or of one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.readers import open_recording
from p300.readers.amplitudes import unusual

from tests.support.labs import FORMATS, Lab, generated, lab, write


def told(notes: tuple[str, ...] | list[str]) -> list[str]:
    return [note for note in notes if "amplitude" in note]


@given(st.sampled_from(FORMATS), st.integers(0, 50), st.integers(0, 7), st.sampled_from([0.03, 0.1, 1.0, 10.0, 30.0]))
@generated(24)
def test_one_channel_of_another_gain_is_named(
    tmp_path: Path, extension: str, seed: int, channel: int, factor: float
) -> None:
    made = lab(seed)
    made.uv[channel] *= factor
    notes = told(open_recording(write(tmp_path, made, extension)).notes)
    if factor == 1:
        assert notes == []
        return
    (note,) = notes
    assert f"others' median: {made.names[channel]} " in note
    assert not any(f"{other} " in note.partition("median: ")[2] for other in made.names if other != made.names[channel])


@given(st.sampled_from(FORMATS), st.integers(0, 50), st.sampled_from([0.1, 1.0, 10.0]))
@generated(12)
def test_a_gain_that_is_wrong_throughout_is_noted(tmp_path: Path, extension: str, seed: int, factor: float) -> None:
    made = lab(seed)
    notes = told(open_recording(write(tmp_path, Lab(factor * made.uv, made.names, made.stim), extension)).notes)
    assert bool(notes) == (factor != 1)
    assert all("amplitude unusual for scalp EEG" in note and "Check the gain" in note for note in notes)


@pytest.mark.parametrize("movement_uv", [[], [0, 0], [5], [5, 5, 0], [3.8] * 16, [22] * 8])
def test_usual_amplitudes_have_no_note(movement_uv: list[float]) -> None:
    names = [f"E{number}" for number in range(len(movement_uv))]
    assert unusual(np.array(movement_uv) * 1e-6, names) == []
