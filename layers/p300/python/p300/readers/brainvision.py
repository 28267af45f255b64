"""BrainVision's texts, looked at before MNE-Python does: what it would take for ever over, and which files it would open.

The header is read here just as MNE reads it, so that what was checked is what MNE will see.
"""

import configparser
import math
import re
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from p300.errors import RecordingError
from p300.limits import LARGEST_HEADER_BYTES, LONGEST_LINE, MOST_ANNOTATIONS, MOST_HEADER_LINES
from p300.text import few_of

from .checks import check_n_channels

LONGEST_BLANK = 64
"""Blanks in a row: what parses settings tries each of them as the end of a name."""
MOST_SKIPPED_LINES = 100
MOST_TEXT_SAMPLES = 1 << 22
"""Of a signal written as text: MNE keeps the place of each line, and reads number by number."""
# Some of Python's codecs take time that grows with the square of the text (punycode), or see another text than everybody does.
_CODEPAGES = re.compile(r"utf-?8|ansi|(us-)?ascii|latin-?1|iso-?8859-\d{1,2}|(cp|windows-?)\d{3,4}", re.IGNORECASE)
_CODEPAGE = re.compile(r"Codepage=(.+)")
_CHUNK_BYTES = 1 << 20
_CHOICES = {"DataFormat": ("BINARY", "ASCII"), "DataOrientation": ("MULTIPLEXED", "VECTORIZED")}
_SAMPLE_BYTES = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}
_DATE = re.compile(r"\d{20}")
_DATA_FILE = re.compile(r"^DataFile=(.*)$", re.MULTILINE)
_MARKER = re.compile(rb"^Mk\d+=(.*)$", re.MULTILINE)


def read_header(path: Path, name: str) -> tuple[str, ...]:
    """Return the names of the files that a header names, the signal first.

    Raises
    ------
    RecordingError
        ``unreadable`` where it is not a BrainVision header, or not one that can be read in reasonable time; ``too_many_channels``.
    """
    parser, common = _settings(path, name)
    check_n_channels(_number(common, "NumberOfChannels", name), name)
    if parser.has_section("ASCII Infos") and _number(parser["ASCII Infos"], "SkipLines", name) > MOST_SKIPPED_LINES:
        raise _unreadable(
            name, f"SkipLines={parser['ASCII Infos']['SkipLines']}; expected at most {MOST_SKIPPED_LINES}"
        )
    if not common.get("DataFile"):
        raise _unreadable(name, "no 'DataFile=' in [Common Infos]")
    return tuple(filter(None, (common[kind] for kind in ("DataFile", "MarkerFile") if kind in common)))


def _settings(path: Path, name: str) -> tuple[configparser.ConfigParser, configparser.SectionProxy]:
    """Return a header's settings, and the section of them that names files."""
    if path.stat().st_size > LARGEST_HEADER_BYTES:
        raise RecordingError("unreadable", f"{name}: a BrainVision header is a short text, and this is not.")
    settings = _decoded(path.read_bytes().partition(b"\n")[2], name).partition("[Comment]")[0]
    if settings.count("\n") > MOST_HEADER_LINES:
        raise _unreadable(name, f"more than {MOST_HEADER_LINES:,} lines")
    if re.search(rf"[^\S\n]{{{LONGEST_BLANK}}}", settings):
        raise _unreadable(name, f"{LONGEST_BLANK} blanks or more in a row")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(settings)
    except configparser.Error as error:
        raise _unreadable(name, str(error)) from error
    for section in ("Common Infos", "Common infos"):
        if parser.has_section(section):
            return parser, parser[section]
    raise _unreadable(name, "no section [Common Infos]")


def _number(section: configparser.SectionProxy, option: str, name: str) -> int:
    try:
        return section.getint(option, 0)
    except ValueError as error:
        raise _unreadable(name, f"{option}={section[option][:40]}; expected a whole number") from error


