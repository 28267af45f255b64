"""XDF, as LabRecorder writes it: a stream of EEG, and streams of markers, each with a clock of its own."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.limits import MOST_ANNOTATIONS
from p300.recording import RecordingStream
from p300.text import few_of, n_of

from . import events, mne_events, timing
from .channels import FileChannel, choose, other_kind
from .checks import check_length, check_rate
from .declared import Declared
from .markers import Marker
from .seen import suggest_one_of
from .stim_lines import StimLine, compared
from .units import microvolts_per
from .xdf_chunks import TEXT, Stream, n_samples, read_streams, sample_chunks, texts
from .xdf_clock import Clock, deduced, dejittered, synchronised, without_odd_offset

EEG = "eeg"
MARKERS = ("marker", "event", "stim", "trigger")
VALUES_PER_BLOCK = 1 << 20
LARGEST_RATE_ERROR = 0.1
"""Between the nominal rate and the measured one, which is used where they differ: beyond it, samples are missing here and there."""
FEWEST_MEASURED = 1000
"""Samples, by which a rate is measured."""
NOT_STATED = {"", "none", "n/a", "na", "unknown", "unspecified", "-"}


def read(path: Path, name: str, declared: Declared) -> RecordingStream:
    """Open an XDF recording: its one stream of EEG, or the one that is declared."""
    streams = read_streams(path, name)
    eeg = _eeg_stream(path, streams, name, declared)
    clock, n_kept = _clock(path, eeg, name)
    sfreq, rate_notes = _rate(eeg, clock, name)
    check_rate(sfreq, name)
    check_length(n_kept, sfreq, name)
    timing.check_continuous(clock.gaps, n_kept, sfreq, name)
    channels, name_notes = _channels(eeg)
    chosen = choose(channels, declared.channel_kinds, name)
    units = [channels[pick].unit for pick in chosen.picks]
    factors, unit_notes = microvolts_per(units, declared, name)
    picks = np.array(chosen.picks)
    single = eeg.format in ("float32", "int8", "int16")
    decoded, marker_notes = _stimulation(path, streams, eeg, (clock, sfreq, n_kept), declared, name)

    def blocks() -> Iterator[NDArray[np.floating]]:
        for values in _joined(path, eeg, n_kept, name):
            yield np.ascontiguousarray((values[:, picks] * factors).T, np.float32 if single else np.float64)

    lost_s = clock.times[clock.gaps] - clock.times[clock.gaps - 1] - 1 / sfreq
    return RecordingStream(
        chosen.names,
        sfreq,
        n_kept,
        decoded.stim,
        decoded.flash,
        blocks,
        1e-6,
        (
            *_unknown_notes(streams, declared),
            *rate_notes,
            *timing.gap_notes(clock.gaps, lost_s, sfreq),
            *name_notes,
            *unit_notes,
            *chosen.notes,
            *marker_notes,
            *decoded.notes,
        ),
        gaps=tuple(clock.gaps.tolist()),
        read_as_v=tuple((factors * 1e-6).tolist()),
    )


def _eeg_stream(path: Path, streams: list[Stream], name: str, declared: Declared) -> Stream:
    """Return the stream of EEG, by its type or by its name where that is declared."""
    listed = few_of([stream.described for stream in streams]) or "no stream"
    numbers = [stream for stream in streams if stream.format != TEXT and stream.rate > 0]
    filled = [stream for stream in numbers if n_samples(path, stream, name)]
    named = [stream for stream in numbers if _is_declared(stream, declared)]
    found = named or [stream for stream in numbers if stream.kind.lower() == EEG]
    found = [stream for stream in found if n_samples(path, stream, name)] or found[:1]
    without_rate = [stream for stream in streams if stream.format != TEXT and not stream.rate > 0]
    if not found and (
        lone := next((one for one in without_rate if _is_declared(one, declared) or one.kind.lower() == EEG), None)
    ):
        raise RecordingError(
            "missing_sfreq",
            f"{name}: the stream {lone.described} has a nominal_srate of {lone.rate:g}, as streams of events have. Expected the sampling "
            "rate of its EEG in Hz. Set it in the software that sends the stream, and record again, or correct it in the stream's header.",
        )
    if not found:
        raise RecordingError(
            "missing_eeg",
            f"{name}: no stream of type EEG with a sampling rate, found {listed}. Expected one. Declare its name: "
            f"{_declaration(filled or numbers, declared) if numbers else json.dumps({'streams': ['my amplifier']})}.",
        )
    if len(found) > 1:
        raise RecordingError(
            "several_streams",
            f"{name}: {len(found)} streams of EEG: {few_of([stream.described for stream in found])}. Expected one. Declare which to "
            f"read: {_declaration(found, declared)}.",
        )
    return found[0]


def _is_declared(stream: Stream, declared: Declared) -> bool:
    return stream.name in declared.streams or f"#{stream.number}" in declared.streams


def _unknown_notes(streams: list[Stream], declared: Declared) -> tuple[str, ...]:
    present = {stream.name for stream in streams} | {f"#{stream.number}" for stream in streams}
    unknown = [stream for stream in declared.streams if stream not in present]
    return (f"streams declared, but not in the file: {few_of(unknown)}",) if unknown else ()


def _declaration(streams: list[Stream], declared: Declared) -> str:
    """Return what declares each of some streams beside those declared: its name, or its number where another one has that name."""
    names = Counter(stream.name for stream in streams)
    called = [f"#{stream.number}" if names[stream.name] > 1 else stream.name for stream in streams]
    return suggest_one_of([{"streams": [*declared.streams, name]} for name in called])


def _clock(path: Path, stream: Stream, name: str) -> tuple[Clock, int]:
    """Return when samples were taken, and how many of them the recorder meant to write."""
    total = n_samples(path, stream, name)
    stamps, at = np.empty(total), 0
    for part, _ in sample_chunks(path, stream, name):
        stamps[at : at + len(part)] = part
        at += len(part)
    if not total:
        raise RecordingError(
            "missing_eeg", f"{name}: stream {stream.name!r} has no sample. Upload the recording again."
        )
    stamps, n_kept = _on_one_clock(stamps, stream, name)
    return dejittered(stamps, stream.rate), n_kept


def _on_one_clock(stamps: NDArray[np.float64], stream: Stream, name: str) -> tuple[NDArray[np.float64], int]:
    filled = deduced(stamps, stream.rate)
    if not (np.abs(filled) < 1e15).all():  # also where it is no number
        raise RecordingError("irregular_time", f"{name}: stream {stream.name!r} has time stamps that are not seconds.")
    times, values, n_kept = without_odd_offset(stream.clock_times, stream.clock_values, len(filled), stream.n_stated)
    return synchronised(filled[:n_kept], times, values), n_kept


def _rate(stream: Stream, clock: Clock, name: str) -> tuple[float, list[str]]:
    """Return the nominal rate, or the measured one where they differ; refuse samples that no steady rate explains."""
    notes = []
    sfreq, error = stream.rate, abs(clock.rate / stream.rate - 1)
    if len(clock.times) >= FEWEST_MEASURED and not error <= timing.LARGEST_RATE_ERROR:
        if not error <= LARGEST_RATE_ERROR:
            raise RecordingError(
                "contradictory_rate",
                f"{name}: the time stamps of {stream.name!r} say {clock.rate:g} Hz, and its header {stream.rate:g} Hz. Expected both "
                f"within {LARGEST_RATE_ERROR:.0%}. Correct the header, or record again.",
            )
        sfreq = round(clock.rate, 3)
        notes.append(f"sampling rate measured: {sfreq:g} Hz, where the file says {stream.rate:g} Hz")
    back_s = float(-np.diff(clock.times).min(initial=0))
    bound_s = max(timing.LARGEST_JITTER_S, timing.GAP_STEPS / sfreq)
    if max(clock.drift_s, back_s) > bound_s:
        raise RecordingError(
            "irregular_time",
            f"{name}: time stamps of {stream.name!r} differ for a second or more by up to {1e3 * max(clock.drift_s, back_s):.1f} ms from a "
            f"steady {sfreq:g} Hz; expected at most {1e3 * bound_s:.1f} ms. Its rate changes, or samples are lost one by one. "
            "Record with the time stamps of the amplifier's own clock.",
        )
    if clock.jitter_s > max(timing.LARGEST_JITTER_S, 1 / sfreq):
        notes.append(f"time stamps jitter by up to {1e3 * clock.jitter_s:.1f} ms: samples taken as evenly spaced")
    return sfreq, notes


def _channels(stream: Stream) -> tuple[list[FileChannel], tuple[str, ...]]:
    labels = [channel["label"] for channel in stream.channels]
    if not labels or not all(labels):
        numbered = [FileChannel(f"ch{i:02d}") for i in range(1, stream.n_channels + 1)]
        return numbered, ("channel names not in the file: numbered",)
    units = ["" if channel["unit"].lower() in NOT_STATED else channel["unit"] for channel in stream.channels]
    kinds = [channel["type"].lower() or None for channel in stream.channels]
    return [FileChannel(*described) for described in zip(labels, kinds, units, strict=True)], ()


def _joined(path: Path, stream: Stream, n_kept: int, name: str) -> Iterator[NDArray[np.number]]:
    """Yield values of shape (n, n_channels), of several chunks at once, which may hold a sample each."""
    parts: list[NDArray[np.number]] = []
    held = done = 0
    for _, values in sample_chunks(path, stream, name):
        parts.append(values[: n_kept - done])
        held, done = held + values.size, done + len(parts[-1])
        if held >= VALUES_PER_BLOCK:
            yield np.concatenate(parts)
            parts, held = [], 0
    if parts:
        yield np.concatenate(parts)


# ---- markers
def _stimulation(
    path: Path,
    streams: list[Stream],
    eeg: Stream,
    timed: tuple[Clock, float, int],
    declared: Declared,
    name: str,
) -> tuple[events.Stimulation, list[str]]:
    """Take the flashes of the one stream that has them, or of a trigger channel of the EEG's own stream."""
    clock, sfreq, n_kept = timed
    candidates = [stream for stream in streams if stream is not eeg and _has_markers(stream)]
    candidates = [stream for stream in candidates if _is_declared(stream, declared)] or candidates
    found: list[tuple[Stream, events.Stimulation]] = []
    markers: list[Marker] = []
    notes: list[str] = []
    refused: dict[int, RecordingError] = {}
    for stream in candidates:
        own, n_lost = _markers(path, stream, clock, sfreq, name)
        markers += own
        try:
            flashes = events.from_markers(own, name, n_kept, sfreq, declared)
        except RecordingError as refusal:
            refused[stream.number] = refusal
            continue
        if flashes is not None:
            found.append((stream, flashes))
            notes += [f"{n_of(n_lost, 'event')} in gaps of the recording ignored"] if n_lost else []
    if len(found) > 1:
        ambiguous = [stream for stream, _ in found]
        raise RecordingError(
            "several_streams",
            f"{name}: {len(found)} streams have events that are flashes: {few_of([stream.described for stream in ambiguous])}. Expected "
            f"one. Declare which to read: {_declaration(ambiguous, declared)}.",
        )
    lines = _trigger_lines(path, eeg, sfreq, n_kept, name)
    if found:
        ((only, decoded),) = found
        decoded = compared(decoded, f"the stream {only.name}", lines, (n_kept, sfreq), declared, name)
        return decoded, [*notes, *_ignored([stream for stream in candidates if stream is not only], refused)]
    lines = [] if markers else lines
    if len(refused) == 1 and not lines:
        raise next(iter(refused.values()))
    return mne_events.decide(markers, lines, n_kept, sfreq, declared, name), notes


