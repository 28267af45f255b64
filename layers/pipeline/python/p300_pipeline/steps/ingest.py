"""Landing zone to raw data: validate, copy with a checksum, then delete; what is not a recording goes to quarantine.

A recording of several files (a BrainVision or EEGLAB header and its companions) moves as a whole: whichever of them comes last completes
it, and until then they stay in the landing zone. In the raw data the header comes last and names the companions' ETags.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import numpy as np
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.readers.brain_invaders import EventId
from p300.readers.companions import companions
from p300.recording import RecordingStream

from p300_pipeline.keys import EXTENSIONS, HEADER_OF, RecordingKey, is_companion
from p300_pipeline.steps.quarantine import earlier_quarantine, quarantine
from p300_pipeline.storage import Item, NotFoundError, PreconditionError, Store, find, sha256_hex

MAX_RECORDING_BYTES = 1 << 30  # of all its files; the function's disk holds two
LARGEST_NAMING_HEADER_BYTES = 64 << 20  # of a header that is looked into for a companion's name
WAIT_FOR_FILES_S = 900
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


@dataclass(frozen=True)
class _Zones:
    """Where recordings come from and where they go, and how they are looked at on the way."""

    store: Store
    landing: str
    raw: str
    wait_for_files_s: float
    event_id: EventId | None


def ingest(
    store: Store,
    landing_bucket: str,
    raw_bucket: str,
    landed: Landed,
    *,
    wait_for_files_s: float = WAIT_FOR_FILES_S,
    event_id: EventId | None = None,
) -> dict[str, Any]:
    """Move one landed object, with the files that belong to it, to where it belongs.

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
    event_id : mapping of str or int to int, optional
        Names or codes of events, as `p300.readers.open_recording` takes them.

    Returns
    -------
    dict
        ``outcome`` is ``stored`` (new or changed recording), ``unchanged`` (the raw zone has these bytes already), ``waiting`` (other
        files of the recording have not come yet: look again in ``look_again_s``), ``incomplete`` (nor have they in time; the recording
        still moves when they come), ``quarantined`` (with ``reason``) or ``gone`` (another execution has taken it); with ``subject``,
        ``recording``, ``key`` and ``etag`` of the raw recording for the first two, ``missing`` and ``detail`` for the next two.
    """
    zones = _Zones(store, landing_bucket, raw_bucket, wait_for_files_s, event_id)
    item = _find(store, landing_bucket, landed)
    if item is None:
        return _taken(zones, landed)
    # From here on the version that was looked at, also where the event names none.
    landed = Landed(item.key, item.etag, item.version_id)
    try:
        if recording := _stored_already(zones, item):
            store.delete(landing_bucket, item.key, item.version_id)
            return _unchanged(recording)
        if not is_companion(item.key):
            return _store(zones, item)
        if header := _header_of(zones, item):
            return _store(zones, header)
        return _keep_companion(zones, item)
    except (NotFoundError, PreconditionError):  # another execution was faster
        return _taken(zones, landed)


def read(path: Path, key: RecordingKey, event_id: EventId | None = None) -> RecordingStream:
    """Open a recording's file; whatever its bytes lead a reader into, now or while the signal is read, is the file's fault.

    Raises
    ------
    RecordingError
        As `p300.readers.open_recording` does, and ``unreadable`` for what a reader did not expect.
    """
    with _reading(key):
        stream = open_recording(path, name=str(key), event_id=event_id)

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


def named_companions(recording: Item) -> dict[str, str]:
    """Return the files that a raw recording consists of beside its own object: name -> ETag."""
    return dict(json.loads(recording.metadata.get("companions", "{}")))


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


def _store(zones: _Zones, item: Item) -> dict[str, Any]:
    store, files = zones.store, [item]
    try:
        key = RecordingKey.parse(item.key)
        _check_size(key, files)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / key.file_name
            store.download(zones.landing, item.key, path, version_id=item.version_id, if_match=item.etag)
            with _reading(key):
                names = companions(path, name=str(key))
            if names:
                _refuse_older_header(zones, item)
            found = {name: find(store, zones.landing, key.beside(name)) for name in names}
            files += [one for one in found.values() if one]
            if missing := [key.beside(name) for name, one in found.items() if not one]:
                return _wait(zones, key, files, missing)
            _check_size(key, files)
            _refuse_second_name(store, zones.raw, key)
            paths = [path, *(Path(folder) / name for name in names)]
            for one, to in list(zip(files, paths, strict=True))[1:]:
                store.download(zones.landing, one.key, to, version_id=one.version_id, if_match=one.etag)
            recording = read(path, key, zones.event_id)
            for _ in recording.blocks():  # a file is whole only if its last sample can be read
                pass
            outcome, etag = _put_files(zones, key, list(zip(files, paths, strict=True)))
    except RecordingError as error:
        return quarantine(store, zones.landing, zones.raw, files, error)
    # Only these versions: an upload that came meanwhile under the same key stays for its own execution.
    for one in files:
        store.delete(zones.landing, one.key, one.version_id)
    return _answer(
        outcome,
        str(key),
        subject=key.subject,
        recording=key.recording,
        etag=etag,
        **({"files": [one.key for one in files]} if names else {}),
        channels=len(recording.ch_names),
        sfreq=recording.sfreq,
        seconds=round(recording.n_samples / recording.sfreq, 1),
        notes=list(recording.notes),
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


# ---- recordings of several files
def _header_of(zones: _Zones, companion: Item) -> Item | None:
    """Find the header in the landing zone that names a companion; it may have another name than the companion's."""
    folder, _, name = companion.key.rpartition("/")
    stem, _, extension = name.rpartition(".")
    headers = [
        item
        for item in zones.store.list(zones.landing, f"{folder}/")
        if item.key.rpartition(".")[2].lower() == HEADER_OF[extension.lower()]
        and 0 < item.size <= LARGEST_NAMING_HEADER_BYTES
    ]
    for listed in sorted(headers, key=lambda item: item.key.rpartition(".")[0] != f"{folder}/{stem}"):
        header = find(zones.store, zones.landing, listed.key)
        if header is None:
            continue
        try:
            key = RecordingKey.parse(header.key)
            with tempfile.TemporaryDirectory() as temporary, _reading(key):
                path = Path(temporary) / key.file_name
                zones.store.download(
                    zones.landing, header.key, path, version_id=header.version_id, if_match=header.etag
                )
                if name in companions(path, name=str(key)):
                    return header
        except (RecordingError, NotFoundError, PreconditionError):  # its own execution says what is wrong with it
            continue
    return None


