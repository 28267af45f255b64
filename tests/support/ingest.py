"""Uploads, and their ingestion."""

from datetime import timedelta
from typing import Any

from p300_pipeline.contracts import IngestResult
from p300_pipeline.steps.ingest import Landed, ingest
from p300_pipeline.storage import Store

from tests.support.buckets import LANDING, RAW


def land(store: Store, key: str, body: bytes, seconds_ago: float = 0) -> Landed:
    """Upload and return what the event says."""
    store.put(LANDING, key, body)
    item = store.head(LANDING, key)
    if seconds_ago:
        stored(LANDING, key).last_modified -= timedelta(seconds=seconds_ago)
    return Landed(key, item.etag, item.version_id)


def stored(bucket: str, key: str) -> Any:
    from moto.s3.models import s3_backends

    return s3_backends["123456789012"]["aws"].buckets[bucket].keys[key]


def do(store: Store, landed: Landed) -> IngestResult:
    return ingest(store, LANDING, RAW, landed)
