"""Landing zone to raw zone: validate, copy with a checksum, then delete; invalid files go to quarantine.

A recording of several files (a BrainVision or EEGLAB header and its companions) moves as a whole: whichever of them comes last completes
it, and until then they stay in the landing zone. In the raw data the header comes last and names the companions' ETags.

A sidecar moves with its recording. One that comes later is added to the raw recording, and the execution goes on to new features; as the
features state which sidecar they were made with, and are written only while that is so, none without it outlasts it.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import unquote_plus

from p300.errors import RecordingError
from p300.formats import HEADER_OF
from p300.readers.companions import companions
from p300.recording import RecordingStream
from p300.signals import Parameters
from p300.usable import open_usable, reading

from p300_pipeline.contracts import IngestOutcome, IngestResult
from p300_pipeline.keys import RecordingKey, is_companion, is_landing_key, is_litter, is_sidecar
from p300_pipeline.steps import sidecars
from p300_pipeline.steps.quarantine import earlier_quarantine, quarantine
from p300_pipeline.steps.raw_data import (
    RawFacts,
    download_files,
    home_of,
    named_companions,
    put_raw,
    raw_key_of,
    recording_of,
    refuse_second_name,
    sidecar_of,
    superseded,
)
from p300_pipeline.steps.storing import put_files, take_out_older
from p300_pipeline.steps.waiting import header_of, is_companion_file, wait
from p300_pipeline.storage import Item, NotFoundError, PreconditionError, Store, UnreadableError, find

MAX_RECORDING_BYTES = 1 << 30  # all files together; the function's disk holds two such recordings
WAIT_FOR_FILES_S = 900
_MOST_LOOKS = 20


@dataclass(frozen=True)
class Landed:
    """An object as the S3 event names it.

    Attributes
    ----------
    key : str
        Object key as the event gives it: as it is on AWS, as in a URL by LocalStack and by S3's own notifications.
    etag : str
        Its ETag at the time of the event; empty where the event has none.
    version_id : str or None
        Its version where the landing zone keeps versions.
    """

    key: str
    etag: str
    version_id: str | None


@dataclass(frozen=True)
class _Zones:
    """Where recordings come from and where they go, and how they are looked at on the way."""

    store: Store
    landing: str
    raw: str
    wait_for_files_s: float
    parameters: Parameters


def ingest(
    store: Store,
    landing_bucket: str,
    raw_bucket: str,
    landed: Landed,
    *,
    wait_for_files_s: float = WAIT_FOR_FILES_S,
    parameters: Parameters | None = None,
) -> IngestResult:
    """Move one landed object, with its companion files, to the raw zone or to quarantine.

    Parameters
    ----------
    store : Store
        S3 access.
    landing_bucket, raw_bucket : str
        Bucket names.
    landed : Landed
        The object.
    wait_for_files_s : float
        How long after an upload the other files of a recording may take to come, in seconds.
    parameters : Parameters, optional
        The preprocessing that follows: names of events, and how much it would make of a recording.

    Returns
    -------
    dict
        ``outcome`` is ``stored`` (new or changed recording), ``unchanged`` (the raw zone has these bytes already), ``waiting`` (other
        files of the recording have not come yet: look again in ``look_again_s``), ``incomplete`` (nor have they in time; the recording
        still moves when they come), ``quarantined`` (with ``reason``), ``unreadable`` (S3 keeps the bytes from us; the object stays),
        ``ignored`` (a folder marker, or what a program left behind; it stays too) or ``gone`` (another execution has taken it); with
        ``subject``, ``recording``, ``key`` and ``etag`` of the raw recording for the first two, ``missing`` for the next two, and
        ``detail`` wherever an object stays.
    """
    zones = _Zones(store, landing_bucket, raw_bucket, wait_for_files_s, parameters or Parameters())
    try:
        item = _find(store, landing_bucket, landed)
        return _taken(zones, landed) if item is None else _move(zones, item)
    except UnreadableError as error:
        return _answer("unreadable", error.key, detail=f"{error} It stays in the landing zone.")


def _move(zones: _Zones, item: Item, n_looks: int = 0) -> IngestResult:
    """Do with an object of the landing zone what is to be done with it."""
    if n_looks > _MOST_LOOKS:
        raise RuntimeError(f"the recording of {item.key} kept changing")
    if is_litter(item.key, item.size):
        return _answer(
            "ignored",
            item.key,
            detail="A folder marker, or what a program left behind. It stays in the landing zone, and no harm is done by deleting it.",
        )
    try:
        if recording := _stored_already(zones, item):
            zones.store.delete(zones.landing, item.key, item.version_id)
            return _unchanged(recording)
        return _move_with_others(zones, item)
    except (NotFoundError, PreconditionError):  # another execution was faster
        if is_sidecar(item.key) and find(zones.store, zones.landing, item.key, item.version_id):
            return _move(zones, item, n_looks + 1)  # its recording was moved without it
        return _taken(zones, Landed(item.key, item.etag, item.version_id))


def _move_with_others(zones: _Zones, item: Item) -> IngestResult:
    if is_sidecar(item.key):
        return _store_sidecar(zones, item)
    header = header_of(zones.store, zones.landing, item) if is_companion(item.key) else None
    if header or not is_companion_file(zones.store, zones.landing, item):
        return _store(zones, header or item)
    return _keep_companion(zones, item)


def _spellings(key: str) -> list[str]:
    """Return what an event's key may mean: the key as it stands, or else as decoded from a URL."""
    return list(dict.fromkeys([key, unquote_plus(key)]))


