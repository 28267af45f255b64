"""A BCI2000 file's header: where states lie in a sample, how numbers become microvolts, and what the speller showed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from p300.errors import RecordingError
from p300.limits import LARGEST_PARAMETERS_BYTES

from .checks import check_n_channels

BEGINNINGS = (b"HeaderLen=", b"BCI2000V=")
DATA_FORMATS = {"int16": "<i2", "int32": "<i4", "float32": "<f4"}
MOST_STATE_BYTES = 4096
MOST_STATE_BITS = 32
_NUMBER = re.compile(r"([+-]?(?:\d{1,40}\.?\d{0,40}|\.\d{1,40})(?:[eE][+-]?\d{1,3})?)\s*([^\s\d]{0,20})")
_LISTS = ("list", "intlist", "floatlist", "stringlist")


@dataclass(frozen=True)
class State:
    """Where a state's bits lie in a sample's state vector, the lowest first."""

    n_bits: int
    first_bit: int


@dataclass(frozen=True)
class Header:
    """What the header of a BCI2000 file says.

    Attributes
    ----------
    n_bytes : int
        Of the header; the first sample follows.
    n_channels, n_state_bytes : int
        Of a sample.
    data_format : str
        NumPy's type of a value.
    states : dict of str to State
    parameters : dict of str to list of str
        Values by the parameter's name, without what a list or a matrix says about its own size.
    shapes : dict of str to tuple of int
        Rows and columns of those that are matrices.
    """

    n_bytes: int
    n_channels: int
    n_state_bytes: int
    data_format: str
    states: Mapping[str, State]
    parameters: Mapping[str, list[str]]
    shapes: Mapping[str, tuple[int, int]]

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample: its values, then its state vector."""
        return self.n_channels * int(self.data_format[-1]) + self.n_state_bytes

    def first(self, parameter: str) -> str:
        """Return a parameter's first value; empty where there is none."""
        return next(iter(self.parameters.get(parameter, ())), "")


def is_bci2000(beginning: bytes) -> bool:
    """Tell a BCI2000 file from other files called ``.dat`` by its first bytes."""
    return beginning.startswith(BEGINNINGS)


def read_header(path: Path, name: str) -> Header:
    """Read the header of a BCI2000 file, with or without a version in its first line.

    Raises
    ------
    RecordingError
        ``unreadable``, ``too_large``, ``too_many_channels``.
    """
    with path.open("rb") as file:
        line = file.readline(1024)
        if not is_bci2000(line):
            raise RecordingError(
                "unreadable",
                f"{name}: not a BCI2000 file: it begins with {line[:20]!r}; expected 'HeaderLen=' or 'BCI2000V='. A .dat file of "
                "BrainVision is read with the .vhdr that names it.",
            )
        said = dict(re.findall(r"(\w+)=\s*(\S+)", line.decode("latin-1")))
        n_bytes, n_channels, n_state_bytes = (
            _whole(said.get(key, ""), key, name) for key in ("HeaderLen", "SourceCh", "StatevectorLen")
        )
        check_n_channels(n_channels, name)
        if not n_channels or n_state_bytes > MOST_STATE_BYTES:
            raise _unreadable(
                name, f"{n_channels} channels and a state vector of {n_state_bytes:,} bytes; expected at least one "
                f"channel and at most {MOST_STATE_BYTES:,} bytes"
            )  # fmt: skip
        if n_bytes > LARGEST_PARAMETERS_BYTES:
            raise RecordingError(
                "too_large", f"{name}: a header of {n_bytes:,} bytes; expected at most {LARGEST_PARAMETERS_BYTES:,}."
            )
        if (data_format := said.get("DataFormat", "int16")) not in DATA_FORMATS:
            raise _unreadable(name, f"DataFormat={data_format[:40]}; expected one of {', '.join(DATA_FORMATS)}")
        file.seek(0)
        header = file.read(n_bytes)
    if len(header) < n_bytes:
        raise _unreadable(name, f"a header of {n_bytes:,} bytes in a file of {len(header):,}")
    states, parameters, shapes = _sections(header.decode("latin-1"), n_state_bytes, name)
    return Header(n_bytes, n_channels, n_state_bytes, DATA_FORMATS[data_format], states, parameters, shapes)


def _sections(
    text: str, n_state_bytes: int, name: str
) -> tuple[dict[str, State], dict[str, list[str]], dict[str, tuple[int, int]]]:
    states: dict[str, State] = {}
    parameters: dict[str, list[str]] = {}
    shapes: dict[str, tuple[int, int]] = {}
    section = ""
    for line in text.split("\n")[1:]:
        stripped = line.strip()
        if stripped.startswith("["):
            section = stripped
        elif "State" in section and stripped:
            states |= _state(stripped, n_state_bytes, name)
        elif "Parameter" in section and "=" in stripped:
            left, _, right = stripped.partition("=")
            kind, parameter = ([""] * 2 + left.split())[-2:]
            # A comment begins with two slashes between blanks; paths have them too.
            values = right.partition(" // ")[0].split()
            shape, values = _own_values(kind, values)
            parameters[parameter] = ["" if value == "%" else _decoded(value) for value in values]
            if shape:
                shapes[parameter] = shape
    return states, parameters, shapes


def _state(line: str, n_state_bytes: int, name: str) -> dict[str, State]:
    parts = line.split()
    if len(parts) != 5:
        raise _unreadable(name, f"state {line[:60]!r}; expected a name, length, value, byte and bit")
    n_bits, byte, bit = (_whole(parts[i], f"state {parts[0][:32]}", name) for i in (1, 3, 4))
    first = 8 * byte + bit
    if not 1 <= n_bits <= 64 or first + n_bits > 8 * n_state_bytes:
        raise _unreadable(
            name, f"state {parts[0][:32]} has {n_bits} bits from bit {first} on, the state vector {8 * n_state_bytes}"
        )
    return {parts[0]: State(n_bits, first)}


def _own_values(kind: str, values: list[str]) -> tuple[tuple[int, int] | None, list[str]]:
    """Take what a list says of its length, and a matrix of its size and labels, from the front of its values."""
    if kind in _LISTS:
        length, rest = _extent(values)
        return None, rest[:length]
    if kind == "matrix":
        n_rows, rest = _extent(values)
        n_columns, rest = _extent(rest)
        return (n_rows, n_columns), rest[: n_rows * n_columns]
    return None, values[:1]


def _extent(values: list[str]) -> tuple[int, list[str]]:
    """Return a number at the front, or that of the labels in braces that may take its place."""
    if values and values[0] == "{" and "}" in values:
        end = values.index("}")
        return end - 1, values[end + 1 :]
    return (int(values[0]), values[1:]) if values and re.fullmatch(r"\d{1,6}", values[0]) else (0, [])


def _decoded(value: str) -> str:
    return unquote(value, errors="replace") if "%" in value else value


def number_with_unit(text: str, what: str, name: str) -> tuple[float, str]:
    """Return a number such as ``256Hz`` or ``0.1muV``, and its unit.

    Raises
    ------
    RecordingError
        ``bad_metadata``.
    """
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise RecordingError("bad_metadata", f"{name}: {what} is {text[:40]!r}; expected a number.")
    return float(match[1]), match[2]


def _whole(text: str, what: str, name: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise _unreadable(name, f"{what} is {text[:40]!r}; expected a whole number")
    return int(text)


def _unreadable(name: str, what: str) -> RecordingError:
    return RecordingError(
        "unreadable", f"{name}: not a readable BCI2000 file: {what}. Copy it again from where it was recorded."
    )
