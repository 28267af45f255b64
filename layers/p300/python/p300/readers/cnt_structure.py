"""Whether the fields of a Neuroscan .cnt file agree with its size, and its table of events with both, before MNE-Python follows them."""

import struct
from pathlib import Path

import numpy as np

from p300.errors import RecordingError
from p300.limits import MOST_ANNOTATIONS

from .checks import check_n_channels, check_n_samples, check_rate

SETUP_BYTES, CHANNEL_BYTES, TABLE_BYTES = 900, 75, 9
DATE, N_CHANNELS, RATE, N_SAMPLES, TABLE, BLOCK = 225, 370, 376, 864, 886, 894
BASELINE, SENSITIVITY, CALIBRATION = 47, 59, 71
NUMBERED = 3
EVENT_BYTES = {1: 8, 2: 19, NUMBERED: 19}
REJECTED, ACCEPTED = 0xC0, 0xD0
FORMATS = {2: "int16", 4: "int32"}
LARGEST_BYTES = 2_000_000_000
"""Beyond it, the place of the table of events does not fit into its field, and MNE-Python has to be told the format."""
LARGEST_BLOCK_BYTES = 4096


def check_cnt(path: Path, name: str) -> dict[str, str]:
    """Refuse a file whose header, samples and events are not where they have to be.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        What to call it in messages.

    Returns
    -------
    options : dict of str to str
        What to tell ``mne.io.read_raw_cnt``, which would guess it: ``data_format`` and ``date_format``.

    Raises
    ------
    RecordingError
        ``unreadable``, ``unknown_format`` for ANT's files, ``too_many_channels``, ``too_large``, ``too_many_annotations``.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        setup = file.read(SETUP_BYTES)
        if setup[:4] in (b"RIFF", b"RF64"):
            raise RecordingError(
                "unknown_format",
                f"{name}: a .cnt file of ANT Neuro; expected Neuroscan's. Export it with its events as EDF or BrainVision.",
            )
        if len(setup) < SETUP_BYTES or not setup.startswith(b"Version"):
            raise _unreadable(
                name, f"it begins with {setup[:12]!r}; expected 'Version' and a header of {SETUP_BYTES} bytes"
            )
        n_channels, sfreq = (struct.unpack_from("<H", setup, at)[0] for at in (N_CHANNELS, RATE))
        n_samples, table, block = (struct.unpack_from("<i", setup, at)[0] for at in (N_SAMPLES, TABLE, BLOCK))
        check_n_channels(n_channels, name)
        check_rate(sfreq, name)
        begin = SETUP_BYTES + CHANNEL_BYTES * n_channels
        if size > LARGEST_BYTES:
            raise RecordingError(
                "too_large", f"{name}: {size:,} bytes; expected at most {LARGEST_BYTES:,}. Split it into runs."
            )
        if not n_channels or not begin < table <= size - TABLE_BYTES:
            raise _unreadable(name, f"{n_channels} channels, and a table of events at byte {table:,} of {size:,}")
        described = file.read(begin - SETUP_BYTES)
        file.seek(table)
        kind, n_bytes, _ = struct.unpack("<Bii", file.read(TABLE_BYTES))
    width = _sample_bytes(n_samples, n_channels, table - begin, name)
    check_n_samples(n_samples, name)
    if block > 1 and (block > LARGEST_BLOCK_BYTES or block % width or n_samples % (block // width)):
        raise _unreadable(name, f"blocks of {block:,} bytes a channel")
    if kind not in EVENT_BYTES or not 0 <= n_bytes <= size - table - TABLE_BYTES or n_bytes % EVENT_BYTES[kind]:
        raise _unreadable(name, f"a table of {n_bytes:,} bytes of events of type {kind}")
    if n_bytes // EVENT_BYTES[kind] > MOST_ANNOTATIONS:
        raise RecordingError(
            "too_many_annotations",
            f"{name}: {n_bytes // EVENT_BYTES[kind]:,} events; expected at most {MOST_ANNOTATIONS:,}. Split the recording into runs.",
        )
    _check_scale(described, n_channels, name)
    return {"data_format": FORMATS[width], "date_format": _date_format(setup)}


def numbered_events(path: Path) -> list[tuple[int, int, str]] | None:
    """Return the events of a table of type 3, whose places are numbers of samples; None for other types.

    MNE-Python takes the header off these numbers too, as EEGLAB did (sccn/eeglab#9): its events come (900 + 75 n) / (n x width) samples
    early.

    Parameters
    ----------
    path : Path
        A file that `check_cnt` has accepted.

    Returns
    -------
    events : list of (int, int, str), or None
        First sample, samples that it holds, and description, as MNE-Python writes it.
    """
    with path.open("rb") as file:
        file.seek(TABLE)
        file.seek(struct.unpack("<i", file.read(4))[0])
        kind, n_bytes, _ = struct.unpack("<Bii", file.read(TABLE_BYTES))
        if kind != NUMBERED:
            return None
        table = file.read(n_bytes)
    found, rejected_from = [], None
    for code, key, keypad, number in struct.iter_unpack("<HBBi11x", table):
        sample = max(number - 1, 0)  # as MNE-Python counts those of types 1 and 2
        if keypad == REJECTED:
            rejected_from = sample if rejected_from is None else rejected_from
        elif keypad == ACCEPTED:
            if rejected_from is not None and sample > rejected_from:
                found.append((rejected_from, sample - rejected_from, "BAD_rejected"))
            rejected_from = None
        elif keypad & 0x0F:
            found.append((sample, 0, f"KeyPad Response {keypad & 0x0F}"))
        else:
            found.append((sample, 0, f"Keyboard Response {key}" if key else str(code)))
    return found


def _sample_bytes(n_samples: int, n_channels: int, n_bytes: int, name: str) -> int:
    """Return the bytes of a number: the one width with which the stated samples end at the table of events."""
    for width in FORMATS:
        if n_samples > 0 and n_samples * n_channels * width == n_bytes:
            return width
    raise _unreadable(
        name,
        f"{n_samples:,} samples of {n_channels} channels are stated, and {n_bytes:,} bytes lie before the table of events; expected 2 or 4 "
        "for each number",
    )


def _check_scale(described: bytes, n_channels: int, name: str) -> None:
    for number in range(n_channels):
        at = CHANNEL_BYTES * number
        sensitivity, calibration = (
            struct.unpack_from("<f", described, at + place)[0] for place in (SENSITIVITY, CALIBRATION)
        )
        scale = sensitivity * calibration
        if not np.isfinite(scale) or not 1e-9 < abs(scale) < 1e9:
            raise RecordingError(
                "bad_metadata",
                f"{name}: sensitivity {sensitivity:g} and calibration {calibration:g} of channel {number + 1} give no scale; expected two "
                "numbers that are not 0.",
            )


def _date_format(setup: bytes) -> str:
    """Return which of day and month comes first, where the date tells it; nothing depends on it where it does not."""
    first = setup[DATE : DATE + 2].decode("latin-1").strip("\0/ ")
    return "dd/mm/yy" if first.isascii() and first.isdigit() and int(first) > 12 else "mm/dd/yy"


def _unreadable(name: str, what: str) -> RecordingError:
    return RecordingError(
        "unreadable", f"{name}: not a readable Neuroscan file: {what}. Copy it again from where it was recorded."
    )
