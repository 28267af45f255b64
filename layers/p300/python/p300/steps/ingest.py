"""Landing zone to raw data: validate, copy with a checksum, then delete; what is not a recording goes to quarantine."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import numpy as np
from numpy.typing import NDArray

from p300.documents import is_text, parse, require
from p300.errors import RecordingError
from p300.keys import RecordingKey, quarantine_key, reason_key
from p300.readers import open_recording
from p300.recording import RecordingStream
from p300.storage import Item, NotFoundError, PreconditionError, Store, find

MAX_RECORDING_BYTES = 1 << 30
_MAX_RACES = 20


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


def ingest(store: Store, landing_bucket: str, raw_bucket: str, landed: Landed) -> dict[str, Any]:
    """Move one landed object to where it belongs.

    Parameters
    ----------
    store : Store
        S3 access.
    landing_bucket, raw_bucket : str
        Bucket names.
    landed : Landed
        The object.

    Returns
    -------
    dict
        ``outcome`` is ``stored`` (new or changed recording), ``unchanged`` (the raw zone has these bytes already), ``quarantined`` (with
        ``reason``) or ``gone`` (another execution has taken it); with ``subject``, ``recording``, ``key`` and ``etag`` of the raw
        object for the first two.
    """
    item = _find(store, landing_bucket, landed)
    if item is None:
        return _taken(store, raw_bucket, landed)
    # From here on the version that was looked at, also where the event names none.
    landed = Landed(item.key, item.etag, item.version_id)
    try:
        try:
            return _store(store, landing_bucket, raw_bucket, landed, item)
        except RecordingError as error:
            source = (landing_bucket, landed.key, landed.version_id)
            return quarantine(store, source, raw_bucket, item, error, landing_key=landed.key)
    except (NotFoundError, PreconditionError):  # another execution was faster
        return _taken(store, raw_bucket, landed)


def read(path: Path, key: RecordingKey) -> RecordingStream:
    """Open a recording's file; whatever its bytes lead a reader into, now or while the signal is read, is the file's fault.

    Raises
    ------
    RecordingError
        As `p300.readers.open_recording` does, and ``unreadable`` for what a reader did not expect.
    """
    with _reading(key):
        stream = open_recording(path, name=str(key))

    def blocks() -> Iterator[NDArray[np.floating]]:
        with _reading(key):
            yield from stream.blocks()

    return replace(stream, blocks=blocks)


@contextmanager
def _reading(key: RecordingKey) -> Iterator[None]:
    try:
        yield
    except (RecordingError, MemoryError, OSError, ImportError, GeneratorExit):
        raise
    except Exception as error:
        raise RecordingError(
            "unreadable",
            f"{key} cannot be read as .{key.ext}: {type(error).__name__}: {error}. Expected a whole recording as the README describes "
            "it; export it again.",
        ) from error


def quarantine(
    store: Store,
    source: tuple[str, str, str | None],
    raw_bucket: str,
    item: Item,
    error: RecordingError,
    *,
    landing_key: str,
) -> dict[str, Any]:
    """Move an object to quarantine with the reason beside it.

    Parameters
    ----------
    store : Store
        S3 access.
    source : tuple of (str, str, str or None)
        Bucket, key and version of the object.
    raw_bucket : str
        The bucket that keeps the quarantine.
    item : Item
        State of the object.
    error : RecordingError
        Why.
    landing_key : str
        Key it was uploaded under.

    Returns
    -------
    dict
        ``outcome`` ``quarantined``, ``quarantine_key`` and ``reason`` with ``code`` and ``message``.
    """
    bucket, key, version_id = source
    target = quarantine_key(landing_key, item.etag)
    reason = {
        "code": error.code,
        "message": error.message,
        "landing_key": landing_key,
        "etag": item.etag,
        "bytes": item.size,
        "uploaded": item.modified,
        "quarantine_key": target,
    }
    store.copy(bucket, key, raw_bucket, target, version_id=version_id, if_match=item.etag)
    store.put(raw_bucket, reason_key(target), json.dumps(reason, indent=1).encode(), content_type="application/json")
    store.delete(bucket, key, version_id)
    return _answer("quarantined", landing_key, quarantine_key=target, reason=reason)


def earlier_quarantine(store: Store, raw_bucket: str, key: str, etag: str) -> dict[str, Any] | None:
    """Return the answer of the attempt that quarantined these bytes under this key, if there was one."""
    try:
        body, _ = store.get(raw_bucket, reason_key(quarantine_key(key, etag)))
    except NotFoundError:
        return None
    reason = parse(body, reason_key(quarantine_key(key, etag)), dict)
    require(
        reason, {"quarantine_key": is_text, "code": is_text, "message": is_text}, reason_key(quarantine_key(key, etag))
    )
    return _answer("quarantined", key, quarantine_key=reason["quarantine_key"], reason=reason)


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


def _store(store: Store, landing_bucket: str, raw_bucket: str, landed: Landed, item: Item) -> dict[str, Any]:
    key = RecordingKey.parse(landed.key)
    if item.size == 0:
        raise RecordingError("empty_object", f"{key} has 0 bytes. Was the upload cut off? Upload the recording again.")
    if item.size > MAX_RECORDING_BYTES:
        raise RecordingError(
            "too_large",
            f"{key} has {item.size:,} bytes; a recording may have at most {MAX_RECORDING_BYTES:,}. Split it into runs.",
        )
    _refuse_second_name(store, raw_bucket, key)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"recording.{key.ext}"
        store.download(landing_bucket, landed.key, path, version_id=landed.version_id, if_match=item.etag)
        recording = read(path, key)
        for _ in recording.blocks():  # a file is whole only if its last sample can be read
            pass
        body = path.read_bytes()
    outcome, etag = _put_raw(store, raw_bucket, key, body, item)
    if outcome == "superseded":
        raise RecordingError(
            "superseded",
            f"{key}: a newer upload under this key was ingested before this older one; the newer one is kept in the raw data.",
        )
    # Only this version: an upload that came meanwhile under the same key stays for its own execution.
    store.delete(landing_bucket, landed.key, landed.version_id)
    return _answer(
        outcome,
        str(key),
        subject=key.subject,
        recording=key.recording,
        etag=etag,
        channels=len(recording.ch_names),
        sfreq=recording.sfreq,
        seconds=round(recording.n_samples / recording.sfreq, 1),
        notes=list(recording.notes),
    )


def _put_raw(store: Store, bucket: str, key: RecordingKey, body: bytes, item: Item) -> tuple[str, str]:
    sha256 = hashlib.sha256(body).hexdigest()
    metadata = {"sha256": sha256, "landing-etag": item.etag, "landing-modified": f"{item.modified:.6f}"}
    for _ in range(_MAX_RACES):
        held = find(store, bucket, str(key))
        held_modified = float(held.metadata.get("landing-modified", "0")) if held else 0.0
        same = held is not None and held.metadata.get("sha256") == sha256
        if held and same and held_modified >= item.modified:
            return "unchanged", held.etag
        if held and held_modified > item.modified:
            return "superseded", held.etag
        # The same bytes uploaded anew are written again: a late event of an upload in between must find its successor's time here.
        try:
            etag = store.put(
                bucket, str(key), body, metadata=metadata, if_absent=held is None, if_match=held.etag if held else None
            )
        except PreconditionError:
            continue
        return "unchanged" if same else "stored", etag
    raise RuntimeError(f"s3://{bucket}/{key} kept changing")


def _refuse_second_name(store: Store, bucket: str, key: RecordingKey) -> None:
    """Refuse a new recording that the raw data holds under another extension already.

    Two that come at the same moment both pass: the write of their features, which only one can win, decides (see `preprocess`).
    """
    held = [item.key for item in store.list(bucket, f"{key.recording}.")]
    others = [other for other in held if other.rpartition(".")[0] == key.recording]
    if others and str(key) not in others:
        raise name_taken(key, others[0])


def name_taken(key: RecordingKey, other: str) -> RecordingError:
    """Return what is wrong with a recording whose name another one has under another extension."""
    return RecordingError(
        "name_taken",
        f"{key}: the raw data holds {other}, whose features would stand in the same place. Upload this one under "
        "another name, or delete the other first.",
    )


def _taken(store: Store, raw_bucket: str, landed: Landed) -> dict[str, Any]:
    """Answer for an object that is not in the landing zone: as the attempt did that moved it, where that can be told."""
    for spelling in _spellings(landed.key) if landed.etag else []:
        try:
            key = RecordingKey.parse(spelling)
            held = store.head(raw_bucket, spelling)
        except (RecordingError, NotFoundError):
            pass
        else:
            if held.metadata.get("landing-etag") == landed.etag:
                return _answer("unchanged", spelling, subject=key.subject, recording=key.recording, etag=held.etag)
        if answer := earlier_quarantine(store, raw_bucket, spelling, landed.etag):
            return answer
    return _answer(
        "gone",
        landed.key,
        detail="The object is not in the landing zone any more; a newer upload under its key has an event of its own.",
    )


def _answer(outcome: str, key: str, **facts: Any) -> dict[str, Any]:
    return {"outcome": outcome, "key": key, **facts}
