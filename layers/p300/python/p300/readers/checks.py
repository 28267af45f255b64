"""What makes a recording usable, whatever file it came from."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from p300.channels import plain
from p300.errors import RecordingError
from p300.limits import (
    HIGHEST_RATE_HZ,
    LARGEST_IN_MEMORY_BYTES,
    LARGEST_N_SAMPLES,
    LARGEST_UNFOLDING,
    LONGEST_H,
    LONGEST_NAME,
    MOST_CHANNELS,
    SMALLEST_LARGE_BYTES,
)
from p300.recording import CLASS_NAMES, NON_TARGET, TARGET, RecordingStream
from p300.text import few_of, is_clean, n_of, printable

from .channels import WITH_REFERENCE, present, unknown_bad, with_reference
from .corrections import moved, renamed
from .declared import Declared
from .look import looked_at
from .timing import MOST_NAMED, NOT_CONTINUOUS


def check(stream: RecordingStream, name: str, declared: Declared | None = None) -> RecordingStream:
    """Refuse a recording that no features can come from; return it with what its signal shows, and its length under watch.

    Raises
    ------
    RecordingError
        ``missing_eeg``, ``missing_sfreq``, ``bad_metadata``, ``too_many_channels``, ``duplicate_channels``, ``too_large``, ``no_events``,
        ``no_targets``, ``no_non_targets``, ``wrong_unit``, ``doubtful_channels``; and ``unreadable`` from the returned stream's blocks.
    """
    if not stream.ch_names or not stream.n_samples:
        raise RecordingError(
            "missing_eeg",
            f"{name}: {n_of(len(stream.ch_names), 'EEG channel')} of {n_of(stream.n_samples, 'sample')}; expected EEG.",
        )
    declared = declared or Declared()
    stream = renamed(stream, declared.channel_names, name)
    declared = declared.by_new_names()
    check_rate(stream.sfreq, name)
    check_n_channels(len(stream.ch_names), name)
    unreadable = [
        channel for channel in stream.ch_names if not 0 < len(channel) <= LONGEST_NAME or not is_clean(channel)
    ]
    if unreadable:
        raise RecordingError(
            "bad_metadata",
            f"{name}: channel name {unreadable[0][:80]!r}; expected 1 to {LONGEST_NAME} characters that can be seen.",
        )
    _check_different(stream.ch_names, declared.channel_names, name)
    check_length(stream.n_samples, stream.sfreq, name)
    if declared.labelled:
        _check_stim(stream, name)
    stream = moved(looked_at(stream, name, declared), declared.event_delay_ms, name)
    bad = present({*stream.bad_channels, *declared.bad_channels}, stream.ch_names)
    unknown = [channel for channel in declared.bad_channels if not present([channel], stream.ch_names)]
    unknown_notes = [unknown_bad(unknown)] if unknown else []
    of_reader = stream.notes
    if declared.channel_names:  # readers see the names of the file
        of_reader = tuple(note for note in of_reader if not note.startswith(WITH_REFERENCE))
        of_reader += with_reference(stream.ch_names)
    notes = tuple(printable(note) for note in (*of_reader, *unknown_notes, *_interrupted(stream)))
    return dataclasses.replace(stream, notes=notes, bad_channels=bad, blocks=lambda: _whole(stream, name))


def _check_different(ch_names: tuple[str, ...], new_names: Mapping[str, str], name: str) -> None:
    """Refuse two channels that are one electrode, as names are compared wherever channels are matched: Fz and FZ."""
    counts = Counter(map(plain, ch_names))
    repeated = sorted((channel for channel in ch_names if counts[plain(channel)] > 1), key=plain)
    if not repeated:
        return
    names = set(map(plain, repeated))
    renamed_to = [f"{old} to {new}" for old, new in new_names.items() if plain(new) in names]
    if renamed_to:
        what = f"channels with the same name: {few_of(repeated)}. channel_names renames {few_of(renamed_to)}, and another channel has that"
        way_out = "name. Rename that one too, or choose another name."
    elif len(set(repeated)) == len(names):
        what, way_out = f"channel names occur twice: {few_of(repeated)}.", "Rename them."
    else:
        what = f"channels with the same name: {few_of(repeated)}. Upper and lower case, and a prefix 'EEG', make no difference to which"
        way_out = "electrode is meant. Give each channel its own name in the file."
    raise RecordingError("duplicate_channels", f"{name}: {what} {way_out}")


def _interrupted(stream: RecordingStream) -> list[str]:
    """Say how many spans are marked as bad, and how many boundaries there are, where nothing else says it."""
    notes = []
    if stream.gaps and not any(note.startswith(NOT_CONTINUOUS) for note in stream.notes):
        named = ", ".join(f"{gap / stream.sfreq:.1f} s" for gap in stream.gaps[:MOST_NAMED])
        more = f" and {len(stream.gaps) - MOST_NAMED:,} more" if len(stream.gaps) > MOST_NAMED else ""
        noun = "boundary" if len(stream.gaps) == 1 else "boundaries"
        notes.append(f"{len(stream.gaps):,} {noun} in the recording, at {named}{more}: no epoch spans these")
    if stream.bad_spans:
        marked, reached = 0, 0
        for first, after in sorted(stream.bad_spans):
            marked, reached = marked + max(after - max(first, reached), 0), max(reached, after)
        notes.append(
            f"{n_of(len(stream.bad_spans), 'span')} marked as bad, {marked / stream.sfreq:.1f} s in all: epochs that touch these are left "
            "out"
        )
    return notes


def check_n_channels(n_channels: int, name: str) -> None:
    """Refuse more channels than any amplifier has.

    Raises
    ------
    RecordingError
        ``too_many_channels``.
    """
    if n_channels > MOST_CHANNELS:
        raise RecordingError(
            "too_many_channels",
            f"{name}: {n_channels:,} channels; expected at most {MOST_CHANNELS:,}. Export the EEG channels and the triggers only.",
        )


def check_rate(sfreq: float, name: str) -> None:
    """Refuse a sampling rate that no amplifier has.

    Raises
    ------
    RecordingError
        ``missing_sfreq``.
    """
    if not 0 < sfreq <= HIGHEST_RATE_HZ:  # also where it is no number
        raise RecordingError(
            "missing_sfreq", f"{name}: sampling rate {sfreq:g}; expected a number of Hz up to {HIGHEST_RATE_HZ:,}."
        )


def check_length(n_samples: int, sfreq: float, name: str) -> None:
    """Refuse a recording that is longer than any, before its stimulation is read.

    Raises
    ------
    RecordingError
        ``too_large``.
    """
    check_n_samples(n_samples, name)
    hours = n_samples / sfreq / 3600
    if hours > LONGEST_H:
        raise RecordingError(
            "too_large",
            f"{name}: {n_samples} samples at {sfreq:g} Hz are {hours:.0f} hours; "
            f"expected at most {LONGEST_H}. Check the sampling rate, or cut the recording.",
        )


def check_n_samples(n_samples: int, name: str) -> None:
    """Refuse a recording whose stimulation alone would take too much memory.

    Raises
    ------
    RecordingError
        ``too_large``.
    """
    if n_samples > LARGEST_N_SAMPLES:
        raise RecordingError(
            "too_large",
            f"{name}: {n_samples:,} samples or more; expected at most {LARGEST_N_SAMPLES:,}. Split the recording into runs.",
        )


def check_unfolding(unfolded_bytes: int, file_bytes: int, name: str) -> None:
    """Refuse a file that says it unfolds to a multiple of its size that no recording reaches, before it does.

    Raises
    ------
    RecordingError
        ``too_large``.
    """
    if unfolded_bytes > max(SMALLEST_LARGE_BYTES, LARGEST_UNFOLDING * file_bytes):
        raise RecordingError(
            "too_large",
            f"{name}: {file_bytes / 1e6:.1f} MB would unfold to {unfolded_bytes / 1e6:,.0f} MB; EEG never shrinks "
            f"{LARGEST_UNFOLDING}-fold, so this is no recording. Export it again.",
        )


def check_in_memory(unfolded_bytes: int, file_bytes: int, name: str) -> None:
    """Refuse a file of a format that is read whole where that takes more memory than a reader has, before it does.

    Raises
    ------
    RecordingError
        ``too_large``.
    """
    check_unfolding(unfolded_bytes, file_bytes, name)
    if unfolded_bytes > LARGEST_IN_MEMORY_BYTES:
        raise RecordingError(
            "too_large",
            f"{name}: {file_bytes / 1e6:.1f} MB that unfold to more than {LARGEST_IN_MEMORY_BYTES / 1e6:,.0f} MB, and this format is "
            "read as a whole. Split the recording into runs, or convert it to parquet, which is read in pieces.",
        )


def _check_stim(stream: RecordingStream, name: str) -> None:
    labels = set(stream.flashes.label.tolist())
    if not labels:
        raise RecordingError(
            "no_events", f"{name}: the stim channel is constant; expected 1 (NonTarget) and 2 (Target) at each flash."
        )
    for code, error in ((TARGET, "no_targets"), (NON_TARGET, "no_non_targets")):
        if code not in labels:
            raise RecordingError(
                error,
                f"{name}: no {CLASS_NAMES[code]} flash (code {code}) on the stim channel, only {sorted(labels)}. "
                "Nothing can be learned from a recording of one class.",
            )


def _whole(stream: RecordingStream, name: str) -> Iterator[NDArray[np.floating]]:
    n_samples = 0
    for block in stream.blocks():
        n_samples += block.shape[1]
        yield block
    if n_samples != stream.n_samples:
        raise RecordingError(
            "unreadable",
            f"{name}: the signal has {n_samples:,} samples, the file says {stream.n_samples:,}. Upload it again.",
        )
