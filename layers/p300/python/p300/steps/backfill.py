"""What a backfill goes through: every raw recording, listed once into an object that a Distributed Map reads."""

import json
from typing import Any

from p300.keys import is_recording
from p300.storage import Store

FOLDER = "backfill/"


def list_recordings(store: Store, raw_bucket: str, features_bucket: str, execution: str) -> dict[str, Any]:
    """Write the keys of all raw recordings to the features bucket, as JSON.

    The map could list the bucket itself, but it would take the files that belong to a recording for recordings, and LocalStack's ends
    after the first page of a listing, 1,000 objects.

    Parameters
    ----------
    store : Store
        S3 access.
    raw_bucket, features_bucket : str
        Bucket names.
    execution : str
        Name of the backfill's execution.

    Returns
    -------
    dict
        ``bucket`` and ``key`` of the list, ``n_recordings`` in it.
    """
    keys = [item.key for item in store.list(raw_bucket, "subject_") if is_recording(item.key)]
    key = f"{FOLDER}{execution}.json"
    body = json.dumps([{"key": one} for one in keys]).encode()
    store.put(features_bucket, key, body, content_type="application/json")
    return {"bucket": features_bucket, "key": key, "n_recordings": len(keys)}