def _ignored(streams: list[Stream], refused: Mapping[int, RecordingError]) -> list[str]:
    """Say which streams of events are not used; flashes that were refused are flashes nevertheless."""
    empty = [stream.described for stream in streams if stream.number not in refused]
    notes = [f"streams without flashes ignored: {few_of(empty)}"] if empty else []
    doubtful = [f"{one.described}: {refused[one.number].code}" for one in streams if one.number in refused]
    return [*notes, *([f"streams whose events are refused as flashes ignored: {few_of(doubtful)}"] if doubtful else [])]


def _has_markers(stream: Stream) -> bool:
    return stream.format == TEXT or (stream.rate == 0 and any(word in stream.kind.lower() for word in MARKERS))


def _markers(path: Path, stream: Stream, clock: Clock, sfreq: float, name: str) -> tuple[list[Marker], int]:
    """Return a stream's events at the nearest samples of the EEG, and how many of them lie in its gaps."""
    if stream.format == TEXT:
        said, values = texts(path, stream, MOST_ANNOTATIONS, name)
        stamps = np.array(said, float)
    else:
        if n_samples(path, stream, name) > MOST_ANNOTATIONS:
            raise RecordingError(
                "too_many_annotations", f"{name}: stream {stream.name!r} has more than {MOST_ANNOTATIONS:,} events."
            )
        parts = list(sample_chunks(path, stream, name))
        stamps = np.concatenate([part for part, _ in parts]) if parts else np.empty(0)
        values = [[f"{number:g}" for number in row] for _, rows in parts for row in rows.tolist()]
    if not len(stamps):
        return [], 0
    seconds, n_kept = _on_one_clock(stamps, stream, name)
    values = values[:n_kept]
    after = np.searchsorted(clock.times, seconds)
    before = np.clip(after - 1, 0, len(clock.times) - 1)
    after = np.minimum(after, len(clock.times) - 1)
    nearer = np.abs(clock.times[after] - seconds) < np.abs(clock.times[before] - seconds)
    samples = np.where(nearer, after, before)
    away = np.abs(clock.times[samples] - seconds) > 1 / sfreq
    outside = (seconds < clock.times[0] - 1 / sfreq) | (seconds > clock.times[-1] + 1 / sfreq)
    samples = np.where(outside, -1, samples)
    markers = [
        Marker(sample, text)
        for sample, row, lost in zip(samples.tolist(), values, (away & ~outside).tolist(), strict=True)
        if not lost
        for text in row
        if text.strip()
    ]
    return markers, int((away & ~outside).sum())


def _trigger_lines(path: Path, eeg: Stream, sfreq: float, n_kept: int, name: str) -> list[StimLine]:
    """Return what reads each channel of the EEG's stream that is a trigger line by its name or type."""
    channels, _ = _channels(eeg)
    lines = [
        i
        for i, channel in enumerate(channels)
        if (channel.kind in ("stim", "trigger")) or other_kind(channel) == "trigger"
    ]

    def reader(number: int) -> StimLine:
        def read_line() -> tuple[NDArray[np.float64], float]:
            parts = [part[:, number] for part in _joined(path, eeg, n_kept, name)]
            return np.concatenate(parts).astype(np.float64), sfreq

        return StimLine(channels[number].name, read_line)

    return [reader(number) for number in lines]
