"""What is in quarantine, back to the landing zone, or away."""

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
    """Return those that are named by their quarantine key, or by the landing key where only one came from there.

    With a recording of several files come all of them.

    Raises
    ------
    P300Error
        ``not_named``, ``not_in_quarantine`` or ``ambiguous``.
    """
    if bool(names) == everything:
        raise P300Error("not_named", "Name what to take from the list of `p300 quarantine list`, or say --all.")
    if everything:
        # Sidecars first: released, a recording finds its own in the landing zone.
        return sorted(found, key=lambda one: (not is_sidecar(one.landing_key), not is_companion(one.landing_key)))
    chosen = []
    for name in names:
        matches = [one for one in found if name in {one.key, one.landing_key}]
        if not matches:
            raise P300Error("not_in_quarantine", f"{name} is not in quarantine; `p300 quarantine list` shows what is.")
        if len(matches) > 1:
            raise P300Error(
                "ambiguous",
                f"{len(matches)} objects in quarantine came as {name}: name one of {', '.join(m.key for m in matches)}.",
            )
        together = {name for one in matches for name in one.files} - {one.key for one in matches}
        # The recording last: released, it finds its sidecar in the landing zone.
        chosen += [*[one for one in found if one.key in together], *matches]
    return list(dict.fromkeys(chosen))


def release(
    store: Store, landing_bucket: str, raw_bucket: str, held: Quarantined, *, to: str | None, replace: bool
) -> Upload:
    """Move an object from quarantine back to the landing zone, where that starts an execution.

    Parameters
    ----------
    store : Store
        S3 access.
    landing_bucket, raw_bucket : str
        Bucket names.
    held : Quarantined
        What to move.
    to : str or None
        Landing key; the one that it was uploaded under without.
    replace : bool
        Whether it may take the place of a recording that the raw data holds under that key.

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
                error.code, f"{error.message} Here: --to subject_<number>/<recording>.<extension>."
            ) from error
    if not replace and (present := find(store, raw_bucket, raw_key_of(store, raw_bucket, key))):
        what = "sidecar" if is_sidecar(key) else "recording"
        when = datetime.fromtimestamp(present.modified, UTC)
        raise P300Error(
            "place_taken",
            f"The raw data holds a {what} {present.key} since {when:%Y-%m-%d %H:%M} UTC, whose place {held.key} would take. "
            "Release it under another name with --to, or say --replace.",
        )
    item = find(store, raw_bucket, held.key)
    if item is None:
        raise P300Error("not_in_quarantine", f"{held.key} is not in quarantine any more.")
    record = find(store, raw_bucket, _record_of(held))
    if not item.version_id:
        raise P300Error(
            "no_versions",
            f"s3://{raw_bucket} keeps no versions: bytes that come straight back to quarantine could not be told from these. "
            f"Land the file again instead, from s3://{raw_bucket}/{held.key}.",
        )
    try:
        store.copy(raw_bucket, held.key, landing_bucket, key, version_id=item.version_id, if_match=item.etag)
    except NotFoundError as error:
        if find(store, raw_bucket, held.key, item.version_id) is None:
            raise P300Error("not_in_quarantine", f"{held.key} is not in quarantine any more.") from error
        # else it has landed and was ingested before its size could be looked at
    except UnreadableError as error:
        raise P300Error("unreadable", str(error)) from error
    # These versions and no other: the same bytes may be back in quarantine by now.  The object last: it is never without a way back.
    if record:
        store.delete(raw_bucket, record.key, record.version_id)
    store.delete(raw_bucket, held.key, item.version_id)
    return Upload(Path(key), key, None, item.etag)


def drop(store: Store, raw_bucket: str, held: Quarantined) -> None:
    """Delete an object from quarantine, and its record; a bucket that keeps versions keeps these."""
    store.delete(raw_bucket, _record_of(held))
    store.delete(raw_bucket, held.key)


def _record_of(held: Quarantined) -> str:
    return record_key(held.key) or old_record_key(held.key)


def store_of(target: Target) -> Store:
    """Return a store with the command's own client."""
    return Store(target.client("s3"))
