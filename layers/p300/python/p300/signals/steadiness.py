"""Whether the EEG has one unit throughout: sessions that were joined may have two."""

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.features import VOLTS_TO_UV

EPOCHS_AT_ONCE = 10
LARGEST_RATIO, LARGEST_WITH_ARTIFACTS = 30.0, 300.0
"""Between the amplitudes of two stretches of a recording; more where artifacts are not left out."""


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