def _check_numbers(parser: configparser.ConfigParser, common: configparser.SectionProxy, name: str) -> None:
    """Refuse settings that MNE-Python would divide by, or put something else for without a word."""
    if (n_channels := _number(common, "NumberOfChannels", name)) < 1:
        raise _unreadable(name, f"NumberOfChannels={n_channels}; expected at least 1")
    interval = common.get("SamplingInterval", "")
    if _finite(interval) <= 0:
        raise RecordingError(
            "missing_sfreq",
            f"{name}: SamplingInterval={interval[:40]}; expected the positive number of microseconds between two samples. Export it again.",
        )
    for option, known in _CHOICES.items():
        found = common.get(option, known[0])
        if found.upper() not in known:
            raise _unreadable(name, f"{option}={found[:40]}; expected {' or '.join(known)}")
    for section in ("Channel Infos", "Channel infos"):
        for channel, described in parser.items(section) if parser.has_section(section) else ():
            resolution = [*described.split(","), "", "", ""][2].strip()
            if resolution and not _finite(resolution):
                raise _unreadable(
                    name, f"{channel}={described[:60]}: resolution {resolution[:20]}; expected a number other than 0"
                )


def _check_names(parser: configparser.ConfigParser, name: str) -> None:
    """Refuse names that occur twice: MNE-Python numbers them, and then looks in vain for their units."""
    sections = [one for one in ("Channel Infos", "Channel infos") if parser.has_section(one)]
    names = Counter(described.split(",")[0].strip() for one in sections for described in parser[one].values())
    if repeated := sorted(channel for channel, n in names.items() if n > 1 and channel):
        raise RecordingError(
            "duplicate_channels", f"{name}: channel names occur twice: {few_of(repeated)}. Rename them in the header."
        )


