"""g.tec's .hdf5: EEG, channel names, and events by name."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from p300.errors import RecordingError
from p300.readers import open_recording, read_recording
from p300.readers.declared import Declared

from tests.support.gtec import write_gtec
from tests.support.readers import LABELS, ONSETS, eeg_uv, stim

NAMES = ["Target" if label == 2 else "NonTarget" for label in LABELS]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_reads_eeg_and_flashes(tmp_path: Path, kind: type) -> None:
    found = read_recording(write_gtec(tmp_path / "a.hdf5", eeg_uv(3).T.astype(kind), ONSETS, NAMES))
    assert (found.ch_names, found.sfreq) == (("Fz", "Cz", "Pz"), 256.0)
    assert found.notes == ("unit not in the file: taken as microvolts",)
    np.testing.assert_allclose(found.data, eeg_uv(3).T * 1e-6, rtol=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


def test_other_names_of_events_are_declared(tmp_path: Path) -> None:
    path = write_gtec(
        tmp_path / "a.hdf5", eeg_uv(3).T, ONSETS, ["port 2" if label == 2 else "port 1" for label in LABELS]
    )
    with pytest.raises(RecordingError, match="port 1") as refused:
        open_recording(path)
    assert refused.value.code == "unknown_codes"
    found = read_recording(path, declared=Declared(event_id={"port 1": 1, "port 2": 2}, unit="uV"))
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


def test_a_trigger_channel_has_the_flashes_where_there_are_no_events(tmp_path: Path) -> None:
    uv = np.vstack([eeg_uv(3).T, stim()])
    found = read_recording(write_gtec(tmp_path / "a.hdf5", uv, [], [], channels=("Fz", "Cz", "Pz", "TRIG")))
    assert found.ch_names == ("Fz", "Cz", "Pz")
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


def test_another_hdf5_file_is_refused_with_what_to_export(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["x"] = 1
    with pytest.raises(RecordingError, match=r"RawData/Samples.*as csv or parquet") as refused:
        open_recording(tmp_path / "a.hdf5")
    assert refused.value.code == "missing_eeg"


@pytest.mark.parametrize("key", ["Time", "TypeID", "Value"])
def test_events_that_do_not_belong_together_are_refused(tmp_path: Path, key: str) -> None:
    path = write_gtec(tmp_path / "a.hdf5", eeg_uv(3).T, ONSETS, NAMES)
    with h5py.File(path, "r+") as file:
        shorter = file[f"AsynchronData/{key}"][:-1]
        del file[f"AsynchronData/{key}"]
        file[f"AsynchronData/{key}"] = shorter
    with pytest.raises(RecordingError) as refused:
        open_recording(path)
    assert refused.value.code == "unreadable"
