"""Files that belong to a recording: the signal and the markers that a BrainVision or EEGLAB header names."""

import re
from pathlib import Path, PurePosixPath

import numpy as np
from p300_pipeline.keys import HEADER_OF

from p300.errors import RecordingError

from .checks import check_in_memory
from .matlab_files import check_matlab

MOST_CHANNELS = 4096
LARGEST_HEADER_BYTES = 16 << 20  # of a text, with an impedance a line
_NAME = re.compile(r"[A-Za-z0-9][\w.+=@ -]{0,199}\.[A-Za-z]{1,4}", re.ASCII)
_CHANNELS = re.compile(r"NumberOfChannels\s*[=:]\s*\+?(\d[\d_]{0,30})", re.IGNORECASE)
_BRAINVISION = re.compile(r"^\s*(DataFile|MarkerFile)\s*=\s*(.*?)\s*$", re.MULTILINE)


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
        found = _of_brainvision(path, name)
    elif extension == "set":
        found = _of_eeglab(path, name)
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
    return found


def _of_brainvision(path: Path, name: str) -> tuple[str, ...]:
    if path.stat().st_size > LARGEST_HEADER_BYTES:
        raise RecordingError("unreadable", f"{name}: a BrainVision header is a short text; this is none.")
    text = path.read_bytes().decode("utf-8", "replace")
    named = dict(_BRAINVISION.findall(text.partition("[Comment]")[0]))
    claimed = max((int(count.replace("_", "")) for count in _CHANNELS.findall(text)), default=0)
    if claimed > MOST_CHANNELS:  # MNE makes a list of so many names before it looks for them
        raise RecordingError("unreadable", f"{name}: {claimed} channels; expected at most {MOST_CHANNELS}.")
    if "DataFile" not in named:
        raise RecordingError(
            "unreadable", f"{name}: no 'DataFile=' in it; expected a BrainVision header. Upload it again."
        )
    return tuple(named[kind] for kind in ("DataFile", "MarkerFile") if named.get(kind))


def _of_eeglab(path: Path, name: str) -> tuple[str, ...]:
    check_matlab(path, name)
    from scipy.io import loadmat

    try:
        fields = loadmat(path, variable_names=["EEG", "data"], squeeze_me=True, struct_as_record=False)
    except Exception as error:  # scipy raises whatever the bytes lead it into
        raise RecordingError(
            "unreadable", f"{name}: not a readable EEGLAB file ({error}). Save it again, and upload it."
        ) from error
    signal = getattr(fields["EEG"], "data", None) if "EEG" in fields else fields.get("data")
    if isinstance(signal, np.ndarray):  # MNE makes float64 of it, whatever it is
        check_in_memory(signal.size * np.dtype(np.float32).itemsize, path.stat().st_size, name)
    return (signal,) if isinstance(signal, str) and signal else ()
