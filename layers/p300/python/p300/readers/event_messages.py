"""What a refusal says about events: every name with its count, what was expected, and the mapping to declare."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Self

import numpy as np
from numpy.typing import NDArray

from p300.recording import NON_TARGET, TARGET

from .doubts import FEWEST_OF_A_CLASS, of_counts, of_flashes
from .markers import COMMENT, STIMULUS, Marker, tagged

NAMES_EXPECTED = "events named Target and NonTarget"
CODES_EXPECTED = (
    "codes 1 (NonTarget) and 2 (Target), or those of a Brain Invaders data set: 33286 and 33285 (bi2013a), or 20-25, 40-45, 60-65, "
    "80-85 (rows and columns)"
)
MOST_NAMED = 40
LONGEST_NAMED = 32
"""Characters of an event's name; a message has room for 2,000 in all."""

MOST_TRIED = 6
"""Events whose pairs are tried as the two classes; of as many there is hardly ever only one pair that fits."""


class Events(Counter[str]):
    """Events by name or code with their counts, and where they are.

    Attributes
    ----------
    samples : dict of str to ndarray of int
        First sample of each event, by name or code.
    sfreq : float
        Rate in Hz.
    """

    samples: dict[str, NDArray[np.int64]]
    sfreq: float

    @classmethod
    def at(cls, names: Sequence[str], samples: NDArray[np.int64], sfreq: float) -> Self:
        """Return events by the name and sample of each.

        Parameters
        ----------
        names : sequence of str
            Name or code of each event.
        samples : ndarray of int, shape (n_events,)
            Where each begins.
        sfreq : float
            Rate in Hz.

        Returns
        -------
        events : Events
        """
        events = cls(names)
        found: dict[str, list[int]] = {name: [] for name in events}
        for name, sample in zip(names, samples.tolist(), strict=True):
            found[name].append(sample)
        events.samples = {name: np.array(at, np.int64) for name, at in found.items()}
        events.sfreq = sfreq
        return events


def counted(events: Mapping[str, int], most: int = MOST_NAMED) -> str:
    """List events with their counts, the most frequent first.

    Parameters
    ----------
    events : mapping of str to int
        Name or code, and how many there are.
    most : int, optional
        Names to list.

    Returns
    -------
    text : str
    """
    ordered = sorted(events.items(), key=lambda event: (-event[1], _naturally(event[0])))
    named = [f"{event[:LONGEST_NAMED]} ({n:,})" for event, n in ordered[:most]]
    rest = ordered[most:]
    more = [f"{len(rest):,} more names ({sum(n for _, n in rest):,})"] if rest else []
    return ", ".join(named + more) or "no event"


def remedy(
    events: Mapping[str, int], known: Mapping[str, int] | None = None, *, read: Mapping[str, int] | None = None
) -> str:
    """Say how to declare which events are flashes, with the mapping where only one fits.

    Parameters
    ----------
    events : mapping of str to int
        Name or code, and how many there are; `Events` are also held against their times.
    known : mapping of str to int, optional
        Classes that are known already.
    read : mapping of str to int, optional
        How they were read when they were refused: declaring the same would only silence the refusal.

    Returns
    -------
    text : str
    """
    declare = (
        "Declare which events are flashes, 1 for NonTarget and 2 for Target, as event_id in the recording's sidecar or in the parameter "
        "Preprocessing"
    )
    if suggested := suggestion(events, known, read=read):
        phrase = "if these are the ones" if set(suggested) == set(events) else "for instance"
        return f"{declare}; {phrase}: {json.dumps({'event_id': suggested}, ensure_ascii=False)}"
    if not _options(events, known):
        found = ", ".join(json.dumps(event[:LONGEST_NAMED], ensure_ascii=False) for event in list(events)[:2]) or "none"
        return (
            "Flashes of both classes are needed, with a name or code for each: 1 for NonTarget and 2 for Target, or others that event_id "
            f"declares in the recording's sidecar or in the parameter Preprocessing. Events that may be flashes here: {found}. Export "
            "the recording with both."
        )
    if _plausible(events, known, read):
        return f'{declare}: {{"event_id": {{"<name of non-targets>": 1, "<name of targets>": 2}}}}'
    return (
        "Check in the software that wrote them what these events stand for: whether names or codes are swapped, and whether a flash "
        "has one event. No event mapping is suggested, as none fits them; one that is declared as event_id, 1 for NonTarget and 2 for "
        "Target, is taken as it is."
    )


