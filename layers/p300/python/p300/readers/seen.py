"""What a reader sees of a file on its way, kept for a person also where the file is refused: channels, rate, length, events."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .event_messages import Events

MOST_SHOWN = 6
"""Alternatives that a message spells out."""


@dataclass(frozen=True)
class SeenChannel:
    """A channel of a file.

    Attributes
    ----------
    name : str
        As the file has it.
    kind : str
        ``eeg``, or what it is instead.
    unit : str
        As the file states it; empty where it states none for each channel.
    """

    name: str
    kind: str
    unit: str = ""


@dataclass
class Seen:
    """What has been seen of a file.

    Attributes
    ----------
    channels : list of SeenChannel
        All channels, in the file's order.
    sfreq : float or None
        Rate in Hz.
    n_samples : int or None
        Length.
    events : dict of str to ndarray of int
        First sample of each event, by name or code.
    sources : list of Events
        Events by name or code, for each place of the file that has some.
    suggested : dict
        Fields of a sidecar that may be the way out of a refusal, for a person to confirm.
    alternatives : list of dict
        Fields of a sidecar of which one may be the way out of a refusal.
    doubted : bool
        Whether what was declared is read, though it does not look like a P300 recording or something else in the file contradicts it.
    """

    channels: list[SeenChannel] = field(default_factory=list)
    sfreq: float | None = None
    n_samples: int | None = None
    events: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    sources: list[Events] = field(default_factory=list)
    suggested: dict[str, Any] = field(default_factory=dict)
    alternatives: list[dict[str, Any]] = field(default_factory=list)
    doubted: bool = False


_SEEN: ContextVar[Seen | None] = ContextVar("seen", default=None)


@contextmanager
def watched() -> Iterator[Seen]:
    """Keep what readers see while the block runs."""
    seen = Seen()
    token = _SEEN.set(seen)
    try:
        yield seen
    finally:
        _SEEN.reset(token)


@contextmanager
def still_watched() -> Iterator[Seen]:
    """Go on with what is kept already, or keep what readers see while the block runs."""
    if (seen := _SEEN.get()) is not None:
        yield seen
        return
    with watched() as seen:
        yield seen


@contextmanager
def unseen() -> Iterator[None]:
    """Keep nothing while the block runs: it looks at what is there twice."""
    token = _SEEN.set(None)
    try:
        yield
    finally:
        _SEEN.reset(token)


@contextmanager
def watched_too() -> Iterator[Seen]:
    """Keep what readers see while the block runs by itself as well, a refusal included."""
    outer = _SEEN.get()
    with watched() as seen:
        try:
            yield seen
        finally:
            if outer:
                outer.channels += seen.channels
                outer.n_samples, outer.sfreq = seen.n_samples or outer.n_samples, seen.sfreq or outer.sfreq
                outer.events |= seen.events
                outer.sources += seen.sources
                outer.suggested |= seen.suggested
                outer.alternatives += seen.alternatives
                outer.doubted |= seen.doubted


def add_channel(name: str, kind: str, unit: str | None = None) -> None:
    """Keep a channel."""
    if seen := _SEEN.get():
        seen.channels.append(SeenChannel(name, kind, unit or ""))


def suggest(**fields: Any) -> None:
    """Keep what a sidecar may say to lift the refusal that follows."""
    if seen := _SEEN.get():
        seen.suggested |= fields


def suggest_one_of(alternatives: list[dict[str, Any]]) -> str:
    """Keep what a sidecar may say to lift the refusal that follows, of which a person has to choose; return it for the message."""
    if len(alternatives) == 1:
        suggest(**alternatives[0])
    elif seen := _SEEN.get():
        seen.alternatives += alternatives
    more = " or another" if len(alternatives) > MOST_SHOWN else ""
    return " or ".join(json.dumps(one, ensure_ascii=False) for one in alternatives[:MOST_SHOWN]) + more


def doubt() -> None:
    """Keep that what was declared is read, though something speaks against it."""
    if seen := _SEEN.get():
        seen.doubted = True


def add_events(names: Iterable[str | int], samples: NDArray[np.int64], n_samples: int, sfreq: float) -> None:
    """Keep events, each with its first sample, and the length and rate of what they were found in."""
    seen = _SEEN.get()
    if seen is None:
        return
    seen.n_samples, seen.sfreq = max(n_samples, seen.n_samples or 0), max(sfreq, seen.sfreq or 0.0)
    found = Events.at([str(name) for name in names], samples, sfreq)
    seen.sources += [found] if found else []
    seen.events |= {name: np.sort(at) for name, at in found.samples.items()}
