"""Whether a FIF file's tags lie one after the other inside it: MNE-Python follows them wherever they point, in circles too."""

import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from p300.errors import RecordingError
from p300.limits import LARGEST_TAG_BYTES, MOST_TAGS

from .checks import check_n_channels

TAG_BYTES = 16
FILE_ID, DIRECTORY_POINTER = 100, 101
CHANNEL, SIGNAL = 203, 300
BLOCK, RAW_DATA, EPOCHS, AVERAGES = 104, 102, 373, 104
ANNOTATIONS, DESCRIPTIONS, COLON = 3810, 206, "{COLON}"
"""A block, its tag of descriptions with colons between them, and what stands for a colon in one."""
END_OF_DIRECTORY = (-1, -1)
"""Kind and place of the last entry of a directory as MNE-C and acquisition software write it."""
NAMES = 3507
"""Names of channels in one text, which MNE-Python compares one by one with all channels."""
LARGEST_NAMES_BYTES = 64 << 10
OTHER_FILES = {116, 117, 118}
"""Kinds of tags that name the next file of a recording in several."""


def check_fif(path: Path, name: str) -> Counter[str]:
    """Refuse a file whose tags overlap, point back or out of it, or name another file.

    Returns
    -------
    annotations : Counter of str
        How many annotations of each description the file states, those outside of the recording too.

    Raises
    ------
    RecordingError
        ``unreadable``; ``too_many_channels``; ``bad_companion`` for a recording in several files; ``not_continuous`` for epochs.
    """
    total = path.stat().st_size
    tags: dict[int, tuple[int, int, int]] = {}
    blocks: list[int] = []
    annotations: bytes | None = None
    at = directory = 0
    with path.open("rb") as file:
        while at + TAG_BYTES <= total:
            file.seek(at)
            kind, value_type, size, following = struct.unpack(">iIii", file.read(TAG_BYTES))
            end = at + TAG_BYTES + size
            if size > (LARGEST_NAMES_BYTES if kind == NAMES else LARGEST_TAG_BYTES) and kind != SIGNAL:
                raise _damaged(
                    name, f"a tag of kind {kind} with {size:,} bytes at {at:,}, more than such a tag can need"
                )
            if size < 0 or end > total or len(tags) >= MOST_TAGS or (not at and kind != FILE_ID):
                raise _damaged(name, f"a tag of kind {kind} with {size:,} bytes at {at:,}")
            if kind in OTHER_FILES:
                raise RecordingError(
                    "bad_companion",
                    f"{name} is a part of a recording in several files. Save the recording as one file of at most 2 GB.",
                )
            if kind == DIRECTORY_POINTER and size == 4:
                directory = int.from_bytes(file.read(4), "big", signed=True)
            if kind == BLOCK and size == 4:
                blocks.append(int.from_bytes(file.read(4), "big", signed=True))
            if kind == DESCRIPTIONS and blocks[-1:] == [ANNOTATIONS] and annotations is None:
                annotations = file.read(size)
            tags[at] = (kind, value_type, size)
            if following < 0:
                break
            if following and following < end:
                raise RecordingError(
                    "unreadable",
                    f"{name}: the tag at {at:,} points back to {following:,}. The file is damaged, or its tags are out of order, which "
                    "FIF allows and this check does not. Read it with MNE-Python, save it again, and upload that.",
                )
            at = following or end
        _check_continuous(set(blocks), name)
        check_n_channels(sum(kind == CHANNEL for kind, _, _ in tags.values()), name)
        _check_directory(file, directory, tags, name)
    texts = annotations.decode("latin-1").split(":") if annotations else []
    return Counter(text.replace(COLON, ":") for text in texts)


def _check_directory(file: BinaryIO, at: int, tags: Mapping[int, tuple[int, int, int]], name: str) -> None:
    """Refuse a directory that lists other tags than there are: MNE-Python then reads those, and no others."""
    if at <= 0:
        return
    total = file.seek(0, 2)
    file.seek(at)
    header = file.read(TAG_BYTES)
    size = struct.unpack(">iIii", header)[2] if len(header) == TAG_BYTES else -1
    if size < 0 or size % TAG_BYTES or at + TAG_BYTES + size > total:
        raise _damaged(name, f"no directory at {at:,}")
    for entry in struct.iter_unpack(">iIii", file.read(size)):
        if tags.get(entry[3]) != entry[:3] and (entry[0], entry[3]) != END_OF_DIRECTORY:
            raise _damaged(name, f"the directory lists a tag at {entry[3]:,}, where there is none")


def _check_continuous(blocks: set[int], name: str) -> None:
    if RAW_DATA not in blocks and blocks & {EPOCHS, AVERAGES}:
        raise RecordingError(
            "not_continuous",
            f"{name} holds {'epochs' if EPOCHS in blocks else 'averages'}. Expected the continuous recording: the filter needs what is "
            "around each epoch. Save the 'raw' from which mne.Epochs was made, with its events.",
        )


def _damaged(name: str, what: str) -> RecordingError:
    return RecordingError("unreadable", f"{name}: truncated, damaged or no FIF file: {what}. Upload it again.")
