"""Whether a MATLAB file is as its format says: what reads it believes every size and nesting, and dies of one that lies.

SciPy allocates what a dimension claims, and crashes the process at elements of an unexpected type. The rules are those of
"MAT-File Format", MathWorks, chapter 1: level 5.
"""

import math
import mmap
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from p300.limits import MOST_ARRAYS, MOST_VARIABLES

INT8, INT32, UINT32, MATRIX, COMPRESSED, UTF8 = 1, 5, 6, 14, 15, 16
ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
"""Bytes of a value by the type of an element: integers, floats, text in UTF-8, 16 and 32."""
CELL, STRUCT, OBJECT, CHAR, SPARSE, FUNCTION, OPAQUE = 1, 2, 3, 4, 5, 16, 17
NUMBERS = range(6, 16)
COMPLEX, LOGICAL = 0x08, 0x02
DEEPEST, LONGEST_NAMES, LONGEST_BLANK, MOST_DIMENSIONS, MOST_FIELDS = 40, 4096, 4096, 32, 4096
FIRST_BYTES = 8192
"""Of a variable unfolded to look at it; a matrix of numbers tells all about itself there."""

type Order = Literal["little", "big"]


class DamagedError(ValueError):
    """Something in the file is not as the format says."""


def check_structure(path: Path, order: Order) -> None:
    """See that each variable's parts add up to it.

    Parameters
    ----------
    path : Path
        A MATLAB file of level 5, whose unfolded size has been looked at.
    order : {"little", "big"}
        Of its bytes.

    Raises
    ------
    DamagedError
        Says what is not as it should be.
    """
    with path.open("rb") as file:
        data = memoryview(
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        )  # closed when the last part of it is forgotten
    at, n_variables, count = 128, 0, _Count()
    while at < len(data):
        kind, begin, end = _element(data, at, order)
        n_variables += 1
        if n_variables > MOST_VARIABLES:
            raise DamagedError(f"more than {MOST_VARIABLES:,} variables")
        if kind == COMPRESSED:
            _check_compressed(data[begin:end], order, count)
        elif kind == MATRIX:
            _check_matrix(data[begin:end], order, count)
        else:
            raise DamagedError(f"a variable of type {kind}")
        at = end


class _Count:
    """Arrays seen so far: each becomes an object of a hundred bytes or more, however little it holds."""

    def __init__(self) -> None:
        self.n_arrays = 0

    def add(self, n_arrays: int) -> None:
        self.n_arrays += n_arrays
        if self.n_arrays > MOST_ARRAYS:
            raise DamagedError(f"more than {MOST_ARRAYS:,} arrays in arrays")


def _check_compressed(data: memoryview, order: Order, count: _Count) -> None:
    unfold = zlib.decompressobj()
    first = unfold.decompress(data, FIRST_BYTES)
    if len(first) < 8 or int.from_bytes(first[:4], order) != MATRIX:
        raise DamagedError("a compressed variable that is no array")
    size = int.from_bytes(first[4:8], order)
    if _class(memoryview(first)[8:], order) in NUMBERS:
        _check_matrix(memoryview(first)[8:], order, count, size)
        return
    whole = first + unfold.decompress(unfold.unconsumed_tail) + unfold.flush()
    if len(whole) - 8 < size:
        raise DamagedError("a compressed variable that ends early")
    _check_matrix(memoryview(whole)[8 : 8 + size], order, count)


def _element(data: memoryview, at: int, order: Order) -> tuple[int, int, int]:
    """Return an element's type, and where its data begin and end; small ones lie in their own tag."""
    if at + 8 > len(data):
        raise DamagedError("an element that ends early")
    word = int.from_bytes(data[at : at + 4], order)
    if small := word >> 16:
        if small > 4:
            raise DamagedError(f"a small element of {small} bytes")
        return word & 0xFFFF, at + 4, at + 4 + small
    begin, size = at + 8, int.from_bytes(data[at + 4 : at + 8], order)
    if begin + size > len(data):
        raise DamagedError(f"an element of {size:,} bytes where {len(data) - begin:,} are left")
    return word, begin, begin + size


class _Parts:
    """The elements of an array, one after the other, each at a multiple of eight bytes."""

    def __init__(self, data: memoryview, order: Order) -> None:
        self.data, self.order, self.at = data, order, 0

    def next(self, what: str, *kinds: int) -> tuple[int, memoryview]:
        kind, begin, end = _element(self.data, self.at, self.order)
        if kind not in kinds:
            raise DamagedError(f"{what} of type {kind}")
        self.at = end + -end % 8
        return kind, self.data[begin:end]

    def integers(self, what: str, most: int, *kinds: int) -> list[int]:
        """Return whole numbers, of which there are a few."""
        found = self.indices(what, *kinds)
        if len(found) > most:
            raise DamagedError(f"{len(found):,} numbers of {what}")
        return [int(number) for number in found]

    def indices(self, what: str, *kinds: int) -> NDArray[np.integer]:
        """Return whole numbers, of which there may be as many as the file has room for; SciPy takes either sign for indices."""
        _, data = self.next(what, *kinds)
        if len(data) % 4:
            raise DamagedError(f"{what} of {len(data)} bytes")
        return np.frombuffer(data, f"{'<' if self.order == 'little' else '>'}{'i4' if INT32 in kinds else 'u4'}")


def _class(data: memoryview, order: Order) -> int:
    flags = _Parts(data, order).integers("flags", 2, UINT32) if len(data) else [CELL]
    if len(flags) != 2:
        raise DamagedError(f"{len(flags)} flags")
    return flags[0] & 0xFF


