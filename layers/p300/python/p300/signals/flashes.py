"""Where the flashes are, from the stimulation channel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p300.recording import UNLABELLED


@dataclass(frozen=True)
class Flashes:
    """The flashes of a recording in order of time.

    Attributes
    ----------
    onset_sample : ndarray of int64, shape (n_flashes,)
        First sample of each flash.
    label : ndarray of int8, shape (n_flashes,)
        1 (NonTarget) or 2 (Target), or 3 (unlabelled) throughout.
    flash : ndarray of int32, shape (n_flashes,), or None
        Stimulus group that flashed.
    repetition : ndarray of int32, shape (n_flashes,), or None
        How many times that group had flashed before: all groups of one pass over the symbols share a number.
    """

    onset_sample: NDArray[np.int64]
    label: NDArray[np.int8]
    flash: NDArray[np.int32] | None
    repetition: NDArray[np.int32] | None

    def __len__(self) -> int:
        return len(self.onset_sample)

    @property
    def labelled(self) -> bool:
        """Whether it is known which flashes were targets."""
        return not (self.label == UNLABELLED).any()


def find_flashes(stim: NDArray[np.integer], flash: NDArray[np.integer] | None = None) -> Flashes:
    """Find the onsets that ``mne.find_events(raw, consecutive="increasing")`` finds.

    Parameters
    ----------
    stim : ndarray of int, shape (n_samples,)
        0 between flashes, 1, 2 or 3 during one.
    flash : ndarray of int, shape (n_samples,), optional
        Stimulus group during each flash.

    Returns
    -------
    Flashes
        A pulse that is on in the very first sample has no onset and is left out, as in MNE.
    """
    rises = np.flatnonzero(stim[1:] > stim[:-1]) + 1
    onset_sample = rises.astype(np.int64)
    label = stim[rises].astype(np.int8)
    if flash is None:
        return Flashes(onset_sample, label, None, None)
    group = flash[rises].astype(np.int32)
    return Flashes(onset_sample, label, group, _earlier_occurrences(group))


def _earlier_occurrences(group: NDArray[np.int32]) -> NDArray[np.int32]:
    """Count, for each flash, the flashes of its group before it, in one sort however many groups there are."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    first = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1]) if len(group) else np.empty(0, int)
    counts = np.empty(len(group), np.int32)
    counts[order] = np.arange(len(group)) - np.repeat(first, np.diff(first, append=len(group)))
    return counts
