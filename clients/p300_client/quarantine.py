"""List what is in quarantine, release it to the landing zone, or delete it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from p300.errors import P300Error, RecordingError
from p300_pipeline.keys import RecordingKey, is_companion, is_landing_key, is_sidecar, record_key
from p300_pipeline.steps.quarantine_records import Quarantined, find_quarantined, old_record_key
from p300_pipeline.steps.raw_data import raw_key_of
from p300_pipeline.storage import NotFoundError, Store, UnreadableError, find

from p300_client.landing import Upload
from p300_client.target import Target

__all__ = ["Quarantined", "choose", "drop", "find_quarantined", "release", "store_of"]


def choose(found: Sequence[Quarantined], names: Sequence[str], *, everything: bool) -> list[Quarantined]:
    """Return the objects that are named by their quarantine key, or by their landing key if it is unambiguous.

    A recording that consists of several files brings all of them.

    Raises
    ------
    P300Error
        ``not_named``, ``not_in_quarantine`` or ``ambiguous``.
    """
    if bool(names) == everything:
        raise P300Error("not_named", "Name objects that `p300 quarantine list` shows, or use --all.")
    if everything:
        # Sidecars first: a recording that is released must find its sidecar in the landing zone.
        return sorted(found, key=lambda one: (not is_sidecar(one.landing_key), not is_companion(one.landing_key)))
    chosen = []
    for name in names:
        matches = [one for one in found if name in {one.key, one.landing_key}]
        if not matches:
            raise P300Error("not_in_quarantine", f"{name} is not in quarantine. `p300 quarantine list` shows what is.")
        if len(matches) > 1:
            raise P300Error(
                "ambiguous",
                f"{len(matches)} objects in quarantine were uploaded as {name}. Name one of {', '.join(m.key for m in matches)}.",
            )
        together = {name for one in matches for name in one.files} - {one.key for one in matches}
        # The recording last: when it is released, it must find its sidecar in the landing zone.
        chosen += [*[one for one in found if one.key in together], *matches]
    return list(dict.fromkeys(chosen))


def release(
    store: Store, landing_bucket: str, raw_bucket: str, held: Quarantined, *, to: str | None, replace: bool
) -> Upload:
    """Move an object from quarantine back to the landing zone, which starts an execution.

    Parameters
    ----------
    store : Store
        S3 access.
    landing_bucket, raw_bucket : str
        Bucket names.
    held : Quarantined
        What to move.
    to : str or None
        Landing key; None for the one under which it was uploaded.
    replace : bool
        Whether it may replace a recording that the raw zone holds under that key.

    Returns
    -------
    Upload
        What landed.

    Raises
    ------
    P300Error
        ``wrong_key``, ``place_taken``, ``not_in_quarantine``, ``no_versions`` or ``unreadable``.
    """
    key = to or held.landing_key
    if not is_landing_key(key):
        try:
            RecordingKey.parse(key)
        except RecordingError as error:
            raise RecordingError(
                error.code, f"{error.message} Use --to subject_<label>/<recording>.<extension>."
            ) from error
    if not replace and (present := find(store, raw_bucket, raw_key_of(store, raw_bucket, key))):
        what = "sidecar" if is_sidecar(key) else "recording"
        when = datetime.fromtimestamp(present.modified, UTC)
        raise P300Error(
            "place_taken",
            f"{held.key} would replace a {what}, {present.key}, which the raw zone has held since {when:%Y-%m-%d %H:%M} UTC. "
            "Release it under another name with --to, or use --replace.",
        )
    item = find(store, raw_bucket, held.key)
    if item is None:
        raise P300Error("not_in_quarantine", f"{held.key} is no longer in quarantine.")
    record = find(store, raw_bucket, _record_of(held))
    if not item.version_id:
        raise P300Error(
            "no_versions",
            f"s3://{raw_bucket} has no versioning: if the file were quarantined again, the new copy could not be told from this one. "
            f"Download s3://{raw_bucket}/{held.key} and land it again instead.",
        )
    try:
        store.copy(raw_bucket, held.key, landing_bucket, key, version_id=item.version_id, if_match=item.etag)
    except NotFoundError as error:
        if find(store, raw_bucket, held.key, item.version_id) is None:
            raise P300Error("not_in_quarantine", f"{held.key} is no longer in quarantine.") from error
        # otherwise it has landed, and was ingested before its size could be checked
    except UnreadableError as error:
        raise P300Error("unreadable", str(error)) from error
    # Only these versions: the same bytes may be back in quarantine by now. The object last, so that it can always be released again.
    if record:
        store.delete(raw_bucket, record.key, record.version_id)
    store.delete(raw_bucket, held.key, item.version_id)
    return Upload(Path(key), key, None, item.etag)


def drop(store: Store, raw_bucket: str, held: Quarantined) -> None:
    """Delete an object and its record from quarantine; a bucket with versioning keeps their versions."""
    store.delete(raw_bucket, _record_of(held))
    store.delete(raw_bucket, held.key)


def _record_of(held: Quarantined) -> str:
    return record_key(held.key) or old_record_key(held.key)


def store_of(target: Target) -> Store:
    """Return a store that uses the target's S3 client."""
    return Store(target.client("s3"))