def _find(store: Store, bucket: str, landed: Landed) -> Item | None:
    """Return the object that the event means; not a newer one under its key, which has an event of its own."""
    for key in _spellings(landed.key):
        item = find(store, bucket, key, landed.version_id)
        if item and (not landed.etag or item.etag == landed.etag):
            return item
    return None


def _store(zones: _Zones, item: Item) -> IngestResult:
    store, files = zones.store, [item]
    try:
        key = RecordingKey.parse(item.key)
        _check_size(key, files)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / key.file_name
            store.download(zones.landing, item.key, path, version_id=item.version_id, if_match=item.etag)
            with reading(str(key)):
                names = companions(path, name=str(key))
            if names:
                _refuse_older_header(zones, item)
            found = {name: find(store, zones.landing, key.beside(name)) for name in names}
            files += [one for one in found.values() if one]
            if missing := [key.beside(name) for name, one in found.items() if not one]:
                return wait(key, files, missing, zones.wait_for_files_s)
            said = sidecars.landed(store, zones.landing, key)
            files += said.files
            if said.refusal:
                raise said.refusal
            _check_size(key, files)
            home = home_of(store, zones.raw, key)
            refuse_second_name(store, zones.raw, home)
            paths = [path, *(path.with_name(PurePosixPath(one.key).name) for one in files[1:])]
            for one, to in list(zip(files, paths, strict=True))[1:]:
                store.download(zones.landing, one.key, to, version_id=one.version_id, if_match=one.etag)
            if not said.files and (
                etag := sidecar_of(store, zones.raw, home)
            ):  # it stays until another takes its place
                earlier = path.with_name(PurePosixPath(home.sidecar).name)
                store.download(zones.raw, home.sidecar, earlier, if_match=etag)
            recording = _read(path, key, zones.parameters)
            outcome, etag = put_files(store, zones.landing, zones.raw, home, list(zip(files, paths, strict=True)))
    except RecordingError as error:
        return quarantine(store, zones.landing, zones.raw, files, error)
    # Only these versions: an upload that arrived under the same key in the meantime has its own execution.
    for one in files:
        store.delete(zones.landing, one.key, one.version_id)
    return _stored(outcome, home, etag, files, recording, _renamed(item.key, str(home)))


def _read(path: Path, key: RecordingKey, parameters: Parameters) -> RecordingStream:
    recording = open_usable(path, str(key), parameters)
    for _ in recording.blocks():  # a file is whole only if its last sample can be read
        pass
    return recording


def _renamed(landed: str, home: str) -> list[str]:
    """Return a note where a file is not stored under the key that it landed under."""
    folders = [key.partition("/")[0] for key in (landed, home)]
    return [f"stored as {home}: {' and '.join(folders)} are one subject"] if home != landed else []


