"""MATLAB's files of version 7.3: HDF5, whose variables come out here as SciPy gives those of older versions."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from p300.limits import LARGEST_IN_MEMORY_BYTES, MOST_VARIABLES

from .checks import check_in_memory, check_unfolding
from .hdf5_files import LARGEST_TEXT_BYTES, checked, member, numbers, opened

if TYPE_CHECKING:
    import h5py

DEEPEST = 4
MOST_REFERENCES = 1 << 17
"""Each is an object to find in the file, which takes a ten-thousandth of a second."""


def shapes(path: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Return the sizes of a file's arrays of numbers, as MATLAB has them.

    Raises
    ------
    RecordingError
        ``unreadable``, ``too_large``.
    """
    import h5py

    with opened(path, name) as file:
        if len(file) > MOST_VARIABLES:
            raise ValueError(f"more than {MOST_VARIABLES:,} variables")
        found = {}
        for key in file:
            held = member(file, key)
            if isinstance(held, h5py.Dataset) and held.dtype.kind in "iuf":
                found[key] = tuple(int(n) for n in reversed(held.shape))
        total = sum(8 * math.prod(shape) for shape in found.values())
        check_unfolding(total, path.stat().st_size, name)
    return found


def load(path: Path, name: str, wanted: Sequence[str], group: str | None = None) -> dict[str, Any]:
    """Return some variables, or fields of a structure.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        What to call the recording in messages.
    wanted : sequence of str
        Names; fields of an array of structures after a dot: ``event.type``. Those that are missing are left out.
    group : str, optional
        The structure.

    Returns
    -------
    variables : dict of str to object
        Arrays, texts, arrays of what cells hold, and for an array of structures a list of namespaces.

    Raises
    ------
    RecordingError
        ``unreadable``, ``too_large``.
    """
    with opened(path, name) as file:
        reader = _Reader(file, path.stat().st_size, name)
        start = file if group is None else member(file, group)
        found: dict[str, Any] = {}
        for asked in dict.fromkeys(one.partition(".")[0] for one in wanted):
            held = member(start, asked)
            if held is not None:
                fields = [one.partition(".")[2] for one in wanted if one.startswith(f"{asked}.")]
                found[asked] = reader.structures(held, fields) if fields else reader.value(held)
    return found


class _Reader:
    def __init__(self, file: "h5py.File", n_bytes: int, name: str) -> None:
        self._file, self._n_bytes, self._name, self._n_references = file, n_bytes, name, 0
        self._n_read = 0

    def value(self, held: Any, depth: int = 0) -> Any:
        """Return an array as MATLAB has it, a text, or an array of what cells hold."""
        import h5py

        if isinstance(held, h5py.Group):
            raise ValueError("a structure where values are expected")  # noqa: TRY004 - a fault of the file
        kind = held.attrs.get("MATLAB_class", b"")
        is_text = kind in (b"char", "char")
        if held.attrs.get("MATLAB_empty", 0):
            return "" if is_text else np.empty((0, 0))
        if h5py.check_ref_dtype(held.dtype) is h5py.Reference:
            cells = self._cells(held, depth)
            return np.fromiter(cells, object, len(cells))
        self._n_read += int(held.size or 0) * held.dtype.itemsize
        check_in_memory(self._n_read, self._n_bytes, self._name)
        if is_text:
            codes = numbers(held, self._n_bytes, self._name, LARGEST_TEXT_BYTES).ravel()
            return "".join(chr(code) for code in codes.tolist() if 0 <= code < 0xD800)
        return numbers(held, self._n_bytes, self._name, LARGEST_IN_MEMORY_BYTES).T

    def structures(self, held: Any, fields: Sequence[str]) -> list[SimpleNamespace]:
        """Return an array of structures: each field holds a reference for every one, or the value of the only one."""
        import h5py

        if not isinstance(held, h5py.Group):
            return []
        columns: dict[str, list[Any]] = {}
        for field in fields:
            column = member(held, field)
            if isinstance(column, h5py.Dataset):
                several = h5py.check_ref_dtype(column.dtype) is h5py.Reference
                columns[field] = self._cells(column, 0) if several else [self.value(column)]
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"an array of structures with {sorted(lengths)[:4]} values of its fields")
        return [SimpleNamespace(**_row(columns, number)) for number in range(max(lengths, default=0))]

    def _cells(self, held: "h5py.Dataset", depth: int) -> list[Any]:
        references = checked(held, self._n_bytes, self._name)
        self._n_references += int(references.size or 0)
        if depth >= DEEPEST or self._n_references > MOST_REFERENCES:
            raise ValueError(f"more than {DEEPEST} cells in each other, or more than {MOST_REFERENCES:,}")
        found = []
        for reference in references[()].T.ravel():
            if not reference:
                raise ValueError("a reference to nothing")
            found.append(self.value(self._file[reference], depth + 1))
        return found


def _row(columns: Mapping[str, list[Any]], number: int) -> dict[str, Any]:
    return {field: column[number] for field, column in columns.items()}
