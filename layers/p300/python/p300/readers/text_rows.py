"""Rows of text to numbers: what every reader of csv, OpenBCI's and other text files shares. Columns are read in blocks, by name."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.arrow import to_numpy
from p300.errors import RecordingError

from .checks import check_n_samples
from .spelled import IN_COMMENT

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 8 << 20
LONGEST_LINE_BYTES, MOST_COMMENTS = 1 << 20, 100
N_FIRST_ROWS = 32
DELIMITERS = ",;\t|"
BLANK = " "
DECLARED = re.compile(r"\b(sfreq|unit)\s*[=:]\s*([^\s,;]+)", re.IGNORECASE)
_BEHIND_RATE = re.compile(
    r"\bsfreq\s*[=:]\s*[-+.\d][^\s,;]*\s+([^\s,;=:]*[A-Za-z][^\s,;=:]*)(?=\s|[,;]|$)(?!\s*[=:])", re.IGNORECASE
)
_HERTZ = {"hz", "hertz", "sps", "samples/s", "1/s"}
BADS = re.compile(r"\b(?:bads|bad[ _]channels)\s*[=:]\s*(\S[^,]*?)\s*(?:,|$)", re.IGNORECASE)
_BLANKS, _AROUND_LINES, _QUOTED = re.compile(rb" +"), re.compile(rb" ?([\r\n]) ?"), re.compile(r'"[^"]*"')
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


@dataclass(frozen=True)
class Table:
    """A text file of rows, and how to read its columns.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        What to call the recording in messages.
    columns : list of str
        Names, without quotes and surrounding blanks; made up where there are none.
    headless : bool
        Whether they are made up.
    n_skipped : int
        Lines before the rows.
    declared : dict of str to str
        What comment lines say: ``sfreq``, ``unit``, ``bads``, and names that `spelled.as_known` reads as one of these.
    delimiter : str
        Between cells; a blank stands for any number of them.
    decimal_point : str
        In numbers.
    encoding : str
        Of texts.
    first_rows : list of list of str
        The cells of the first rows.
    """

    path: Path
    name: str
    columns: list[str]
    headless: bool = False
    n_skipped: int = 0
    declared: dict[str, str] = field(default_factory=dict)
    delimiter: str = ","
    decimal_point: str = "."
    encoding: str = "utf8"
    first_rows: list[list[str]] = field(default_factory=list)

    def whole(self, wanted: Sequence[str]) -> NDArray[np.float64]:
        """Return some columns as numbers, of shape (n_columns, n_rows); NaN where a cell is empty.

        Raises
        ------
        RecordingError
            ``not_numeric``, ``unreadable``, ``too_large``.
        """
        parts, n_rows = [], 0
        for part in self.numbers(wanted):
            parts.append(part)
            n_rows += part.shape[1]
            check_n_samples(n_rows, self.name)
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(wanted), 0))

    def numbers(self, wanted: Sequence[str]) -> Iterator[NDArray[np.float64]]:
        """Yield some columns as numbers, a block at a time, of shape (n_columns, n_rows); errors are those of `whole`."""
        for batch in self.batches(wanted):
            yield np.stack([to_numpy(batch.column(i)) for i in range(len(wanted))])

    def scaled(self, wanted: Sequence[str], factors: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        """Yield what `numbers` does, each column times its factor."""
        for part in self.numbers(wanted):
            yield part * factors[:, np.newaxis]

    def texts(self, column: str) -> "Iterator[pa.Array]":
        """Yield a column as texts without surrounding blanks, empty where a cell is; errors are those of `whole`."""
        import pyarrow.compute as pc

        for batch in self.batches((), (column,)):
            yield pc.utf8_trim_whitespace(batch.column(0))

    def batches(self, numbers: Sequence[str], texts: Sequence[str] = ()) -> "Iterator[pa.RecordBatch]":
        """Yield columns of numbers, then columns of texts, a block at a time; errors are those of `whole`."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        types = {**dict.fromkeys(numbers, pa.float64()), **dict.fromkeys(texts, pa.string())}
        convert = arrow_csv.ConvertOptions(
            include_columns=list(types), column_types=types, decimal_point=self.decimal_point, strings_can_be_null=False
        )
        # Names as cleaned here: some tools write a blank after each comma.
        options = arrow_csv.ReadOptions(
            column_names=self.columns, skip_rows=self.n_skipped, block_size=BLOCK_BYTES, encoding=self.encoding
        )
        parse = arrow_csv.ParseOptions(delimiter=self.delimiter)
        source = _SingleBlanks(self.path) if self.delimiter == BLANK else self.path
        with (
            _explained(self.name),
            arrow_csv.open_csv(source, read_options=options, parse_options=parse, convert_options=convert) as reader,
        ):
            yield from reader


