"""Recordings that were cut into epochs already are refused with what they are, and what to save instead."""

from pathlib import Path

import mne
import numpy as np
import pytest
import scipy.io
from p300.errors import RecordingError
from p300.readers import open_recording

from tests.fuzz.corpus import eeglab
from tests.support.matlab73 import write_mat73


def refusal(path: Path) -> RecordingError:
    with pytest.raises(RecordingError) as refused:
        open_recording(path)
    return refused.value


@pytest.mark.parametrize("latest", [False, True])
def test_an_eeglab_data_set_of_epochs(tmp_path: Path, latest: bool) -> None:
    cut = eeglab(trials=4.0, pnts=640.0, data=np.zeros((3, 640, 4)))["EEG"]
    if latest:
        write_mat73(
            tmp_path / "a.set", {"EEG": {key: cut[key] for key in ("nbchan", "trials", "pnts", "srate", "data")}}
        )
    else:
        scipy.io.savemat(tmp_path / "a.set", {"EEG": cut}, appendmat=False)
    refused = refusal(tmp_path / "a.set")
    assert (refused.code, "a data set of 4 epochs" in refused.message) == ("not_continuous", True)


@pytest.mark.parametrize("what", ["epochs", "averages"])
def test_a_fif_file_of_epochs_or_averages(tmp_path: Path, what: str) -> None:
    events = np.array([[100 * i, 0, 1 + i % 2] for i in range(8)])
    info = mne.create_info(["Fz", "Cz"], 256.0, "eeg")
    epochs = mne.EpochsArray(np.zeros((8, 2, 100)), info, events, verbose="error")
    path = tmp_path / ("a-epo.fif" if what == "epochs" else "a-ave.fif")
    if what == "epochs":
        epochs.save(path, verbose="error")
    else:
        epochs.average().save(path, verbose="error")
    refused = refusal(path)
    assert (refused.code, f"holds {what}" in refused.message) == ("not_continuous", True), refused.message
