"""Missing samples: where they are, and something finite in their place so that the filter can pass."""

from collections import deque
from collections.abc import Iterable, Iterator

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

    def filled(self, blocks: Iterable[NDArray[np.floating]]) -> Iterator[NDArray[np.floating]]:
        """Pass blocks of shape (n_channels, n_block) on, finite in every sample.

        A channel that begins with a gap holds its first finite value of that block, or 0 where there is none.
        """
        self._spans.clear()
        position = 0
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
