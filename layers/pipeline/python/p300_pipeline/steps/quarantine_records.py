"""Records of quarantined objects: written only here, and validated when read, as if anyone could have written them.

In the raw data, where no landing key leads::

    quarantine/<id>/<landing key>     the object as it was uploaded
    quarantine-records/<id>.json      why it is there, and where it came from

``<id>`` is a digest of landing key and ETag, so a record proves itself which object it is about. Versions before this one kept a record
beside its object, under a name that an upload can have: those are shown, and nothing is done because of them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from p300.errors import ArtifactError
from p300.json_text import is_number
from p300.text import printable

from p300_pipeline.documents import Check, is_text, parse, require
from p300_pipeline.keys import QUARANTINE, RECORDS, quarantine_id, quarantine_key, record_key
from p300_pipeline.storage import Item, NotFoundError, Store, find

LARGEST_RECORD_BYTES = 64 << 10
MOST_FILES = 8
_OLD_ENDING = ".reason.json"
_LATEST = 4e9  # POSIX time in the year 2096; earlier times can be converted to dates
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class Record:
    """Why an object is in quarantine.

    Attributes
    ----------
    code, message : str
        As the error had them that put it there.
    landing_key, etag : str
        What was uploaded.
    version_id : str or None
        The version that was moved, where the bucket keeps versions.
    bytes : int
        Its size.
    uploaded : float
        POSIX time.
    moved_from : str
        Name of the bucket.
    quarantine_key : str
        Where it is.
    files : tuple of str
        Keys in quarantine of all files of a recording that has several, this one first.
    """

    code: str
    message: str
    landing_key: str
    etag: str
    version_id: str | None
    bytes: int
    uploaded: float
    moved_from: str
    quarantine_key: str
    files: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold; an execution's output has it too."""
        return {**asdict(self), "files": list(self.files)}


def parse_record(body: bytes, name: str) -> Record:
    """Read a record.

    Parameters
    ----------
    body : bytes
        Whatever an object holds.
    name : str
        Its key.

    Raises
    ------
    ArtifactError
        ``bad_record`` where it is not a record, or another object's.
    """
    found = parse(body, name, dict, "bad_record")
    require(found, _FIELDS, name, "bad_record")
    record = Record(**{field: found[field] for field in _FIELDS} | {"files": tuple(found["files"])})
    here = quarantine_key(record.landing_key, record.etag)
    if record_key(here) != name or record.quarantine_key != here or (record.files and here not in record.files):
        raise ArtifactError("bad_record", f"{name} is about another object. Delete it; the object stays in quarantine.")
    return record


def _is_file(value: Any) -> bool:
    return is_text(value) and value.startswith(QUARANTINE) and record_key(value) is not None


_FIELDS: dict[str, Check] = {
    "code": lambda value: is_text(value) and _CODE.fullmatch(value) is not None,
    "message": is_text,
    "landing_key": lambda value: is_text(value) and 0 < len(value.encode()) <= 1024,
    "etag": lambda value: is_text(value) and len(value) <= 256,
    "version_id": lambda value: value is None or (is_text(value) and 0 < len(value) <= 1024),
    "bytes": lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63,
    "uploaded": lambda value: is_number(value) and 0 <= value <= _LATEST,
    "moved_from": is_text,
    "quarantine_key": is_text,
    "files": lambda value: isinstance(value, list) and len(value) <= MOST_FILES and all(map(_is_file, value)),
}


def write_record(store: Store, raw_bucket: str, record: Record) -> None:
    """Write a record to where it belongs."""
    key = f"{RECORDS}{quarantine_id(record.landing_key, record.etag)}.json"
    store.put(raw_bucket, key, json.dumps(record.to_dict(), indent=1).encode(), content_type="application/json")


def read_record(store: Store, raw_bucket: str, quarantined_key: str) -> Record | None:
    """Return the record of an object in quarantine; None if there is no valid one."""
    key = record_key(quarantined_key)
    item = find(store, raw_bucket, key) if key else None
    if key is None or item is None or item.size > LARGEST_RECORD_BYTES:
        return None
    try:
        return parse_record(store.get(raw_bucket, key)[0], key)
    except (NotFoundError, ArtifactError):
        return None


@dataclass(frozen=True)
class Quarantined:
    """An object in quarantine.

    Attributes
    ----------
    key : str
        Where it is kept in the raw data.
    landing_key : str
        Where it was uploaded.
    code, message : str
        Why it is not a recording; an empty code where that is lost.
    bytes : int
        Its size.
    uploaded : str
        When, in ISO 8601; empty where that is lost.
    files : tuple of str
        Keys of all files of a recording that has several, this one first.
    """

    key: str
    landing_key: str
    code: str
    message: str
    bytes: int
    uploaded: str
    files: tuple[str, ...] = ()


def find_quarantined(store: Store, raw_bucket: str) -> list[Quarantined]:
    """Return what is in quarantine, in the order of upload."""
    held = {item.key: item for item in store.list(raw_bucket, QUARANTINE)}
    found = [describe(store, raw_bucket, item) for item in objects(held)]
    return sorted(found, key=lambda one: (one.uploaded, one.key))


def objects(held: Mapping[str, Item]) -> Iterator[Item]:
    """Yield the objects in quarantine, without what an older version noted beside them."""
    for key, item in held.items():
        noted = key.removesuffix(_OLD_ENDING)
        if record_key(key) or noted == key or noted not in held:
            yield item


def landed_as(quarantined_key: str) -> str:
    """Return the key under which an object in quarantine landed, as far as its own key tells: a very long one is cut off."""
    return quarantined_key.removeprefix(QUARANTINE).partition("/")[2]


def old_record_key(quarantined_key: str) -> str:
    """Return where a version before this one noted why an object is in quarantine."""
    return quarantined_key + _OLD_ENDING


def describe(store: Store, raw_bucket: str, item: Item) -> Quarantined:
    """Return what is known of an object in quarantine."""
    landing_key = landed_as(item.key)
    if record_key(item.key) is None:
        return Quarantined(item.key, landing_key, *_as_noted_before(store, raw_bucket, item))
    record = read_record(store, raw_bucket, item.key)
    if record is None:
        return Quarantined(item.key, landing_key, "", "Its record is missing or damaged.", item.size, "")
    uploaded = _date(record.uploaded)
    return Quarantined(item.key, record.landing_key, record.code, record.message, item.size, uploaded, record.files)


def _as_noted_before(store: Store, raw_bucket: str, item: Item) -> tuple[str, str, int, str]:
    """Return code, message, size and time of an object that an older version put there."""
    beside = find(store, raw_bucket, old_record_key(item.key))
    lost = "", "Its record is missing or damaged.", item.size, ""
    if beside is None or beside.size > LARGEST_RECORD_BYTES:
        return lost
    try:
        found = parse(store.get(raw_bucket, beside.key)[0], beside.key, dict)
        require(found, {field: _FIELDS[field] for field in ("code", "message")}, beside.key)
    except (NotFoundError, ArtifactError):
        return lost
    uploaded = found.get("uploaded")
    date = _date(uploaded) if _FIELDS["uploaded"](uploaded) else ""
    return found["code"], printable(found["message"]), item.size, date


def _date(uploaded: float) -> str:
    return datetime.fromtimestamp(uploaded, UTC).isoformat(timespec="seconds")
