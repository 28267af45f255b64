"""Writes MATLAB files of version 7.3 as MATLAB does: HDF5 behind 512 bytes of its own, arrays with their dimensions reversed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def write_mat73(path: Path, variables: Mapping[str, Any]) -> Path:
    """Write arrays, texts, numbers, lists of texts (cells), dictionaries (structures) and lists of them (arrays of structures)."""
    path.unlink(missing_ok=True)  # the library does not write over a file that a stream still reads
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, value in variables.items():
            _write(file, file, key, value)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM")
    return path


def _write(file: h5py.File, group: h5py.Group, key: str, value: Any) -> None:
    if isinstance(value, Mapping):
        structure = group.create_group(key)
        structure.attrs["MATLAB_class"] = np.bytes_("struct")
        for field, held in value.items():
            _write(file, structure, field, held)
    elif isinstance(value, str):
        codes = np.array([ord(character) for character in value], "<u2").reshape(-1, 1)
        group.create_dataset(key, data=codes if value else np.zeros(2, "<u8"))
        group[key].attrs["MATLAB_class"] = np.bytes_("char")
        if not value:
            group[key].attrs["MATLAB_empty"] = np.uint8(1)
    elif isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
        structure = group.create_group(key)
        structure.attrs["MATLAB_class"] = np.bytes_("struct")
        for field in value[0]:
            structure.create_dataset(field, data=_references(file, [one[field] for one in value]))
    elif isinstance(value, Sequence):
        group.create_dataset(key, data=_references(file, value))
        group[key].attrs["MATLAB_class"] = np.bytes_("cell")
    else:
        numbers = np.atleast_2d(np.asarray(value)).T
        packed = {"compression": "gzip", "shuffle": True} if numbers.size > 100 else {}
        group.create_dataset(key, data=numbers, **packed)
        group[key].attrs["MATLAB_class"] = np.bytes_("double")


def _references(file: h5py.File, values: Sequence[Any]) -> Any:
    kept = file.require_group("#refs#")
    found = []
    for value in values:
        name = str(len(kept))
        _write(file, kept, name, value)
        found.append(kept[name].ref)
    return np.array(found, h5py.ref_dtype).reshape(-1, 1)