def _finite(text: str) -> float:
    """Return a number; 0 for what is none, or not finite."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def check_companions(header: Path, beside: list[Path], name: str) -> None:
    """See that MNE can read markers and signal in reasonable time, and as the header means them.

    Raises
    ------
    RecordingError
        ``unreadable``; ``missing_sfreq``; ``too_large`` for a signal written as text; ``too_many_annotations``.
    """
    parser, common = _settings(header, name)
    _check_continuous(common, name)
    _check_byte_order(parser, name)
    _check_numbers(parser, common, name)
    _check_names(parser, name)
    for file in beside:
        if file.suffix.lower() == ".vmrk":
            _check_markers(file, name)
            _check_of_signal(file, common.get("DataFile", ""), name)
        elif common.get("DataFormat") != "BINARY":
            _check_text(file, name)
        else:
            _check_whole(file, parser, _number(common, "NumberOfChannels", name), name)


def _check_continuous(common: configparser.SectionProxy, name: str) -> None:
    """Refuse epochs, which MNE-Python reads as if they followed each other."""
    kind = common.get("SegmentationType", "NOTSEGMENTED").strip().upper()
    if kind not in ("", "NOTSEGMENTED"):
        raise RecordingError(
            "not_continuous",
            f"{name}: SegmentationType={kind[:40]}: epochs, one below the other. Expected a continuous recording: the filter needs what is "
            "around each epoch. Export it before it is cut.",
        )


def _check_byte_order(parser: configparser.ConfigParser, name: str) -> None:
    """Refuse numbers whose first byte is the highest: MNE-Python reads them as if it were the lowest, which makes noise of them."""
    for section in ("Binary Infos", "Binary infos"):
        order = parser.get(section, "UseBigEndianOrder", fallback="").strip()
        if order.upper() not in ("", "NO"):
            raise _unreadable(name, f"UseBigEndianOrder={order[:20]}; expected NO, the byte order in which it is read")


def _check_of_signal(markers: Path, signal: str, name: str) -> None:
    """Refuse markers that say they belong to another signal, such as those of another run."""
    found = _DATA_FILE.search(_decoded(markers.read_bytes(), f"{name}: {markers.name}"))
    said = found[1].strip() if found else ""
    if said and said.replace("$b", markers.stem).casefold() != signal.replace("$b", Path(name).stem).casefold():
        raise RecordingError(
            "bad_companion",
            f"{name}: {markers.name} says that its markers are those of {said[:80]}, and the header names {signal[:80]}. Expected the same "
            f"file. Put the markers of this recording beside it; or, if files were renamed, correct DataFile in {markers.name}.",
        )


def _check_whole(path: Path, parser: configparser.ConfigParser, n_channels: int, name: str) -> None:
    """Refuse a signal that ends in the middle of a sample, of which MNE-Python reads what is there."""
    section = next((one for one in ("Binary Infos", "Binary infos") if parser.has_section(one)), None)
    sample_bytes = _SAMPLE_BYTES.get(parser[section].get("BinaryFormat", "") if section else "")
    if sample_bytes and (rest := path.stat().st_size % (n_channels * sample_bytes)):
        raise RecordingError(
            "unreadable",
            f"{name}: {path.name} ends in the middle of a sample: {rest} bytes after the last one of all {n_channels} channels. Copy it "
            "again from where it was recorded.",
        )


def _check_markers(path: Path, name: str) -> None:
    n_bytes = path.stat().st_size
    if n_bytes > MOST_ANNOTATIONS * LONGEST_LINE:
        raise _unreadable(f"{name}: {path.name}", f"{n_bytes:,} bytes of markers")
    body = path.read_bytes()
    n_markers = len(re.findall(rb"^Mk\d", body, re.MULTILINE))
    if n_markers > MOST_ANNOTATIONS or body.count(b"\n") > 2 * MOST_ANNOTATIONS:
        raise RecordingError(
            "too_many_annotations",
            f"{name}: {path.name} has {n_markers:,} markers in {body.count(b'\n'):,} lines; expected at most {MOST_ANNOTATIONS:,} "
            "markers. Split the recording into runs.",
        )
    _decoded(body, f"{name}: {path.name}")
    for marker in _MARKER.findall(body):
        position = [*marker.split(b","), b"", b"", b""][2].strip()
        if not re.fullmatch(rb"\d{1,12}", position) or not int(position):
            found = marker.decode("latin-1").strip()[:60]
            raise _unreadable(
                f"{name}: {path.name}", f"a marker {found!r}; expected its position, a whole number from 1 on"
            )


def count_markers(path: Path) -> Counter[str]:
    """Return how many markers of each name a file of them states.

    Parameters
    ----------
    path : Path
        The .vmrk file.

    Returns
    -------
    markers : Counter of str
        Kind and description as MNE-Python joins them: ``Stimulus/S  1``.
    """
    markers = (marker.decode("utf-8", "replace").split(",") for marker in _MARKER.findall(path.read_bytes()))
    return Counter("/".join(marker[:2]) for marker in markers)


def lost_at_segments(path: Path, sfreq: float) -> dict[int, float]:
    """Return how much time is missing before each segment but the first, by the dates of their markers.

    Parameters
    ----------
    path : Path
        The .vmrk file.
    sfreq : float
        Rate in Hz.

    Returns
    -------
    lost_s : dict of int to float
        Seconds by the segment's first sample; of segments whose dates are known.
    """
    segments = []
    for marker in _MARKER.findall(path.read_bytes()):
        kind, _, position, *rest = [*(part.strip().decode("latin-1") for part in marker.split(b",")), "", "", ""]
        if kind == "New Segment":
            date = next((part for part in rest if _DATE.fullmatch(part)), "")
            segments.append((int(position) - 1, _at(date)))
    return {
        sample: (at - before).total_seconds() - (sample - first) / sfreq
        for (first, before), (sample, at) in pairwise(sorted(segments, key=lambda segment: segment[0]))
        if before and at
    }


def _at(date: str) -> datetime | None:
    try:
        return datetime.strptime(date, "%Y%m%d%H%M%S%f")
    except ValueError:  # no date, or one of zeros
        return None


def _check_text(path: Path, name: str) -> None:
    n_lines = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            n_lines += chunk.count(b"\n")
    if n_lines > MOST_TEXT_SAMPLES:
        raise RecordingError(
            "too_large",
            f"{name}: {path.name} is a signal written as text, of {n_lines:,} lines; expected at most {MOST_TEXT_SAMPLES:,}. Export it as "
            "binary data.",
        )


def _decoded(body: bytes, name: str) -> str:
    """Decode a text as MNE does, if its lines are as short as lines are, and its code page one of the usual."""
    if longest := next((line for line in body.split(b"\n") if len(line) > LONGEST_LINE), b""):
        raise _unreadable(name, f"a line of {len(longest):,} bytes; expected at most {LONGEST_LINE:,}")
    pages = [page.strip() for page in _CODEPAGE.findall(body.decode("ascii", "ignore"))]
    if odd := [page for page in pages if not _CODEPAGES.fullmatch(page)]:
        raise _unreadable(name, f"Codepage={odd[0][:40]}; expected UTF-8, ANSI or another usual one")
    page = pages[0] if pages else "utf-8"
    try:
        return body.decode("cp1252" if page == "ANSI" else page)
    except LookupError as error:
        raise _unreadable(name, str(error)) from error
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _unreadable(name: str, what: str) -> RecordingError:
    return RecordingError("unreadable", f"{name}: not a readable BrainVision text: {what}. Export it again.")
