"""The numbers in the header of an EDF or BDF file, before anything relies on them.

MNE-Python puts a second where a record lasts 0 s, a range of 1 where there is none, and as many records as the file has bytes for.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from p300.errors import RecordingError

from .edf_structure import ANNOTATIONS, FIELDS, FIRST_HEADER_BYTES, SAMPLES_FIELD

_BIOSEMI = b"\xffBIOSEMI"
_NOT_CLOSED = -1
_LABEL, _PHYSICAL_MIN, _PHYSICAL_MAX, _DIGITAL_MIN, _DIGITAL_MAX = 0, 3, 4, 5, 6
_WITHOUT_RANGE = {b"status", b"trigger"}


@dataclass(frozen=True)
class Header:
    """What a header says, beyond what MNE-Python makes of it.

    Attributes
    ----------
    unscaled : tuple of str
        Labels of signals whose physical or digital range is empty: their numbers have no unit.
    notes : tuple of str
        What a person should know of the number of records.
    """

    unscaled: tuple[str, ...]
    notes: tuple[str, ...]


def check_header(path: Path, name: str, *, sample_bytes: int) -> Header:
    """Refuse a header with a number that no recording has.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        What to call it.
    sample_bytes : int
        Of a sample: 2 of EDF, 3 of BDF.

    Returns
    -------
    Header

    Raises
    ------
    RecordingError
        ``unreadable``; ``missing_sfreq`` where data records have no length.
    """
    with path.open("rb") as file:
        head = file.read(FIRST_HEADER_BYTES)
        if len(head) < FIRST_HEADER_BYTES:
            raise _wrong(name, f"{len(head)} bytes in all", f"a header of {FIRST_HEADER_BYTES} bytes or more")
        if head.startswith(_BIOSEMI) and sample_bytes != 3:
            raise RecordingError(
                "unreadable",
                f"{name}: the file begins as BDF, of 24 bits a sample; expected EDF, of 16. Upload it under a name that ends in .bdf.",
            )
        n_signals = _whole(head[252:256], 1, "the number of signals", name)
        header_bytes = FIRST_HEADER_BYTES * (1 + n_signals)
        stated = _whole(head[184:192], 0, "the size of the header in bytes", name)
        if stated != header_bytes:
            raise _wrong(
                name, f"a header of {stated:,} bytes", f"{header_bytes:,} bytes, as it has {n_signals} signals"
            )
        n_records = _whole(head[236:244], _NOT_CLOSED, "the number of data records", name)
        _check_duration(head[244:252], name)
        fields = [[file.read(size) for _ in range(n_signals)] for size in FIELDS]
        samples = [
            _whole(file.read(SAMPLES_FIELD), 1, f"the samples a record of signal {number}", name)
            for number in range(1, n_signals + 1)
        ]
    labels = [label.strip() for label in fields[_LABEL]]
    unscaled = [
        label.decode("latin-1")
        for number, label in enumerate(labels)
        if not _has_range(fields, number, label.decode("latin-1"), name)
        and label not in ANNOTATIONS
        and label.lower() not in _WITHOUT_RANGE
    ]
    held = (path.stat().st_size - header_bytes) // (sample_bytes * sum(samples))
    return Header(tuple(unscaled), _check_length(n_records, held, head, sample_bytes, name))


def _check_duration(field: bytes, name: str) -> None:
    duration = _number(field)
    if not (math.isfinite(duration) and duration > 0):
        raise RecordingError(
            "missing_sfreq",
            f"{name}: the header says that a data record lasts {_shown(field)} s; expected a positive number, without which there is no "
            "sampling rate. Export the recording again.",
        )


def _has_range(fields: list[list[bytes]], number: int, label: str, name: str) -> bool:
    """Return whether a signal's numbers can be turned into its unit; refuse a range that is no number."""
    ends = []
    for kind, what in ((_PHYSICAL_MIN, "physical"), (_DIGITAL_MIN, "digital")):
        for field in (fields[kind][number], fields[kind + 1][number]):
            if not math.isfinite(_number(field)):
                raise _wrong(name, f"{_shown(field)} as an end of the {what} range of {label}", "a number")
            ends.append(_number(field))
    return ends[0] != ends[1] and ends[2] != ends[3]


def _check_length(n_records: int, held: int, head: bytes, sample_bytes: int, name: str) -> tuple[str, ...]:
    if n_records > held:
        other = (
            " Are its samples of 24 bits? Then name it .bdf"
            if sample_bytes == 2
            else " Are its samples of 16 bits? Then name it .edf"
        )
        hint = (
            f"{other}; or upload it again." if head.startswith(_BIOSEMI) != (sample_bytes == 3) else " Upload it again."
        )
        raise _wrong(name, f"{n_records:,} data records", f"as many as the file holds, {held:,}", hint)
    if n_records == _NOT_CLOSED:
        return (f"the header does not say how many data records there are: all {held:,} in the file read",)
    if n_records < held:
        return (f"the header says {n_records:,} data records: all {held:,} in the file read",)
    return ()


def _number(field: bytes) -> float:
    try:
        return float(field.decode("latin-1").split("\x00")[0].replace(",", "."))  # as MNE-Python reads it
    except ValueError:
        return math.nan


def _whole(field: bytes, least: int, what: str, name: str) -> int:
    try:
        number = int(field.decode("latin-1").split("\x00")[0])
    except ValueError:
        number = least - 1
    if number < least:
        raise _wrong(name, f"{_shown(field)} as {what}", f"a whole number of at least {least}")
    return number


def _shown(field: bytes) -> str:
    return repr(field.decode("latin-1").strip())


def _wrong(name: str, found: str, expected: str, remedy: str = " Export the recording again.") -> RecordingError:
    return RecordingError("unreadable", f"{name}: the header says {found}; expected {expected}.{remedy}")
