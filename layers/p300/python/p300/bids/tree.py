"""A BIDS data set on a file system: its EEG recordings, and what it says about one of them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from p300.errors import RecordingError
from p300.limits import LARGEST_BIDS_FILE_BYTES

from .bundle import Bundle, bundle
from .paths import DATA_SET, applies, folders_of, left_alone, metadata_of, part_of, recording_of
from .pointers import N_BEGINNING, refuse_pointer
from .tables import bad_bids

MOST_FILES = 100_000
"""In one folder, or subjects of a data set."""


@dataclass(frozen=True)
class Tree:
    """What is in a data set.

    Attributes
    ----------
    recordings : list of str
        Paths of the EEG recordings, from the root on.
    left : dict of str to list of str
        What is left alone and why: reason -> paths.
    """

    recordings: list[str] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)


def is_root(folder: Path) -> bool:
    """Tell whether a folder is the root of a BIDS data set: it says so, or it has subjects with EEG in it."""
    if (folder / DATA_SET).exists():
        return True
    return any(recording_of(path) for path in _below(folder, []))


def root_of(path: Path) -> tuple[Path, str] | None:
    """Return the root of the data set that a recording lies in by its name, and its path in it; None of any other file.

    Parameters
    ----------
    path : Path
        The recording.

    Returns
    -------
    root, path : Path, str
    """
    parts = path.absolute().parts
    for n in (3, 4):  # without a session, and with one
        inside = "/".join(parts[-n:])
        if len(parts) > n and recording_of(inside):
            return Path(*parts[:-n]), inside
    return None


def read_tree(root: Path) -> Tree:
    """Return the EEG recordings of a data set, and what is left alone in it.

    Parameters
    ----------
    root : Path
        Its folder.

    Returns
    -------
    Tree
    """
    tree = Tree()
    for path in _below(root, tree.left.setdefault("links that point outside the data set", [])):
        name = path.rstrip("/")
        if recording_of(path):
            tree.recordings.append(path)
        elif part_of(path) or metadata_of(path):
            continue
        elif path.endswith("/"):
            why = left_alone(f"{path}x") or "no folder of BIDS"
            tree.left.setdefault(why, []).append(name)
        elif "/" in path:
            tree.left.setdefault(left_alone(path) or "no name of a BIDS recording", []).append(name)
    return tree


def bundle_in_place(path: Path) -> Bundle | None:
    """Return what the data set that a recording lies in says about it; None where it lies in none.

    Parameters
    ----------
    path : Path
        The recording.

    Returns
    -------
    Bundle or None

    Raises
    ------
    RecordingError
        ``bad_bids``, ``pointer``, ``too_large``; ``link_out`` where metadata are links that point outside the data set.
    """
    placed = root_of(path)
    if placed is None:
        return None
    root, inside = placed
    recording = recording_of(inside)
    files: dict[str, bytes] = {}
    for folder in folders_of(inside):
        for entry in _entries(root / folder):
            metadata = metadata_of(f"{folder}{entry.name}")
            if recording and metadata and applies(metadata, recording):
                files[metadata.path] = _content(root, metadata.path)
    return bundle(inside, files) if files else None


def refuse_unfetched(path: Path, name: str) -> None:
    """Refuse a file that is a pointer, or a link to content that has not been fetched.

    Raises
    ------
    RecordingError
        ``pointer``.
    """
    if path.is_symlink() and not path.exists():
        refuse_pointer(os.fsencode(os.readlink(path)).replace(b"\\", b"/"), name)  # noqa: PTH115 - as it is written
    elif path.is_file():
        with path.open("rb") as file:
            refuse_pointer(file.read(N_BEGINNING), name)


def is_unfetched(path: Path) -> bool:
    """Tell whether a file is a pointer, or a link to content that has not been fetched."""
    try:
        refuse_unfetched(path, path.name)
    except RecordingError:
        return True
    return False


def _content(root: Path, path: str) -> bytes:
    file = root / path
    refuse_unfetched(file, path)
    if not file.resolve().is_relative_to(root.resolve()):
        raise RecordingError(
            "link_out",
            f"{path} is a link that points outside the data set. Put the file itself there, then land the recording.",
        )
    if not file.is_file():
        raise bad_bids(path, "it is not a file, or a link to nothing; expected a file, or nothing there")
    with file.open("rb") as opened:
        return opened.read(LARGEST_BIDS_FILE_BYTES + 1)


def _below(root: Path, out: list[str]) -> Iterator[str]:
    """Yield what is at the root and in the folders of subjects and sessions, folders with a ``/`` at their end.

    Folders that are not read, and links that point outside the data set, are not entered.
    """
    whole = root.resolve()

    def walk(folder: str) -> Iterator[str]:
        for entry in _entries(root / folder):
            path = f"{folder}{entry.name}"
            if not entry.is_dir():
                yield path
            elif not Path(entry.path).resolve().is_relative_to(whole):
                out.append(path)
            elif recording_of(_example(f"{path}/")):
                yield from walk(f"{path}/")
            else:
                yield f"{path}/"

    yield from walk("")


def _example(folder: str) -> str:
    """Return the path that a recording may have below a folder, if the folder is a subject's, a session's or of EEG."""
    parts = folder.rstrip("/").split("/")
    names = "_".join([*(part for part in parts if part != "eeg"), "task-x", "eeg.edf"])
    return f"{folder}{names}" if parts[-1] == "eeg" else f"{folder}eeg/{names}"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        found = [entry for entry, _ in zip(entries, range(MOST_FILES + 1), strict=False)]
    if len(found) > MOST_FILES:
        raise RecordingError(
            "too_many_files", f"{folder} has more than {MOST_FILES:,} files. Expected at most as many."
        )
    return sorted(found, key=lambda entry: entry.name)
