"""Parquet: columns eeg_<channel>, stim, optional flash; sfreq, unit, channels, bads and synthetic in the schema metadata."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.arrow import to_numpy
from p300.errors import RecordingError
from p300.limits import LARGEST_FOOTER_BYTES, LARGEST_IN_MEMORY_BYTES, MOST_COLUMNS
from p300.recording import SYNTHETIC, RecordingStream
from p300.text import few_of

from . import events
from .beside_stim import STIM, naming_columns, naming_texts
from .channels import FileChannel, choose, marked_bad
from .checks import check_length, check_n_channels, check_n_samples, check_unfolding
from .columns import (
    EEG_PREFIX,
    FLASH,
    channel_names,
    eeg_columns,
    flash_groups,
    kinds_of_eeg,
    other_stim,
    sampling_rate,
    stim_column,
    time_column,
    timed_by,
    unprefixed,
    volts_per_unit,
)
from .declared import Declared
from .spelled import as_known
from .stim_lines import StimLine, read_beside
from .text_time import per_s

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS_PER_BLOCK = 1 << 14
TIME = "time"


def read(path: Path, name: str, declared: Declared) -> RecordingStream:
    """Open a parquet recording; EEG is in microvolts unless its metadata say otherwise."""
    import pyarrow as pa

    _check_footer(path, name)
    with _opened(path, name) as file:
        if file.metadata.num_columns > MOST_COLUMNS:  # of nested columns, each part counts
            raise RecordingError(
                "too_many_channels",
                f"{name}: {file.metadata.num_columns:,} columns; expected at most {MOST_COLUMNS:,}. Export fewer.",
            )
        schema, footer, n_samples = file.schema_arrow, file.metadata, file.metadata.num_rows
        eeg = eeg_columns(
            schema.names, name, lambda column: _numbers(file, column, name), groups_alone=not declared.labelled
        )
        check_n_channels(len(eeg), name)
        stimulation = [column for column in (STIM, FLASH) if column in schema.names]
        kinds = {column: schema.field(column).type for column in (*eeg, *stimulation)}
        text = [c for c, kind in kinds.items() if not (pa.types.is_floating(kind) or pa.types.is_integer(kind))]
        if text:
            with naming_texts(lambda: _texts(file, name), name):
                raise RecordingError(
                    "not_numeric", f"{name}: columns that hold no numbers: {few_of(text)}. Write numbers."
                )
        _check_size(file, len(kinds), path.stat().st_size, name)
        metadata = {
            key.decode(errors="replace"): value.decode(errors="replace")
            for key, value in (schema.metadata or {}).items()
        }
        metadata, spelled_notes = as_known(metadata, name)
        ch_names, name_notes = channel_names(eeg, _channels(metadata.get("channels"), name), name)
        sfreq, rate_notes = sampling_rate(metadata.get("sfreq"), eeg, name)
        check_length(n_samples, sfreq, name)
        chosen = choose([FileChannel(channel) for channel in ch_names], kinds_of_eeg(declared, schema.names), name)
        eeg = [eeg[pick] for pick in chosen.picks]
        scale, unit_notes = volts_per_unit(metadata.get("unit"), declared, name, eeg)
        bad, bad_notes = marked_bad(_channels(metadata.get("bads"), name, "bads") or [], chosen.names)
        times, others = (
            _times(schema),
            [column for column in other_stim(schema.names, eeg) if _is_number(schema, column)],
        )
        table = file.read(columns=[*stimulation, *times, *others], use_threads=False)
        if table.num_rows != n_samples:
            raise RecordingError(
                "unreadable", f"{name}: {table.num_rows:,} rows, its footer says {n_samples:,}. Upload it again."
            )
    timed = None
    if times:
        stamps, of_a_second = table[times[0]], per_s(times[0])
        in_seconds = of_a_second is not None or not _is_number(schema, times[0])
        timed = timed_by(times[0], lambda: _seconds(stamps, of_a_second), sfreq, name, in_seconds=in_seconds)
    groups = flash_groups(to_numpy(table[FLASH]), name) if {STIM, FLASH} <= set(stimulation) else None
    source, others, stim_notes = stim_column(others, declared, name)
    if STIM not in stimulation:
        source = FLASH
    with naming_columns(others, lambda column: to_numpy(table[column])):
        decoded = read_beside(
            lambda doubtful: events.from_codes(
                to_numpy(table[source]), name, sfreq, declared, groups=groups, doubtful=doubtful
            ),
            source.removeprefix(EEG_PREFIX),
            _lines(table, others, sfreq),
            (n_samples, sfreq),
            declared,
            name,
            either=True,
        )
    single = all(kinds[c] in (pa.float32(), pa.float16(), pa.int8(), pa.int16()) for c in eeg)
    synthetic = metadata.get("synthetic", "").lower() == "true"
    return RecordingStream(
        chosen.names,
        sfreq,
        n_samples,
        decoded.stim,
        decoded.flash,
        lambda: _blocks(path, name, footer, eeg, np.float32 if single else np.float64),
        scale,
        (
            *spelled_notes,
            *unprefixed(schema.names),
            *name_notes,
            *rate_notes,
            *(timed.notes if timed else ()),
            *unit_notes,
            *chosen.notes,
            *bad_notes,
            *stim_notes,
            *decoded.notes,
            *([SYNTHETIC] if synthetic else []),
        ),
        gaps=timed.gaps if timed else (),
        bad_channels=bad,
    )


def _times(schema: "pa.Schema") -> list[str]:
    """Return the time column, where there is one that holds times."""
    import pyarrow as pa

    column = time_column(schema.names)
    if column is None:
        return []
    kind = schema.field(column).type
    is_time = pa.types.is_timestamp(kind) or pa.types.is_duration(kind)
    return [column] if is_time or _is_number(schema, column) else []


def _is_number(schema: "pa.Schema", column: str) -> bool:
    import pyarrow as pa

    kind = schema.field(column).type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _texts(file: "pq.ParquetFile", name: str) -> Iterator["pa.Array"]:
    """Yield the stim column as texts; nothing where it cannot be read as such."""
    import pyarrow as pa

    kind = file.schema_arrow.field(STIM).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        check_n_samples(file.metadata.num_rows, name)
        for batch in file.iter_batches(ROWS_PER_BLOCK, columns=[STIM], use_threads=False):
            yield batch.column(0).cast(pa.string())


def _numbers(file: "pq.ParquetFile", column: str, name: str) -> NDArray[np.number]:
    """Return the values of a column."""
    if not _is_number(file.schema_arrow, column):
        raise RecordingError("not_numeric", f"{name}: {column!r} holds no numbers.")
    check_n_samples(file.metadata.num_rows, name)
    return to_numpy(file.read(columns=[column], use_threads=False)[column])


def _lines(table: "pa.Table", columns: list[str], sfreq: float) -> list[StimLine]:
    def line(column: str) -> StimLine:
        return StimLine(column.removeprefix(EEG_PREFIX), lambda: (to_numpy(table[column]), sfreq))

    return [line(column) for column in columns]


def _seconds(column: "pa.ChunkedArray", of_a_second: float | None) -> NDArray[np.float64]:
    """Return time stamps as numbers; timestamps and durations in seconds."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
        whole = column.cast(pa.int64())
        first = next((value.as_py() for value in whole if value.is_valid), 0)
        import pyarrow.compute as pc

        return to_numpy(pc.subtract(whole, pa.scalar(first, pa.int64()))).astype(np.float64) / per_second
    return to_numpy(column).astype(np.float64) / (of_a_second or 1.0)


