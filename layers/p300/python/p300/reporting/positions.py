"""Where electrodes are on the head, by their names."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

MONTAGE = "colin27_1005"
MIN_CHANNELS = 4
"""Fewer channels say nothing about a topography."""


def known_positions(ch_names: Sequence[str]) -> list[int]:
    """Return the channels whose place on the head is known, or none where they are too few for a map.

    Parameters
    ----------
    ch_names : sequence of str
        In any spelling of upper and lower case.

    Returns
    -------
    known : list of int
        Indices into `ch_names`, ascending.
    """
    import mne

    montage = {name.lower() for name in mne.channels.make_standard_montage(MONTAGE).ch_names}
    known = [index for index, name in enumerate(ch_names) if name.lower() in montage]
    return known if len(known) >= MIN_CHANNELS else []


def info_of(ch_names: Sequence[str]) -> Any:
    """Return ``mne.Info`` with the positions of channels that `known_positions` knows.

    Parameters
    ----------
    ch_names : sequence of str
        Their names.

    Returns
    -------
    mne.Info
    """
    import mne

    info = mne.create_info(list(ch_names), 1.0, "eeg", verbose="error")
    return info.set_montage(mne.channels.make_standard_montage(MONTAGE), match_case=False, verbose="error")


def neighbours(ch_names: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of neighbouring channels: the edges of the Delaunay triangulation that MNE-Python finds.

    Parameters
    ----------
    ch_names : sequence of str
        Channels whose position is unknown have no neighbours.

    Returns
    -------
    pairs : list of (int, int)
        Indices into `ch_names`.
    """
    import mne

    known = known_positions(ch_names)
    if not known:
        return []
    with mne.use_log_level("error"):  # it has no file for any montage
        adjacency, _ = mne.channels.find_ch_adjacency(info_of([ch_names[channel] for channel in known]), "eeg")
    joined = adjacency.toarray()
    return [(known[i], known[j]) for i, j in combinations(range(len(known)), 2) if joined[i, j]]
