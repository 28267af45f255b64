"""What a MATLAB file would unfold to, told before it does: its variables are compressed, and are read whole."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from p300.errors import RecordingError
from p300.limits import LARGEST_IN_MEMORY_BYTES, MOST_VARIABLES

from .checks import check_in_memory
from .matlab_structure import DamagedError, Order, check_structure

HEADER_BYTES, TAG_BYTES, CHUNK_BYTES = 128, 8, 1 << 20
COMPRESSED = 15  # miCOMPRESSED of "MAT-File Format", MathWorks, table 1-1
ORDERS: dict[bytes, Order] = {b"IM": "little", b"MI": "big"}


def check_matlab(path: Path, name: str) -> None:
    """Refuse a MATLAB file older than HDF5 that is none, or unfolds beyond what fits into memory.

    Raises
    ------
    RecordingError
        ``unreadable`` for damaged compression, ``too_large``.
    """
    unfolded, order = 0, None
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        if 0 in header[:4]:  # version 4, which knows no compression
            unfolded = path.stat().st_size
        elif len(header) < HEADER_BYTES or header[126:128] not in ORDERS:
            raise RecordingError("unreadable", f"{name}: not a MATLAB file. Save it with -v7, and upload it.")
        else:
            order = ORDERS[header[126:128]]
            file.seek(HEADER_BYTES)
            try:
                for size in _unfolded_sizes(file, order):
                    unfolded += size
                    if unfolded > LARGEST_IN_MEMORY_BYTES:
                        break
            except zlib.error as error:
                raise RecordingError(
                    "unreadable", f"{name}: truncated or damaged ({error}). Upload it again."
                ) from error
    check_in_memory(unfolded, path.stat().st_size, name)
    if order:
        try:
            check_structure(path, order)
        except (DamagedError, zlib.error) as error:
            raise RecordingError("unreadable", f"{name}: truncated or damaged ({error}). Upload it again.") from error


def _unfolded_sizes(file: BinaryIO, order: Order) -> Iterator[int]:
    """Yield the unfolded bytes of each variable, in pieces; of no more variables than `check_structure` takes."""
    for _ in range(MOST_VARIABLES + 1):
        if len(tag := file.read(TAG_BYTES)) < TAG_BYTES:
            return
        kind, size = int.from_bytes(tag[:4], order), int.from_bytes(tag[4:], order)
        if kind != COMPRESSED:
            yield TAG_BYTES + size
            file.seek(size, 1)
            continue
        unfold = zlib.decompressobj()
        while size > 0 and (chunk := file.read(min(CHUNK_BYTES, size))):
            size -= len(chunk)
            while chunk and not unfold.eof:
                yield len(unfold.decompress(chunk, CHUNK_BYTES))
                chunk = unfold.unconsumed_tail
