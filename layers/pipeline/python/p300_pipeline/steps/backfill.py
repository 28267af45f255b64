"""The recordings of a backfill, and its result.

In the features bucket, for however many recordings there are::

    backfill/<execution>/recordings.json              every raw recording, listed once; a Distributed Map reads it
    backfill/<execution>/done/<outcome>/<detail>/<key>  a note of each that was gone through; empty
    backfill/<execution>/failures.json                those that are not up to date
"""

import json
from collections import Counter

from p300_pipeline.contracts import Inventory, InventorySummary
from p300_pipeline.steps.raw_data import recordings_in
from p300_pipeline.storage import Store

FOLDER = "backfill/"
FAILURES = ("unusable", "failed")


def list_recordings(store: Store, raw_bucket: str, features_bucket: str, execution: str) -> Inventory:
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
    keys = [item.key for item in recordings_in(store, raw_bucket)]
    key = f"{FOLDER}{execution}/recordings.json"
    _put(store, features_bucket, key, [{"key": one} for one in keys])
    return {"bucket": features_bucket, "key": key, "n_recordings": len(keys)}


def sum_up(store: Store, features_bucket: str, execution: str) -> InventorySummary:
    """Count the outcomes of the listed recordings, and record which ones are not up to date.

    Parameters
    ----------
    store : Store
        S3 access.
    features_bucket : str
        Bucket name.
    execution : str
        Name of the backfill's execution.

    Returns
    -------
    dict
        ``n_recordings``, how many came to each of the ``outcomes``, ``reports_drawn``, and the object ``failures`` that holds ``key``,
        ``outcome`` and ``reason`` of those that are not up to date.
    """
    folder = f"{FOLDER}{execution}/"
    listed = json.loads(store.get(features_bucket, f"{folder}recordings.json")[0])
    # A recording without a note is not known to be up to date.
    became = {one["key"]: ("failed", "nothing was noted of it") for one in listed}
    notes = f"{folder}done/"
    for item in store.list(features_bucket, notes):
        outcome, detail, key = item.key.removeprefix(notes).split("/", 2)
        became[key] = outcome, detail
    failures = [
        {"key": key, "outcome": outcome, "reason": detail}
        for key, (outcome, detail) in became.items()
        if outcome in FAILURES
    ]
    _put(store, features_bucket, f"{folder}failures.json", failures)
    return {
        "n_recordings": len(became),
        "outcomes": Counter(outcome for outcome, _ in became.values()),
        "reports_drawn": sum(detail == "drawn" for _, detail in became.values()),
        "failures": f"{folder}failures.json",
    }


def _put(store: Store, bucket: str, key: str, content: list[dict[str, str]]) -> None:
    store.put(bucket, key, json.dumps(content).encode(), content_type="application/json")