def _check_matrix(data: memoryview, order: Order, count: _Count, size: int | None = None, depth: int = 0) -> None:
    """See that an array's parts are as its class and dimensions say; `size` is its own where `data` is just its beginning."""
    if not len(data):
        return  # MATLAB's empty array
    if depth > DEEPEST:
        raise DamagedError(f"more than {DEEPEST} arrays in each other")
    parts = _Parts(data, order)
    _check_parts(parts, count, size, depth)
    # SciPy goes on right after the last part, and takes what stands there for the next array.
    if depth and parts.at < len(data):
        raise DamagedError(f"{len(data) - parts.at:,} bytes after an array's last part")


def _check_parts(parts: _Parts, count: _Count, size: int | None, depth: int) -> None:
    flags = parts.integers("flags", 2, UINT32)
    if len(flags) != 2:
        raise DamagedError(f"{len(flags)} flags")
    kind = flags[0] & 0xFF
    if kind == OPAQUE:
        for _ in range(3):
            parts.next("a name", INT8, UTF8)
        _check_matrix(parts.next("an object's data", MATRIX)[1], parts.order, count, depth=depth + 1)
        return
    dimensions = parts.integers("dimensions", MOST_DIMENSIONS, INT32, UINT32)
    if not dimensions or min(dimensions) < 0:
        raise DamagedError(f"dimensions {dimensions[:4]}")
    n_items = math.prod(dimensions)
    parts.next("a name", INT8, UTF8)
    if kind in NUMBERS:
        for _ in range(2 if flags[0] >> 8 & COMPLEX else 1):
            _check_numbers(parts, n_items, size)
            if size is not None:
                return  # the second part lies beyond the beginning
    elif kind == CHAR:
        _check_text(parts, n_items)
    elif kind == SPARSE:
        _check_sparse(parts, dimensions, flags)
    else:
        _check_arrays(parts, count, kind, n_items, depth)


def _check_arrays(parts: _Parts, count: _Count, kind: int, n_items: int, depth: int) -> None:
    """See that an array of arrays holds as many as it says."""
    if kind not in (CELL, STRUCT, OBJECT, FUNCTION):
        raise DamagedError(f"an array of class {kind}")
    n_arrays = 1 if kind == FUNCTION else n_items
    if kind == OBJECT:
        parts.next("a class name", INT8)
    if kind in (STRUCT, OBJECT):
        n_arrays *= _n_fields(parts)
    if n_arrays * 8 > len(parts.data):
        raise DamagedError(f"{n_arrays:,} arrays in {len(parts.data):,} bytes")
    count.add(n_arrays)
    for _ in range(n_arrays):
        _check_matrix(parts.next("an array", MATRIX)[1], parts.order, count, depth=depth + 1)


def _check_numbers(parts: _Parts, n_items: int, size: int | None) -> None:
    if size is None:
        kind, values = parts.next("numbers", *ITEM_BYTES)
        n_bytes = len(values)
    else:  # only the tag is there for certain
        at, data = parts.at, parts.data
        if at + 8 > len(data):
            raise DamagedError("numbers that end early")
        kind, n_bytes = (
            int.from_bytes(data[at : at + 4], parts.order),
            int.from_bytes(data[at + 4 : at + 8], parts.order),
        )
        if kind >> 16:
            kind, n_bytes = kind & 0xFFFF, kind >> 16
        if kind not in ITEM_BYTES or n_bytes > size:
            raise DamagedError(f"numbers of type {kind}, {n_bytes:,} bytes of {size:,}")
    if n_bytes != n_items * ITEM_BYTES[kind]:
        raise DamagedError(f"{n_items:,} numbers in {n_bytes:,} bytes of type {kind}")


def _check_text(parts: _Parts, n_items: int) -> None:
    kind, characters = parts.next("text", *ITEM_BYTES)
    # Of no bytes SciPy makes as many blanks as there should be characters.
    if n_items > (len(characters) or LONGEST_BLANK):
        raise DamagedError(f"{n_items:,} characters in {len(characters):,} bytes of type {kind}")


def _check_sparse(parts: _Parts, dimensions: list[int], flags: list[int]) -> None:
    rows, columns = parts.indices("row indices", INT32, UINT32), parts.indices("column indices", INT32, UINT32)
    if (
        len(dimensions) != 2
        or len(columns) != dimensions[1] + 1
        or columns[0] != 0
        or (columns[1:] < columns[:-1]).any()
    ):
        raise DamagedError(f"a sparse matrix of {dimensions[:4]} with {len(columns)} column indices")
    n_items = int(columns[-1])
    used = rows[:n_items]
    if n_items > len(rows) or ((used < 0) | (used >= dimensions[0])).any():
        raise DamagedError(f"a sparse matrix of {n_items:,} numbers in {len(rows):,} rows")
    for _ in range(2 if flags[0] >> 8 & COMPLEX else 1):
        kind, values = parts.next("numbers", *ITEM_BYTES)
        # MATLAB says double of a logical array, and writes a byte for each.
        if len(values) < n_items * ITEM_BYTES[kind] and not (flags[0] >> 8 & LOGICAL and len(values) == n_items):
            raise DamagedError(f"{n_items:,} numbers in {len(values):,} bytes of type {kind}")


def _n_fields(parts: _Parts) -> int:
    lengths = parts.integers("the length of field names", 1, INT32, UINT32)
    _, names = parts.next("field names", INT8)
    if not lengths or not 1 <= lengths[0] <= LONGEST_NAMES or len(names) % lengths[0]:
        raise DamagedError(f"{len(names):,} bytes of field names, {lengths} each")
    n_fields = len(names) // lengths[0]
    if n_fields > MOST_FIELDS:  # SciPy looks for each name among all before it
        raise DamagedError(f"{n_fields:,} fields; expected at most {MOST_FIELDS:,}")
    return n_fields
