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
    if not suggested:
        found = ", ".join(json.dumps(event[:LONGEST_NAMED], ensure_ascii=False) for event in list(events)[:2]) or "none"
        return (
            "Flashes of both classes are needed, with a name or code for each: 1 for NonTarget and 2 for Target, or others that event_id "
            f"declares in the recording's sidecar or in the parameter Preprocessing. Events that may be flashes here: {found}. Export "
            "the recording with both."
        )
    phrase = "if these are the ones" if set(suggested) == set(events) else "for instance"
    return (
        "Declare which events are flashes, 1 for NonTarget and 2 for Target, as event_id in the recording's sidecar or in the parameter "
        f"Preprocessing; {phrase}: {json.dumps({'event_id': suggested}, ensure_ascii=False)}"
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
    said = _said(events)
    # A name that says its class has no other, whatever somebody declared.
    suggested = {
        event: label for event, label in (known or _by_their_words(events)).items() if said.get(event, label) == label
    }
    ordered = sorted((event for event in events if event not in suggested), key=lambda event: (-events[event], event))
    for label in (NON_TARGET, TARGET):  # of the two most frequent events, targets are the rarer ones
        fitting = [event for event in ordered if said.get(event, label) == label and event not in suggested]
        if label not in suggested.values() and fitting:
            suggested[fitting[0]] = label
    if set(suggested.values()) != {NON_TARGET, TARGET}:
        return {}
    return {name: suggested[name] for name in sorted(suggested, key=suggested.__getitem__)}


def _by_their_words(events: Mapping[str, int]) -> dict[str, int]:
    """Return the class that each event's name says, where most events have such names though none was taken for a flash."""
    known = _said(events)
    return known if 2 * sum(events[event] for event in known) > sum(events.values()) else {}


def _said(events: Mapping[str, int]) -> dict[str, int]:
    """Return the class that each event's name says, of those that say one."""
    words = {event: re.sub(r"[\s_-]", "", event.rpartition("/")[2].lower()) for event in events}
    classes = {"target": TARGET, "targets": TARGET, "nontarget": NON_TARGET, "nontargets": NON_TARGET}
    return {event: classes[word] for event, word in words.items() if word in classes}


def _naturally(event: str) -> tuple[str, int, str]:
    """Sort S  2 before S 10."""
    word = event.rstrip("0123456789")
    return word.rstrip(), int(event[len(word) :][:18] or -1), event
