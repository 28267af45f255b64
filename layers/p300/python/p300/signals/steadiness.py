"""Whether the EEG has one unit throughout: sessions that were joined may have two."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.features import VOLTS_TO_UV
from p300.text import few_of

EPOCHS_AT_ONCE = 10
LARGEST_RATIO, LARGEST_WITH_ARTIFACTS = 30.0, 300.0
"""Between the amplitudes of two stretches of a recording; more where artifacts are not left out."""
MOST_BLOCKS, FEWEST_OF_BLOCKS = 20, 2
LARGEST_CHANGE = 5.0
"""Of a channel's amplitude from one part of a recording to the rest. No recording at hand changes by as much."""


def check_steady(
    peak_to_peak: NDArray[np.floating], onset_sample: NDArray[np.int64], sfreq: float, *, rejected: bool
) -> None:
    """Refuse a recording in which some of the EEG is many times as large as the rest.

    Parameters
    ----------
    peak_to_peak : ndarray, shape (n_epochs, n_channels)
        Of the epochs that are kept, in volts.
    onset_sample : ndarray of int, shape (n_epochs,)
        Their flashes' first samples.
    sfreq : float
        The recording's rate in Hz.
    rejected : bool
        Whether epochs with artifacts are left out.

    Raises
    ------
    RecordingError
        ``wrong_unit``.
    """
    n_parts = len(peak_to_peak) // EPOCHS_AT_ONCE
    if n_parts < 2:
        return
    typical = np.median(peak_to_peak, axis=1)
    sizes = np.median(typical[: n_parts * EPOCHS_AT_ONCE].reshape(n_parts, EPOCHS_AT_ONCE), axis=1)
    small, large = int(np.argmin(sizes)), int(np.argmax(sizes))
    if not 0 < sizes[small] < sizes[large] / (LARGEST_RATIO if rejected else LARGEST_WITH_ARTIFACTS):
        return
    (small_uv, small_s), (large_uv, large_s) = (
        (sizes[part] * VOLTS_TO_UV, onset_sample[part * EPOCHS_AT_ONCE] / sfreq) for part in (small, large)
    )
    raise RecordingError(
        "wrong_unit",
        f"The EEG has {large_uv:.3g} uV peak to peak in the epochs from {large_s:,.0f} s on, and {small_uv:.3g} uV in those from "
        f"{small_s:,.0f} s on. Expected one unit and one gain throughout. Were recordings in different units joined? Upload each as a file "
        "of its own.",
    )


def changed_gain(
    peak_to_peak: NDArray[np.floating], onset_sample: NDArray[np.int64], sfreq: float, names: Sequence[str]
) -> list[str]:
    """Describe channels that are many times as large from some flash on as before it.

    Parameters
    ----------
    peak_to_peak : ndarray, shape (n_epochs, n_channels)
        Of all epochs without missing samples, in volts: the loud part of a recording may be rejected as a whole.
    onset_sample : ndarray of int, shape (n_epochs,)
        Their flashes' first samples.
    sfreq : float
        The recording's rate in Hz.
    names : sequence of str
        Of the channels.

    Returns
    -------
    notes : list of str
    """
    at_once = max(-(-len(peak_to_peak) // MOST_BLOCKS), EPOCHS_AT_ONCE)
    n_blocks = len(peak_to_peak) // at_once
    splits = range(FEWEST_OF_BLOCKS, n_blocks - FEWEST_OF_BLOCKS + 1)
    if not splits:
        return []
    blocks = peak_to_peak[: n_blocks * at_once].reshape(n_blocks, at_once, -1)
    sizes = np.log(np.maximum(np.nan_to_num(np.median(blocks, axis=1)), np.finfo(np.float32).tiny))
    if (np.ptp(sizes, axis=0) <= np.log(LARGEST_CHANGE)).all():  # nearly always, and the rest takes longer
        return []
    changes = [np.median(sizes[split:], axis=0) - np.median(sizes[:split], axis=0) for split in splits]
    largest = np.argmax(np.abs(changes), axis=0)
    told = []
    for channel, row in enumerate(largest.tolist()):
        change = float(changes[row][channel])
        if abs(change) > np.log(LARGEST_CHANGE):
            from_s = onset_sample[splits[row] * at_once] / sfreq
            told.append(f"{names[channel]} {np.exp(change):.2g} times from about {from_s:,.0f} s on")
    return (
        [f"channels whose amplitude changes within the recording: {few_of(told)}. Check gain and electrode"]
        if told
        else []
    )
