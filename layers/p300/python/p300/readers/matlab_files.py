"""What a MATLAB file would unfold to, told before it does: its variables are compressed, and are read whole."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from p300.errors import RecordingError

from .checks import LARGEST_IN_MEMORY_BYTES, check_in_memory

HEADER_BYTES, TAG_BYTES, CHUNK_BYTES = 128, 8, 1 << 20
COMPRESSED = 15  # miCOMPRESSED of "MAT-File Format", MathWorks, table 1-1
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def check_matlab(path: Path, name: str) -> None:
    """Refuse a MATLAB file that is of another generation than readers know, or unfolds beyond what fits into memory.

    Raises
    ------
    RecordingError
        ``unreadable`` for HDF5 (``-v7.3``) and damaged compression, ``too_large``.
    """
    unfolded = 0
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        file.seek(512)
        if file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE or header.startswith(HDF5_SIGNATURE):
            raise RecordingError(
                "unreadable",
                f"{name}: a MATLAB file of version 7.3 (HDF5); expected version 7 or older. Save it with -v7 (EEGLAB: "
                "Preferences, 'Save as MATLAB v6'), and upload it again.",
            )
        if header[126:128] not in (b"IM", b"MI"):  # version 4, which knows no compression, or no MATLAB file
            unfolded = path.stat().st_size
        else:
            file.seek(HEADER_BYTES)
            try:
                for size in _unfolded_sizes(file, "little" if header[126:128] == b"IM" else "big"):
                    unfolded += size
                    if unfolded > LARGEST_IN_MEMORY_BYTES:
                        break
            except zlib.error as error:
                raise RecordingError(
                    "unreadable", f"{name}: truncated or damaged ({error}). Upload it again."
                ) from error
    check_in_memory(unfolded, path.stat().st_size, name)


def _unfolded_sizes(file: BinaryIO, order: Literal["little", "big"]) -> Iterator[int]:
    """Yield the unfolded bytes of each variable, in pieces."""
    while len(tag := file.read(TAG_BYTES)) == TAG_BYTES:
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
