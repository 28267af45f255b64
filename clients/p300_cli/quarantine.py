"""What is in quarantine, back to the landing zone, or away."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from p300.errors import RecordingError
from p300_pipeline.keys import QUARANTINE, RecordingKey, is_companion, reason_key
from p300_pipeline.storage import NotFoundError, Store, find

from p300_cli.landing import Upload
from p300_cli.target import Target
from p300_cli.terminal import fail, note, out, print_json, table

_REASON = reason_key("")


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
        Why it is no recording; empty where the reason is lost.
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
    found = []
    for key, item in held.items():
        if key.endswith(_REASON):
            continue
        reason = json.loads(store.get(raw_bucket, reason_key(key))[0]) if reason_key(key) in held else {}
        uploaded = datetime.fromtimestamp(reason["uploaded"], UTC).isoformat(timespec="seconds") if reason else ""
        # Without a reason the key alone tells: quarantine/<ETag's first characters>/<landing key>.
        landing_key = reason.get("landing_key") or key.split("/", 2)[2]
        found.append(
            Quarantined(
                key,
                landing_key,
                reason.get("code", ""),
                reason.get("message", ""),
                item.size,
                uploaded,
                tuple(reason.get("files", ())),
            )
        )
    return sorted(found, key=lambda one: (one.uploaded, one.key))


def choose(found: Sequence[Quarantined], names: Sequence[str], *, everything: bool) -> list[Quarantined]:
    """Return those that are named by their quarantine key, or by the landing key where only one came from there.

    With a recording of several files come all of them.
    """
    if bool(names) == everything:
        fail("Name what to take from the list of `p300 quarantine list`, or say --all.", 2)
    if everything:
        return list(found)
    chosen = []
    for name in names:
        matches = [one for one in found if name in {one.key, one.landing_key}]
        if not matches:
            fail(f"{name} is not in quarantine; `p300 quarantine list` shows what is.")
        if len(matches) > 1:
            fail(
                f"{len(matches)} objects in quarantine came as {name}: name one of {', '.join(m.key for m in matches)}."
            )
        together = {name for one in matches for name in one.files}
        chosen += [*matches, *[one for one in found if one.key in together]]
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
    """
    key = to or held.landing_key
    if not is_companion(key):
        try:
            RecordingKey.parse(key)
        except RecordingError as error:
            fail(f"{error.message} Here: --to subject_<number>/<recording>.<extension>.")
    if not replace and (present := find(store, raw_bucket, key)):
        when = datetime.fromtimestamp(present.modified, UTC)
        fail(
            f"The raw data holds a recording {key} since {when:%Y-%m-%d %H:%M} UTC, whose place {held.key} would take. "
            "Release it under another name with --to, or say --replace."
        )
    item = find(store, raw_bucket, held.key)
    if item is None:
        fail(f"{held.key} is not in quarantine any more.")
    reason = find(store, raw_bucket, reason_key(held.key))
    if not item.version_id:
        fail(
            f"s3://{raw_bucket} keeps no versions: bytes that come straight back to quarantine could not be told from these. "
            f"Land the file again instead, from s3://{raw_bucket}/{held.key}."
        )
    try:
        store.copy(raw_bucket, held.key, landing_bucket, key, version_id=item.version_id, if_match=item.etag)
    except NotFoundError:
        if find(store, raw_bucket, held.key, item.version_id) is None:
            fail(f"{held.key} is not in quarantine any more.")
        # else it has landed and was ingested before its size could be looked at
    # These versions and no other: the same bytes may be back in quarantine by now.  The object last: it is never without a way back.
    if reason:
        store.delete(raw_bucket, reason.key, reason.version_id)
    store.delete(raw_bucket, held.key, item.version_id)
    return Upload(Path(key), key, None, item.etag)


def drop(store: Store, raw_bucket: str, held: Quarantined) -> None:
    """Delete an object from quarantine, and its reason; a bucket that keeps versions keeps these."""
    store.delete(raw_bucket, reason_key(held.key))
    store.delete(raw_bucket, held.key)


def show(found: Sequence[Quarantined], *, as_json: bool) -> None:
    """Print what is in quarantine."""
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        note("nothing is in quarantine")
        return
    rows = [[one.key, one.bytes, one.uploaded[:16].replace("T", " "), one.code, one.message] for one in found]
    out.print(table("Quarantine", ["key in the raw data", "bytes", "uploaded (UTC)", "reason", ""], rows))


def store_of(target: Target) -> Store:
    """Return a store with the command's own client."""
    return Store(target.client("s3"))
