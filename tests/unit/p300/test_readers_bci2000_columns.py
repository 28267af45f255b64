"""Tables with BCI2000's states: neither column is the class of a flash, and what a refusal says to write is read."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.inspection import inspect
from p300.readers import open_recording

from tests.support.generated import CHANNELS, Session

MADE = Session(n_repetitions=5)
CODE = MADE.line(MADE.groups, width=10)
TYPE = MADE.line(MADE.labels - 1, width=10)


def written(path: Path, prefix: str, columns: Mapping[str, NDArray[np.integer]]) -> Path:
    """Write a csv file with the names of electrodes, or with the prefix of EEG columns."""
    names = ["time", *(f"{prefix}{channel}" for channel in CHANNELS), *columns]
    rows = np.column_stack([np.arange(MADE.n_samples) / MADE.sfreq, *MADE.eeg_uv, *columns.values()])
    np.savetxt(path, rows, "%.6f", ",", header=",".join(names), comments="")
    return path


@pytest.mark.parametrize("prefix", ["", "eeg_"])
@pytest.mark.parametrize("empty_stim", [False, True])
def test_what_to_write_in_place_of_the_two_states_is_read(tmp_path: Path, prefix: str, empty_stim: bool) -> None:
    stim = {"stim": np.zeros_like(CODE)} if empty_stim else {}
    path = written(tmp_path / "a.csv", prefix, {**stim, "StimulusCode": CODE, "StimulusType": TYPE})
    with pytest.raises(RecordingError) as refusal:
        open_recording(path)
    message = refusal.value.message
    assert "'stim' with 0 where StimulusCode is 0, else 2 where StimulusType is 1 and 1 where it is 0" in message
    assert "'flash' with StimulusCode" in message
    assert "event_column" not in message
    assert "rename it" not in message
    assert inspect(path).mapping == {}
    as_told = {"stim": np.where(CODE == 0, 0, np.where(TYPE == 1, 2, 1)), "flash": CODE}
    found = open_recording(written(path, prefix, as_told)).flashes
    np.testing.assert_array_equal(found.onset_sample, MADE.onsets)
    np.testing.assert_array_equal(found.label, MADE.labels)
    np.testing.assert_array_equal(found.flash, MADE.groups)
