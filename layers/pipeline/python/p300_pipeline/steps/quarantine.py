"""Where an object goes that is no recording: kept by content, with the reason beside it."""

import json
from collections.abc import Sequence
from typing import Any

from p300.errors import RecordingError

from p300_pipeline.documents import is_text, parse, require
from p300_pipeline.keys import quarantine_key, reason_key
from p300_pipeline.storage import Item, NotFoundError, Store


def quarantine(
    store: Store, bucket: str, raw_bucket: str, items: Sequence[Item], error: RecordingError
) -> dict[str, Any]:
    """Move a recording's files to quarantine with the reason beside each.

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
    targets = {item.key: quarantine_key(item.key, item.etag) for item in items}
    reasons: list[dict[str, Any]] = [
        {
            "code": error.code,
            "message": error.message,
            "landing_key": item.key,
            "etag": item.etag,
            "version_id": item.version_id,
            "bytes": item.size,
            "uploaded": item.modified,
            "quarantine_key": targets[item.key],
        }
        for item in items
    ]
    if len(items) > 1:
        reasons[0] |= {
            "files": list(targets.values()),
            "moved_from": {"bucket": bucket, "versions": {item.key: item.version_id for item in items}},
        }
    for item, reason in reversed(
        list(zip(items, reasons, strict=True))
    ):  # the first names the others, which are there then
        target = targets[item.key]
        store.copy(bucket, item.key, raw_bucket, target, version_id=item.version_id, if_match=item.etag)
        body = json.dumps(reason, indent=1).encode()
        store.put(raw_bucket, reason_key(target), body, content_type="application/json")
    for item in items:
        store.delete(bucket, item.key, item.version_id)
    return _quarantined(reasons[0])


def earlier_quarantine(store: Store, bucket: str, raw_bucket: str, key: str, etag: str) -> dict[str, Any] | None:
    """Return the answer of the attempt that quarantined these bytes under this key, if there was one, and finish what it left."""
    try:
        body, _ = store.get(raw_bucket, reason_key(quarantine_key(key, etag)))
    except NotFoundError:
        return None
    name = reason_key(quarantine_key(key, etag))
    reason = parse(body, name, dict)
    require(reason, dict.fromkeys(("landing_key", "quarantine_key", "code", "message"), is_text), name)
    moved = reason.get("moved_from", {})
    if moved.get("bucket") == bucket:
        for moved_key, version_id in moved["versions"].items():
            if version_id:  # without one, what is there now may be an upload that came since
                store.delete(bucket, moved_key, version_id)
    return _quarantined(reason)


def _quarantined(reason: dict[str, Any]) -> dict[str, Any]:
    return {
        "outcome": "quarantined",
        "key": reason["landing_key"],
        "quarantine_key": reason["quarantine_key"],
        "reason": reason,
    }
