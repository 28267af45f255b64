"""Recordings of which a sidecar says ``"labelled": false``: events say which group flashed, and nobody says which flashes were targets."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import NON_TARGET, TARGET, UNLABELLED, RecordingStream
from p300.signals.triggers import runs_of
from p300.text import n_of

from .event_messages import Events, counted
from .flash_groups import MISSING

DECLARED = '"labelled": false in its sidecar'
REMEDY = 'If nobody knows which flashes were targets, as in a spelling session, say so in the sidecar: {"labelled": false, "layout": ...}'

GROUPS_EXPECTED = (
    "the group of each flash, in a stim or flash column, a stim channel or StimulusCode of BCI2000: named events (annotations, markers, "
    "tables of events) cannot give groups alone"
)
OF_CLASSES = {"unknown_codes", "no_targets", "no_non_targets", "contradictory_events", "implausible_events"}
"""Refusals that may ask for the classes of events, which nobody knows here."""
LARGEST_OTHER = 0.5
"""Of the times that most groups flash: what occurs less often is no group of a repeated design, the start of a run for instance."""


def from_one_alone(codes: NDArray[np.number]) -> tuple[NDArray[np.number], list[str]]:
    """Return groups that are alone in a column or channel from 1, and 0 for none, where -1 or an empty cell stands for none.

    Parameters
    ----------
    codes : ndarray, shape (n_samples,)
        As recorded.

    Returns
    -------
    codes : ndarray, shape (n_samples,)
    notes : list of str
    """
    missing = (codes == MISSING) | np.isnan(codes) if codes.dtype.kind == "f" else codes == MISSING
    if not missing.any():
        return codes, []
    start, _, value = runs_of(np.where(missing, MISSING, codes))
    n_of_group = Counter(value[(value > 0) & (start > 0)].tolist())
    n_of_0 = int(np.count_nonzero((value == 0) & (start > 0)))
    if n_of_group and n_of_0 > LARGEST_OTHER * np.median(list(n_of_group.values())):
        last = int(max(n_of_group))
        return np.where(missing, 0, codes + 1), [f"groups 0 to {last} in the file, read as 1 to {last + 1}"]
    return np.where(missing, 0, codes), []


def groups_alone(
    events: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32] | None],
    found: Events,
    name: str,
    known: frozenset[int],
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]], list[str]]:
    """Return the flashes of a recording that is declared unlabelled.

    Parameters
    ----------
    events : (onset, code, group), each ndarray of int, shape (n_events,)
        First sample, code of the stim column or channel, and group of the column of groups; None without such a column: then the codes
        are the groups.
    found : Events
        All events.
    name : str
        What to call the recording in messages.
    known : frozenset of int
        Groups of the declared speller layout; empty where it does not say which.

    Returns
    -------
    flashes : (onset, label, group), each ndarray of int, shape (n_flashes,)
    notes : list of str
        What is no flash.

    Raises
    ------
    RecordingError
        ``contradictory_events`` where the codes look like labels.
    """
    onset, code, group = events
    different = set(code.tolist())
    if (group is not None and len(different) > 1) or different == {NON_TARGET, TARGET}:
        raise RecordingError(
            "contradictory_events",
            f"{name}: {DECLARED} says that nobody knows which flashes were targets, and stim tells flashes apart: found events "
            f"{counted(found)}. Expected one code at every flash beside a column of groups, or the group of each flash in stim. Delete "
            "labelled from the sidecar, or write the groups only.",
        )
    notes = []
    if group is None:
        if others := _no_flashes(Counter(code.tolist()), known):
            kept = ~np.isin(code, list(others))
            onset, code = onset[kept], code[kept]
            said = counted({str(other): n for other, n in others.items()})
            notes = [f"stim codes ignored: {said}, no groups of the layout and rarer than its groups are"]
        if min(code) < 1 or max(code) > np.iinfo(np.int32).max:
            raise RecordingError(
                "bad_flash",
                f"{name}: found events {counted(found)}; expected the groups that flashed, numbered from 1.",
            )
        group = code.astype(np.int32)
    return (onset, np.full(len(code), UNLABELLED, np.int32), group), notes


def _no_flashes(counts: Counter[int], known: frozenset[int]) -> dict[int, int]:
    """Return codes that the layout does not have, as at the start of a run, where they are rarer than any group would be."""
    of_layout = [n for code, n in counts.items() if code in known]
    if not of_layout or len(of_layout) < len(known):
        return {}
    most = LARGEST_OTHER * float(np.median(of_layout))
    return {code: n for code, n in counts.items() if code not in known and n <= most}


def check_said(said: Mapping[str, Any], name: str) -> None:
    """Refuse a sidecar with which nothing can be learnt from an unlabelled recording.

    Parameters
    ----------
    said : mapping
        What it says.
    name : str
        What to call the recording.

    Raises
    ------
    RecordingError
        ``bad_sidecar`` where it states no layout, or classes of events.
    """
    if "layout" not in said or "event_id" in said:
        what = "has event_id, which says classes" if "event_id" in said else "states no layout"
        raise RecordingError(
            "bad_sidecar",
            f"{name}: its sidecar has labelled: false and {what}. Expected the speller layout, which says what each group lit, and no "
            "classes. Correct it (docs/recordings.md has every field).",
        )


def explained(refusal: RecordingError, sources: Sequence[Events], name: str) -> RecordingError:
    """Return a refusal without advice to declare classes, which nobody knows.

    Parameters
    ----------
    refusal : RecordingError
        Of the reader.
    sources : sequence of Events
        Events of each place of the file that has some.
    name : str
        What to call the recording.

    Returns
    -------
    refusal : RecordingError
    """
    if refusal.code in OF_CLASSES and "event_id" in refusal.message:
        found = max(sources, key=lambda events: events.total(), default=Events())
        return RecordingError(
            refusal.code,
            f"{name}: {DECLARED} says that nobody knows which flashes were targets. Found events {counted(found)}. Expected "
            f"{GROUPS_EXPECTED}. Export the recording with the groups, or, if its events do say the class, delete labelled from the "
            "sidecar.",
        )
    if refusal.code in ("missing_stim", "no_events"):
        return RecordingError(refusal.code, f"{refusal.message} With {DECLARED}, expected {GROUPS_EXPECTED}.")
    return refusal


def check_unlabelled(stream: RecordingStream, name: str) -> None:
    """Refuse an unlabelled recording that nothing can be learnt from.

    Parameters
    ----------
    stream : RecordingStream
        As the reader returned it.
    name : str
        What to call it.

    Raises
    ------
    RecordingError
        ``contradictory_events`` where its events have classes; ``bad_flash`` where a flash has no group.
    """
    flashes = stream.flashes
    if flashes.label.size and not (flashes.label == UNLABELLED).all():
        n_targets = int((flashes.label == TARGET).sum())
        raise RecordingError(
            "contradictory_events",
            f"{name}: {DECLARED} says that nobody knows which flashes were targets, and its events say it: "
            f"{n_of(n_targets, 'Target flash')}, {len(flashes) - n_targets:,} NonTarget. Expected groups alone, in a stim column or "
            "channel. Delete labelled from the sidecar, or write the groups only.",
        )
    if flashes.flash is None or (flashes.flash == 0).any():
        n_without = len(flashes) if flashes.flash is None else int((flashes.flash == 0).sum())
        raise RecordingError(
            "bad_flash",
            f"{name}: {n_of(n_without, 'flash')} of {len(flashes):,} without a group; expected the group of each flash in an unlabelled "
            "recording, numbered from 1. Write them to a flash column or to stim.",
        )
