"""GDF's header and table of events, of versions 1 and 2.

Fields and their places are those of "GDF - A general dataformat for biosignals", Schloegl 2006 (arXiv cs/0608052), and of BioSig.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.limits import MOST_ANNOTATIONS

from .checks import check_n_channels

FIXED_BYTES = CHANNEL_BYTES = 256
TYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<i8", 8: "<u8", 16: "<f4", 17: "<f8"}
UNITS = {4256: "V", 4274: "mV", 4275: "uV", 4276: "nV", 0: "", 512: ""}
"""Codes of ISO/IEEE 11073-10101 for voltages; 512 has no dimension."""
FIRST_OF_VERSION_2, EVENT_RATE_AS_FLOAT = 1.9, 1.94
SHORTEST_RECORD_S, LONGEST_RECORD_S = 1e-6, 1e5
LARGEST_RECORD_BYTES = 16 << 20


@dataclass(frozen=True)
class Header:
    """What the header of a GDF file says.

    Attributes
    ----------
    version : float
    n_bytes : int
        Of the header; the first record follows.
    n_records : int
    record_s : float
        Length of a record in seconds.
    names, units : list of str
        Of the channels; a unit that is no voltage is a code.
    gain, offset : ndarray, shape (n_channels,)
        From numbers to the channel's unit.
    n_samples : ndarray of int, shape (n_channels,)
        Of each channel in a record.
    types : list of str
        NumPy's types of the channels' numbers.
    """

    version: float
    n_bytes: int
    n_records: int
    record_s: float
    names: list[str]
    units: list[str]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    n_samples: NDArray[np.int64]
    types: list[str]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Bytes of a record before each channel, and of all: shape (n_channels + 1,)."""
        sizes = [int(n) * np.dtype(kind).itemsize for n, kind in zip(self.n_samples, self.types, strict=True)]
        return np.cumsum([0, *sizes])

    @property
    def end(self) -> int:
        """Return where the last record ends in the file."""
        return self.n_bytes + self.n_records * int(self.starts[-1])


@dataclass(frozen=True)
class Events:
    """A table of events.

    Attributes
    ----------
    onset_s : ndarray, shape (n_events,)
        In seconds from the first sample.
    code : ndarray of int, shape (n_events,)
    """

    onset_s: NDArray[np.float64]
    code: NDArray[np.int64]


def read_header(path: Path, name: str) -> Header:
    """Read a GDF file's header.

    Raises
    ------
    RecordingError
        ``unreadable``, ``too_many_channels``, ``too_large``.
    """
    with path.open("rb") as file:
        fixed = file.read(FIXED_BYTES)
        version = _version(fixed, name)
        second = version >= FIRST_OF_VERSION_2
        n_bytes = 256 * _unpacked("<H", fixed, 184) if second else _unpacked("<q", fixed, 184)
        n_channels = _unpacked("<H" if second else "<I", fixed, 252)
        check_n_channels(n_channels, name)
        if not n_channels or n_bytes < FIXED_BYTES + n_channels * CHANNEL_BYTES:
            raise _unreadable(name, f"a header of {n_bytes:,} bytes for {n_channels} channels")
        described = file.read(n_channels * CHANNEL_BYTES)
    if len(described) < n_channels * CHANNEL_BYTES:
        raise _unreadable(name, "its header ends early")
    record_s = _record_s(fixed, name)
    header = _channels(described, n_channels, (version, n_bytes, _unpacked("<q", fixed, 236), record_s), name)
    _check(header, path.stat().st_size, name)
    return header


def _version(fixed: bytes, name: str) -> float:
    text = fixed[:8].decode("latin-1")
    try:
        version = float(text[4:]) if len(fixed) == FIXED_BYTES and text.startswith("GDF ") else math.nan
    except ValueError:
        version = math.nan
    if not 1 <= version < 3:
        raise _unreadable(name, f"it begins with {text!r}; expected 'GDF 1.' or 'GDF 2.' and a version")
    return version


def _record_s(fixed: bytes, name: str) -> float:
    """Return the length of a record: a fraction of two whole numbers, or in the latest files a floating-point number."""
    as_float = struct.unpack_from("<d", fixed, 244)[0]
    if SHORTEST_RECORD_S <= as_float <= LONGEST_RECORD_S:
        return float(as_float)
    numerator, denominator = struct.unpack_from("<II", fixed, 244)
    seconds = numerator / denominator if denominator else 0.0
    if not SHORTEST_RECORD_S <= seconds <= LONGEST_RECORD_S:
        raise _unreadable(name, f"records of {numerator} / {denominator} s")
    return seconds