def _blocks(
    path: Path, name: str, footer: "pq.FileMetaData", eeg: list[str], dtype: type[np.floating]
) -> Iterator[NDArray[np.floating]]:
    with _opened(path, name, footer) as file:
        for batch in file.iter_batches(ROWS_PER_BLOCK, columns=eeg, use_threads=False):
            block = np.empty((len(eeg), batch.num_rows), dtype)
            for row, column in zip(block, eeg, strict=True):
                row[:] = to_numpy(batch.column(column))
            yield block


@contextmanager
def _opened(path: Path, name: str, footer: "pq.FileMetaData | None" = None) -> Iterator["pq.ParquetFile"]:
    """Open the file, and say whose fault it is when its bytes are damaged, there or later; a footer that is known is not read again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True, metadata=footer) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise RecordingError(
            "unreadable", f"{name}: not a readable parquet file, truncated or damaged ({error}). Upload it again."
        ) from error


def _check_footer(path: Path, name: str) -> None:
    """Refuse a file whose description is larger than any recording's: it is read as a whole, into many times its size."""
    with path.open("rb") as file:
        file.seek(-min(8, path.stat().st_size), 2)
        n_bytes = int.from_bytes(file.read(4), "little")
    if LARGEST_FOOTER_BYTES < n_bytes < path.stat().st_size:
        raise RecordingError(
            "too_large",
            f"{name}: {n_bytes / 1e6:,.0f} MB that describe columns and row groups; expected at most "
            f"{LARGEST_FOOTER_BYTES / 1e6:,.0f} MB. Write the file with fewer columns, or with larger row groups.",
        )


def _check_size(file: "pq.ParquetFile", n_columns: int, file_bytes: int, name: str) -> None:
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    declared = sum(group.total_byte_size for group in groups)  # what a run of equal values hides, the row count tells
    check_unfolding(max(declared, file.metadata.num_rows * n_columns * np.dtype(np.float64).itemsize), file_bytes, name)
    largest = max((group.total_byte_size for group in groups), default=0)
    if (
        largest > LARGEST_IN_MEMORY_BYTES
    ):  # a page of each column is in memory at once, and a group may be one page of each
        raise RecordingError(
            "too_large",
            f"{name}: a row group of {largest / 1e6:,.0f} MB; expected at most {LARGEST_IN_MEMORY_BYTES / 1e6:,.0f} MB. Write the file "
            "with smaller ones, of 100,000 rows for instance (pyarrow: row_group_size).",
        )


def _channels(declared: str | None, name: str, key: str = "channels") -> list[str] | None:
    """Read a JSON list of names, or a comma-separated one."""
    if declared is None:
        return None
    try:
        names = json.loads(declared)
    except (ValueError, RecursionError):
        names = [channel.strip() for channel in declared.split(",")]
    if not isinstance(names, list):
        raise RecordingError("bad_metadata", f"{name}: {key!r} is {declared[:80]!r}; expected a list of names.")
    return [str(channel) for channel in names]