def _keep_companion(zones: _Zones, item: Item) -> dict[str, Any]:
    """Answer for a companion whose header is not there, or not any more."""
    done = earlier_quarantine(zones.store, zones.landing, zones.raw, item.key, item.etag)
    if done and item.version_id and done["reason"].get("version_id") == item.version_id:
        zones.store.delete(zones.landing, item.key, item.version_id)
        return done
    held = find(zones.store, zones.raw, item.key)
    if held and _modified(held) > item.modified:
        return quarantine(zones.store, zones.landing, zones.raw, [item], _superseded(item.key))
    header = f"a .{HEADER_OF[item.key.rpartition('.')[2].lower()]} that names it"
    return _wait(zones, item.key, [item], [header])


def _wait(zones: _Zones, key: RecordingKey | str, files: Sequence[Item], missing: list[str]) -> dict[str, Any]:
    waited = max(0.0, time.time() - max(item.modified for item in files))
    late = waited > zones.wait_for_files_s
    return _answer(
        "incomplete" if late else "waiting",
        str(key),
        files=[item.key for item in files],
        missing=missing,
        detail=f"{key} is one of several files that are a recording together, and there is no {' and no '.join(missing)} in the landing "
        f"zone{f' after {zones.wait_for_files_s:.0f} s' if late else ' yet'}. Upload what is missing, or all files again: until then "
        "these stay in the landing zone, and what comes last completes the recording.",
        look_again_s=int(min(60, max(2, waited / 4))),
    )


def _refuse_older_header(zones: _Zones, item: Item) -> None:
    """Refuse a header that another upload has replaced: the companions that are there now belong to that one."""
    now = find(zones.store, zones.landing, item.key)
    if now and now.version_id != item.version_id:
        raise _superseded(item.key)


def _put_files(zones: _Zones, key: RecordingKey, files: Sequence[tuple[Item, Path]]) -> tuple[str, str]:
    """Write a recording's files to the raw data, its own object last, and return what became of that and its ETag."""
    for item, _ in files:
        _take_out_older(zones, item)
    modified = max(item.modified for item, _ in files)
    (header, header_path), named = files[0], {}
    for item, path in files[1:]:
        _refuse_others_companion(zones, key, item.key)
        _, etag = _put_raw(zones, item, path, modified, {"header": str(key)})
        named[item.key.rpartition("/")[2]] = etag
    extra = {"companions": json.dumps(named)} if named else {}
    return _put_raw(zones, header, header_path, modified, extra)


def _refuse_others_companion(zones: _Zones, key: RecordingKey, companion: str) -> None:
    held = find(zones.store, zones.raw, companion)
    other = _recording_of(zones, held) if held else None
    if other and other.key != str(key):
        raise RecordingError(
            "name_taken",
            f"{key}: {companion} is a part of {other.key} in the raw data already. Export this recording with names of its own.",
        )


# ---- which upload is the newer
def _modified(held: Item) -> float:
    return float(held.metadata.get("landing-modified", "0"))


def _superseded(key: RecordingKey | str) -> RecordingError:
    return RecordingError(
        "superseded",
        f"{key}: a newer upload under this key was ingested before this older one; the newer one is kept in the raw data.",
    )


