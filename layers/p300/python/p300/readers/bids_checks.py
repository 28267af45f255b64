"""Whether a recording is the one that its BIDS data set describes: rates, channels, length."""

from collections.abc import Mapping, Sequence

from p300.bids.tables import bad_bids
from p300.channels import plain
from p300.errors import RecordingError
from p300.recording import RecordingStream
from p300.text import few_of

from .bids import Said
from .channels import EEG, MISC
from .seen import SeenChannel, suggest

LARGEST_APART, NOTED_APART = 0.005, 1e-4
"""Of a stated rate and the file's own: what is refused, and what is noted."""
LARGEST_ROUNDING_S = 1.0
"""Of a stated duration."""
NOT_LISTED = {"edf annotations", "bdf annotations"}
"""Signals of a file that are no channels."""


def check_fits(
    said: Said,
    stream: RecordingStream,
    channels: Sequence[SeenChannel],
    sidecar_kinds: Mapping[str, str],
    names: Mapping[str, str],
    name: str,
) -> tuple[str, ...]:
    """Refuse a recording that is not the one that its data set describes.

    Parameters
    ----------
    said : Said
        What the data set says.
    stream : RecordingStream
        The recording, read and checked.
    channels : sequence of SeenChannel
        All channels of the file, under their own names.
    sidecar_kinds : mapping of str to str
        Kinds of channels that the recording's sidecar declares: those it names need not be in both.
    names : mapping of str to str
        New names of channels, by those that the file has.
    name : str
        What to call the recording in messages.

    Returns
    -------
    notes : tuple of str
        Contradictions that change nothing of the signal: numbers of channels, duration.

    Raises
    ------
    RecordingError
        ``contradictory_rate`` or ``bad_bids``.
    """
    return (
        *_check_rates(said, stream, channels, name),
        *_check_channels(said, channels, sidecar_kinds, names, name),
        *_numbers(said, stream, channels),
    )


def _check_rates(said: Said, stream: RecordingStream, channels: Sequence[SeenChannel], name: str) -> list[str]:
    notes: list[str] = []
    eeg = {plain(channel.name) for channel in channels if channel.kind == EEG}
    stated = [("_eeg.json says SamplingFrequency", said.sfreq)] if said.sfreq is not None else []
    stated += [
        (f"channels.tsv says sampling_frequency of {channel}:", rate)
        for channel, rate in said.rates.items()
        if plain(channel) in eeg
    ]
    for what, rate in stated:
        apart = abs(rate - stream.sfreq) / stream.sfreq
        if apart > LARGEST_APART:
            raise RecordingError(
                "contradictory_rate",
                f"{name}: {what} {rate:g} Hz, the file {stream.sfreq:g} Hz; expected the same. Correct the one that is wrong.",
            )
        if apart > NOTED_APART and not notes:
            notes.append(f"{what} {rate:.10g} Hz, the file {stream.sfreq:.10g} Hz, which is used")
    return notes


def _check_channels(
    said: Said, channels: Sequence[SeenChannel], sidecar_kinds: Mapping[str, str], names: Mapping[str, str], name: str
) -> list[str]:
    if not said.channels:
        return []
    new = {plain(old): plain(called) for old, called in names.items()}
    in_file = {plain(channel.name) for channel in channels}
    known = in_file | {new[one] for one in in_file & new.keys()}
    listed = {plain(channel) for channel in said.channels}
    declared = {plain(channel) for channel in sidecar_kinds}
    kinds = {plain(channel): kind for channel, kind in said.fields.get("channel_kinds", {}).items()}
    if not listed & known:
        raise bad_bids(
            name,
            f"channels.tsv lists {few_of(said.channels[:8])}, the file has "
            f"{few_of([channel.name for channel in channels[:8]])}; expected the same names",
        )
    absent = [channel for channel in said.channels if plain(channel) not in known | declared]
    lacking = [channel for channel in absent if kinds.get(plain(channel), EEG) == EEG]
    surplus = [
        channel.name
        for channel in channels
        if channel.kind == EEG
        and not {plain(channel.name), new.get(plain(channel.name), "")} & (listed | declared)
        and plain(channel.name) not in NOT_LISTED
    ]
    if lacking or surplus:
        found = [
            f"{few_of(some)} {what}"
            for some, what in ((lacking, "not in the file"), (surplus, "not in channels.tsv"))
            if some
        ]
        suggest(channel_kinds=dict.fromkeys([*lacking, *surplus], MISC))
        raise bad_bids(
            name,
            f"channels.tsv and the file have different EEG channels: {'; '.join(found)}. Expected the same; or declare in the "
            f'recording\'s sidecar what these are: {{"channel_kinds": {{"{(lacking or surplus)[0]}": "{MISC}"}}}}',
        )
    return [f"channels.tsv lists channels that the file does not have: {few_of(absent)}"] if absent else []


def _numbers(said: Said, stream: RecordingStream, channels: Sequence[SeenChannel]) -> list[str]:
    notes = []
    n_eeg = sum(channel.kind == EEG for channel in channels)
    if said.n_eeg is not None and said.n_eeg != n_eeg:
        notes.append(
            f"_eeg.json says EEGChannelCount {said.n_eeg:g}, the file has {n_eeg} EEG channels, which are used"
        )
    seconds = stream.n_samples / stream.sfreq
    if said.seconds is not None and abs(said.seconds - seconds) > LARGEST_ROUNDING_S + NOTED_APART * seconds:
        but = ", gaps left out" if stream.gaps else ""
        notes.append(f"_eeg.json says RecordingDuration {said.seconds:g} s, the file has {seconds:.1f} s{but}")
    return notes
