"""Whether a difference between the classes is a P300: a positive peak, late enough, at the electrodes where a P300 is seen."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from p300.channels import plain

PEAK_FROM_S, PEAK_TO_S = 0.25, 0.8
"""Of the peak of a P300: Polich (2007), Clin. Neurophysiol. 118:2128-2148, doi:10.1016/j.clinph.2007.04.019."""
SITES = "central, parietal or occipital electrodes"
_SITE = re.compile(r"(?:fcz|(?:c|cp|p|po|o)(?:z|\d{1,2}))")


def at_usual_sites(ch_names: Sequence[str]) -> NDArray[np.bool_]:
    """Tell which channels are at sites where a P300 is positive; all of them, where no name is that of such a site.

    Parameters
    ----------
    ch_names : sequence of str
        Any spelling.

    Returns
    -------
    usual : ndarray of bool, shape (n_channels,)
    """
    usual = np.array([_SITE.fullmatch(plain(name)) is not None for name in ch_names], bool)
    return usual if usual.any() else np.ones(len(ch_names), bool)


def positive_peak(
    mask: NDArray[np.bool_], difference: NDArray[np.floating], times_s: NDArray[np.floating], ch_names: Sequence[str]
) -> tuple[int, int] | None:
    """Return where a cluster has the peak of a P300.

    Parameters
    ----------
    mask : ndarray of bool, shape (n_channels, n_times)
        What belongs to the cluster.
    difference : ndarray, shape (n_channels, n_times)
        Target minus non-target average.
    times_s : ndarray, shape (n_times,)
        Seconds from the flash.
    ch_names : sequence of str
        The channels.

    Returns
    -------
    (channel, sample) or None
        The largest positive peak at a usual site from `PEAK_FROM_S` to `PEAK_TO_S`; None without one. The slope of an earlier peak is none.
    """
    before = np.pad(difference, ((0, 0), (1, 0)), mode="edge")[:, :-1]
    after = np.pad(difference, ((0, 0), (0, 1)), mode="edge")[:, 1:]
    peaks = mask & (difference > 0) & (difference >= before) & (difference >= after)
    peaks &= at_usual_sites(ch_names)[:, np.newaxis] & (times_s >= PEAK_FROM_S) & (times_s <= PEAK_TO_S)
    if not peaks.any():
        return None
    channel, sample = np.unravel_index(np.argmax(np.where(peaks, difference, -np.inf)), difference.shape)
    return int(channel), int(sample)