def _take_out_older(zones: _Zones, item: Item) -> None:
    """Quarantine what was uploaded under this key before this one in the same second, which no time tells apart.

    Its own execution finds it gone, now or at the look before it writes (see `_put_raw`), and cannot put it over this one.
    """
    if not item.version_id:
        return
    versions = zones.store.versions(zones.landing, item.key)
    ours = next((i for i, version in enumerate(versions) if version.version_id == item.version_id), len(versions))
    for older in versions[ours + 1 :]:
        if int(older.modified) == int(item.modified):
            with suppress(NotFoundError, PreconditionError):  # its own execution has moved it meanwhile
                quarantine(zones.store, zones.landing, zones.raw, [older], _superseded(item.key))


def _put_raw(zones: _Zones, item: Item, path: Path, modified: float, extra: Mapping[str, str]) -> tuple[str, str]:
    sha256 = sha256_hex(path)
    metadata = {
        "sha256": sha256,
        "landing-etag": item.etag,
        "landing-version": item.version_id or "",
        "landing-modified": f"{modified:.6f}",
        **extra,
    }
    content = {"sha256", *extra}
    for _ in range(_MAX_RACES):
        held = find(zones.store, zones.raw, item.key)
        same = held is not None and all(held.metadata.get(name) == metadata[name] for name in content)
        if held and same and _modified(held) >= modified:
            return "unchanged", held.etag
        if held and _modified(held) > modified:
            raise _superseded(item.key)
        # Between the look at what is there and the write: a newer upload of the same second takes this one away before it writes.
        if zones.store.head(zones.landing, item.key, item.version_id).etag != item.etag:
            raise PreconditionError(f"{item.key} was replaced")
        # The same bytes uploaded anew are written again: a late event of an upload in between must find its successor's time here.
        try:
            etag = zones.store.put(
                zones.raw,
                item.key,
                path,
                metadata=metadata,
                if_absent=held is None,
                if_match=held.etag if held else None,
            )
        except PreconditionError:
            continue
        return "unchanged" if same else "stored", etag
    raise RuntimeError(f"s3://{zones.raw}/{item.key} kept changing")


def _refuse_second_name(store: Store, bucket: str, key: RecordingKey) -> None:
    """Refuse a new recording that the raw data holds under another extension already.

    Two that come at the same moment both pass: the write of their features, which only one can win, decides (see `preprocess`).
    """
    held = [item.key.rpartition(".") for item in store.list(bucket, f"{key.recording}.")]
    others = [stem + dot + ext for stem, dot, ext in held if stem == key.recording and ext.lower() in EXTENSIONS]
    if others and str(key) not in others:
        raise name_taken(key, others[0])


def name_taken(key: RecordingKey, other: str) -> RecordingError:
    """Return what is wrong with a recording whose name another one has under another extension."""
    return RecordingError(
        "name_taken",
        f"{key}: the raw data holds {other}, whose features would stand in the same place. Upload this one under "
        "another name, or delete the other first.",
    )


# ---- what another execution has done
def _stored_already(zones: _Zones, item: Item) -> Item | None:
    """Return the raw recording that this upload became, or became a part of: an execution may have died before it deleted it here."""
    held = find(zones.store, zones.raw, item.key)
    if held is None or held.metadata.get("landing-etag") != item.etag:
        return None
    if held.metadata.get("landing-version", "") != (item.version_id or "") or _modified(held) < item.modified:
        return None
    return _recording_of(zones, held)


def _recording_of(zones: _Zones, held: Item) -> Item | None:
    """Return the raw recording that an object of the raw data is, or is a part of."""
    if "header" not in held.metadata:
        return held
    header = find(zones.store, zones.raw, held.metadata["header"])
    return header if header and named_companions(header).get(held.key.rpartition("/")[2]) == held.etag else None


def _taken(zones: _Zones, landed: Landed) -> dict[str, Any]:
    """Answer for an object that is not in the landing zone: as the attempt did that moved it, where that can be told."""
    for spelling in _spellings(landed.key) if landed.etag else []:
        held = find(zones.store, zones.raw, spelling)
        recording = held and held.metadata.get("landing-etag") == landed.etag and _recording_of(zones, held)
        if recording:
            return _unchanged(recording)
        if answer := earlier_quarantine(zones.store, zones.landing, zones.raw, spelling, landed.etag):
            return answer
    return _answer(
        "gone",
        landed.key,
        detail="The object is not in the landing zone any more; a newer upload under its key has an event of its own.",
    )


def _unchanged(recording: Item) -> dict[str, Any]:
    key = RecordingKey.parse(recording.key)
    return _answer("unchanged", str(key), subject=key.subject, recording=key.recording, etag=recording.etag)


def _answer(outcome: str, key: str, **facts: Any) -> dict[str, Any]:
    return {"outcome": outcome, "key": key, **facts}