def _channels(described: bytes, n: int, fixed: tuple[float, int, int, float], name: str) -> Header:
    at = 0

    def column(kind: str) -> NDArray[np.generic]:
        nonlocal at
        values: NDArray[np.generic] = np.frombuffer(described, kind, n, at)
        at += values.nbytes
        return values

    second = fixed[0] >= FIRST_OF_VERSION_2
    names = [label.split(b"\0")[0].decode("latin-1").strip() for label in column("S16").tolist()]
    column("V80")  # transducer
    if second:
        column("V6")
        units = [UNITS.get(code, f"unit {code}") for code in column("<u2").tolist()]
    else:
        units = [unit.split(b"\0")[0].decode("latin-1").strip() for unit in column("S8").tolist()]
    low, high = (column("<f8").astype(np.float64) for _ in range(2))
    digital_low, digital_high = (column("<f8" if second else "<i8").astype(np.float64) for _ in range(2))
    column("V80")  # filters
    n_samples, codes = column("<i4").astype(np.int64), column("<i4").tolist()
    if unknown := [code for code in codes if code not in TYPES]:
        raise _unreadable(name, f"a channel of type {unknown[0]}; expected one of {', '.join(map(str, TYPES))}")
    with np.errstate(all="ignore"):
        gain = (high - low) / (digital_high - digital_low)
        offset = low - digital_low * gain
    return Header(*fixed, names, units, gain, offset, n_samples, [TYPES[code] for code in codes])


def _check(header: Header, n_bytes: int, name: str) -> None:
    if (header.n_samples < 0).any() or int(header.n_samples.max()) > LARGEST_RECORD_BYTES:
        raise _unreadable(name, "a channel with less than no sample in a record, or more than any")
    record_bytes = int(header.starts[-1])
    if not 0 < record_bytes <= LARGEST_RECORD_BYTES:
        raise _unreadable(name, f"records of {record_bytes:,} bytes")
    if header.n_records < 0:
        raise _unreadable(name, "the number of its records is not known, because its recorder did not close it")
    if header.end > n_bytes:
        raise _unreadable(name, f"{header.n_records:,} records end at byte {header.end:,} of {n_bytes:,}")


def read_events(path: Path, header: Header, sfreq: float, name: str) -> Events:
    """Read the table of events behind the last record; its positions have a rate of their own.

    Parameters
    ----------
    path : Path
        The file.
    header : Header
        What its header says.
    sfreq : float
        Rate in Hz of positions where the table has none.
    name : str
        What to call the recording in messages.

    Returns
    -------
    Events

    Raises
    ------
    RecordingError
        ``unreadable``, ``too_many_annotations``.
    """
    with path.open("rb") as file:
        file.seek(header.end)
        mode = file.read(8)
        if not mode:
            return Events(np.empty(0), np.empty(0, np.int64))
        if len(mode) < 8 or mode[0] not in (1, 3):
            raise _unreadable(name, f"a table of events of mode {mode[0]}, or one that ends early")
        if header.version < EVENT_RATE_AS_FLOAT:
            rate, n_events = float(int.from_bytes(mode[1:4], "little")), int.from_bytes(mode[4:8], "little")
        else:
            n_events, rate = int.from_bytes(mode[1:4], "little"), float(struct.unpack("<f", mode[4:8])[0])
        if n_events > MOST_ANNOTATIONS:
            raise RecordingError(
                "too_many_annotations",
                f"{name}: {n_events:,} events; expected at most {MOST_ANNOTATIONS:,}. Split the recording into runs.",
            )
        table = file.read(6 * n_events)
    if len(table) < 6 * n_events:
        raise _unreadable(name, f"a table of {n_events:,} events that ends early")
    if rate and not 1e-3 <= rate <= 1e9:
        raise _unreadable(name, f"a table of events at {rate:g} Hz")
    position = np.frombuffer(table, "<u4", n_events).astype(np.float64) - 1  # the first sample is 1
    return Events(position / (rate or sfreq), np.frombuffer(table, "<u2", n_events, 4 * n_events).astype(np.int64))


def _unpacked(kind: str, data: bytes, at: int) -> int:
    return int(struct.unpack_from(kind, data, at)[0])


def _unreadable(name: str, what: str) -> RecordingError:
    return RecordingError(
        "unreadable", f"{name}: not a readable GDF file: {what}. Copy it again from where it was recorded."
    )
