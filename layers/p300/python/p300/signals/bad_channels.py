"""Which channels are broken, and what stands in for them."""

import numpy as np
from numpy.typing import NDArray

FLAT_PEAK_TO_PEAK_V = 1e-8  # a connected electrode moves by more than this within any epoch
BROKEN_FRACTION = 0.5  # of epochs that a channel spoils
ALONE_FRACTION = 0.1  # of epochs that no other channel spoils


def find_bad_channels(over: NDArray[np.bool_], peak_to_peak: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell broken electrodes from a subject who blinks.

    Parameters
    ----------
    over : ndarray of bool, shape (n_epochs, n_channels)
        Where a channel exceeds the rejection limit or misses samples.
    peak_to_peak : ndarray, shape (n_epochs, n_channels)
        In volts.

    Returns
    -------
    ndarray of bool, shape (n_channels,)
        A channel is bad if it spoils most epochs, is flat in most epochs, or alone spoils so many that replacing it
        saves a tenth of the recording. A blink spoils neighbouring frontal channels together, so it makes none bad.
        All False where half of the channels or more would be bad: nothing trustworthy is left to replace them from.
    """
    if not len(over):
        return np.zeros(over.shape[1], bool)
    flat = peak_to_peak < FLAT_PEAK_TO_PEAK_V
    bad = (over | flat).mean(axis=0) > BROKEN_FRACTION
    others = over & ~bad
    alone = others & (others.sum(axis=1, keepdims=True) == 1)
    bad |= alone.mean(axis=0) > ALONE_FRACTION
    return bad if bad.sum() < len(bad) / 2 else np.zeros_like(bad)


def replacement(ch_names: tuple[str, ...], bad: NDArray[np.bool_]) -> tuple[NDArray[np.float64], str]:
    """Build the matrix that replaces bad channels, so that the number of features stays what the montage says.

    Parameters
    ----------
    ch_names : tuple of str
        All channels.
    bad : ndarray of bool, shape (n_channels,)
        Those to replace.

    Returns
    -------
    weights : ndarray, shape (n_channels, n_channels)
        Identity for good channels; for bad ones MNE-Python's spherical splines [1]_ where all channel
        names are of the 10-05 system and lie on a sphere, else the mean of the good channels.
    how : str
        Which of the two, for a person.

    References
    ----------
    .. [1] F. Perrin, J. Pernier, O. Bertrand and J. F. Echallier (1989). Spherical splines for scalp potential and current density
       mapping. Electroencephalography and Clinical Neurophysiology, 72, 184-187.
    """
    weights = np.diag((~bad).astype(np.float64))
    splines = _spherical_splines(ch_names, bad)
    if splines is None:
        weights[bad] = ~bad / (~bad).sum()
        return weights, "the mean of the other channels (electrode positions unknown, or too few)"
    weights[bad] = splines
    return weights, "spherical splines"


def _spherical_splines(ch_names: tuple[str, ...], bad: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Interpolate unit impulses: MNE's interpolation is linear and the same at every sample."""
    import mne

    montage = mne.channels.make_standard_montage("colin27_1005")
    known = {name.lower() for name in montage.ch_names}
    if not all(name.lower() in known for name in ch_names):
        return None
    info = mne.create_info(list(ch_names), 1.0, "eeg", verbose="error")
    info.set_montage(montage, match_case=False, verbose="error")
    info["bads"] = [name for name, is_bad in zip(ch_names, bad, strict=True) if is_bad]
    impulses = mne.EvokedArray(np.eye(len(ch_names)), info, verbose="error")
    try:
        impulses.interpolate_bads(verbose="error")
    except ValueError:  # too few positions to fit a sphere to
        return None
    rows: NDArray[np.float64] = impulses.get_data()[bad]
    return rows
