"""The stand-in for /opt: a function's layers unpacked over each other in order, and kept between runs.

There is one directory per layer and one per combination, named by the hashes of the layers' zip files. So a layer
is unpacked once, however often LocalStack starts. Combinations consist of hard links, which cost little time and no
space; functions share them and must not change them. Putting several directories on the search paths would be cheaper,
but would not behave like /opt: if two layers held parts of one package, Python would see only the first.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_UNUSED_DAYS = 14


@dataclass(frozen=True)
class Layer:
    """A layer's zip file: its hash, and how to get its unpacked content when that is needed."""

    sha256: str
    unpack: Callable[[], Path]


class LayerCache:
    """Unpacked layers under one directory. Safe for concurrent use, even by several LocalStacks.

    Parameters
    ----------
    directory
        Where the cache is. Entries that have not been used for two weeks are removed when a cache is opened.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        remove_unused(directory)

    def opt(self, layers: Sequence[Layer]) -> Path:
        """Return the directory that holds the layers' merged content; it must not be changed.

        Parameters
        ----------
        layers
            In the function's order: if two files have the same path, that of the later layer wins.
        """
        name = _name(layers)
        with self._guard:
            lock = self._locks[name]
        with lock:
            target = self._directory / name
            if not target.is_dir():
                sources = [layers[0].unpack()] if len(layers) == 1 else [self.opt([layer]) for layer in layers]
                self._publish(sources, target)
            os.utime(target)
        return target

    def _publish(self, sources: Sequence[Path], target: Path) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        # Built elsewhere and renamed: a directory that exists is complete.
        with tempfile.TemporaryDirectory(dir=self._directory, prefix="new-") as building:
            merged = Path(building, "opt")
            merge(sources, merged)
            try:
                merged.rename(target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # another LocalStack was faster
                    raise


def remove_unused(directory: Path) -> None:
    """Remove the entries of a cache that have not been used for two weeks."""
    oldest = time.time() - _UNUSED_DAYS * 24 * 3600
    with contextlib.suppress(OSError):
        for entry in directory.iterdir():
            if entry.stat().st_mtime < oldest:
                shutil.rmtree(entry, ignore_errors=True)


def merge(sources: Sequence[Path], target: Path) -> None:
    """Create hard links to all files of `sources` under `target`; if files have the same path, the last source wins."""
    for source in sources:
        for directory, _, names in source.walk():
            there = target / directory.relative_to(source)
            there.mkdir(parents=True, exist_ok=True)
            for name in names:
                _link(directory / name, there / name)


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def _name(layers: Sequence[Layer]) -> str:
    return hashlib.sha256(" ".join(layer.sha256 for layer in layers).encode()).hexdigest()[:32]
