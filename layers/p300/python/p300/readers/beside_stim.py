"""What a refusal says where the stim column has no event or no number: which columns may hold them, and what to write."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError

from .event_messages import counted
from .text_rows import is_number

if TYPE_CHECKING:
    import pyarrow as pa

STIM = "stim"
BCI2000_STATES = {"stimuluscode", "stimulustype"}
MOST_BESIDE, MOST_TEXTS = 4, 10_000


def events_beside(
    columns: list[str], read: Callable[[str], NDArray[np.number]], way_out: str = f"rename it to {STIM!r}"
) -> str:
    """Say which columns may hold the events that the stim column does not, and what is in them; empty where there is none.

    Parameters
    ----------
    columns : list of str
        Those whose names say so.
    read : callable
        Returns the values of a column.
    way_out : str, optional
        What to do with one that holds them.

    Returns
    -------
    text : str
        A sentence that begins with a blank.
    """
    if states := bci2000_states(columns):
        return f" {states}"
    told = []
    for column in columns[:MOST_BESIDE]:
        try:
            values = read(column)
        except RecordingError:
            told.append(f"{column!r}: no numbers")
            continue
        begins = np.r_[True, values[1:] != values[:-1]] & (values != 0) & np.isfinite(values)
        if n_events := Counter(f"{value:g}" for value in values[begins].tolist()):
            told.append(f"{column!r}: {counted(n_events)}")
    return f" Columns that may hold them: {'; '.join(told)}. If one does, {way_out}." if told else ""


def bci2000_states(columns: Sequence[str]) -> str:
    """Say what to write in place of BCI2000's two states of a flash, neither of which is its class alone.

    Parameters
    ----------
    columns : sequence of str
        Names.

    Returns
    -------
    text : str
        A sentence; empty where the two are not there.
    """
    found = {column.removeprefix("eeg_").lower(): column for column in columns}
    if not found.keys() >= BCI2000_STATES:
        return ""
    code, kind = (found[state] for state in sorted(BCI2000_STATES))
    return (
        f"{code!r} and {kind!r} are BCI2000's states of a flash. Write two columns in their place: {STIM!r} with 0 where {code} is 0, "
        f"else 2 where {kind} is 1 and 1 where it is 0; and 'flash' with {code}. Or upload the .dat file."
    )


@contextmanager
def naming_columns(
    columns: list[str], read: Callable[[str], NDArray[np.number]], way_out: str = f"rename it to {STIM!r}"
) -> Iterator[None]:
    """Add the columns that may hold the events to the refusal of a stim column without any; parameters as of `events_beside`."""
    try:
        yield
    except RecordingError as refusal:
        if refusal.code != "no_events":
            raise
        raise RecordingError(refusal.code, f"{refusal.message}{events_beside(columns, read, way_out)}") from refusal


@contextmanager
def naming_texts(texts: Callable[[], Iterator["pa.Array"]], name: str) -> Iterator[None]:
    """Say what a stim column holds instead of numbers, and what to write.

    Parameters
    ----------
    texts : callable
        Yields the column in parts, as texts.
    name : str
        What to call the recording in messages.

    Raises
    ------
    RecordingError
        ``not_numeric``.
    """
    try:
        yield
    except RecordingError as refusal:
        if refusal.code != "not_numeric":
            raise
        found: Counter[str] = Counter()
        for part in texts():
            encoded = part.dictionary_encode()
            if len(found) + len(encoded.dictionary) > MOST_TEXTS:
                raise
            for value in encoded.value_counts():
                found[str(value["values"].as_py() or "")] += value["counts"].as_py()
        held = Counter({text: n for text, n in found.items() if text and not is_number(text)})
        if not held:
            raise
        raise RecordingError(
            "not_numeric",
            f"{name}: column {STIM!r} holds texts, samples of {counted(held)}. Expected numbers: write 1 at the first sample of each "
            "NonTarget flash, 2 at that of each Target flash, and 0 elsewhere.",
        ) from refusal
