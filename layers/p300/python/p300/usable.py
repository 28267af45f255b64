"""Opening a recording as the pipeline does: read, with all checks that need not read its whole signal.

Ingestion, preprocessing, `p300 inspect` and `p300 land` go through here, so that what one of them takes, the others take.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.readers import open_recording
from p300.recording import RecordingStream
from p300.signals.bounds import check_derived
from p300.signals.parameters import Parameters


def open_usable(
    path: Path, name: str, parameters: Parameters, *, sidecar: Mapping[str, Any] | None = None
) -> RecordingStream:
    """Open a recording's file; the same limits apply while its signal is read.

    Parameters
    ----------
    path : Path
        The file, with its companions and its sidecar beside it.
    name : str
        What to call it, and where its extension stands.
    parameters : Parameters
        The preprocessing that follows: names of events, and how much it would make of a recording.
    sidecar : mapping, optional
        What to take for the sidecar's content, instead of what lies beside the file.

    Returns
    -------
    RecordingStream

    Raises
    ------
    RecordingError
        As `p300.readers.open_recording` and `p300.signals.check_derived` do, and ``unreadable`` for what a reader did not expect.
    """
    with reading(name):
        stream = open_recording(path, name=name, declared=parameters.declared, sidecar=sidecar)

    def blocks() -> Iterator[NDArray[np.floating]]:
        with reading(name):
            yield from stream.blocks()

    usable = replace(stream, blocks=blocks)
    check_derived(usable, parameters, name)
    return usable


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what a reader did not expect into ``unreadable``: the file's fault. What the machine lacks stays what it is."""
    try:
        yield
    except (RecordingError, MemoryError, OSError, ImportError, GeneratorExit):
        raise
    except Exception as error:
        raise RecordingError(
            "unreadable",
            f"{name} cannot be read as {PurePosixPath(name).suffix}: {type(error).__name__}: {error}. Expected a whole recording "
            "(docs/recordings.md); export it again.",
        ) from error
