"""Times in a column of a text file: seconds or a part of them, or the time of day."""

import re

import numpy as np
from numpy.typing import NDArray

from p300.arrow import to_numpy
from p300.errors import RecordingError

from .checks import check_n_samples
from .text_rows import Table, is_number

DAY_S = 86_400.0
PER_S = {"s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e3, "msec": 1e3, "millis": 1e3, "milliseconds": 1e3,
         "us": 1e6, "µs": 1e6, "μs": 1e6, "usec": 1e6, "microseconds": 1e6, "ns": 1e9, "nanoseconds": 1e9}  # fmt: skip
_NAMED = re.compile(
    r"(?:lsl[ _]?|unix[ _]?|system[ _]?|local[ _]?)?(?:t|times?|time[ _]?stamps?|date[ _]?time)", re.IGNORECASE
)
_WITH_RATE = re.compile(r"time ?: ?(\d+(?:\.\d+)?) ?hz", re.IGNORECASE)
_UNIT = re.compile(
    r"(.*?)(?:\s*[\[(]\s*([^\])]*?)\s*[\])]|[ _](s|sec|seconds|ms|msec|milliseconds|us|ns))", re.IGNORECASE
)
CLOCK = (
    r"^(?:(?P<date>\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})[T ]+)?"
    r"(?P<h>\d{1,2}):(?P<m>\d{2}):(?P<s>\d{2}(?:[.,:]\d{1,9})?)(?: ?(?:Z|UTC|[+-]\d{2}:?\d{2}))?$"
)
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")


def time_of(column: str) -> tuple[float | None, float | None] | None:
    """Tell whether a column holds times by its name.

    Parameters
    ----------
    column : str
        ``time``, ``Timestamp (ms)``, ``time_s``, OpenViBE's ``Time:512Hz``.

    Returns
    -------
    per_s, sfreq : float or None
        How many of its units are a second, and the rate in Hz, where the name says them; None in their place for another column.
    """
    if stated := _WITH_RATE.fullmatch(column):
        return 1.0, float(stated[1])
    if _NAMED.fullmatch(column):
        return None, None
    split = _UNIT.fullmatch(column)
    if split and _NAMED.fullmatch(split[1].strip()):
        return PER_S.get((split[2] or split[3] or "").lower()), None
    return None


def per_s(column: str) -> float | None:
    """Return how many of a column's units are a second, where its name says it."""
    found = time_of(column)
    return found[0] if found else None


def seconds(table: Table, column: str, per_s: float | None) -> NDArray[np.float64]:
    """Return a column of times, shape (n_rows,), in seconds where its name or the time of day say so; NaN where a cell is empty.

    Parameters
    ----------
    table : Table
        The file.
    column : str
        Which.
    per_s : float or None
        How many of its units are a second; numbers are returned as they are where it is None.

    Returns
    -------
    stamps : ndarray, shape (n_rows,)

    Raises
    ------
    RecordingError
        ``irregular_time`` for texts that are no time, or times of day in whole seconds.
    """
    at = table.columns.index(column)
    cells = [row[at] for row in table.first_rows if len(row) > at and row[at]]
    if all(is_number(cell, table.decimal_point) for cell in cells):
        stamps: NDArray[np.float64] = table.whole([column])[0]
        return stamps / (per_s or 1.0)
    return _of_day(table, column)


def _of_day(table: Table, column: str) -> NDArray[np.float64]:
    """Read times of day, with the date before them or without; midnight may pass."""
    import pyarrow.compute as pc

    parts, n_rows, fractions = [], 0, False
    for texts in table.texts(column):
        n_rows += len(texts)
        check_n_samples(n_rows, table.name)
        found = pc.extract_regex(texts, CLOCK)
        if wrong := pc.and_(pc.is_null(found), pc.not_equal(texts, "")).index(True).as_py() + 1:
            raise RecordingError(
                "irregular_time",
                f"{table.name}: column {column[:64]!r} holds {texts[wrong - 1].as_py()[:64]!r}. Expected seconds, or times such as "
                "2024-05-17 13:57:07.128.",
            )
        text = pc.replace_substring_regex(pc.struct_field(found, "s"), "[,:]", ".")
        fractions = fractions or pc.any(pc.match_substring(text, ".")).as_py() is True
        h, m, s = (
            to_numpy(pc.cast(one, "float64"))
            for one in (pc.struct_field(found, "h"), pc.struct_field(found, "m"), text)
        )
        parts.append(_days(pc.struct_field(found, "date")) * DAY_S + 3600 * h + 60 * m + s)
    stamps = np.concatenate(parts) if parts else np.zeros(0)
    if len(stamps) > 1 and not fractions:
        raise RecordingError(
            "irregular_time",
            f"{table.name}: column {column[:64]!r} holds whole seconds. Expected the time of each sample to a millisecond. Export it, or "
            'leave the column out and declare the rate: {"sfreq": 256}.',
        )
    known = stamps[np.isfinite(stamps)]
    midnights = np.cumsum(np.r_[0.0, np.diff(known) < -DAY_S / 2]) if len(known) else known
    stamps[np.isfinite(stamps)] = known + DAY_S * midnights
    return stamps


def _days(dates: object) -> NDArray[np.float64]:
    """Return days since 1970 of dates that begin with the year; 0 for others, whose order of day and month is not known."""
    encoded = dates.dictionary_encode()  # type: ignore[attr-defined]
    days = []
    for text in encoded.dictionary.to_pylist():
        iso = _ISO.fullmatch(text or "")
        try:
            day = np.datetime64("{}-{:0>2}-{:0>2}".format(*iso.groups())) if iso else np.datetime64(0, "D")
        except ValueError:  # the 31st of a month that has 30 days
            day = np.datetime64(0, "D")
        days.append(float(day.astype("datetime64[D]").astype(np.int64)))
    index = to_numpy(encoded.indices)
    found = np.zeros(len(index))
    known = np.isfinite(index) & (index >= 0) if index.dtype.kind == "f" else index >= 0
    found[known] = np.array(days or [0.0])[index[known].astype(int)]
    return found
