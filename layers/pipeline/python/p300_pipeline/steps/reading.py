"""Opening a recording's file in a step: whatever its bytes lead a reader into is the file's fault, not the step's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.readers.declared import Declared
from p300.recording import RecordingStream

if TYPE_CHECKING:
    from p300_pipeline.keys import RecordingKey


def read(path: Path, key: "RecordingKey", declared: Declared | None = None) -> RecordingStream:
    """Open a recording's file; the same limits apply while its signal is read.

    Raises
    ------
    RecordingError
        As `p300.readers.open_recording` does, and ``unreadable`` for what a reader did not expect.
    """
    with reading(key):
        stream = open_recording(path, name=str(key), declared=declared)

    def blocks() -> Iterator[NDArray[np.floating]]:
        with reading(key):
            yield from stream.blocks()

    return replace(stream, blocks=blocks)


@contextmanager
def reading(key: "RecordingKey") -> Iterator[None]:
    """Turn what a reader did not expect into ``unreadable``; what the machine lacks stays what it is."""
    try:
        yield
    except (RecordingError, MemoryError, OSError, ImportError, GeneratorExit):
        raise
    except Exception as error:
        raise RecordingError(
            "unreadable",
            f"{key} cannot be read as .{key.ext}: {type(error).__name__}: {error}. Expected a whole recording (docs/recordings.md); "
            "export it again.",
        ) from error
