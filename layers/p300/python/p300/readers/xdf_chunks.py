"""XDF's chunks: which streams a file holds, where their samples are, and what is in them.

The format is that of https://github.com/sccn/xdf/wiki/Specifications; values and texts are those that pyxdf reads.
"""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.limits import LARGEST_HEADER_BYTES, LARGEST_N_SAMPLES, MOST_CHUNKS, MOST_CLOCK_OFFSETS, MOST_STREAMS

from .checks import check_n_channels
from .xml_text import parsed

MAGIC = b"XDF:"
STREAM_HEADER, SAMPLES, CLOCK_OFFSET, STREAM_FOOTER = 2, 3, 4, 6
DTYPES = {"float32": "<f4", "double64": "<f8", "int8": "i1", "int16": "<i2", "int32": "<i4", "int64": "<i8"}
TEXT = "string"
LONGEST_FIELD = 200
LONGEST_TEXT = 4096


@dataclass
class Stream:
    """One stream of an XDF file.

    Attributes
    ----------
    number : int
        By which its chunks name it.
    name, kind, format : str
        As its header says them.
    n_channels : int
    rate : float
        Nominal, in Hz; 0 for events.
    channels : list of dict
        ``label``, ``type`` and ``unit`` of each, where the header describes all of them; else empty.
    begins, ends : array of int
        Where the contents of its sample chunks lie in the file.
    clock_times, clock_values : array of float
        Its clock's offsets: when measured and what is added, in seconds.
    n_stated : int or None
        Samples that its footer counts.
    """

    number: int
    name: str
    kind: str
    format: str
    n_channels: int
    rate: float
    channels: list[dict[str, str]]
    begins: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))
    clock_times: array[float] = field(default_factory=lambda: array("d"))
    clock_values: array[float] = field(default_factory=lambda: array("d"))
    n_stated: int | None = None

    @property
    def described(self) -> str:
        """Say what it is, for a person."""
        rate = f"at {self.rate:g} Hz" if self.rate else "of events"
        return f"{self.name!r} ({self.kind or 'no type'}, {self.n_channels} channels of {self.format} {rate})"


def read_streams(path: Path, name: str) -> list[Stream]:
    """Return the streams of a file, in the order of their headers, without their samples.

    Raises
    ------
    RecordingError
        ``unreadable``, ``too_large``, ``too_many_channels``.
    """
    streams: dict[int, Stream] = {}
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise _unreadable(name, "it does not begin with 'XDF:'")
        for n_chunks, (tag, at, end) in enumerate(_chunks(file, n_bytes, name)):
            if n_chunks >= MOST_CHUNKS:
                raise RecordingError(
                    "too_large", f"{name}: more than {MOST_CHUNKS:,} chunks. Split the recording into runs."
                )
            if tag not in (STREAM_HEADER, SAMPLES, CLOCK_OFFSET, STREAM_FOOTER):
                continue
            if end - at < 4:
                raise _unreadable(name, f"a chunk of {end - at} bytes at byte {at:,}")
            number, begin = int.from_bytes(file.read(4), "little"), at + 4
            if tag == STREAM_HEADER:
                if number in streams or len(streams) >= MOST_STREAMS:
                    raise _unreadable(name, f"stream {number} twice, or more than {MOST_STREAMS} streams")
                streams[number] = _stream(number, _xml(file, begin, end, name), name)
            elif number not in streams:
                raise _unreadable(name, f"a chunk of stream {number}, which has no header")
            elif tag == SAMPLES:
                streams[number].begins.append(begin)
                streams[number].ends.append(end)
            elif tag == CLOCK_OFFSET:
                _add_offset(streams[number], file.read(16), name)
            else:
                stated = _xml(file, begin, end, name).findtext("sample_count") or ""
                streams[number].n_stated = (
                    int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 16 else None
                )
    return list(streams.values())


def _chunks(file: BinaryIO, n_bytes: int, name: str) -> Iterator[tuple[int, int, int]]:
    """Yield each chunk's tag, and where what follows it begins and ends; the file is there when it is yielded."""
    at = file.tell()
    while at < n_bytes:
        file.seek(at)
        length = _length(file.read(9), name)
        begin = at + 1 + length[1]
        at = begin + length[0]
        if length[0] < 2 or at > n_bytes:
            raise _unreadable(name, f"a chunk of {length[0]:,} bytes at byte {begin:,} of {n_bytes:,}")
        file.seek(begin)
        yield int.from_bytes(file.read(2), "little"), begin + 2, at


