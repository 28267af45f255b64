"""Is training due? Every few new recordings, one execution is told so.

In the models bucket, so that each execution looks at what is new and never at all that there is::

    trainings/new/<recording>@<etag>     a recording that no training was due for yet
    trainings/counted/<recording>        ETag of the upload that was counted last
    trainings/schedule.json              who claimed a training, and the recordings that were taken last
"""

import json
from typing import Any

from p300_pipeline.documents import is_count, is_text, parse, require
from p300_pipeline.storage import NotFoundError, PreconditionError, Store, find

NEW, COUNTED, SCHEDULE_KEY = "trainings/new/", "trainings/counted/", "trainings/schedule.json"
_KEPT_CLAIMS, _KEPT_TAKEN = 100, 10_000
_MAX_RACES = 100


def check_due(
    store: Store,
    features_bucket: str,
    models_bucket: str,
    *,
    recording: str,
    etag: str,
    execution: str,
    retrain_every: int,
) -> dict[str, Any]:
    """Count a new recording, say whether enough have come since the last training, and claim them for this execution.

    The claim is one conditional write of the schedule: of many executions that see the same new recordings, one trains. Each claim
    takes exactly `retrain_every` of them, so that N recordings lead to N // `retrain_every` trainings in whatever order and however
    close together they come (of trainings on the same recordings, all but the first say so and do nothing).

    Parameters
    ----------
    store : Store
        S3 access.
    features_bucket, models_bucket : str
        Bucket names.
    recording : str
        ``<subject>/<name>`` of the recording that has features now.
    etag : str
        ETag of what was uploaded: the same upload is counted once.
    execution : str
        Name of the execution that asks; asking again gives the same answer.
    retrain_every : int
        New recordings that make a training due.

    Returns
    -------
    dict
        ``due`` (bool), ``new_recordings``, ``retrain_every``.
    """
    if not _is_counted(store, models_bucket, recording, etag):
        store.put(models_bucket, f"{NEW}{recording}@{etag}", b"", content_type="text/plain")
    for _ in range(_MAX_RACES):
        try:
            body, item = store.get(models_bucket, SCHEDULE_KEY)
            schedule, schedule_etag = _schedule(body, f"s3://{models_bucket}/{SCHEDULE_KEY}"), item.etag
        except NotFoundError:
            schedule, schedule_etag = {"claims": {}, "taken": []}, None
        taken = set(schedule["taken"])
        waiting = sorted(store.list(models_bucket, NEW), key=lambda item: (item.modified, item.key))
        names = [item.key.removeprefix(NEW) for item in waiting]
        # Those of a claim whose execution died, or which a late event of the same upload put here once more.
        _count(store, models_bucket, [name for name in names if name in taken])
        if execution in schedule["claims"]:
            return {"due": True, "new_recordings": schedule["claims"][execution], "retrain_every": retrain_every}
        new = [name for name in names if name not in taken]
        if len(new) >= retrain_every:
            new = [name for name in new if _has_features(store, features_bucket, models_bucket, name)]
        if len(new) < retrain_every:
            return {"due": False, "new_recordings": len(new), "retrain_every": retrain_every}
        chosen = new[:retrain_every]
        schedule = {
            "claims": {execution: retrain_every, **dict(list(schedule["claims"].items())[: _KEPT_CLAIMS - 1])},
            "taken": (chosen + schedule["taken"])[: max(_KEPT_TAKEN, retrain_every)],
        }
        try:
            store.put(
                models_bucket,
                SCHEDULE_KEY,
                json.dumps(schedule).encode(),
                content_type="application/json",
                if_absent=schedule_etag is None,
                if_match=schedule_etag,
            )
        except PreconditionError:
            continue
        _count(store, models_bucket, chosen)
        return {"due": True, "new_recordings": retrain_every, "retrain_every": retrain_every}
    raise RuntimeError(f"s3://{models_bucket}/{SCHEDULE_KEY} kept changing")


def _is_counted(store: Store, bucket: str, recording: str, etag: str) -> bool:
    try:
        return store.get(bucket, COUNTED + recording)[0] == etag.encode()
    except NotFoundError:
        return False


def _count(store: Store, bucket: str, names: list[str]) -> None:
    for name in names:
        recording, _, etag = name.rpartition("@")
        store.put(bucket, COUNTED + recording, etag.encode(), content_type="text/plain")
        store.delete(bucket, NEW + name)


def _has_features(store: Store, features_bucket: str, models_bucket: str, name: str) -> bool:
    """Say whether a recording that waits to be counted can be trained on; forget it where somebody took its features away."""
    if find(store, features_bucket, f"{name.rpartition('@')[0]}/features.parquet"):
        return True
    store.delete(models_bucket, NEW + name)
    return False


def _schedule(body: bytes, name: str) -> dict[str, Any]:
    schedule: dict[str, Any] = parse(body, name, dict)
    require(schedule, {"claims": _are_counts, "taken": _are_names}, name)
    return schedule


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_count, value.values()))


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_text, value))
