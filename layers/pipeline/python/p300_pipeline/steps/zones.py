"""What the steps of ingestion share: where recordings come from and go to, how they are read on the way, and what is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from p300.errors import RecordingError
from p300.recording import RecordingStream
from p300.signals import Parameters
from p300.usable import open_usable

from p300_pipeline.contracts import IngestOutcome, IngestResult
from p300_pipeline.keys import RecordingKey
from p300_pipeline.steps.raw_data import superseded
from p300_pipeline.storage import Item, Store, find

MAX_RECORDING_BYTES = 1 << 30  # all files together; the function's disk holds two such recordings


@dataclass(frozen=True)
class Zones:
    """Where recordings come from and where they go, and how they are looked at on the way."""

    store: Store
    landing: str
    raw: str
    wait_for_files_s: float
    parameters: Parameters


def read(path: Path, key: RecordingKey, parameters: Parameters) -> RecordingStream:
    """Open a recording, and read it to its end."""
    recording = open_usable(path, str(key), parameters)
    for _ in recording.blocks():  # a file is whole only if its last sample can be read
        pass
    return recording


def renamed(landed: str, home: str) -> list[str]:
    """Return a note where a file is not stored under the key that it landed under."""
    folders = [key.partition("/")[0] for key in (landed, home)]
    return [f"stored as {home}: {' and '.join(folders)} are one subject"] if home != landed else []


def stored(
    outcome: IngestOutcome,
    home: RecordingKey,
    etag: str,
    files: Sequence[Item],
    recording: RecordingStream,
    notes: Sequence[str],
) -> IngestResult:
    """Answer for a recording that is in the raw data now."""
    return answer(
        outcome,
        str(home),
        subject=home.subject,
        recording=home.recording,
        etag=etag,
        **({"files": [one.key for one in files]} if len(files) > 1 else {}),
        channels=len(recording.ch_names),
        sfreq=recording.sfreq,
        seconds=round(recording.n_samples / recording.sfreq, 1),
        notes=[*notes, *recording.notes],
    )


def check_size(key: RecordingKey, files: Sequence[Item]) -> None:
    """Refuse files that are empty, or too large together."""
    if empty := [item.key for item in files if item.size == 0]:
        raise RecordingError(
            "empty_object", f"{empty[0]} has 0 bytes. Was the upload cut off? Upload the recording again."
        )
    size = sum(item.size for item in files)
    if size > MAX_RECORDING_BYTES:
        raise RecordingError(
            "too_large",
            f"{key} has {size:,} bytes; a recording may have at most {MAX_RECORDING_BYTES:,}. Split it into runs.",
        )


def refuse_older_header(zones: Zones, item: Item) -> None:
    """Refuse a header that another upload has replaced: the companions that are there now belong to that one."""
    now = find(zones.store, zones.landing, item.key)
    if now and now.version_id != item.version_id:
        raise superseded(item.key)


def unchanged(recording: Item) -> IngestResult:
    """Answer for a recording that the raw data had already."""
    key = RecordingKey.parse(recording.key)
    return answer("unchanged", str(key), subject=key.subject, recording=key.recording, etag=recording.etag)


def answer(outcome: IngestOutcome, key: str, **facts: Any) -> IngestResult:
    """Return an answer of ingestion."""
    return cast(IngestResult, {"outcome": outcome, "key": key, **facts})
