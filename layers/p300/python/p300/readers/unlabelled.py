"""Recordings of which a sidecar says ``"labelled": false``: events say which group flashed, and nobody says which flashes were targets."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import NON_TARGET, TARGET, UNLABELLED, RecordingStream
from p300.text import n_of

from .event_messages import Events, counted

DECLARED = '"labelled": false in its sidecar'
REMEDY = 'If nobody knows which flashes were targets, as in a spelling session, say so in the sidecar: {"labelled": false, "layout": ...}'


def groups_alone(
    code: NDArray[np.int64], group: NDArray[np.int32] | None, found: Events, name: str
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return label and group of flashes that are declared unlabelled.

    Parameters
    ----------
    code : ndarray of int, shape (n_flashes,)
        Of the stim column or channel.
    group : ndarray of int, shape (n_flashes,), or None
        Of the column of groups; without one the codes are the groups.
    found : Events
        All events.
    name : str
        What to call the recording in messages.

    Returns
    -------
    label, group : ndarray of int, shape (n_flashes,)

    Raises
    ------
    RecordingError
        ``contradictory_events`` where the codes look like labels.
    """
    different = set(code.tolist())
    if (group is not None and len(different) > 1) or different == {NON_TARGET, TARGET}:
        raise RecordingError(
            "contradictory_events",
            f"{name}: {DECLARED} says that nobody knows which flashes were targets, and stim tells flashes apart: found events "
            f"{counted(found)}. Expected one code at every flash beside a column of groups, or the group of each flash in stim. Delete "
            "labelled from the sidecar, or write the groups only.",
        )
    if group is None:
        if min(different) < 1 or max(different) > np.iinfo(np.int32).max:
            raise RecordingError(
                "bad_flash",
                f"{name}: found events {counted(found)}; expected the groups that flashed, numbered from 1.",
            )
        group = code.astype(np.int32)
    return np.full(len(code), UNLABELLED, np.int32), group


def check_unlabelled(stream: RecordingStream, said: Mapping[str, Any], name: str) -> None:
    """Refuse an unlabelled recording that nothing can be learnt from.

    Parameters
    ----------
    stream : RecordingStream
        As the reader returned it.
    said : mapping
        What the sidecar says.
    name : str
        What to call it.

    Raises
    ------
    RecordingError
        ``contradictory_events`` where its events have classes; ``bad_sidecar`` where the sidecar states no layout, or classes of events;
        ``bad_flash`` where a flash has no group.
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
    if "layout" not in said or "event_id" in said:
        what = "has event_id, which says classes" if "event_id" in said else "states no layout"
        raise RecordingError(
            "bad_sidecar",
            f"{name}: its sidecar has labelled: false and {what}. Expected the speller layout, which says what each group lit, and no "
            "classes. Correct it (docs/recordings.md has every field).",
        )
    if flashes.flash is None or (flashes.flash == 0).any():
        n_without = len(flashes) if flashes.flash is None else int((flashes.flash == 0).sum())
        raise RecordingError(
            "bad_flash",
            f"{name}: {n_of(n_without, 'flash')} of {len(flashes):,} without a group; expected the group of each flash in an unlabelled "
            "recording, numbered from 1. Write them to a flash column or to stim.",
        )
