"""Files that belong to a recording: the signal and the markers that a BrainVision or EEGLAB header names."""

import re
from pathlib import Path, PurePosixPath

from p300.errors import RecordingError
from p300.formats import HEADER_OF, TWOFOLD

from .bci2000_header import is_bci2000
from .brainvision import read_header
from .eeglab import named_file

N_BEGINNING = 16
N_LOOKED_AT = 1 << 16
_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")
_NAME = re.compile(r"[A-Za-z0-9][\w.+=@ -]{0,199}\.[A-Za-z]{1,4}", re.ASCII)


def companions(path: str | Path, *, name: str | None = None) -> tuple[str, ...]:
    """Return the names of the files that a recording's header names, which have to lie beside it.

    Parameters
    ----------
    path : str or Path
        The header; a recording of any other format has no companions.
    name : str, optional
        What to call it, and where its extension stands.

    Returns
    -------
    tuple of str
        File names without a folder, the signal first; empty for a recording of one file.

    Raises
    ------
    RecordingError
        ``bad_companion`` where the header names a file in a folder, or one of another kind; ``unreadable``, ``too_large``.
    """
    path = Path(path)
    name = name or path.name
    extension = PurePosixPath(name).suffix.lower().removeprefix(".")
    if extension == "vhdr":
        found = read_header(path, name)
    elif extension == "set":
        found = named_file(path, name)
    else:
        return ()
    for companion in found:
        if not _NAME.fullmatch(companion) or ".." in companion:
            raise RecordingError(
                "bad_companion",
                f"{name} names {companion[:200]!r} as a file that belongs to it. Expected the name of a file beside it, without "
                "a folder, of letters, digits and any of '._+=@ -'. Export the recording again under such a name.",
            )
        if HEADER_OF.get(companion.rpartition(".")[2].lower()) != extension:
            kinds = ", ".join(f".{kind}" for kind, header in HEADER_OF.items() if header == extension)
            raise RecordingError(
                "bad_companion",
                f"{name} names {companion[:200]!r} as a file that belongs to it; expected one of {kinds}.",
            )
    if len({companion.lower() for companion in found}) < len(found):
        raise RecordingError(
            "bad_companion",
            f"{name} names {found[0]!r} and {found[1]!r}; expected a file for the signal and another for the markers.",
        )
    return found


def is_part_file(path: Path) -> bool:
    """Tell whether a file is a part of a recording, as `is_part` does; it is opened only where its extension leaves a doubt."""
    if path.suffix.lower().removeprefix(".") not in TWOFOLD:
        return is_part(path.name, b"")
    with path.open("rb") as file:
        return is_part(path.name, file.read(N_BEGINNING))


def is_prose(path: Path) -> bool:
    """Tell whether a file is a .txt without rows of numbers: notes that were kept beside recordings."""
    if path.suffix.lower() != ".txt":
        return False
    with path.open("rb") as file:
        lines = file.read(N_LOOKED_AT).decode("latin-1").splitlines()
    rows = [re.split(r"[,;|\t ]+", line.strip()) for line in lines[:100] if line.strip()[:1] not in ("", "#", "%")]
    of_numbers = [
        row for row in rows if len(row) > 1 and 2 * sum(_NUMBER.fullmatch(cell) is not None for cell in row) >= len(row)
    ]
    return 2 * len(of_numbers) < len(rows) or not rows


def is_part(name: str, beginning: bytes) -> bool:
    """Tell whether a file is a part of a recording that another file, its header, names.

    Parameters
    ----------
    name : str
        What it is called.
    beginning : bytes
        Its first bytes, `N_BEGINNING` or more, which count where the extension leaves a doubt.

    Returns
    -------
    part : bool
    """
    extension = PurePosixPath(name).suffix.lower().removeprefix(".")
    return not is_bci2000(beginning) if extension in TWOFOLD else extension in HEADER_OF
