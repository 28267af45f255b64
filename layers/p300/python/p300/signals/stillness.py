"""Samples that were not measured though they are not NaN: repeated for lost packets, held at an amplifier's limit, or of a dead electrode.

They are found before the filter, which would make a ramp of them, and become NaN: from there on they are missing as any other gap is.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

SHORTEST_S, FEWEST_SAMPLES = 0.02, 4
"""Of a run of equal samples that is no EEG; shorter ones leave no trace in a band below 20 Hz."""
LONGEST_S = 0.25
"""No EEG stands still for that long, however coarse the steps it is recorded in."""
HEAD_SAMPLES = 1 << 13
"""From which it is told how often neighbouring samples are equal because of these steps."""
ONE_IN, INDEPENDENCE = 1e9, 3.0
"""A run of samples that are equal by chance as long as one in so many is, three times as long as neighbours are not independent."""


class Stillness:
    """Finds runs of equal samples while blocks pass by, the same ones whatever the length of the blocks.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    """

    def __init__(self, sfreq: float) -> None:
        self._sfreq = sfreq
        self._limits: NDArray[np.int64] | None = None
        self.n_still: NDArray[np.int64] = np.zeros(0, np.int64)
        """Samples found, by channel."""

    def blanked(self, blocks: Iterable[NDArray[np.floating]]) -> Iterator[NDArray[np.floating]]:
        """Pass a signal on with NaN for samples that stand still.

        Parameters
        ----------
        blocks : iterable of ndarray, shape (n_channels, n_block)
            The signal, or an uninterrupted segment of it, in consecutive pieces.

        Yields
        ------
        ndarray, shape (n_channels, n_out)
            As many samples in all; a few arrive later than they came, as a run is known by its length.
        """
        held: NDArray[np.floating] | None = None
        for block in blocks:
            if not block.shape[1]:
                continue
            if held is None:
                held = block
            elif self._limits is None and held.shape[1] < HEAD_SAMPLES:
                held = np.concatenate([held, block], axis=1)
            elif self._goes_on(held, block):
                held = np.concatenate([held, block], axis=1)
                settled = max(held.shape[1] - int(self._known(held).max()), 0)
                yield self._blank(held, settled)[:, :settled]
                held = held[:, settled:]
            else:
                yield self._blank(held, held.shape[1])
                held = block
        if held is not None:
            yield self._blank(held, held.shape[1])

    def _goes_on(self, held: NDArray[np.floating], block: NDArray[np.floating]) -> bool:
        """Tell whether a run that is too long, or may become so, reaches from one block into the next.

        Coarse steps make neighbours equal at many a border: copying both blocks for each of them would cost more than all else here.
        """
        limits = self._known(held)
        for channel in np.flatnonzero(held[:, -1] == block[:, 0]).tolist():
            limit = int(limits[channel])
            around = np.concatenate([held[channel, -limit:], block[channel, :limit]])
            border = min(limit, held.shape[1])
            changes = np.flatnonzero(around[1:] != around[:-1]) + 1
            before, after = changes[changes < border], changes[changes > border]
            if not len(after) or after[0] - (before[-1] if len(before) else 0) >= limit:
                return True
        return False

    def _known(self, held: NDArray[np.floating]) -> NDArray[np.int64]:
        if self._limits is None:
            self._limits = self._found_limits(held[:, :HEAD_SAMPLES])
            self.n_still = np.zeros(len(held), np.int64)
        return self._limits

    def _found_limits(self, head: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return how many equal samples in a row are too many, by channel."""
        shortest = max(math.ceil(SHORTEST_S * self._sfreq), FEWEST_SAMPLES)
        longest = max(math.ceil(LONGEST_S * self._sfreq), shortest)
        limits = np.full(len(head), shortest, np.int64)
        n_equal = np.count_nonzero(head[:, 1:] == head[:, :-1], axis=1)
        n_pairs = np.full(len(head), max(head.shape[1] - 1, 1))
        for channel in np.flatnonzero(_may_hold_a_run(head, longest)).tolist():
            _, lengths = _runs(head[channel])
            lengths = lengths[lengths < longest]
            n_equal[channel], n_pairs[channel] = (lengths - 1).sum(), max(int(lengths.sum()) - 1, 1)
        for channel in np.flatnonzero(n_equal).tolist():
            share = n_equal[channel] / n_pairs[channel]
            by_chance = INDEPENDENCE * math.log(ONE_IN) / -math.log(share) if share < 1 else longest
            limits[channel] = min(max(shortest, math.ceil(by_chance)), longest)
        return limits

    def _blank(self, held: NDArray[np.floating], settled: int) -> NDArray[np.floating]:
        """Put NaN into runs that are too long, as far as the signal is settled, whatever comes after it."""
        limits = self._known(held)
        blanked = held
        for channel in np.flatnonzero(_may_hold_a_run(held, int(limits.min()))):
            starts, lengths = _runs(held[channel])
            for run in np.flatnonzero((lengths >= limits[channel]) & (starts < settled)).tolist():
                if blanked is held:
                    blanked = held.copy()  # whoever made it may want it as it was
                # What waits stays as it is: it is what tells that the run goes on.
                start, end = int(starts[run]), min(int(starts[run] + lengths[run]), settled)
                blanked[channel, start:end] = np.nan
                self.n_still[channel] += end - start
        return blanked


def _may_hold_a_run(block: NDArray[np.floating], shortest: int) -> NDArray[np.bool_]:
    """Tell which channels need a closer look: a run so long holds one of so few samples, and the next."""
    stride = max(shortest - 1, 1)
    may: NDArray[np.bool_] = (block[:, 1::stride] == block[:, :-1:stride]).any(axis=1)
    return may


def _runs(row: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where runs of equal samples begin, and their lengths; every sample is in one."""
    edges = np.flatnonzero(np.r_[True, row[1:] != row[:-1], True])
    lengths = np.diff(edges)
    return edges[:-1], lengths
