"""EDF and BDF as their headers describe them, before MNE-Python reads them: how much is claimed, and how events are written.

"EDF+, an EDF compatible standard format", Kemp and Olivan, 2003: annotations are lists in a signal of their own, of a signed onset and
texts, with a byte of 20 after each and a zero at the end. MNE finds them by a regular expression that looks, from every sign on, for the
end of a list.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.limits import LARGEST_ANNOTATION_SIGNAL_BYTES, MOST_ANNOTATIONS, MOST_RECORDS

from .checks import check_n_channels
from .edf_header import ANNOTATIONS, Header

LONGEST_NUMBER = 32
"""Digits of an onset or a duration."""
MOST_LOOKED_AT = 16
"""Times that each byte of the annotations may be looked at, on average, before the end of its list is found."""
_PLUS, _MINUS, _END_OF_TEXT = ord("+"), ord("-"), 0x14


@dataclass(frozen=True)
class _Layout:
    """Where a file's annotation signals are: offsets and sizes in bytes within a record."""

    record_bytes: int
    annotations: list[tuple[int, int]]


def check_edf(path: Path, header: Header, name: str, *, sample_bytes: int) -> None:
    """Refuse a file that claims more signals or records than a recording has, or whose annotations have no end.

    Parameters
    ----------
    path : Path
        The file.
    header : Header
        Its header, whose numbers need not be valid.
    name : str
        What to call it.
    sample_bytes : int
        Of a sample: 2 of EDF, 3 of BDF.

    Raises
    ------
    RecordingError
        ``unreadable``, ``too_many_channels``, ``too_many_annotations``, ``too_large``.
    """
    layout = _layout(header, name, sample_bytes)
    if not layout or not layout.annotations or not layout.record_bytes:
        return  # without any, or with invalid numbers, as `check_header` will say
    n_records = (path.stat().st_size - header.n_bytes) // layout.record_bytes
    n_bytes = n_records * sum(size for _, size in layout.annotations)
    if n_bytes > LARGEST_ANNOTATION_SIGNAL_BYTES:
        raise RecordingError(
            "too_many_annotations",
            f"{name}: {n_bytes / 1e6:,.0f} MB of annotation signals; expected at most {LARGEST_ANNOTATION_SIGNAL_BYTES / 1e6:,.0f} MB. "
            "Split the recording into runs.",
        )
    if n_records <= 0:
        return
    for at, size in layout.annotations:
        pieces = of_each_record(path, header.n_bytes + at, layout.record_bytes, n_records, size)
        _check_lists(np.frombuffer(b"".join(pieces), np.uint8).reshape(n_records, size), name)


def of_each_record(path: Path, first: int, record_bytes: int, n_records: int, n_bytes: int) -> list[bytes]:
    """Read one signal of each data record; of a file mapped into memory, all of it would count as the process's.

    Parameters
    ----------
    path : Path
        The file.
    first : int
        Where the signal is in the first record, in bytes from the file's beginning.
    record_bytes, n_records, n_bytes : int
        Size of a record, how many there are, and size of the signal in each.

    Returns
    -------
    pieces : list of bytes
    """
    pieces = []
    with path.open("rb", buffering=0) as file:
        for number in range(n_records):
            file.seek(first + number * record_bytes)
            pieces.append(file.read(n_bytes))
    return pieces


def _layout(header: Header, name: str, sample_bytes: int) -> _Layout | None:
    """Find the annotation signals; None where a number of the header is invalid."""
    if header.n_records is None or header.n_signals is None:
        return None
    check_n_channels(header.n_signals, name)
    if header.n_records > MOST_RECORDS:
        raise RecordingError(
            "too_large",
            f"{name}: {header.n_records:,} data records; expected at most {MOST_RECORDS:,}. Export it with records of a second.",
        )
    n_samples = [n for n in header.n_samples if n is not None and n >= 0]
    if len(n_samples) < len(header.labels):
        return None
    starts = np.cumsum([0, *(sample_bytes * n for n in n_samples)]).tolist()
    annotations = [
        (start, sample_bytes * n)
        for label, start, n in zip(header.labels, starts, n_samples, strict=False)
        if label in ANNOTATIONS
    ]
    return _Layout(starts[-1], annotations)


def _check_lists(records: NDArray[np.uint8], name: str) -> None:
    """Look at one signal's annotations, shape (n_records, n_bytes)."""
    text = records.ravel()
    end_of_text, after = text[:-1] == _END_OF_TEXT, text[1:]
    n_texts = int(np.count_nonzero(end_of_text & (after != 0) & (after != _END_OF_TEXT)))
    if n_texts > MOST_ANNOTATIONS:
        raise RecordingError(
            "too_many_annotations",
            f"{name}: {n_texts:,} annotations; expected at most {MOST_ANNOTATIONS:,}. Split the recording into runs.",
        )
    if re.search(rb"\d{%d}" % (LONGEST_NUMBER + 1), text):
        raise RecordingError(
            "unreadable", f"{name}: an annotation with a number of more than {LONGEST_NUMBER} digits. Export it again."
        )
    # How far it is, in all, from each sign to the end of its list. A list ends in its record; if not, it may end anywhere.
    signs = np.flatnonzero((text == _PLUS) | (text == _MINUS))
    ends = np.append(np.flatnonzero(end_of_text & (after == 0)), len(text))
    following = ends[np.searchsorted(ends, signs)]
    elsewhere = following // records.shape[1] > signs // records.shape[1]
    looked_at = int((following - signs)[~elsewhere].sum()) + int(elsewhere.sum()) * len(text)
    if looked_at > MOST_LOOKED_AT * len(text):
        raise RecordingError(
            "unreadable",
            f"{name}: annotations without an end: {len(signs):,} onsets and {len(ends) - 1:,} ends in {len(text):,} bytes. "
            "Export it again.",
        )
