"""The structure checks refuse no file that the libraries behind them write or read."""

import datetime
import itertools
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pytest
import scipy.io
import scipy.io.matlab
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.readers.matlab_files import check_matlab
from scipy import sparse

from tests.support.labs import SFREQ, lab, write

SCIPYS = Path(scipy.io.matlab.__file__).parent / "tests" / "data"
VALUES = {
    "logical": np.array([True, False]),
    "complex": np.ones((3, 4)) * 1j,
    "int8": np.arange(100, dtype=np.int8),
    "uint64": np.arange(3, dtype=np.uint64),
    "float32": np.ones((2, 3), np.float32),
    "empty": np.zeros((0, 3)),
    "scalar": 5,
    "text": "häß 日本",
    "texts": np.array(["a", "bcd"]),
    "no text": "",
    "cells": np.array(["a", 1, np.ones(3)], object),
    "cells in cells": np.array([np.array([1, "x"], object)], object),
    "no cells": np.empty((0,), object),
    "structure": {"a": 1, "b": {"c": "x" * 100}},
    "structures": np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
    "sparse": sparse.csc_matrix(np.eye(5)),
    "sparse complex": sparse.coo_matrix(np.eye(4) * 1j),
    "sparse logical": sparse.csc_matrix(np.eye(3) > 0),
    "four dimensions": np.zeros((2, 3, 4, 5)),
}


def raw() -> mne.io.RawArray:
    made = lab()
    info = mne.create_info([*made.names, "STI 014"], SFREQ, ["eeg"] * 8 + ["stim"], verbose="error")
    return mne.io.RawArray(np.vstack([made.uv * 1e-6, made.stim]), info, verbose="error")


def with_info(one: mne.io.BaseRaw) -> mne.io.BaseRaw:
    one.set_meas_date(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    one.info["subject_info"] = {"id": 1, "his_id": "ä", "sex": 1, "hand": 1, "birthday": datetime.date(1990, 1, 1)}
    one.info["description"], one.info["experimenter"], one.info["line_freq"] = "x" * 10_000, "Müller", 50
    one.info["device_info"] = {"type": "x", "model": "y", "serial": "1", "site": "z"}
    return one


FIF: dict[str, tuple[Callable[[mne.io.BaseRaw], mne.io.BaseRaw], dict[str, object]]] = {
    **{fmt: (lambda one: one, {"fmt": fmt}) for fmt in ("single", "double", "int", "short")},
    **{f"buffers of {seconds} s": (lambda one: one, {"buffer_size_sec": seconds}) for seconds in (0.01, 0.1, 1.0, 100.0)},
    "positions": (lambda one: one.set_montage("colin27_1005"), {}),
    "a projection": (lambda one: one.set_eeg_reference(projection=True, verbose="error"), {}),
    "a projection applied": (lambda one: one.set_eeg_reference(projection=True, verbose="error"), {"proj": True}),
    "all about the subject": (with_info, {}),
    "annotations of channels": (lambda one: one.set_annotations(mne.Annotations([1], [1], ["BAD"], ch_names=[["Cz"]])), {}),
    "many annotations": (lambda one: one.set_annotations(mne.Annotations(np.arange(0, 15, 0.01), 0, "x")), {}),
    "filtered": (lambda one: one.filter(1, 20, verbose="error"), {}),
    "a long name": (lambda one: one.rename_channels({"Cz": "Cz of the second amplifier"}), {}),
    "a part": (lambda one: one, {"tmin": 1, "tmax": 14}),
    "joined": (lambda one: mne.concatenate_raws([one, raw()], verbose="error"), {}),
    "split names": (lambda one: one, {"split_naming": "bids"}),
}  # fmt: skip


@pytest.mark.parametrize("what", FIF)
def test_what_mne_writes_is_read(tmp_path: Path, what: str) -> None:
    change, options = FIF[what]
    one = change(raw())
    one.save(tmp_path / "a_raw.fif", verbose="error", **options)
    assert open_recording(tmp_path / "a_raw.fif").ch_names == tuple(one.ch_names[:8])


@pytest.mark.parametrize("sentinel", [True, False])
def test_fif_with_a_directory_is_read(tmp_path: Path, sentinel: bool) -> None:
    """As MNE-C and acquisition software write it: places of all tags, and an entry of -1 at the end."""
    path = write(tmp_path, lab(), "fif")
    data = bytearray(path.read_bytes())
    entries, at, pointer = [], 0, 0
    while at >= 0:
        kind, value_type, size, following = struct.unpack(">iIii", data[at : at + 16])
        entries.append((kind, value_type, size, at))
        pointer = at + 16 if kind == 101 else pointer
        at = following or at + 16 + size
    if sentinel:
        entries.append((-1, 0xFFFFFFFF, -1, -1))
    data[pointer : pointer + 4] = struct.pack(">i", len(data))
    data += struct.pack(">iIii", 102, 32, 16 * len(entries), -1) + b"".join(
        struct.pack(">iIii", *one) for one in entries
    )
    path.write_bytes(data)
    assert mne.io.read_raw_fif(path, verbose="error").n_times == open_recording(path).n_samples


def test_fif_tags_out_of_order_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path, lab(), "fif")
    data = bytearray(path.read_bytes())
    size = struct.unpack(">i", data[8:12])[0]
    data[16 + size + 12 : 32 + size] = struct.pack(">i", 8)
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=r"FIF allows and this check does not.*save it again"):
        open_recording(path)


@pytest.mark.parametrize("path", sorted(SCIPYS.glob("*.mat")), ids=lambda path: path.name)
def test_what_scipy_reads_is_not_called_damaged(path: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scipy.io.loadmat(path)
    except Exception:  # whatever it raises at files that are meant to be damaged
        return
    check_matlab(path, path.name)


@pytest.mark.parametrize("what", VALUES)
def test_what_scipy_writes_is_not_called_damaged(tmp_path: Path, what: str) -> None:
    for compress, long_names, oned_as in itertools.product((False, True), (False, True), ("row", "column")):
        path = tmp_path / "a.mat"
        scipy.io.savemat(
            path, {"x": VALUES[what], "y": 1.0}, do_compression=compress, long_field_names=long_names, oned_as=oned_as
        )
        check_matlab(path, "a.mat")


def test_text_without_bytes_is_taken_up_to_a_length(tmp_path: Path) -> None:
    """SciPy fills in blanks, as many as the dimensions claim."""
    for length, refused in ((1, False), (1 << 30, True)):
        text = (
            struct.pack("<4I4I", 6, 8, 4, 0, 5, 8, 1, length)
            + struct.pack("<HH4s", 1, 1, b"x")
            + struct.pack("<2I", 4, 0)
        )
        header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x0100, b"IM")
        (tmp_path / "a.mat").write_bytes(header + struct.pack("<2I", 14, len(text)) + text)
        if refused:
            with pytest.raises(RecordingError, match="characters in 0 bytes"):
                check_matlab(tmp_path / "a.mat", "a.mat")
        else:
            check_matlab(tmp_path / "a.mat", "a.mat")
