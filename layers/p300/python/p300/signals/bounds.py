"""How much would be made of a recording, told before it is: a small file can ask for any amount of flashes."""

import numpy as np

from p300.errors import RecordingError
from p300.limits import LARGEST_FEATURES_BYTES, MOST_EPOCH_VALUES, MOST_FLASH_GROUPS, MOST_FLASHES_PER_S, MOST_VALUES
from p300.recording import RecordingStream
from p300.text import few_of

from .parameters import Parameters
from .resampling import window_samples


def check_derived(stream: RecordingStream, parameters: Parameters, name: str = "The recording") -> None:
    """Refuse a recording of which more would be made than a function can hold, or work through, in its time.

    Parameters
    ----------
    stream : RecordingStream
        The recording.
    parameters : Parameters
        The preprocessing that is to follow.
    name : str
        What to call it.

    Raises
    ------
    RecordingError
        ``sfreq_too_low`` where the pass band does not fit below half the sampling rate; ``too_large`` for the signal, and the epochs or
        their features; ``too_many_flashes``; ``too_many_groups``; ``no_good_channel`` where more than half are bad.
    """
    if stream.sfreq <= 2 * parameters.h_freq:
        raise RecordingError(
            "sfreq_too_low",
            f"{name} has a sampling rate of {stream.sfreq:g} Hz; expected more than {2 * parameters.h_freq:g} Hz for a band up to "
            f"{parameters.h_freq:g} Hz. Lower h_freq or record faster.",
        )
    n_channels = len(stream.ch_names)
    if n_channels * stream.n_samples > MOST_VALUES:
        raise RecordingError(
            "too_large",
            f"{name} has {n_channels:,} channels of {stream.n_samples:,} samples; expected at most {MOST_VALUES:,} values in all. "
            "Split it into runs.",
        )
    if stream.bad_channels and 2 * len(stream.bad_channels) > n_channels:
        raise RecordingError(
            "no_good_channel",
            f"{name}: {len(stream.bad_channels)} of {n_channels} EEG channels are bad, as marked, declared or by their signal: "
            f"{few_of(stream.bad_channels)}. Expected at most half, as bad channels are replaced from good ones. Leave channels out "
            f'instead: {{"channel_kinds": {{"{stream.bad_channels[0]}": "misc"}}}}.',
        )
    flashes = stream.flashes
    n_flashes = len(flashes)
    check_n_flashes(n_flashes, stream.n_samples / stream.sfreq, name)
    groups = 0 if flashes.flash is None else len(np.unique(flashes.flash))
    if groups > MOST_FLASH_GROUPS:
        raise RecordingError(
            "too_many_groups",
            f"{name} has {groups:,} different flash groups in {n_flashes:,} flashes; expected at most {MOST_FLASH_GROUPS:,}. The flash "
            "column says which row, column or set of symbols flashed, not which flash it was.",
        )
    first, last = window_samples(stream.sfreq, parameters.tmin, parameters.tmax)
    n_bytes = n_flashes * n_channels * parameters.n_times * np.dtype(np.float32).itemsize
    if n_bytes > LARGEST_FEATURES_BYTES:
        raise RecordingError(
            "too_large",
            f"{name} has {n_flashes:,} flashes and {n_channels:,} channels: with {parameters.n_times} samples an epoch, features of "
            f"{n_bytes / 1e6:,.0f} MB; expected at most {LARGEST_FEATURES_BYTES / 1e6:,.0f} MB. Split it into runs, or leave out channels.",
        )
    n_values = n_flashes * n_channels * (last - first + 1)
    if n_values > MOST_EPOCH_VALUES:
        raise RecordingError(
            "too_large",
            f"{name} has {n_flashes:,} flashes and {n_channels:,} channels: with {last - first + 1:,} samples an "
            f"epoch at {stream.sfreq:g} Hz, {n_values:,} values; expected at most {MOST_EPOCH_VALUES:,}. Resample it, or split it.",
        )


def check_n_flashes(n_flashes: int, seconds: float, name: str) -> None:
    """Refuse a trigger line that rises more often than anybody could see.

    Parameters
    ----------
    n_flashes : int
        How often it does.
    seconds : float
        Length of the recording.
    name : str
        What to call it.

    Raises
    ------
    RecordingError
        ``too_many_flashes``.
    """
    if n_flashes > MOST_FLASHES_PER_S * max(seconds, 1):
        raise RecordingError(
            "too_many_flashes",
            f"{name} has {n_flashes:,} flashes in {seconds:,.1f} s; expected at most {MOST_FLASHES_PER_S} a second. Does the stim "
            "channel hold noise, or something else than triggers? Each flash is one rise from 0.",
        )