def suggestion(
    events: Mapping[str, int], known: Mapping[str, int] | None = None, *, read: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Return the event mapping, for a person to confirm, where only one makes flashes that look like a P300 recording.

    Parameters
    ----------
    events : mapping of str to int
        Name or code, and how many there are; `Events` are also held against their times.
    known : mapping of str to int, optional
        Classes that are known already.
    read : mapping of str to int, optional
        How they were read when they were refused.

    Returns
    -------
    event_id : dict of str to int
        Empty where none fits, or several do.
    """
    plausible = _plausible(events, known, read)
    if len(plausible) != 1:
        return {}
    (suggested,) = plausible
    return {name: suggested[name] for name in sorted(suggested, key=suggested.__getitem__)}


def _plausible(
    events: Mapping[str, int], known: Mapping[str, int] | None, read: Mapping[str, int] | None
) -> list[dict[str, int]]:
    return [option for option in _options(events, known) if option != read and not _doubts(events, option)]


def _options(events: Mapping[str, int], known: Mapping[str, int] | None) -> list[dict[str, int]]:
    """Return the mappings that the names allow: a name that says its class has no other, whatever somebody declared."""
    said = _said(events)
    fixed = {
        event: label for event, label in (known or _by_their_words(events)).items() if said.get(event, label) == label
    }
    missing = {NON_TARGET, TARGET} - set(fixed.values())
    if not missing:
        return [fixed]
    stimuli = [event for event in events if Marker(0, event).kind == STIMULUS]
    others = [
        event
        for event in (stimuli if 2 * sum(events[event] for event in stimuli) > sum(events.values()) else events)
        if event not in fixed and events[event] >= FEWEST_OF_A_CLASS
    ]
    others = sorted(others, key=lambda event: -events[event])[:MOST_TRIED]
    found = [
        {**fixed, **dict(zip(chosen, sorted(missing), strict=True))} for chosen in permutations(others, len(missing))
    ]
    return [option for option in found if all(said.get(event, label) == label for event, label in option.items())]


def _doubts(events: Mapping[str, int], option: Mapping[str, int]) -> list[str]:
    """Say what flashes of this mapping would contradict."""
    n_flashes = Counter(dict.fromkeys((NON_TARGET, TARGET), 0))
    for event, label in option.items():
        n_flashes[label] += events.get(event, 0)
    doubts = of_counts(n_flashes[TARGET], n_flashes[NON_TARGET])
    if doubts or not isinstance(events, Events):
        return doubts
    parts = [(events.samples[event], label) for event, label in option.items() if event in events.samples]
    onset = np.concatenate([samples for samples, _ in parts])
    labels = np.concatenate([np.full(len(samples), label, np.int32) for samples, label in parts])
    order = np.argsort(onset, kind="stable")
    return of_flashes(onset[order], labels[order], None, events.sfreq)


def _by_their_words(events: Mapping[str, int]) -> dict[str, int]:
    """Return the class that each event's name says, where most events have such names though none was taken for a flash.

    None where names of one class say something of their events that no name of the other says: ``response/target`` is no flash.
    """
    known = _said(events)
    others: dict[int, set[frozenset[str]]] = {NON_TARGET: set(), TARGET: set()}
    for event, label in known.items():
        if said := tagged(Marker(0, event).text):
            others[label].add(said[1])
    if others[NON_TARGET] and others[TARGET] and others[NON_TARGET] != others[TARGET]:
        return {}
    return known if 2 * sum(events[event] for event in known) > sum(events.values()) else {}


def _said(events: Mapping[str, int]) -> dict[str, int]:
    """Return the class that each event's name says, of those that say one; responses are none."""
    markers = {event: Marker(0, event) for event in events}
    of_stimuli = {event: marker for event, marker in markers.items() if marker.kind in (STIMULUS, COMMENT)}
    return {event: said[0] for event, marker in of_stimuli.items() if (said := tagged(marker.text))}


def _naturally(event: str) -> tuple[str, int, str]:
    """Sort S  2 before S 10."""
    word = event.rstrip("0123456789")
    return word.rstrip(), int(event[len(word) :][:18] or -1), event
