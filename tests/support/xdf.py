"""Writes XDF files as LabRecorder does: streams with headers, chunks of samples, clock offsets and footers."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

DTYPES = {"float32": "<f4", "double64": "<f8", "int8": "i1", "int16": "<i2", "int32": "<i4", "int64": "<i8"}


@dataclass
class Written:
    """A stream to write.

    Attributes
    ----------
    values : ndarray, shape (n_samples, n_channels), or list of str
        Numbers, or a text for each sample.
    stamps : ndarray, shape (n_samples,)
        In seconds of the stream's own clock; NaN is not written, as LSL does for all but the first sample of a chunk.
    labels, units, kinds : sequences of str
        Of the channels; without labels they are not described.
    offsets : sequence of (float, float)
        Times and values of the clock offsets.
    """

    name: str
    kind: str
    values: NDArray[np.number] | list[str]
    stamps: NDArray[np.float64]
    rate: float = 0.0
    format: str = "float32"
    labels: Sequence[str] = ()
    units: Sequence[str] = ()
    kinds: Sequence[str] = ()
    offsets: Sequence[tuple[float, float]] = ((0.0, 0.0), (5.0, 0.0))
    per_chunk: int = 64
    n_stated: int | None = None
    extra: str = field(default="")

    @property
    def n_channels(self) -> int:
        return 1 if isinstance(self.values, list) else self.values.shape[1]


def write_xdf(path: Path, *streams: Written) -> Path:
    """Write streams to a file, one after the other."""
    chunks = [_chunk(1, b'<?xml version="1.0"?><info><version>1.0</version></info>')]
    for number, stream in enumerate(streams, 1):
        own = struct.pack("<I", number)
        chunks.append(_chunk(2, own + _header(stream).encode()))
        chunks += [_chunk(4, own + struct.pack("<dd", *offset)) for offset in stream.offsets]
        for start in range(0, len(stream.stamps), stream.per_chunk):
            chunks.append(_chunk(3, own + _samples(stream, slice(start, start + stream.per_chunk))))
        count = len(stream.stamps) if stream.n_stated is None else stream.n_stated
        chunks.append(
            _chunk(6, own + f"<?xml version='1.0'?><info><sample_count>{count}</sample_count></info>".encode())
        )
    path.write_bytes(b"XDF:" + b"".join(chunks))
    return path


def chunk_stamps(times: NDArray[np.float64], per_chunk: int = 64) -> NDArray[np.float64]:
    """Return times of which only the first of each chunk is written."""
    return np.where(np.arange(len(times)) % per_chunk == 0, times, np.nan)


def _header(stream: Written) -> str:
    described = "".join(
        f"<channel><label>{escape(label)}</label><type>{kind}</type><unit>{escape(unit)}</unit></channel>"
        for label, kind, unit in zip(
            stream.labels,
            stream.kinds or ["EEG"] * len(stream.labels),
            stream.units or ["microvolts"] * len(stream.labels),
            strict=True,
        )
    )
    return (
        f'<?xml version="1.0"?><info><name>{escape(stream.name)}</name><type>{stream.kind}</type>'
        f"<channel_count>{stream.n_channels}</channel_count><nominal_srate>{stream.rate:.15f}</nominal_srate>"
        f"<channel_format>{stream.format}</channel_format><desc><channels>{described}</channels></desc>{stream.extra}</info>"
    )


def _samples(stream: Written, part: slice) -> bytes:
    stamps, body = stream.stamps[part], b""
    numbers = None if isinstance(stream.values, list) else stream.values[part].astype(DTYPES[stream.format])
    for number, stamp in enumerate(stamps.tolist()):
        body += b"\0" if np.isnan(stamp) else b"\x08" + struct.pack("<d", stamp)
        if numbers is None:
            text = stream.values[part][number].encode()
            body += _length(len(text)) + text
        else:
            body += numbers[number].tobytes()
    return _length(len(stamps)) + body


def _length(value: int) -> bytes:
    return b"\x01" + bytes([value]) if value < 256 else b"\x04" + struct.pack("<I", value)


def _chunk(tag: int, content: bytes) -> bytes:
    return _length(len(content) + 2) + struct.pack("<H", tag) + content
