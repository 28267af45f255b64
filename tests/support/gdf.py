"""Writes GDF files of version 1.25, 2.20 and others: records of each channel's samples, and a table of events."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TYPES = {3: "<i2", 5: "<i4", 16: "<f4", 17: "<f8"}
UNIT_CODES = {"V": 4256, "mV": 4274, "uV": 4275, "nV": 4276, "": 0, "degC": 6048}


def write_gdf(
    path: Path,
    values: NDArray[np.number],
    onsets: Sequence[int],
    codes: Sequence[int],
    *,
    names: Sequence[str] = ("Fz", "Cz", "Pz"),
    units: Sequence[str] = (),
    sfreq: float = 256.0,
    version: str = "2.20",
    kind: int = 17,
    gain: float = 1.0,
    per_record: int = 64,
    event_rate: float | None = None,
    mode: int = 3,
) -> Path:
    """Write numbers of shape (n_channels, n_samples), each `gain` of its unit, and events at samples of `event_rate`."""
    per_record = np.gcd(per_record, values.shape[1])
    second, n = float(version) >= 1.9, len(values)
    units = units or ["uV"] * n
    n_records = values.shape[1] // per_record
    fixed = f"GDF {version}".encode().ljust(8)
    duration = struct.pack("<II", per_record, int(sfreq))
    if second:
        fixed += b"X X".ljust(66) + bytes(110) + struct.pack("<H", n + 1)
        fixed = fixed.ljust(236, b"\0") + struct.pack("<q", n_records) + duration + struct.pack("<HH", n, 0)
    else:
        fixed += b"X X".ljust(80) + b"X".ljust(80) + b"2020010112000000" + struct.pack("<q", 256 * (n + 1))
        fixed = fixed.ljust(236, b"\0") + struct.pack("<q", n_records) + duration + struct.pack("<I", n)
    limit = 2.0**15 - 1
    described = b"".join(name.encode("latin-1").ljust(16, b"\0") for name in names) + bytes(80 * n)
    if second:
        described += bytes(6 * n) + b"".join(struct.pack("<H", UNIT_CODES.get(unit, 6048)) for unit in units)
    else:
        described += b"".join(unit.encode("latin-1").ljust(8, b"\0") for unit in units)
    described += struct.pack("<d", -limit * gain) * n + struct.pack("<d", limit * gain) * n
    digital = "<d" if second else "<q"
    described += b"".join(struct.pack(digital, (float if second else int)(end)) * n for end in (-limit, limit))
    described += bytes(80 * n) + struct.pack("<i", per_record) * n + struct.pack("<i", kind) * n + bytes(32 * n)
    records = values[:, : n_records * per_record].astype(TYPES[kind]).reshape(n, n_records, per_record).swapaxes(0, 1)
    rate = sfreq if event_rate is None else event_rate
    if float(version) >= 1.94:
        table = bytes([mode]) + len(codes).to_bytes(3, "little") + struct.pack("<f", rate)
    else:
        table = bytes([mode]) + int(rate).to_bytes(3, "little") + struct.pack("<I", len(codes))
    table += np.array([onset + 1 for onset in onsets], "<u4").tobytes() + np.array(codes, "<u2").tobytes()
    if mode == 3:
        table += bytes(2 * len(codes)) + np.ones(len(codes), "<u4").tobytes()
    path.write_bytes(fixed + described + np.ascontiguousarray(records).tobytes() + table)
    return path
