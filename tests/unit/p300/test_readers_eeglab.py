"""EEGLAB's structures that MNE-Python fails on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from p300.readers import open_recording

from tests.support.labs import lab, write
from tests.support.readers import refused


def with_chaninfo(path: Path, value: Any, *, apart: bool = False) -> Path:
    """Give a .set file a chaninfo, in the structure EEG or, as newer versions write it, among variables of their own."""
    eeg = scipy.io.loadmat(path, simplify_cells=True)["EEG"]
    eeg = {**eeg, "event": np.array(eeg["event"]), "chanlocs": np.array(eeg["chanlocs"]), "chaninfo": value}
    scipy.io.savemat(path, eeg if apart else {"EEG": eeg}, appendmat=False, oned_as="row")
    return path


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("value", [[], "", np.zeros((0, 0)), 1.0], ids=["list", "text", "array", "number"])
def test_a_chaninfo_without_fields_is_refused_with_what_to_write(tmp_path: Path, value: Any, apart: bool) -> None:
    path = with_chaninfo(write(tmp_path, lab(), "set"), value, apart=apart)
    refused(path, "unreadable", "EEG.chaninfo is empty or no structure", "struct('nosedir', '+X')")


@pytest.mark.parametrize("apart", [False, True])
def test_a_chaninfo_with_fields_is_read(tmp_path: Path, apart: bool) -> None:
    made = lab()
    found = open_recording(with_chaninfo(write(tmp_path, made, "set"), {"nosedir": "+X"}, apart=apart))
    np.testing.assert_array_equal(found.flashes.onset_sample, made.onsets)