def _stored(
    outcome: IngestOutcome,
    home: RecordingKey,
    etag: str,
    files: Sequence[Item],
    recording: RecordingStream,
    notes: Sequence[str],
) -> IngestResult:
    return _answer(
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


def _check_size(key: RecordingKey, files: Sequence[Item]) -> None:
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


# ---- sidecars
def _store_sidecar(zones: _Zones, item: Item) -> IngestResult:
    """Move a sidecar with its recording, or to its recording, which then gets new features; wait where there is none."""
    store = zones.store
    if landed := sidecars.recordings(store, zones.landing, item.key):
        return _store(zones, landed[0])
    if held := sidecars.raw_recording(store, zones.raw, item.key):
        return _add_sidecar(zones, item, held)
    if refusal := sidecars.misnamed(item.key):
        return quarantine(store, zones.landing, zones.raw, [item], refusal)
    return wait(item.key, [item], [f"recording {sidecars.recording_name(item.key)}"], zones.wait_for_files_s)


def _add_sidecar(zones: _Zones, item: Item, recording: Item) -> IngestResult:
    """Give a raw recording its sidecar, where both together are a usable recording; else the recording stays as it is."""
    store, key = zones.store, RecordingKey.parse(recording.key)
    try:
        _refuse_older_header(zones, item)
        _check_size(key, [item])
        with tempfile.TemporaryDirectory() as folder:
            path, files = download_files(store, zones.raw, recording, named_companions(recording), Path(folder))
            beside = path.with_name(PurePosixPath(item.key).name)
            store.download(zones.landing, item.key, beside, version_id=item.version_id, if_match=item.etag)
            stream = _read(path, key, zones.parameters)
            take_out_older(store, zones.landing, zones.raw, item)
            extra = {"header": str(key)}
            outcome, _ = put_raw(store, zones.landing, zones.raw, key.sidecar, item, beside, item.modified, extra)
    except RecordingError as error:
        why = RecordingError(error.code, f"{key} stays as it is, without {item.key}: {error.message}")
        return quarantine(store, zones.landing, zones.raw, [item], why)
    store.delete(zones.landing, item.key, item.version_id)
    # As it is now: what was read may have been replaced by an upload that did not see the sidecar.
    etag = store.head(zones.raw, str(key)).etag
    return _stored(outcome, key, etag, [*files, item], stream, _renamed(item.key, key.sidecar))


# ---- recordings of several files
def _keep_companion(zones: _Zones, item: Item) -> IngestResult:
    """Answer for a companion whose header is not there, or not any more."""
    done = earlier_quarantine(zones.store, zones.landing, zones.raw, item.key, item.etag)
    if done and item.version_id and done["reason"].get("version_id") == item.version_id:
        zones.store.delete(zones.landing, item.key, item.version_id)
        return done
    held = _held(zones, item.key)
    if held and RawFacts.of(held).landing_modified > item.modified:
        return quarantine(zones.store, zones.landing, zones.raw, [item], superseded(item.key))
    header = f"a .{HEADER_OF[item.key.rpartition('.')[2].lower()]} that names it"
    return wait(item.key, [item], [header], zones.wait_for_files_s)


def _refuse_older_header(zones: _Zones, item: Item) -> None:
    """Refuse a header that another upload has replaced: the companions that are there now belong to that one."""
    now = find(zones.store, zones.landing, item.key)
    if now and now.version_id != item.version_id:
        raise superseded(item.key)


# ---- what another execution has done
def _stored_already(zones: _Zones, item: Item) -> Item | None:
    """Return the raw recording that this upload became, or became a part of: an execution may have died before it deleted it here."""
    held = _held(zones, item.key)
    if held is None:
        return None
    facts = RawFacts.of(held)
    if facts.landing_etag != item.etag or facts.landing_version != (item.version_id or ""):
        return None
    return None if facts.landing_modified < item.modified else recording_of(zones.store, zones.raw, held)


def _held(zones: _Zones, key: str) -> Item | None:
    """Return what the raw data holds of a landing key; anything else there is not a recording, whatever it is called."""
    if not is_landing_key(key):
        return None
    return find(zones.store, zones.raw, raw_key_of(zones.store, zones.raw, key))


def _taken(zones: _Zones, landed: Landed) -> IngestResult:
    """Answer for an object that is not in the landing zone: as the attempt did that moved it, where that can be told."""
    for spelling in _spellings(landed.key) if landed.etag else []:
        held = _held(zones, spelling)
        recording = (
            held and RawFacts.of(held).landing_etag == landed.etag and recording_of(zones.store, zones.raw, held)
        )
        if recording:
            return _unchanged(recording)
        if answer := earlier_quarantine(zones.store, zones.landing, zones.raw, spelling, landed.etag):
            return answer
    return _answer(
        "gone",
        landed.key,
        detail="The object is not in the landing zone any more; a newer upload under its key has an event of its own.",
    )


def _unchanged(recording: Item) -> IngestResult:
    key = RecordingKey.parse(recording.key)
    return _answer("unchanged", str(key), subject=key.subject, recording=key.recording, etag=recording.etag)


def _answer(outcome: IngestOutcome, key: str, **facts: Any) -> IngestResult:
    return cast(IngestResult, {"outcome": outcome, "key": key, **facts})
