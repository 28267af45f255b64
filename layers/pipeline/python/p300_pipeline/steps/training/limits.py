"""Limits of a training in memory, disk and time: recordings that are too large are left out, and the training uses the others.

Smaller recordings come first, so that a few large ones cannot take the place of all others.
"""

import hashlib
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

RECORDING_SHARE, PERSON_SHARE, EPOCHS_SHARE = 24, 8, 2
"""Of the function's memory, one over this at most: a fit takes twelve times a recording, and a person left out is held as a whole."""
EPOCH_BYTES = 1024
"""Of memory that an epoch takes beside its features while its recording is read: labels, scores, covariances."""
KEPT_EPOCH_BYTES = 512
"""Of memory that an epoch takes from then on: a sketch to compare it by, then a covariance of four filters."""
DISK_SHARE = 0.9
MOST_FITTED_EPOCHS = 9_000_000
"""In all fits of a training together: so many were seen to take 450 s of a core, of Lambda's 900 s."""
MOST_SUBJECTS = 1_000
"""A training is of so many subjects at most, drawn with its seed: their features fit on its disk, and more hardly improve a model."""
OUTSIZE = 10
"""A recording of more than so many times the median is left out where there are too many epochs; it is not what makes a data set grow."""

Shape = tuple[int, int]
"""Epochs, and features of each."""


@dataclass(frozen=True)
class Limits:
    """Bytes of features at most.

    Attributes
    ----------
    memory : int
        The function's memory.
    disk : int
        Room where features are kept during the training.
    """

    memory: int
    disk: int

    @classmethod
    def of(cls, folder: Path, memory_mb: int) -> "Limits":
        """Return the limits of this process, which keeps features in `folder`."""
        return cls(memory_mb << 20, int(DISK_SHARE * shutil.disk_usage(folder).free))

    def too_large_to_download(self, sizes: Mapping[str, int]) -> dict[str, str]:
        """Say which files are too large, of given sizes in bytes, and why."""
        reasons = {name: reason for name, size in sizes.items() if (reason := self._too_large(size))}
        rest = {name: size for name, size in sizes.items() if name not in reasons}
        return reasons | _over(rest, self.disk, f"its disk has room for {_mb(self.disk)} of features")

    def too_large_to_read(self, shape: Shape) -> str | None:
        """Say why a recording of so many epochs takes too much memory; None where it does not."""
        return self._too_large(_memory_of(shape))

    def too_many_epochs(self, shapes: Mapping[str, Shape]) -> dict[str, str]:
        """Say which recordings have more epochs than memory takes of all."""
        most = self.memory // EPOCHS_SHARE // KEPT_EPOCH_BYTES
        n_epochs = {name: shape[0] for name, shape in shapes.items()}
        return _over(n_epochs, most, f"it takes {most:,} epochs in {_mb(self.memory)} of memory")

    def too_many_of_a_person(self, shapes: Mapping[str, Shape], person_of: Callable[[str], str]) -> dict[str, str]:
        """Say of which recordings a person has too many to be left out as a whole."""
        most = self.memory // PERSON_SHARE
        needed = {name: _memory_of(shape) for name, shape in shapes.items()}
        why = f"it takes {_mb(most)} of features of one person in {_mb(self.memory)} of memory"
        return _over(needed, most, why, person_of)

    def _too_large(self, n_bytes: int) -> str | None:
        most = self.memory // RECORDING_SHARE
        if n_bytes <= most:
            return None
        return (
            f"takes {_mb(n_bytes)} of memory; a training takes recordings of up to {_mb(most)} in {_mb(self.memory)}: land it in parts, "
            "or give the training function more memory (MemorySize)"
        )


def too_long(shapes: Mapping[str, Shape], fitted_epochs: Callable[[int], int]) -> dict[str, str]:
    """Say which recordings take a training more time than it has, where all others are much shorter.

    Parameters
    ----------
    shapes : mapping of str to (int, int)
        Epochs and features of each recording.
    fitted_epochs : callable
        Returns how many epochs a training fits in all, of so many that there are.
    """
    n_epochs = {name: shape[0] for name, shape in shapes.items()}
    if fitted_epochs(sum(n_epochs.values())) <= MOST_FITTED_EPOCHS:
        return {}
    most = OUTSIZE * median(n_epochs.values())
    return {
        name: f"has {n:,} epochs, more than {OUTSIZE} times as many as most, and with all of them the training would not end in time: "
        "land it in parts"
        for name, n in n_epochs.items()
        if n > most
    }


def drawn(subjects: Collection[str], seed: int) -> set[str]:
    """Draw subjects, where there are more than `MOST_SUBJECTS`: one more who may be drawn takes the place of one at most."""

    def rank(subject: str) -> bytes:
        return hashlib.sha256(f"{seed} {subject}".encode()).digest()

    return set(sorted(subjects, key=rank)[:MOST_SUBJECTS])


def _memory_of(shape: Shape) -> int:
    n_epochs, n_features = shape
    return n_epochs * (4 * n_features + EPOCH_BYTES)


def _over(
    sizes: Mapping[str, int], most: int, why: str, group_of: Callable[[str], str] = lambda _: "all"
) -> dict[str, str]:
    """Take the smallest first, in each group as many as `most` allows, and say why the others are not taken."""
    taken: dict[str, int] = {}
    reasons = {}
    for name, size in sorted(sizes.items(), key=lambda entry: (entry[1], entry[0])):
        group = group_of(name)
        if taken.get(group, 0) + size > most:
            reasons[name] = f"is more than a training takes: {why}, and smaller recordings came first"
        else:
            taken[group] = taken.get(group, 0) + size
    return reasons


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 20):,.0f} MB"
