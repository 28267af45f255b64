"""Where an object goes that is not a recording: kept by content, with a record of the reason."""

from collections.abc import Sequence
from typing import cast

from p300.errors import RecordingError

from p300_pipeline.contracts import IngestResult, Reason
from p300_pipeline.keys import quarantine_key
from p300_pipeline.steps.quarantine_records import Record, read_record, write_record
from p300_pipeline.storage import Item, Store, find


def quarantine(
    store: Store, bucket: str, raw_bucket: str, items: Sequence[Item], error: RecordingError
) -> IngestResult:
    """Move a recording's files to quarantine, each with a record of the reason.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket : str
        Where they are.
    raw_bucket : str
        The bucket that keeps the quarantine.
    items : sequence of Item
        State of the objects, the recording's own first.
    error : RecordingError
        Why.

    Returns
    -------
    dict
        ``outcome`` ``quarantined``, ``quarantine_key`` and ``reason`` with ``code`` and ``message``, of the first.
    """
    targets = [quarantine_key(item.key, item.etag) for item in items]
    records = [
        Record(
            error.code,
            error.message,
            item.key,
            item.etag,
            item.version_id,
            item.size,
            item.modified,
            bucket,
            target,
            tuple(targets) if len(items) > 1 and number == 0 else (),
        )
        for number, (item, target) in enumerate(zip(items, targets, strict=True))
    ]
    # The first names the others, which are there then.
    for item, record in reversed(list(zip(items, records, strict=True))):
        store.copy(bucket, item.key, raw_bucket, record.quarantine_key, version_id=item.version_id, if_match=item.etag)
        write_record(store, raw_bucket, record)
    for item in items:
        store.delete(bucket, item.key, item.version_id)
    return _quarantined(records[0])


def earlier_quarantine(store: Store, bucket: str, raw_bucket: str, key: str, etag: str) -> IngestResult | None:
    """Return the answer of the attempt that quarantined these bytes under this key, if there was one, and finish what it left."""
    record = read_record(store, raw_bucket, quarantine_key(key, etag))
    if record is None:
        return None
    others = [read_record(store, raw_bucket, name) for name in record.files if name != record.quarantine_key]
    folder = record.landing_key.rpartition("/")[0]
    for one in (record, *others):
        if one and one.moved_from == bucket and one.landing_key.rpartition("/")[0] == folder:
            _finish(store, raw_bucket, one)
    return _quarantined(record)


def _finish(store: Store, raw_bucket: str, record: Record) -> None:
    """Take away what was moved and is still there: only this version, only if it is what quarantine keeps a copy of."""
    if not record.version_id:  # the object there now may be a later upload
        return
    left = find(store, record.moved_from, record.landing_key, record.version_id)
    if left and left.etag == record.etag and find(store, raw_bucket, record.quarantine_key):
        store.delete(record.moved_from, record.landing_key, record.version_id)


def _quarantined(record: Record) -> IngestResult:
    return {
        "outcome": "quarantined",
        "key": record.landing_key,
        "quarantine_key": record.quarantine_key,
        "reason": cast(Reason, record.to_dict()),
    }
