"""A small recording, and how to write it in every layout the readers know."""

import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers import open_recording

N_SAMPLES = 2560
ONSETS = np.arange(100, 2460, 60)
LABELS = np.where(np.arange(len(ONSETS)) % 6 == 0, 2, 1)


def eeg_uv(n_channels: int) -> NDArray[np.float64]:
    """EEG-like noise, shape (N_SAMPLES, n_channels), in microvolts."""
    return np.random.default_rng(0).normal(0, 20, (N_SAMPLES, n_channels)).round(3)


def stim(non_target: int = 1, target: int = 2) -> NDArray[np.float64]:
    """One code at each flash's first sample."""
    codes = np.zeros(N_SAMPLES)
    codes[ONSETS] = np.where(LABELS == 2, target, non_target)
    return codes


def flash_codes() -> NDArray[np.float64]:
    """Brain Invaders codes that tell rows and columns: every row and every column occurs."""
    codes = np.zeros(N_SAMPLES)
    base = np.where(LABELS == 2, 60, 20) + 20 * (np.arange(len(ONSETS)) // 2 % 2)
    codes[ONSETS] = base + np.arange(len(ONSETS)) % 6
    return codes


def write_parquet(path: Path, metadata: dict[str, str] | None = None, n_channels: int = 3, **columns: object) -> Path:
    """Write eeg_A, eeg_B ... and stim; keyword columns replace or add, None leaves one out."""
    table: dict[str, object] = {f"eeg_{chr(65 + i)}": row for i, row in enumerate(eeg_uv(n_channels).T)}
    table |= {"stim": stim().astype(np.int32)} | columns
    table = {name: column for name, column in table.items() if column is not None}
    metadata = {"sfreq": "256"} if metadata is None else metadata
    pq.write_table(pa.table(table).replace_schema_metadata(metadata), path)
    return path


def write_brainvision(path: Path, markers: list[tuple[str, int]], sfreq: float = 256.0) -> Path:
    """Write path (.vhdr) with its .vmrk and .eeg: three channels, int16 in tenths of a microvolt."""
    eeg = np.round(eeg_uv(3) * 10).astype("<i2")
    path.with_suffix(".eeg").write_bytes(eeg.tobytes())
    lines = [f"Mk{i}=Stimulus,{name},{sample + 1},1,0" for i, (name, sample) in enumerate(markers, 1)]
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\n"
        f"Codepage=UTF-8\nDataFile={path.stem}.eeg\n\n[Marker Infos]\n" + "\n".join(lines) + "\n"
    )
    channels = "\n".join(f"Ch{i}={name},,0.1,µV" for i, name in enumerate(("Fz", "Cz", "Pz"), 1))
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\nMarkerFile={path.stem}.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        f"NumberOfChannels=3\nSamplingInterval={1e6 / sfreq}\n\n[Binary Infos]\nBinaryFormat=INT_16\n\n"
        f"[Channel Infos]\n{channels}\n"
    )
    return path


def write_edf(path: Path, bdf: bool = False) -> Path:
    """Write Fz, Cz, Pz and a trigger channel as EDF (16 bit) or BDF (24 bit), in records of one second."""
    width, highest = (3, 2**23 - 1) if bdf else (2, 2**15 - 1)
    names = ["Fz", "Cz", "Pz", "Status"]
    physical = [3276.7, 3276.7, 3276.7, highest]
    n_records = N_SAMPLES // 256
    header = (b"\xffBIOSEMI" if bdf else b"0".ljust(8)) + b"X".ljust(80) + b"Startdate 01-JAN-2020".ljust(80)
    header += b"01.01.2000.00.00" + str(256 * 5).encode().ljust(8) + (b"24BIT" if bdf else b"").ljust(44)
    header += str(n_records).encode().ljust(8) + b"1".ljust(8) + b"4".ljust(4)
    for field, size in (
        (names, 16),
        ([""] * 4, 80),
        (["uV"] * 3 + [""], 8),
        ([f"{-p:g}"[:8] for p in physical], 8),
        ([f"{p:g}"[:8] if p < 1e6 else str(int(p)) for p in physical], 8),
        ([str(-highest)] * 4, 8),
        ([str(highest)] * 4, 8),
        ([""] * 4, 80),
        (["256"] * 4, 8),
        ([""] * 4, 32),
    ):
        header += b"".join(str(value).encode().ljust(size) for value in field)
    digital = np.column_stack([np.round(eeg_uv(3) / 3276.7 * highest), stim()]).astype("<i4")
    records = digital.reshape(n_records, 256, 4).swapaxes(1, 2)
    packed = b"".join(struct.pack("<i", value)[:width] for value in records.ravel().tolist())
    path.write_bytes(header + packed)
    return path


def refused(path: Path, code: str, *words: str) -> None:
    """A recording of subject_01 is refused with this code and, in its message, these words."""
    with pytest.raises(RecordingError) as raised:
        open_recording(path, name=f"subject_01/{path.name}")
    assert raised.value.code == code, raised.value
    assert raised.value.message.startswith(f"subject_01/{path.name}")
    assert all(word in raised.value.message for word in words), raised.value
