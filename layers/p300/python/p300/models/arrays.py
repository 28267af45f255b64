"""One array of a model at a time, refused where it is not what scoring needs."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from p300.errors import ArtifactError
from p300.models.calibration import Calibration

Arrays = Mapping[str, NDArray[np.generic]]


def calibration(arrays: Arrays, name: str, version: int) -> Calibration:
    """Return a calibration; format 1 has no floor and ceiling."""
    found = Calibration(*numbers(arrays, name, (2 if version == 1 else 4,)).tolist())
    if not (0 <= found.floor < 0.5 and 0 <= found.ceiling < 0.5):
        raise ArtifactError(
            "bad_model",
            f"Model array {name!r} has a floor of {found.floor:g} and a ceiling of {found.ceiling:g}; expected at least 0 and "
            "less than 0.5. Train again or restore it.",
        )
    return found


def length(arrays: Arrays, name: str) -> int:
    """Return how many rows an array has."""
    if name not in arrays:
        array(arrays, name, ())
    return len(arrays[name]) if arrays[name].ndim else 0


def array(arrays: Arrays, name: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Return an array of numbers or text of this shape."""
    if name not in arrays:
        raise ArtifactError("incomplete_model", f"Model has no array {name!r}; train again or restore the artifact.")
    found = arrays[name]
    if found.shape != shape:
        raise ArtifactError("bad_model", f"Model array {name!r} has shape {found.shape}; expected {shape}.")
    if found.dtype.kind not in "iufU":
        raise ArtifactError("bad_model", f"Model array {name!r} is of type {found.dtype}; expected numbers or text.")
    return found


def numbers(arrays: Arrays, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return an array of finite numbers of this shape."""
    found = array(arrays, name, shape)
    if found.dtype.kind == "U" or not np.isfinite(found.astype(np.float64)).all():
        raise ArtifactError("bad_model", f"Model array {name!r} holds text, NaN or infinity; expected finite numbers.")
    return found.astype(np.float64)


def scalar(arrays: Arrays, name: str) -> float:
    """Return a single finite number."""
    return float(numbers(arrays, name, ()))
