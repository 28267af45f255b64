"""Writing all files of a recording to the raw zone, each under the recording's own subject."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from p300.errors import RecordingError

from p300_pipeline.keys import RecordingKey, is_companion, is_sidecar
from p300_pipeline.steps.quarantine import quarantine
from p300_pipeline.steps.raw_data import Outcome, put_raw, recording_of, superseded
from p300_pipeline.storage import Item, NotFoundError, PreconditionError, Store, find


def put_files(
    store: Store, landing: str, raw: str, home: RecordingKey, files: Sequence[tuple[Item, Path]]
) -> tuple[Outcome, str]:
    """Write a recording's files to the raw data, its own object last, and return what became of that and its ETag."""
    for item, _ in files:
        take_out_older(store, landing, raw, item)
    # A sidecar is newer or older by itself: whoever stores the recording without it writes the same.
    modified = max(item.modified for item, _ in files if not is_sidecar(item.key))
    (header, header_path), named, outcomes = files[0], {}, set()
    if is_companion(header.key):
        _refuse_others_companion(store, raw, home, str(home))
    for item, path in files[1:]:
        name = item.key.rpartition("/")[2]
        _refuse_others_companion(store, raw, home, home.beside(name))
        at = item.modified if is_sidecar(item.key) else modified
        outcome, etag = put_raw(store, landing, raw, home.beside(name), item, path, at, {"header": str(home)})
        if is_sidecar(item.key):
            outcomes.add(outcome)
        else:
            named[name] = etag
    extra = {"companions": json.dumps(named)} if named else {}
    outcome, etag = put_raw(store, landing, raw, str(home), header, header_path, modified, extra)
    return "stored" if "stored" in {outcome, *outcomes} else outcome, etag


def _refuse_others_companion(store: Store, raw: str, key: RecordingKey, companion: str) -> None:
    held = find(store, raw, companion)
    other = recording_of(store, raw, held) if held else None
    if other and other.key != str(key):
        raise RecordingError(
            "name_taken",
            f"{key}: {companion} is a part of {other.key} in the raw data already. Export this recording with names of its own.",
        )


def take_out_older(store: Store, landing: str, raw: str, item: Item) -> None:
    """Quarantine an upload of the same second under this key that came before this one; times cannot tell them apart.

    Its own execution finds it gone, now or at the look before it writes (see `put_raw`), and cannot put it over this one.
    """
    if not item.version_id:
        return
    versions = store.versions(landing, item.key)
    ours = next((i for i, version in enumerate(versions) if version.version_id == item.version_id), len(versions))
    for older in versions[ours + 1 :]:
        if int(older.modified) == int(item.modified):
            with suppress(NotFoundError, PreconditionError):  # its own execution has moved it in the meantime
                quarantine(store, landing, raw, [older], superseded(item.key))
