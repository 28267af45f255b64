"""What to say of a recording that keeps fewer than half of its epochs: why, and what may be done."""

import math

import numpy as np
from numpy.typing import NDArray

from p300.features import VOLTS_TO_UV, Rejection

from .parameters import Parameters

FEWEST_KEPT = 0.5
"""Share of flashes; a recording that keeps fewer carries a note."""
EVERYWHERE = 0.5
"""Share of channels over the limit in the median rejected epoch, from which on it is not single electrodes that are loud."""
WANTED_KEPT = 0.75
"""Share of epochs that a larger limit, which the note suggests, would keep."""
ROUNDED_TO_UV = 50
LARGEST_OF_EEG_UV = 500.0
"""Peak to peak within an epoch: beyond it a larger limit would let artifacts in."""
MOST_NAMED = 3


def few_kept(
    rejection: Rejection,
    over: NDArray[np.bool_],
    missing: NDArray[np.bool_],
    peak_to_peak: NDArray[np.floating],
    parameters: Parameters,
) -> str:
    """Explain why fewer than half of the flashes became epochs.

    Parameters
    ----------
    rejection : Rejection
        What was left out.
    over : ndarray of bool, shape (n_epochs, n_channels)
        Where an epoch that could be cut exceeds the limit or misses samples, bad channels replaced.
    missing : ndarray of bool, shape (n_epochs, n_channels)
        Where it misses samples, but for bad channels.
    peak_to_peak : ndarray, shape (n_epochs, n_channels)
        Of the same epochs, in volts.
    parameters : Parameters
        With the limit.

    Returns
    -------
    note : str
        Empty where at least half of the flashes are kept.
    """
    n_flashes, n_kept = rejection.n_flashes, rejection.n_kept
    if not n_flashes or n_kept >= FEWEST_KEPT * n_flashes:
        return ""
    places = {
        "too close to an end of the recording": rejection.n_outside,
        "at a gap in it": rejection.n_across_gaps,
        "in spans marked as bad": rejection.n_marked_bad,
    }
    reasons = [f"{n:,} are {where}" for where, n in places.items() if n]
    incomplete = missing.any(axis=1)
    if incomplete.any():
        reasons.append(f"{int(incomplete.sum()):,} miss samples: check the amplifier's connection and its range")
    loud = over.any(axis=1) & ~incomplete
    limit_uv = parameters.reject_peak_to_peak_uv
    if loud.any() and limit_uv is not None:
        reasons.append(_of_amplitude(rejection, over[loud], peak_to_peak[~incomplete], limit_uv))
    share = f"{100 * n_kept / n_flashes:.0f} %"
    return f"only {n_kept:,} of {n_flashes:,} epochs are kept ({share}; expected at least half): {'; '.join(reasons)}"


def _of_amplitude(
    rejection: Rejection, over: NDArray[np.bool_], peak_to_peak: NDArray[np.floating], limit_uv: float
) -> str:
    worst_uv = np.sort(peak_to_peak.max(axis=1)) * VOLTS_TO_UV
    typical_uv, needed_uv = (float(np.quantile(worst_uv, share)) for share in (0.5, WANTED_KEPT))
    found = f"{len(over):,} exceed {limit_uv:g} uV peak to peak, and the median epoch reaches {typical_uv:,.0f} uV"
    if float(np.median(over.mean(axis=1))) >= EVERYWHERE:
        found += (
            " on its largest channel. At least half of the channels are over the limit at once: check the unit and the gain, the "
            "reference electrode and slow drift, and whether the subject moved"
        )
    else:
        counts = {channel: n for channel, n in rejection.by_channel.items() if channel not in rejection.bad_channels}
        loudest = sorted(counts, key=lambda channel: -counts[channel])[:MOST_NAMED]
        named = ", ".join(f"{channel} ({counts[channel]:,})" for channel in loudest)
        found += f" on its largest channel. The channels over the limit most often are {named}: check these electrodes, or declare them bad"
    suggested_uv = ROUNDED_TO_UV * math.ceil(needed_uv / ROUNDED_TO_UV)
    if limit_uv < suggested_uv <= LARGEST_OF_EEG_UV:
        n_then = int(np.searchsorted(worst_uv, suggested_uv, side="right"))
        found += (
            f'. If the EEG is sound, raise the limit in Preprocessing: {{"reject_peak_to_peak_uv": {suggested_uv}}} would keep about '
            f"{n_then:,}"
        )
    return found