def open_table(path: Path, name: str) -> Table:
    """Find out how a text file is written: by its comment lines, the first line after them, and the first rows.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        What to call the recording in messages.

    Returns
    -------
    Table

    Raises
    ------
    RecordingError
        ``unreadable`` for binary data or comments without end, ``bad_metadata`` for comment lines that contradict each other.
    """
    declared: dict[str, str] = {}
    n_comments, head = 0, b""
    with path.open("rb") as file:
        while head := file.readline(LONGEST_LINE_BYTES):
            if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise RecordingError(
                    "unreadable",
                    f"{name}: a text in UTF-16. Expected UTF-8: save it as that, such as 'CSV UTF-8' of Excel.",
                )
            if b"\0" in head:
                raise RecordingError("unreadable", f"{name}: not a csv file: it holds binary data.")
            text = head.decode("utf-8-sig", "replace")
            if not text.startswith("#"):
                break
            if n_comments == MOST_COMMENTS:
                raise RecordingError(
                    "unreadable",
                    f"{name}: more than {MOST_COMMENTS} comment lines. Expected a table after fewer of them.",
                )
            n_comments += 1
            _declare(declared, text, name)
        lines = [line for _ in range(N_FIRST_ROWS) if (line := file.readline(LONGEST_LINE_BYTES))]
    if b"\r" in head.rstrip(b"\r\n"):
        raise RecordingError(
            "unreadable",
            f"{name}: lines that end with a carriage return alone. Save it with the line ends of Windows or Unix.",
        )
    encoding = "utf8" if _is_utf8([head, *lines]) else "latin-1"
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    if not text.strip() and lines:
        raise RecordingError(
            "missing_eeg",
            f"{name}: line {n_comments + 1} is blank. Expected the names of the columns there. Remove blank lines before them.",
        )
    unquoted = _QUOTED.sub("", text)
    delimiter = max(DELIMITERS, key=unquoted.count)
    if delimiter not in unquoted:
        delimiter = BLANK if BLANK in unquoted.strip() else ","
    cells = _cells(text, delimiter)
    rows = [_cells(line.decode(encoding, "replace"), delimiter) for line in lines]
    comma = delimiter != "," and any("," in cell for row in rows[:1] or [cells] for cell in row)
    comma = comma or (delimiter != "," and any(DECIMAL_COMMA.fullmatch(cell) for row in rows for cell in row))
    decimal_point = "," if comma else "."
    try:
        [float(cell.replace(decimal_point, ".")) for cell in cells]
        columns, headless = [f"column {i}" for i in range(1, len(cells) + 1)], True
    except ValueError:
        columns, headless = cells, False
    n_skipped = n_comments + (0 if headless else 1)
    rows = [row for row in rows if any(row)]
    return Table(path, name, columns, headless, n_skipped, declared, delimiter, decimal_point, encoding, rows)


def is_number(cell: str, decimal_point: str = ".") -> bool:
    """Tell whether a cell is a number."""
    try:
        float(cell.replace(decimal_point, "."))
    except ValueError:
        return False
    return True


def _declare(declared: dict[str, str], text: str, name: str) -> None:
    for key, value in [*DECLARED.findall(text), *IN_COMMENT.findall(text)]:
        if declared.setdefault(key.lower(), value) != value:
            raise RecordingError(
                "bad_metadata",
                f"{name}: the lines before the header declare {key.lower()} as {declared[key.lower()]} and as {value}. Keep the "
                "right one.",
            )
    behind = _BEHIND_RATE.search(text)
    if behind and behind[1].lower() not in _HERTZ:
        raise RecordingError(
            "bad_metadata",
            f"{name}: {behind[0].strip()[:80]!r} in the lines before the header. Expected a number of Hz without anything behind it, as in "
            "'# sfreq=512'.",
        )
    if named := BADS.search(text.strip()):
        declared["bads"] = named[1]


def _is_utf8(lines: list[bytes]) -> bool:
    try:
        b"".join(lines).decode()
    except UnicodeDecodeError as error:
        return error.end >= sum(map(len, lines))  # only cut in the middle of a character
    return True


def _cells(line: str, delimiter: str) -> list[str]:
    text = line.strip("\r\n")
    if delimiter == BLANK:
        text = re.sub(" +", BLANK, text.strip())
    try:
        cells = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [""])
    except csv.Error:  # a cell of more than 128 KiB
        cells = text.split(delimiter)
    return [cell.strip().strip('"').strip() for cell in cells]


class _SingleBlanks(io.RawIOBase):
    """A file with one blank where it has several, and none at the beginning of a line: Arrow takes each for a delimiter."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._begins = True  # a line
        self._held = b""  # a blank that may be the last of a line

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while chunk := self._file.read(size):
            single = _AROUND_LINES.sub(rb"\1", _BLANKS.sub(b" ", self._held + chunk))
            single = single.lstrip(b" ") if self._begins else single
            self._held = b" " if single.endswith(b" ") else b""
            single = single.removesuffix(b" ")
            if single:
                self._begins = single[-1:] in b"\r\n"
                return single
        return b""

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except pa.ArrowInvalid as error:
        code = "not_numeric" if "conversion" in str(error) else "unreadable"
        raise RecordingError(code, f"{name}: {error}. Expected numbers in every column of every row.") from error
    except pa.ArrowKeyError as error:
        raise RecordingError("unreadable", f"{name}: {error}.") from error
