"""Arrow arrays to NumPy and back without pandas, which pyarrow imports, wherever installed, to ask for its types."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


def to_numpy(column: "pa.Array | pa.ChunkedArray") -> NDArray[Any]:
    """Return a column of numbers, as a view where it is one chunk without nulls.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray
        Of a numeric type.

    Returns
    -------
    values : ndarray, shape (n_rows,)
        Nulls become NaN.
    """
    chunks = getattr(column, "chunks", [column])
    if len(chunks) == 1:
        return _view(chunks[0])
    return np.concatenate([_view(chunk) for chunk in chunks]) if chunks else np.empty(0)


def _view(array: "pa.Array") -> NDArray[Any]:
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False) if array.null_count else np.from_dlpack(array)
    return values


def from_numpy(values: NDArray[Any], kind: "pa.DataType") -> "pa.Array":
    """Wrap an array's own memory as a column of a numeric type.

    Parameters
    ----------
    values : ndarray, shape (n_rows,)
        Numbers.
    kind : pyarrow.DataType
        Copied only where the array is of another type.

    Returns
    -------
    column : pyarrow.Array
    """
    import pyarrow as pa

    contiguous = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(contiguous), [None, pa.py_buffer(contiguous)])
