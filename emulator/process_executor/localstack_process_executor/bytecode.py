"""Keeps the bytecode that Python compiles from a function's packages, which makes later cold starts faster.

It cannot be kept beside the sources as usual: functions share those, and one that could write there could change what
another one runs. So each function has a directory of its own for it, which stays from run to run.
"""

import hashlib
import os
from pathlib import Path

from .layers import remove_unused


class BytecodeCache:
    """The functions' directories. Those that were not used for two weeks are removed when a cache is opened."""

    def __init__(self, directory: Path):
        self._directory = directory
        remove_unused(directory)

    def of(self, function: str, packages: str) -> Path:
        """Return a function's directory.

        Parameters
        ----------
        function
            Its name among all functions; its versions share a directory.
        packages
            Names what the bytecode was compiled from: other packages begin with an empty directory.
        """
        name = hashlib.sha256(f"{function} {packages}".encode()).hexdigest()[:32]
        target = self._directory / name
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.utime(target)
        return target
