"""Missing samples: where they are, and something finite in their place so that the filter can pass; and where recordings pause."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


class Gaps:
    """Spans of samples that are not finite, collected while blocks pass by.

    An amplifier that loses packets writes NaN. One NaN would spread over a whole filter length, and ``mne.Epochs``
    keeps epochs full of NaN because no comparison with NaN is true. Here each channel holds its last finite value
    during a gap, and the epochs that touch the gap are rejected: what an annotation ``BAD_gap`` does in MNE-Python.
    """

    def __init__(self) -> None:
        self._spans: deque[tuple[int, NDArray[np.int64]]] = deque()
        self.n_missing: NDArray[np.int64] = np.zeros(0, np.int64)
        """Samples found, by channel; empty where none is missing."""

    def filled(self, blocks: Iterable[NDArray[np.floating]], first: int = 0) -> Iterator[NDArray[np.floating]]:
        """Pass blocks of shape (n_channels, n_block) on, finite in every sample; ``first`` is the sample that they begin at.

        A channel that begins with a gap holds its first finite value of that block, or 0 where there is none.
        """
        if not first:
            self._spans.clear()
        position = first
        last: NDArray[np.floating] | None = None
        for block in blocks:
            mended = block
            if not np.isfinite(block.sum()):  # one pass; an overflow would only cost the look below
                mended = self._mend(block, position, last)
            position += block.shape[1]
            last = mended[:, -1:].copy()
            yield mended

    def _mend(
        self, block: NDArray[np.floating], position: int, last: NDArray[np.floating] | None
    ) -> NDArray[np.floating]:
        finite = np.isfinite(block)
        mended = block.copy()
        if not self.n_missing.size:
            self.n_missing = np.zeros(len(block), np.int64)
        self.n_missing += block.shape[1] - np.count_nonzero(finite, axis=1)
        for channel in np.flatnonzero(~finite.all(axis=1)):
            known = np.flatnonzero(finite[channel])
            before = np.searchsorted(known, np.arange(block.shape[1]), side="right") - 1
            first = last[channel] if last is not None else block[channel, known[:1]] if len(known) else 0
            values = np.append(block[channel, known], first)  # index -1 stands for "none before"
            mended[channel] = values[before]
            self._spans.append((int(channel), position + np.flatnonzero(~finite[channel])))
        return mended

    def touched(self, starts: NDArray[np.int64], n_times: int, n_channels: int) -> NDArray[np.bool_]:
        """Tell which epochs a gap touches, shape (n_epochs, n_channels).

        Epochs are asked for in order of time: spans that end before these are forgotten, so that a recording full of gaps takes no
        longer for each of its epochs than a short one.
        """
        touched = np.zeros((len(starts), n_channels), bool)
        while len(starts) and self._spans and self._spans[0][1][-1] < starts[0]:
            self._spans.popleft()
        for channel, missing in list(self._spans):  # the thread that reads ahead may add to them
            touched[:, channel] |= np.searchsorted(missing, starts) < np.searchsorted(missing, starts + n_times)
        return touched


def spanned(starts: NDArray[np.int64], n_times: int, interruptions: Sequence[int]) -> NDArray[np.bool_]:
    """Tell which epochs a discontinuity lies in.

    Parameters
    ----------
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch.
    n_times : int
        Samples of an epoch.
    interruptions : sequence of int
        Samples that do not follow the one before them, ascending.

    Returns
    -------
    spanned : ndarray of bool, shape (n_epochs,)
    """
    at = np.asarray(interruptions, np.int64)
    return np.searchsorted(at, starts, side="right") < np.searchsorted(at, starts + n_times)


def overlapping(starts: NDArray[np.int64], n_times: int, spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Tell which epochs touch a span.

    Parameters
    ----------
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch.
    n_times : int
        Samples of an epoch.
    spans : sequence of (int, int)
        First sample of each, and the first after it.

    Returns
    -------
    overlapping : ndarray of bool, shape (n_epochs,)
    """
    spans = [span for span in spans if span[0] < span[1]]
    first, after = np.sort([span[0] for span in spans]), np.sort([span[1] for span in spans])
    # Spans that began before the epoch's end, less those that ended before its beginning.
    return np.searchsorted(first, starts + n_times) > np.searchsorted(after, starts, side="right")


def segments(
    blocks: Iterable[NDArray[np.floating]], bounds: Sequence[int]
) -> Iterator[tuple[int, int, Iterator[NDArray[np.floating]]]]:
    """Split a signal at its discontinuities.

    Parameters
    ----------
    blocks : iterable of ndarray, shape (n_channels, n_block)
        The signal in consecutive pieces.
    bounds : sequence of int
        First sample of each segment, ascending from 0 on, and the signal's length.

    Yields
    ------
    first : int
        First sample of the segment.
    n_samples : int
        Its length.
    blocks : iterator of ndarray, shape (n_channels, n_block)
        Its pieces, to be used up before the next segment is asked for.
    """
    pieces = iter(blocks)
    rest: list[NDArray[np.floating]] = []

    def of_segment(n_samples: int) -> Iterator[NDArray[np.floating]]:
        while n_samples > 0:
            block = rest.pop() if rest else next(pieces, None)
            if block is None:
                return  # the signal ends early, as whoever counts its samples will say
            if block.shape[1] > n_samples:
                rest.append(block[:, n_samples:])
                block = block[:, :n_samples]
            n_samples -= block.shape[1]
            yield block

    for first, after in pairwise(bounds):
        yield first, after - first, of_segment(after - first)
