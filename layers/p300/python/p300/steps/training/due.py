"""Is training due? Every few new recordings, one execution is told so."""

import json
from typing import Any

from p300.documents import Check, is_count, is_text, parse, require
from p300.steps.training.choice import by_time, feature_objects
from p300.storage import NotFoundError, PreconditionError, Store

SCHEDULE_KEY = "trainings/schedule.json"
_MAX_RACES = 100


def check_due(
    store: Store, features_bucket: str, models_bucket: str, *, execution: str, retrain_every: int
) -> dict[str, Any]:
    """Say whether enough new recordings have come since the last training, and claim them for this execution.

    The claim is one conditional write of the list of counted recordings: of many executions that see the same new recordings, one
    trains. Each claim counts exactly `retrain_every` of them, so that N recordings lead to N // `retrain_every` trainings in whatever
    order and however close together they come (of trainings on the same recordings, all but the first say so and do nothing).

    Parameters
    ----------
    store : Store
        S3 access.
    features_bucket, models_bucket : str
        Bucket names.
    execution : str
        Name of the execution that asks; asking again gives the same answer.
    retrain_every : int
        New recordings that make a training due.

    Returns
    -------
    dict
        ``due`` (bool), ``new_recordings``, ``retrain_every``.
    """
    for _ in range(_MAX_RACES):
        try:
            body, item = store.get(models_bucket, SCHEDULE_KEY)
            schedule, etag = _schedule(body, f"s3://{models_bucket}/{SCHEDULE_KEY}"), item.etag
        except NotFoundError:
            schedule, etag = {"counted": {}, "claims": {}}, None
        if execution in schedule["claims"]:
            return {"due": True, "new_recordings": schedule["claims"][execution], "retrain_every": retrain_every}
        present = feature_objects(store, features_bucket)
        new = [
            name for name, item in sorted(present.items(), key=by_time) if schedule["counted"].get(name) != item.etag
        ]
        if len(new) < retrain_every:
            return {"due": False, "new_recordings": len(new), "retrain_every": retrain_every}
        schedule["counted"].update({name: present[name].etag for name in new[:retrain_every]})
        schedule["claims"] = {execution: retrain_every, **dict(list(schedule["claims"].items())[:99])}
        try:
            store.put(
                models_bucket,
                SCHEDULE_KEY,
                json.dumps(schedule).encode(),
                content_type="application/json",
                if_absent=etag is None,
                if_match=etag,
            )
        except PreconditionError:
            continue
        return {"due": True, "new_recordings": retrain_every, "retrain_every": retrain_every}
    raise RuntimeError(f"s3://{models_bucket}/{SCHEDULE_KEY} kept changing")


def _schedule(body: bytes, name: str) -> dict[str, Any]:
    schedule: dict[str, Any] = parse(body, name, dict)
    require(
        schedule, {"counted": lambda value: _all(value, is_text), "claims": lambda value: _all(value, is_count)}, name
    )
    return schedule


def _all(value: Any, holds: Check) -> bool:
    return isinstance(value, dict) and all(map(holds, value.values()))
