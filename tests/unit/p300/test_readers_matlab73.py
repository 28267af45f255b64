"""MATLAB's files of version 7.3: the same as those of version 7, and nothing from outside of them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from p300.errors import RecordingError
from p300.readers import open_recording, read_recording
from p300.readers.companions import companions

from tests.fuzz.corpus import matrix
from tests.support.labs import lab, write
from tests.support.matlab73 import write_mat73


def refusal(path: Path) -> RecordingError:
    with pytest.raises(RecordingError) as refused:
        open_recording(path)
    return refused.value


@pytest.mark.parametrize("extension", ["mat", "set"])
def test_equal_to_version_7(tmp_path: Path, extension: str) -> None:
    row = np.random.default_rng(0).normal(0, 30, (1, lab().uv.shape[1]))
    made = lab().with_channel(row, "EOG", kind="eog")
    older = read_recording(write(tmp_path, made, extension, stem="b"))
    newer = read_recording(write(tmp_path, made, extension, latest=True))
    assert (newer.ch_names, newer.sfreq, newer.notes) == (older.ch_names, older.sfreq, older.notes)
    np.testing.assert_array_equal(newer.data, older.data)
    np.testing.assert_array_equal(newer.stim, older.stim)


def test_brain_invaders_matrices_are_read(tmp_path: Path) -> None:
    found = read_recording(write_mat73(tmp_path / "a.mat", {"samples": matrix()}))
    assert (len(found.ch_names), found.sfreq) == (16, 512.0)


def test_a_data_set_names_the_file_of_its_signal(tmp_path: Path) -> None:
    made = lab()
    write(tmp_path, made, "set", latest=True)
    with h5py.File(tmp_path / "a.set", "r+") as file:
        del file["EEG/data"]
        file["EEG"].create_dataset("data", data=np.array([[ord(c)] for c in "a.fdt"], "<u2"))
        file["EEG/data"].attrs["MATLAB_class"] = np.bytes_("char")
    made.uv.T.astype("<f4").tofile(tmp_path / "a.fdt")
    assert companions(tmp_path / "a.set") == ("a.fdt",)
    np.testing.assert_allclose(read_recording(tmp_path / "a.set").data, made.uv * 1e-6, rtol=1e-6)


def soft(file: h5py.File) -> None:
    file["samples"] = h5py.SoftLink("/data")
    file["data"] = matrix().T


def outside(file: h5py.File) -> None:
    file["samples"] = h5py.ExternalLink("/etc/passwd", "/data")


def elsewhere(file: h5py.File) -> None:
    file.create_dataset("samples", (18, 800), "<f8", external=[("/dev/zero", 0, 18 * 800 * 8)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((18, 800), "<f8")
    layout[:] = h5py.VirtualSource("other.mat", "samples", (18, 800))
    file.create_virtual_dataset("samples", layout)


def huge(file: h5py.File) -> None:
    file.create_dataset("samples", (18, 10**12), "<f8", chunks=(18, 1000))


def large_chunks(file: h5py.File) -> None:
    file.create_dataset(
        "samples", data=np.zeros((18, 800)), maxshape=(None, None), chunks=(18, 1 << 20), compression="gzip"
    )


@pytest.mark.parametrize(
    "hostile", [soft, outside, elsewhere, virtual, huge, large_chunks], ids=lambda one: one.__name__
)
def test_what_is_not_in_the_file_or_not_of_its_size_is_refused(tmp_path: Path, hostile: Any) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        hostile(file)
    assert refusal(tmp_path / "a.mat").code in {"unreadable", "too_large"}
