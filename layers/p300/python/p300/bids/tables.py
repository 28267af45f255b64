"""Tables of a BIDS data set: tab-separated values with a line of names, ``n/a`` where a value is missing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from p300.errors import RecordingError
from p300.limits import MOST_ANNOTATIONS, MOST_BIDS_COLUMNS
from p300.text import printable

MISSING = ("n/a", "")


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    name : str
        Path of its file in the data set.
    columns : mapping of str to list of str
        Values of each column by its name, all of one length.
    n_rows : int
        That length.
    """

    name: str
    columns: Mapping[str, list[str]]
    n_rows: int

    def known(self, column: str) -> list[str | None]:
        """Return the values of a column, None where one is missing; of a column that there is not, all are."""
        return [None if value in MISSING else value for value in self.columns.get(column, [""] * self.n_rows)]

    def rows(self) -> list[dict[str, str]]:
        """Return one dictionary for each row."""
        return [dict(zip(self.columns, values, strict=True)) for values in zip(*self.columns.values(), strict=True)]


def bad_bids(name: str, what: str) -> RecordingError:
    """Return what is wrong with a file of a BIDS data set."""
    return RecordingError("bad_bids", f"{printable(name)}: {what}. Correct it, and land the recording again.")


def read_table(text: str, name: str, *, required: tuple[str, ...] = ()) -> Table:
    """Read a table.

    Parameters
    ----------
    text : str
        Content of a ``.tsv`` file.
    name : str
        What to call it: its path in the data set.
    required : tuple of str
        Columns that there have to be.

    Returns
    -------
    Table

    Raises
    ------
    RecordingError
        ``bad_bids`` for columns that are missing or there twice, rows of another length, and more than `MOST_ANNOTATIONS` rows or
        `MOST_BIDS_COLUMNS` columns.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip("\n").split("\n", MOST_ANNOTATIONS + 1)
    if len(lines) > MOST_ANNOTATIONS + 1:
        raise bad_bids(name, f"it has more than {MOST_ANNOTATIONS:,} rows; expected at most as many")
    names = [column.strip() for column in lines[0].split("\t", MOST_BIDS_COLUMNS)]
    if len(names) > MOST_BIDS_COLUMNS:
        raise bad_bids(name, f"it has more than {MOST_BIDS_COLUMNS} columns; expected at most as many")
    shown = ", ".join(column[:64] for column in names[:16])
    if missing := [column for column in required if column not in names]:
        raise bad_bids(
            name, f"no column {missing[0]!r}, found {shown}; expected a table separated by tabs with its names first"
        )
    if twice := [column for column, n in Counter(names).items() if n > 1]:
        raise bad_bids(name, f"the column {twice[0][:64]!r} occurs twice; expected different names")
    cells = [line.split("\t", len(names)) for line in lines[1:]]
    for number, row in enumerate(cells, 2):
        if len(row) != len(names):
            more = "more than " if len(row) > len(names) else ""
            raise bad_bids(
                name, f"line {number} has {more}{min(len(row), len(names))} values; expected {len(names)}: {shown}"
            )
    columns = {column: [row[place].strip() for row in cells] for place, column in enumerate(names)}
    return Table(name, columns, len(cells))
