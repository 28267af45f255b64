"""Sidecars in the landing zone and in the raw data: which recording each belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath

from p300.errors import RecordingError
from p300.formats import EXTENSIONS, SIDECAR_ENDING
from p300.readers.sidecar import misnamed_sidecar, shared_sidecar

from p300_pipeline.keys import RecordingKey, is_recording, recording_of_sidecar
from p300_pipeline.steps.waiting import is_companion_file
from p300_pipeline.storage import Item, Store, find

MOST_LISTED = 1000
MOST_NAMED = 4
"""Other recordings that go to quarantine with one whose sidecar may be theirs."""


@dataclass(frozen=True)
class LandedSidecar:
    """What the landing zone holds for a recording beside its own files.

    Attributes
    ----------
    files : list of Item
        Its sidecar and what its BIDS data set says; with a refusal, all that has to go to quarantine with the recording.
    refusal : RecordingError or None
        Why the recording cannot be taken with it.
    """

    files: list[Item]
    refusal: RecordingError | None = None


def landed(store: Store, landing: str, key: RecordingKey) -> LandedSidecar:
    """Look for a recording's sidecar in the landing zone."""
    beside = {item.key for item in islice(store.list(landing, f"{key.recording}."), MOST_LISTED)}
    misnamed_key = f"{key}{SIDECAR_ENDING}"
    if misnamed_key in beside and not any(is_recording(one) and one.startswith(f"{key}.") for one in beside):
        return LandedSidecar(_found(store, landing, [misnamed_key]), misnamed_sidecar(str(key), misnamed_key))
    there = [one for one in (key.sidecar, key.bids) if one in beside]
    if not there:
        return LandedSidecar([])
    files = _found(store, landing, there)
    if others := [item for item in recordings(store, landing, there[0]) if item.key != str(key)]:
        refusal = shared_sidecar(str(key), there[0], others[0].key)
        return LandedSidecar([*files, *others[:MOST_NAMED]], refusal)
    return LandedSidecar(files)


def _found(store: Store, bucket: str, keys: Sequence[str]) -> list[Item]:
    """Return objects with their versions, which a list does not tell; those that are gone are left out."""
    return [item for item in (find(store, bucket, key) for key in keys) if item]


def recordings(store: Store, bucket: str, sidecar: str) -> Sequence[Item]:
    """Return the recordings of a bucket that a sidecar may belong to, by its name, each as it is now."""
    stem = recording_of_sidecar(sidecar)
    listed = [item.key for item in islice(store.list(bucket, f"{stem}."), MOST_LISTED)]
    found = _found(
        store, bucket, [key for key in listed if is_recording(key) and RecordingKey.parse(key).recording == stem]
    )
    return [item for item in found if not is_companion_file(store, bucket, item)]


def raw_recording(store: Store, raw: str, sidecar: str) -> Item | None:
    """Return the raw recording that a landed sidecar belongs to, under whichever spelling of the subject it is kept."""
    folder, _, name = recording_of_sidecar(sidecar).rpartition("/")
    for spelled in RecordingKey(folder, name, "").spellings():
        if held := recordings(store, raw, spelled.sidecar):
            return held[0]
    return None


def recording_name(sidecar: str) -> str:
    """Return how the recording of a sidecar is called, whatever its format."""
    return f"{recording_of_sidecar(sidecar)}.<extension>"


def misnamed(sidecar: str) -> RecordingError | None:
    """Say that a sidecar's name is made from the whole name of a recording's file, where it looks so."""
    recording = sidecar.removesuffix(SIDECAR_ENDING)
    if PurePosixPath(recording).suffix.lower().removeprefix(".") not in EXTENSIONS:
        return None
    return misnamed_sidecar(recording, sidecar)
