"""Writes Neuroscan .cnt files: a header, electrodes, samples, and a table of events."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SETUP_BYTES, CHANNEL_BYTES = 900, 75
KINDS = {"int16": "<i2", "int32": "<i4"}


def write_cnt(
    path: Path,
    uv: NDArray[np.floating],
    onsets: Sequence[int],
    codes: Sequence[int],
    *,
    names: Sequence[str] = ("Fz", "Cz", "Pz"),
    sfreq: int = 256,
    kind: str = "int32",
    step_uv: float = 1e-3,
    baseline: int = 0,
    event_type: int = 2,
    block: int = 0,
    date: str = "11/27/26",
    bad: Sequence[str] = (),
) -> Path:
    """Write EEG of shape (n_channels, n_samples), each number `step_uv` microvolts, and events, which MNE-Python finds a sample earlier."""
    n_channels, n_samples = uv.shape
    width = np.dtype(KINDS[kind]).itemsize
    begin = SETUP_BYTES + CHANNEL_BYTES * n_channels
    table = begin + n_samples * n_channels * width
    setup = bytearray(SETUP_BYTES)
    setup[:11] = b"Version 3.0"
    setup[225 : 225 + len(date)] = date.encode()
    setup[235:243] = b"12:34:56"
    struct.pack_into("<H", setup, 370, n_channels)
    struct.pack_into("<H", setup, 376, sfreq)
    struct.pack_into("<i", setup, 864, n_samples)
    struct.pack_into("<i", setup, 886, table)
    struct.pack_into("<i", setup, 894, block * width)
    electrodes = bytearray(CHANNEL_BYTES * n_channels)
    for number, name in enumerate(names):
        at = CHANNEL_BYTES * number
        electrodes[at : at + 10] = name.encode()[:10].ljust(10, b"\0")
        electrodes[at + 14] = name in bad
        angle = 2 * np.pi * number / n_channels
        struct.pack_into("<ff", electrodes, at + 19, 100 + 80 * np.cos(angle), 100 + 60 * np.sin(angle))
        struct.pack_into("<h", electrodes, at + 47, baseline)
        struct.pack_into("<f", electrodes, at + 59, 204.8)
        struct.pack_into("<f", electrodes, at + 71, step_uv)
    numbers = (np.round(uv / step_uv) + baseline).astype(KINDS[kind])
    if block:
        numbers = numbers.reshape(n_channels, -1, block).transpose(1, 0, 2)
        samples = np.ascontiguousarray(numbers).tobytes()
    else:
        samples = np.ascontiguousarray(numbers.T).tobytes()
    events = b""
    for onset, code in zip(onsets, codes, strict=True):
        place = onset + 1 if event_type == 3 else begin + (onset + 1) * n_channels * width
        events += struct.pack("<HBci", code, 0, b"\0", place)
        if event_type != 1:
            events += struct.pack("<hhfccc", 0, 0, 0.0, b"\0", b"\0", b"\0")
    path.write_bytes(bytes(setup + electrodes) + samples + struct.pack("<Bii", event_type, len(events), 0) + events)
    return path
