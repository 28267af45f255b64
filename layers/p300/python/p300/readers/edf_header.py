"""The header of EDF and BDF files: its fields as written, and the check of its numbers before anything relies on them.

MNE-Python puts a second where a record lasts 0 s, a range of 1 where there is none, and as many records as the file has bytes for.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from p300.errors import RecordingError
from p300.text import few_of

FIRST_BYTES = 256
ANNOTATIONS = {b"EDF Annotations", b"BDF Annotations"}
_BIOSEMI = b"\xffBIOSEMI"
_NOT_CLOSED = -1
_FIELD_BYTES = (16, 80, 8, 8, 8, 8, 8, 80, 8)
"""Size in bytes of each field of a signal, up to its samples per record."""
_LABEL, _DIMENSION, _PHYSICAL_MIN, _DIGITAL_MIN, _SAMPLES = 0, 2, 3, 5, 8
_WITHOUT_RANGE = {b"status", b"trigger"}


@dataclass(frozen=True)
class Header:
    """A header's fields as written; numbers are None, or not a number, where a field holds none.

    Attributes
    ----------
    first : bytes
        The part that describes the file.
    fields : tuple of tuple of bytes
        Each field of all signals.
    """

    first: bytes
    fields: tuple[tuple[bytes, ...], ...]

    @property
    def n_signals(self) -> int | None:
        """How many signals there are, annotations included."""
        return _whole(self.first[252:256])

    @property
    def n_records(self) -> int | None:
        """How many data records the header states; -1 if the file was not closed."""
        return _whole(self.first[236:244])

    @property
    def record_s(self) -> float:
        """How many seconds a data record lasts."""
        return _number(self.first[244:252])

    @property
    def n_bytes(self) -> int:
        """Size of the header, as its number of signals implies."""
        return FIRST_BYTES * (1 + (self.n_signals or 0))

    @property
    def labels(self) -> list[bytes]:
        """Label of each signal."""
        return [label.strip() for label in self.fields[_LABEL]]

    @property
    def n_samples(self) -> list[int | None]:
        """Samples per record of each signal."""
        return [_whole(field) for field in self.fields[_SAMPLES]]

    @property
    def dimensions(self) -> dict[str, str]:
        """Physical dimension of each signal, by label; empty where it is blank."""
        return dict(zip(map(_text, self.fields[_LABEL]), map(_text, self.fields[_DIMENSION]), strict=True))


@dataclass(frozen=True)
class Checked:
    """What the check of a header found.

    Attributes
    ----------
    unscaled : tuple of str
        Labels of signals whose physical or digital range is empty: their numbers have no unit.
    notes : tuple of str
        What a person should know of the number of records.
    """

    unscaled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_header(path: Path) -> Header:
    """Read the fields of a file's header; what is missing is empty.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Header
    """
    with path.open("rb") as file:
        first = file.read(FIRST_BYTES)
        n_signals = _whole(first[252:256]) or 0
        return Header(first, tuple(tuple(file.read(size) for _ in range(n_signals)) for size in _FIELD_BYTES))


def check_header(path: Path, header: Header, name: str, *, sample_bytes: int) -> Checked:
    """Refuse a header with a number that no recording has.

    Parameters
    ----------
    path : Path
        The file.
    header : Header
        Its header.
    name : str
        What to call it.
    sample_bytes : int
        Of a sample: 2 of EDF, 3 of BDF.

    Returns
    -------
    Checked

    Raises
    ------
    RecordingError
        ``unreadable``; ``missing_sfreq`` where data records have no length.
    """
    first = header.first
    if len(first) < FIRST_BYTES:
        raise _wrong(name, f"{len(first)} bytes in all", f"a header of {FIRST_BYTES} bytes or more")
    if first.startswith(_BIOSEMI) and sample_bytes != 3:
        raise RecordingError(
            "unreadable",
            f"{name}: the file begins as BDF, of 24 bits a sample; expected EDF, of 16. Upload it under a name that ends in .bdf.",
        )
    n_signals = _at_least(1, first[252:256], "the number of signals", name)
    stated = _at_least(0, first[184:192], "the size of the header in bytes", name)
    if stated != header.n_bytes:
        raise _wrong(name, f"a header of {stated:,} bytes", f"{header.n_bytes:,} bytes, as it has {n_signals} signals")
    n_records = _at_least(_NOT_CLOSED, first[236:244], "the number of data records", name)
    _check_duration(first[244:252], name)
    n_samples = [
        _at_least(1, field, f"the samples a record of signal {number}", name)
        for number, field in enumerate(header.fields[_SAMPLES], 1)
    ]
    unscaled = [
        label.decode("latin-1")
        for number, label in enumerate(header.labels)
        if not _has_range(header.fields, number, label.decode("latin-1"), name)
        and label not in ANNOTATIONS
        and label.lower() not in _WITHOUT_RANGE
    ]
    signals = [label.decode("latin-1") for label in header.labels if label not in ANNOTATIONS]
    if unscaled and set(signals) <= set(unscaled):
        raise _wrong(
            name,
            f"an empty physical or digital range for every signal ({few_of(unscaled)})",
            "its smallest and largest value",
        )
    held = (path.stat().st_size - header.n_bytes) // (sample_bytes * sum(n_samples))
    return Checked(tuple(unscaled), _check_length(n_records, held, first, sample_bytes, name))


def _check_duration(field: bytes, name: str) -> None:
    duration = _number(field)
    if not (math.isfinite(duration) and duration > 0):
        raise RecordingError(
            "missing_sfreq",
            f"{name}: the header says that a data record lasts {_shown(field)} s; expected a positive number, without which there is no "
            "sampling rate. Export the recording again.",
        )


def _has_range(fields: tuple[tuple[bytes, ...], ...], number: int, label: str, name: str) -> bool:
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
        return float(_text(field).replace(",", "."))  # as MNE-Python reads it
    except ValueError:
        return math.nan


def _whole(field: bytes) -> int | None:
    try:
        return int(_text(field))
    except ValueError:
        return None


def _text(field: bytes) -> str:
    return field.split(b"\x00")[0].decode("latin-1").strip()


def _at_least(least: int, field: bytes, what: str, name: str) -> int:
    number = _whole(field)
    if number is None or number < least:
        raise _wrong(name, f"{_shown(field)} as {what}", f"a whole number of at least {least}")
    return number


def _shown(field: bytes) -> str:
    return repr(field.decode("latin-1").strip())


def _wrong(name: str, found: str, expected: str, remedy: str = " Export the recording again.") -> RecordingError:
    return RecordingError("unreadable", f"{name}: the header says {found}; expected {expected}.{remedy}")
