"""What is in a recording's file, what the pipeline would make of it, and what its sidecar may say where that is not clear."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.readers import sidecar as sidecars
from p300.readers.companions import companions
from p300.readers.event_messages import suggestion
from p300.readers.seen import Seen, SeenChannel, watched
from p300.readers.units import read_as
from p300.recording import NON_TARGET, TARGET, RecordingStream
from p300.signals import extract
from p300.signals.parameters import Parameters
from p300.usable import open_usable, reading

MOST_TRIES = 6
"""Refusals that are lifted one after the other by what the sidecar may say."""
UNDECIDED = ("contradictory_events",)
"""Refusals of two sources of which one is right: a mapping would only choose one of them."""
OF_SIGNAL = ("doubtful_channels", "wrong_unit")
"""Refusals of the signal: where a mapping of the events leads to one, and to no way out of it, the mapping is no help."""
MOST_VALUES_READ = 1 << 24
"""Channels times samples up to which `inspect` reads the whole signal: 16 channels at 512 Hz for half an hour, in about two seconds."""


@dataclass(frozen=True)
class EventCount:
    """Events of one name or code.

    Attributes
    ----------
    name : str
        As the file has it.
    n : int
        How many there are.
    interval_s : float or None
        Median time from one to the next in seconds; None of a single one.
    """

    name: str
    n: int
    interval_s: float | None


@dataclass(frozen=True)
class Refusal:
    """Why a recording would go to quarantine."""

    code: str
    message: str


@dataclass(frozen=True)
class Usable:
    """What the pipeline would make of a recording.

    Attributes
    ----------
    channels : tuple of str
        EEG channels.
    n_target, n_non_target : int
        Flashes.
    interval_s : float or None
        Median time from one flash to the next in seconds.
    n_groups : int
        Different rows, columns or sets of symbols that flashed; 0 where the file does not say.
    gaps_s : tuple of float
        When each gap ends, in seconds of the samples that there are.
    n_bad_spans : int
        Spans marked as bad.
    bad_channels : tuple of str
        Channels that are replaced.
    unit : str
        What the numbers are read as.
    notes : tuple of str
        What was assumed, and what the whole signal shows where it was read.
    n_kept : int or None
        Epochs that would be kept; None where the whole signal was not read.
    n_unlabelled : int
        Flashes of an unlabelled recording, of which nobody knows the class.
    """

    channels: tuple[str, ...]
    n_target: int
    n_non_target: int
    interval_s: float | None
    n_groups: int
    gaps_s: tuple[float, ...]
    n_bad_spans: int
    bad_channels: tuple[str, ...]
    unit: str
    notes: tuple[str, ...]
    n_kept: int | None = None
    n_unlabelled: int = 0


@dataclass(frozen=True)
class Inspection:
    """What is in a file, and what would come of it.

    Attributes
    ----------
    name : str
        What it is called.
    format : str
        Its extension.
    n_bytes : int
        Of all its files.
    files : tuple of str
        Names of its companions.
    sidecar : dict or None
        What its sidecar says; None without one.
    channels : tuple of SeenChannel
        All channels, as the file has them.
    sfreq : float or None
        Rate in Hz, as far as the file was read.
    seconds : float or None
        Length.
    events : tuple of EventCount
        The most frequent first.
    usable : Usable or None
        What the pipeline would make of it; None where it would refuse it.
    refusal : Refusal or None
        Why it would go to quarantine.
    mapping : dict
        What a sidecar may say so that it does not, for a person to confirm; empty where nothing is known that helps.
    with_mapping : Usable or None
        What the pipeline would make of it then.
    still_refused : Refusal or None
        Why it would refuse it even then.
    replaces_sidecar : bool
        Whether the mapping would take the place of a sidecar beside the file that says something else.
    """

    name: str
    format: str
    n_bytes: int
    files: tuple[str, ...] = ()
    sidecar: dict[str, Any] | None = None
    channels: tuple[SeenChannel, ...] = ()
    sfreq: float | None = None
    seconds: float | None = None
    events: tuple[EventCount, ...] = ()
    usable: Usable | None = None
    refusal: Refusal | None = None
    mapping: dict[str, Any] = field(default_factory=dict)
    with_mapping: Usable | None = None
    still_refused: Refusal | None = None
    replaces_sidecar: bool = False


def inspect(
    path: Path,
    *,
    name: str | None = None,
    parameters: Parameters | None = None,
    sidecar: Mapping[str, Any] | None = None,
) -> Inspection:
    """Look into a recording's file with the checks of the pipeline; of more than `MOST_VALUES_READ`, not those of the whole signal.

    Parameters
    ----------
    path : Path
        The file, with its companions and its sidecar beside it.
    name : str, optional
        What to call it: its landing key, for instance.
    parameters : Parameters, optional
        The preprocessing that follows; the defaults where not given.
    sidecar : mapping, optional
        What to take for the sidecar's content, instead of what lies beside the file.

    Returns
    -------
    Inspection
        Also of a file that would be refused.
    """
    name, parameters = name or path.name, parameters or Parameters()
    beside, said = _companions(path, name), _sidecar(path, name, sidecar)
    with watched() as seen:
        stream, usable, refusal = _tried(path, name, parameters, sidecar)
    mapping: dict[str, Any] = {}
    with_mapping = still_refused = None
    if refusal and stream is None:  # no mapping changes the signal
        mapping, with_mapping, still_refused = _way_out(path, name, parameters, said or {}, (seen, refusal))
    beside_it = _sidecar(path, name, None)
    channels = seen.channels or [SeenChannel(channel, "eeg") for channel in (stream.ch_names if stream else ())]
    sfreq, n_samples = (stream.sfreq, stream.n_samples) if stream else (seen.sfreq, seen.n_samples)
    present = [path, *(path.with_name(one) for one in beside)]
    return Inspection(
        name=name,
        format=PurePosixPath(name).suffix.lower().removeprefix("."),
        n_bytes=sum(one.stat().st_size for one in present if one.is_file()),
        files=beside,
        sidecar=said,
        channels=tuple(channels),
        sfreq=sfreq,
        seconds=n_samples / sfreq if n_samples is not None and sfreq else None,
        events=_counts(seen),
        usable=usable,
        refusal=refusal,
        mapping=mapping,
        with_mapping=with_mapping,
        still_refused=still_refused,
        replaces_sidecar=bool(mapping) and beside_it is not None and beside_it != mapping,
    )


def check(
    path: Path, name: str, parameters: Parameters, *, sidecar: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """Refuse a recording that would end in quarantine: everything that ingestion and preprocessing would find, found here.

    Parameters
    ----------
    path : Path
        The file, with its companions and its sidecar beside it.
    name : str
        Its landing key.
    parameters : Parameters
        The stack's preprocessing.
    sidecar : mapping, optional
        What to take for the sidecar's content, instead of what lies beside the file.

    Returns
    -------
    notes : tuple of str
        What was assumed, and what the signal shows.

    Raises
    ------
    RecordingError
        What the recording would be in quarantine for.
    """
    return extract(open_usable(path, name, parameters, sidecar=sidecar), parameters).notes


def _companions(path: Path, name: str) -> tuple[str, ...]:
    try:
        with reading(name):
            return companions(path, name=name)
    except (RecordingError, OSError):  # opening the recording says it
        return ()


def _sidecar(path: Path, name: str, given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if given is not None:
        return dict(given)
    try:
        found = sidecars.beside(path, name)
        return sidecars.read(found) if found else None
    except RecordingError:  # opening the recording says it
        return None


def _tried(
    path: Path, name: str, parameters: Parameters, sidecar: Mapping[str, Any] | None
) -> tuple[RecordingStream | None, Usable | None, Refusal | None]:
    """Open a recording, and read its signal where that takes no time; the stream is there where only the signal is refused."""
    stream = None
    try:
        stream = open_usable(path, name, parameters, sidecar=sidecar)
        return stream, _usable(stream, parameters), None
    except RecordingError as error:
        return stream, None, Refusal(error.code, error.message)


def _way_out(
    path: Path, name: str, parameters: Parameters, said: Mapping[str, Any], first: tuple[Seen, Refusal]
) -> tuple[dict[str, Any], Usable | None, Refusal | None]:
    """Find out what the sidecar would have to say for the recording to be read, refusal by refusal; only what helps is kept."""
    mapping: dict[str, Any] = {}
    (seen, refusal), tries = first, MOST_TRIES
    proposals = _proposals(seen, refusal)
    found: tuple[dict[str, Any], Usable, RecordingStream] | None = None
    while proposals and tries:
        proposal, tries = proposals.pop(0), tries - 1
        if proposal.items() <= {**said, **mapping}.items():
            continue
        tried = {**said, **mapping, **proposal}
        with watched() as seen_then:
            stream, usable, then = _tried(path, name, parameters, tried)
        if usable and seen_then.doubted:
            continue
        if stream and usable:
            if found and (seen.alternatives or not _same_flashes(found[2], stream)):
                return {}, None, None  # which of two is meant, a person has to say
            found = found or (tried, usable, stream)
            continue
        # Refusals that propose something themselves may follow one of their own kind: of streams of EEG, then of markers.
        changed = then and (then.code != refusal.code or (seen.suggested and then.message != refusal.message))
        if then and changed and then.code != "bad_sidecar" and not found and not seen.alternatives:
            mapping, seen, refusal = {**mapping, **proposal}, seen_then, then
            proposals = _proposals(seen, refusal)
    if found:
        return found[0], found[1], None
    if mapping and refusal.code in OF_SIGNAL:
        return {}, None, refusal
    return ({**said, **mapping}, None, refusal) if mapping else ({}, None, None)


def _proposals(seen: Seen, refusal: Refusal) -> list[dict[str, Any]]:
    """Return what the refusal itself proposes, or an event mapping for each place of the file that has events."""
    if refusal.code in UNDECIDED:
        return []
    if seen.suggested:
        return [seen.suggested]
    if seen.alternatives:
        return [*seen.alternatives] if len(seen.alternatives) <= MOST_TRIES else []
    return [{"event_id": event_id} for source in seen.sources if (event_id := suggestion(source))]


def _same_flashes(one: RecordingStream, other: RecordingStream) -> bool:
    return np.array_equal(one.flashes.onset_sample, other.flashes.onset_sample) and np.array_equal(
        one.flashes.label, other.flashes.label
    )


def _counts(seen: Seen) -> tuple[EventCount, ...]:
    ordered = sorted(seen.events.items(), key=lambda event: (-len(event[1]), event[0]))
    return tuple(EventCount(name, len(at), _interval_s(at, seen.sfreq)) for name, at in ordered)


def _interval_s(samples: NDArray[np.integer], sfreq: float | None) -> float | None:
    return float(np.median(np.diff(samples))) / sfreq if sfreq and len(samples) > 1 else None


def _usable(stream: RecordingStream, parameters: Parameters) -> Usable:
    flashes, n_values = stream.flashes, len(stream.ch_names) * stream.n_samples
    features = extract(stream, parameters) if n_values <= MOST_VALUES_READ else None
    unread = (
        f"the signal was looked at around its first flashes only: it has {n_values:,} values, and up to {MOST_VALUES_READ:,} are read. "
        "p300 land checks the whole signal"
    )
    return Usable(
        channels=stream.ch_names,
        n_target=int((flashes.label == TARGET).sum()),
        n_non_target=int((flashes.label == NON_TARGET).sum()),
        interval_s=_interval_s(flashes.onset_sample, stream.sfreq),
        n_groups=0 if flashes.flash is None else len(np.unique(flashes.flash[flashes.flash != 0])),
        gaps_s=tuple(gap / stream.sfreq for gap in stream.gaps),
        n_bad_spans=len(stream.bad_spans),
        bad_channels=features.rejection.bad_channels if features else stream.bad_channels,
        unit=read_as(stream) or "different units",
        notes=features.notes if features else (*stream.notes, unread),
        n_kept=len(features.label) if features else None,
        n_unlabelled=0 if flashes.labelled else len(flashes),
    )