def _length(data: bytes, name: str) -> tuple[int, int]:
    """Return a number whose first byte says how many bytes it has, and how many these are."""
    width = data[0] if data else 0
    if width not in (1, 4, 8) or len(data) < 1 + width:
        raise _unreadable(name, f"a length of {width} bytes; expected 1, 4 or 8")
    return int.from_bytes(data[1 : 1 + width], "little"), width


def _xml(file: BinaryIO, begin: int, end: int, name: str) -> ElementTree.Element:
    if end - begin > LARGEST_HEADER_BYTES:
        raise RecordingError(
            "too_large", f"{name}: a description of {end - begin:,} bytes; expected at most {LARGEST_HEADER_BYTES:,}."
        )
    return parsed(file.read(end - begin).decode("utf-8", "replace"), name)


def _stream(number: int, info: ElementTree.Element, name: str) -> Stream:
    said = {key: (info.findtext(key) or "").strip()[:LONGEST_FIELD] for key in ("name", "type", "channel_format")}
    try:
        n_channels, rate = int(info.findtext("channel_count") or ""), float(info.findtext("nominal_srate") or "")
    except ValueError as error:
        raise _unreadable(name, f"stream {said['name']!r}: {error}") from error
    if said["channel_format"] not in (*DTYPES, TEXT) or n_channels < 1 or not 0 <= rate < np.inf:
        raise _unreadable(
            name,
            f"stream {said['name']!r} has {n_channels} channels of {said['channel_format'] or 'no format'} at {rate:g} Hz",
        )
    check_n_channels(n_channels, name)
    channels = [
        {key: (channel.findtext(key) or "").strip()[:LONGEST_FIELD] for key in ("label", "type", "unit")}
        for channel in info.iterfind("desc/channels/channel")
    ]
    return Stream(
        number,
        said["name"],
        said["type"],
        said["channel_format"],
        n_channels,
        rate,
        channels if len(channels) == n_channels else [],
    )


def _add_offset(stream: Stream, data: bytes, name: str) -> None:
    time, value = struct.unpack("<dd", data) if len(data) == 16 else (np.nan, np.nan)
    if not np.isfinite([time, value]).all() or max(abs(time), abs(value)) > 1e15:
        raise _unreadable(name, f"stream {stream.name!r} has a clock offset that is not a number of seconds")
    if len(stream.clock_times) >= MOST_CLOCK_OFFSETS:
        raise RecordingError(
            "too_large", f"{name}: stream {stream.name!r} has more than {MOST_CLOCK_OFFSETS:,} clock offsets."
        )
    stream.clock_times.append(time)
    stream.clock_values.append(value)


def sample_chunks(path: Path, stream: Stream, name: str) -> Iterator[tuple[NDArray[np.float64], NDArray[np.number]]]:
    """Yield the samples of a stream of numbers: time stamps, NaN where none is written, and values.

    Parameters
    ----------
    path : Path
        The file.
    stream : Stream
        Of numbers.
    name : str
        What to call the recording in messages.

    Yields
    ------
    stamps : ndarray, shape (n,)
        In seconds of the stream's own clock.
    values : ndarray, shape (n, n_channels)

    Raises
    ------
    RecordingError
        ``unreadable``.
    """
    dtype = np.dtype(DTYPES[stream.format])
    width = stream.n_channels * dtype.itemsize
    with path.open("rb") as file:
        for begin, end in zip(stream.begins, stream.ends, strict=True):
            file.seek(begin)
            data = file.read(end - begin)
            n, n_count = _length(data[:9], name)
            body = np.frombuffer(data, np.uint8)[1 + n_count :]
            if n * (1 + width) > len(body):
                raise _unreadable(name, f"{n:,} samples of stream {stream.name!r} in {len(body):,} bytes")
            at, stamped = _records(body, n, width, stream, name)
            stamps = np.full(n, np.nan)
            where = at[stamped]
            stamps[stamped] = body[where[:, np.newaxis] + np.arange(1, 9)].reshape(-1, 8).view("<f8")[:, 0]
            first = at + 1 + 8 * stamped
            if n > 1 and (np.diff(first) == first[1] - first[0]).all():
                # Equally far from each other, as they nearly always are: no copy of each byte's place.
                step = int(first[1] - first[0])
                packed = np.lib.stride_tricks.as_strided(body[first[0] :], (n, width), (step, 1))
            else:
                packed = body[first[:, np.newaxis] + np.arange(width)]
            yield stamps, np.ascontiguousarray(packed).view(dtype).reshape(n, stream.n_channels)


