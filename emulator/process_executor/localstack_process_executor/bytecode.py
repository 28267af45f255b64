"""Keeps the bytecode that Python compiles from a function's packages, which makes later cold starts faster.

It cannot be kept beside the sources as usual: functions share the sources, and a function that could write there could
change the code of another. So each function has a bytecode directory of its own, which is kept between runs.
"""

import hashlib
import os
from pathlib import Path

from .layers import remove_unused


class BytecodeCache:
    """The functions' directories. Those that have not been used for two weeks are removed when a cache is opened."""

    def __init__(self, directory: Path):
        self._directory = directory
        remove_unused(directory)

    def of(self, function: str, packages: str) -> Path:
        """Return a function's directory.

        Parameters
        ----------
        function
            The function's unique name; its versions share a directory.
        packages
            Identifies the packages from which the bytecode was compiled: other packages begin with an empty directory.
        """
        name = hashlib.sha256(f"{function} {packages}".encode()).hexdigest()[:32]
        target = self._directory / name
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.utime(target)
        return target
