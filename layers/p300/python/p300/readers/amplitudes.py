"""Amplitudes that are possible but unlikely for scalp EEG: a wrong gain, of all channels or of one, leaves a note."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from p300.text import few_of

USUAL_MOVEMENT_V = (1e-6, 4e-5)
"""Of the median EEG channel, measured as by `look.movement`. Recordings at hand have 3.8 to 22 uV."""
USUAL_SHARE_OF_OTHERS = (0.15, 1 / 0.15)
"""Of one channel, in medians of the others. Recordings at hand have 0.67 to 2.8, a noisy electrode included."""


def unusual(movement_v: NDArray[np.floating], names: Sequence[str]) -> list[str]:
    """Describe amplitudes that a wrong gain may be the reason for.

    Parameters
    ----------
    movement_v : ndarray, shape (n_channels,)
        How much each EEG channel moves within a tenth of a second, in volts; 0 for one that does not move.
    names : sequence of str
        Names of the channels.

    Returns
    -------
    notes : list of str
    """
    moving = np.flatnonzero(movement_v > 0)
    if not len(moving):
        return []
    notes = []
    typical_v = float(np.median(movement_v[moving]))
    lowest, highest = USUAL_MOVEMENT_V
    if not lowest <= typical_v <= highest:
        notes.append(
            f"amplitude unusual for scalp EEG: the median channel changes by {typical_v * 1e6:.2g} uV within a tenth of a second; expected "
            f"{lowest * 1e6:g} to {highest * 1e6:g} uV. Check the gain and the unit"
        )
    low, high = USUAL_SHARE_OF_OTHERS
    if float(movement_v[moving].max()) <= high * float(
        movement_v[moving].min()
    ):  # then all are within, the medians too
        return notes
    shares = {number: _share_of_others(movement_v[moving], row) for row, number in enumerate(moving.tolist())}
    differing = [f"{names[number]} {share:.2g} times" for number, share in shares.items() if not low <= share <= high]
    if differing:
        notes.append(
            f"channels with another amplitude than the others, in times the others' median: {few_of(differing)}. Check the gain, the unit "
            "and the electrode"
        )
    return notes


def _share_of_others(movement_v: NDArray[np.floating], row: int) -> float:
    """Return a channel's movement in medians of the others; 1 of a single channel."""
    others = np.delete(movement_v, row)
    return float(movement_v[row] / np.median(others)) if len(others) else 1.0