def _records(
    body: NDArray[np.uint8], n: int, width: int, stream: Stream, name: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where each sample begins, and whether it has a time stamp."""
    for stamped, step in ((False, 1 + width), (True, 9 + width)):
        if len(body) == n * step and (body[::step] == 8 * stamped).all():
            return np.arange(n, dtype=np.int64) * step, np.full(n, stamped)
    if n and len(body) == n * (1 + width) + 8 and body[0] == 8 and not body[9 + width :: 1 + width].any():
        return np.r_[0, 8 + np.arange(1, n, dtype=np.int64) * (1 + width)], np.arange(n) == 0
    places, flags, position = np.empty(n, np.int64), np.empty(n, np.bool_), 0
    for number in range(n):
        flag = int(body[position]) if position < len(body) else -1
        if flag not in (0, 8):
            raise _unreadable(name, f"a time stamp of {flag} bytes in stream {stream.name!r}")
        places[number], flags[number] = position, flag == 8
        position += 1 + flag + width
    if position != len(body):
        raise _unreadable(name, f"{n:,} samples of stream {stream.name!r} end at byte {position:,} of {len(body):,}")
    return places, flags


def texts(path: Path, stream: Stream, most: int, name: str) -> tuple[list[float], list[list[str]]]:
    """Return the samples of a stream of texts: time stamps, NaN where none is written, and the texts of each.

    Parameters
    ----------
    path : Path
        The file.
    stream : Stream
        Of texts.
    most : int
        Samples that are taken.
    name : str
        What to call the recording in messages.

    Returns
    -------
    stamps : list of float
        In seconds of the stream's own clock.
    values : list of list of str

    Raises
    ------
    RecordingError
        ``unreadable``, ``too_many_annotations``.
    """
    stamps: list[float] = []
    values: list[list[str]] = []
    with path.open("rb") as file:
        for begin, end in zip(stream.begins, stream.ends, strict=True):
            file.seek(begin)
            n, width = _length(file.read(9), name)
            if n > end - begin or len(stamps) + n > most:
                raise RecordingError(
                    "too_many_annotations",
                    f"{name}: stream {stream.name!r} has {len(stamps) + n:,} events or more; expected at most {most:,}. Split the "
                    "recording into runs.",
                )
            at = begin + 1 + width
            for _ in range(n):
                file.seek(at)
                flag = file.read(1)
                stamped = flag != b"\0"
                stamps.append(struct.unpack("<d", file.read(8))[0] if stamped and at + 9 <= end else np.nan)
                at += 9 if stamped else 1
                found = []
                for _ in range(stream.n_channels):
                    file.seek(at)
                    length, width = _length(file.read(9), name)
                    at += 1 + width
                    if at + length > end:
                        raise _unreadable(name, f"a text of {length:,} bytes in stream {stream.name!r}")
                    file.seek(at)
                    found.append(file.read(min(length, LONGEST_TEXT)).decode("utf-8", "replace"))
                    at += length
                values.append(found)
            if at != end:
                raise _unreadable(
                    name, f"{n:,} texts of stream {stream.name!r} end at byte {at:,}, their chunk at {end:,}"
                )
    return stamps, values


def n_samples(path: Path, stream: Stream, name: str) -> int:
    """Return how many samples the chunks of a stream say they hold.

    Raises
    ------
    RecordingError
        ``unreadable``, ``too_large``.
    """
    total = 0
    with path.open("rb") as file:
        for begin in stream.begins:
            file.seek(begin)
            total += _length(file.read(9), name)[0]
            if total > LARGEST_N_SAMPLES:
                raise RecordingError(
                    "too_large",
                    f"{name}: stream {stream.name!r} has {total:,} samples or more; expected at most {LARGEST_N_SAMPLES:,}. Split the "
                    "recording into runs.",
                )
    return total


def _unreadable(name: str, what: str) -> RecordingError:
    return RecordingError(
        "unreadable", f"{name}: not a readable XDF file: {what}. Copy it again from where it was recorded."
    )
