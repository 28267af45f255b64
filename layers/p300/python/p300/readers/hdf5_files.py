"""HDF5 as far as recordings need it: what a file holds itself, and no more of it than it says.

The library would follow links into other files, read other files' bytes as a data set's, and load filters from plug-ins.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError

from .checks import check_in_memory

if TYPE_CHECKING:
    import h5py

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_PLACES = (0, 512, 1024, 2048)
"""Where the signature may lie; MATLAB keeps 512 bytes of its own before it."""
_FILTERS = {1, 2, 3}
"""Compression with zlib, shuffled bytes, checksums."""
LARGEST_CHUNK_BYTES = 64 << 20
LARGEST_TEXT_BYTES = 4 << 20
LARGEST_FEW_BYTES = 64 << 20
"""Of an array that is not signal."""


def is_hdf5(path: Path) -> bool:
    """Tell whether a file is one of HDF5, whatever comes before its signature."""
    with path.open("rb") as file:
        for place in _PLACES:
            file.seek(place)
            if file.read(len(SIGNATURE)) == SIGNATURE:
                return True
    return False


@contextmanager
def opened(path: Path, name: str) -> Iterator["h5py.File"]:
    """Open a file; whatever its bytes lead the library into is the file's fault.

    Raises
    ------
    RecordingError
        ``unreadable``, and what is raised within.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:  # other file systems than local ones may not know locks
            yield file
    except RecordingError:
        raise
    except Exception as error:
        raise RecordingError(
            "unreadable", f"{name}: not a readable HDF5 file ({str(error)[:300]}). Save it again, and upload it."
        ) from error


def member(group: "h5py.Group", key: str) -> Any:
    """Return what a group holds under a key, None where there is nothing of its own.

    Raises
    ------
    ValueError
        For a link to another place.
    """
    import h5py

    found = group
    for part in key.split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{key[:80]} is a link")  # noqa: TRY004 - a fault of the file
        found = found[part]
    return found


def checked(dataset: "h5py.Dataset", n_file_bytes: int, name: str, most: int | None = None) -> "h5py.Dataset":
    """Return a data set whose values can be read, and fit into memory.

    Raises
    ------
    RecordingError
        ``too_large``.
    ValueError
        For one that lies in other files, or is packed in another way than usual.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise ValueError("a group where values are expected")  # noqa: TRY004 - a fault of the file
    properties = dataset.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
        raise ValueError("values in other files")
    filters = {properties.get_filter(number)[0] for number in range(properties.get_nfilters())}
    if not filters <= _FILTERS:
        raise ValueError(f"packed with filter {max(filters)}")
    n_bytes = int(dataset.size or 0) * dataset.dtype.itemsize
    if dataset.chunks and int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize > LARGEST_CHUNK_BYTES:
        raise ValueError("a chunk larger than any")
    if most is not None and n_bytes > most:
        raise ValueError(f"{n_bytes:,} bytes where at most {most:,} are expected")
    check_in_memory(n_bytes, n_file_bytes, name)
    return dataset


def numbers(
    dataset: "h5py.Dataset", n_file_bytes: int, name: str, most: int | None = LARGEST_FEW_BYTES
) -> NDArray[Any]:
    """Return a data set of real numbers; raises as `checked`."""
    values = checked(dataset, n_file_bytes, name, most)
    if values.dtype.kind not in "iufb":
        raise ValueError(f"values of {values.dtype} where numbers are expected")
    found: NDArray[Any] = np.asarray(values[()])
    return found


def text(dataset: "h5py.Dataset", n_file_bytes: int, name: str) -> str:
    """Return a data set that holds one text; raises as `checked`."""
    values = np.ravel(checked(dataset, n_file_bytes, name, LARGEST_TEXT_BYTES)[()])
    first = values[0] if len(values) else b""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
