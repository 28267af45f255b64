"""What a refusal says about events: every name with its count, what was expected, and the mapping to declare."""

import json
import re
from collections.abc import Mapping

from p300.recording import NON_TARGET, TARGET

NAMES_EXPECTED = "events named Target and NonTarget"
CODES_EXPECTED = (
    "codes 1 (NonTarget) and 2 (Target), or those of a Brain Invaders data set: 33286 and 33285 (bi2013a), or 20-25, 40-45, 60-65, "
    "80-85 (rows and columns)"
)
MOST_NAMED = 40
LONGEST_NAMED = 32
"""Characters of an event's name; a message has room for 2,000 in all."""


def counted(events: Mapping[str, int]) -> str:
    """List events with their counts, the most frequent first.

    Parameters
    ----------
    events : mapping of str to int
        Name or code, and how many there are.

    Returns
    -------
    text : str
    """
    ordered = sorted(events.items(), key=lambda event: (-event[1], _naturally(event[0])))
    named = [f"{event[:LONGEST_NAMED]} ({n:,})" for event, n in ordered[:MOST_NAMED]]
    rest = ordered[MOST_NAMED:]
    more = [f"{len(rest):,} more names ({sum(n for _, n in rest):,})"] if rest else []
    return ", ".join(named + more) or "no event"


def remedy(events: Mapping[str, int], known: Mapping[str, int] | None = None) -> str:
    """Say how to declare which events are flashes, with a mapping of the events found.

    Parameters
    ----------
    events : mapping of str to int
        Name or code, and how many there are.
    known : mapping of str to int, optional
        Classes that are known already.

    Returns
    -------
    text : str
    """
    suggested = suggestion(events, known)
    phrase = "if these are the ones" if suggested and set(suggested) == set(events) else "for instance"
    mapping = suggested or {"S  1": NON_TARGET, "S  2": TARGET}
    return (
        "Declare which events are flashes, 1 for NonTarget and 2 for Target, as event_id in the recording's sidecar or in the parameter "
        f"Preprocessing; {phrase}: {json.dumps({'event_id': mapping}, ensure_ascii=False)}"
    )


def suggestion(events: Mapping[str, int], known: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return what may be the event mapping, for a person to correct: where names do not say it, the rarer of two events is the target.

    Parameters
    ----------
    events : mapping of str to int
        Name or code, and how many there are.
    known : mapping of str to int, optional
        Classes that are known already.

    Returns
    -------
    event_id : dict of str to int
        Empty where there are not enough events.
    """
    suggested = dict(known or _by_their_words(events))
    ordered = sorted((event for event in events if event not in suggested), key=lambda event: (-events[event], event))
    for label in (NON_TARGET, TARGET):  # of the two most frequent events, targets are the rarer ones
        if label not in suggested.values() and ordered:
            suggested[ordered.pop(0)] = label
    if set(suggested.values()) != {NON_TARGET, TARGET}:
        return {}
    return {name: suggested[name] for name in sorted(suggested, key=suggested.__getitem__)}


def _by_their_words(events: Mapping[str, int]) -> dict[str, int]:
    """Return the class that each event's name says, where most events have such names though none was taken for a flash."""
    words = {event: re.sub(r"[\s_-]", "", event.rpartition("/")[2].lower()) for event in events}
    said = {event: {"target": TARGET, "nontarget": NON_TARGET}.get(word) for event, word in words.items()}
    known = {event: label for event, label in said.items() if label}
    return known if 2 * sum(events[event] for event in known) > sum(events.values()) else {}


def _naturally(event: str) -> tuple[str, int, str]:
    """Sort S  2 before S 10."""
    word = event.rstrip("0123456789")
    return word.rstrip(), int(event[len(word) :][:18] or -1), event
