"""Pickles that leave a mark where they are opened."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.corpus import npz


class Mark:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (os.fspath(self.path),)


def plant(path: Path) -> dict[str, bytes]:
    """Return a pickle that makes the folder `path` when it is opened, in every wrapping that some reader knows."""
    plain = pickle.dumps(Mark(path))
    with_object = npz({"kind": np.array([Mark(path)], object), "format_version": np.array(1)})
    return {"pickle": plain, "npz": with_object, "npy": npz({"x": np.array(Mark(path), object)})}
