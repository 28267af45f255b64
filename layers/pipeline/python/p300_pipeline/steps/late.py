"""What lands after its recording: a sidecar, or metadata of its BIDS data set. The recording gets new features with it."""

import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from p300.bids.bundle import bundle
from p300.bids.paths import DATA_SET, is_of_one, metadata_of
from p300.errors import RecordingError
from p300.formats import BIDS_ENDING
from p300.text import n_of

from p300_pipeline.contracts import IngestResult
from p300_pipeline.keys import RecordingKey
from p300_pipeline.steps import bids_tree, sidecars
from p300_pipeline.steps.quarantine import quarantine
from p300_pipeline.steps.raw_data import download_files, files_of, put_raw
from p300_pipeline.steps.storing import take_out_older
from p300_pipeline.steps.waiting import wait
from p300_pipeline.steps.zones import Zones, answer, check_size, read, refuse_older_header, renamed, stored, unchanged
from p300_pipeline.storage import Item


def add_sidecar(zones: Zones, item: Item, recording: Item) -> IngestResult:
    """Give a raw recording its sidecar, where both together are a usable recording; else the recording stays as it is."""

    def bring(beside: Path) -> None:
        zones.store.download(zones.landing, item.key, beside, version_id=item.version_id, if_match=item.etag)

    return _add(zones, item, recording, PurePosixPath(item.key).name, bring, item.modified)


def is_request(key: str) -> bool:
    """Tell whether a landing key is that of a request to look again at the metadata of a recording (see `spread`)."""
    return key.endswith(BIDS_ENDING) and "/eeg/" in key


def add_metadata(zones: Zones, item: Item, recording: Item) -> IngestResult:
    """Give a raw recording the metadata of its data set that it does not have yet; those that it has stay as they are.

    Parameters
    ----------
    zones : Zones
        Where they are.
    item : Item
        Metadata of the recording alone, or a request to look at those in the landing zone.
    recording : Item
        The raw recording.

    Returns
    -------
    dict
        As `p300_pipeline.steps.ingest.ingest`: ``waiting`` or ``incomplete`` for metadata that may be those of another recording, which has
        to come with them.
    """
    store, key = zones.store, RecordingKey.parse(recording.key)
    try:
        held = bids_tree.held(store, zones.raw, key)
        known = held.bundle
        named = bids_tree.named_in_raw(key)
        came = bundle(named.path, bids_tree.metadata(store, zones.landing, named).bodies).files
    except RecordingError as error:
        return _refused(zones, item, key, error)
    if DATA_SET not in came:
        what = f"{DATA_SET}, which tells whether {item.key} is about {key} in the raw zone"
        return wait(item.key, [item], [what], zones.wait_for_files_s)
    differs = known.files.get(item.key, came.get(item.key)) != came.get(item.key)
    if differs or not bids_tree.of_one_data_set(known, came):
        what = f"recording {named.path}, because {key} in the raw zone has another {item.key if differs else DATA_SET}"
        return wait(item.key, [item], [what], zones.wait_for_files_s)
    made = bids_tree.combined(known, came)
    if made == known:
        store.delete(zones.landing, item.key, item.version_id)
        return unchanged(recording)
    body = made.to_bytes()
    name, modified = PurePosixPath(key.bids).name, max(held.modified, item.modified)
    return _add(zones, item, recording, name, lambda to: _write(to, body), modified, expected=held.etag)


def spread(zones: Zones, item: Item) -> IngestResult:
    """Keep metadata that apply to several recordings, and ask those that are without them to look again.

    They stay in the landing zone, where recordings that land later find them.
    """
    store, shared = zones.store, metadata_of(item.key)
    if shared is None:
        raise ValueError(f"{item.key} is not metadata of a BIDS data set")
    try:
        body, _ = store.get(zones.landing, item.key, version_id=item.version_id, if_match=item.etag)
        requests, n_applies, n_other = bids_tree.concerned(
            store, zones.landing, zones.raw, shared, body, zones.wait_for_files_s
        )
    except RecordingError as error:
        return answer(
            "ignored", item.key, detail=f"It stays in the landing zone, but no recording can use it: {error.message}"
        )
    if not n_applies and is_of_one(shared):
        return wait(item.key, [item], [f"recording that {item.key} applies to"], zones.wait_for_files_s)
    for key in requests:
        store.put(zones.landing, key, bids_tree.REQUEST)
    told = [f"{item.key} can apply to several recordings, so it stays in the landing zone"]
    told += [f"{n_of(len(requests), 'recording')} without it will now get it"] if requests else []
    if n_other:
        told.append(
            f"Not changed: {n_of(n_other, 'recording')} in the raw zone, with another version of it or without the {DATA_SET} that is in "
            "the landing zone. To change that, upload the recording again"
        )
    return answer("ignored", item.key, detail=f"{'. '.join(told)}.")


def moved_with(zones: Zones, key: str) -> Item | None:
    """Return the raw recording that has metadata of one recording, which are not in the landing zone any more."""
    one = metadata_of(key)
    if one is None or not is_of_one(one):
        return None
    recording = sidecars.raw_recording(zones.store, zones.raw, bids_tree.own_key(one))
    if recording is None:
        return None
    known = bids_tree.held(zones.store, zones.raw, RecordingKey.parse(recording.key)).bundle
    return recording if key in known.files else None


def _write(to: Path, body: bytes) -> None:
    to.write_bytes(body)


def _add(
    zones: Zones,
    item: Item,
    recording: Item,
    name: str,
    bring: Callable[[Path], None],
    modified: float,
    *,
    expected: str | None = None,
) -> IngestResult:
    store, key = zones.store, RecordingKey.parse(recording.key)
    try:
        if not is_request(item.key):
            refuse_older_header(zones, item)
        check_size(key, [item])
        with tempfile.TemporaryDirectory() as folder:
            others = {one: etag for one, etag in files_of(store, zones.raw, recording).items() if one != name}
            path, files = download_files(store, zones.raw, recording, others, Path(folder))
            beside = path.with_name(name)
            bring(beside)
            stream = read(path, key, zones.parameters)
            if not is_request(item.key):
                take_out_older(store, zones.landing, zones.raw, item)
            extra = {"header": str(key)}
            to = key.beside(name)
            outcome, _ = put_raw(store, zones.landing, zones.raw, to, item, beside, modified, extra, expected=expected)
    except RecordingError as error:
        return _refused(zones, item, key, error)
    store.delete(zones.landing, item.key, item.version_id)
    # As it is now: what was read may have been replaced by an upload that did not see the sidecar.
    etag = store.head(zones.raw, str(key)).etag
    return stored(
        outcome, key, etag, [*files, item], stream, renamed(item.key, key.beside(PurePosixPath(item.key).name))
    )


def _refused(zones: Zones, item: Item, key: RecordingKey, error: RecordingError) -> IngestResult:
    why = RecordingError(error.code, f"{key} stays as it is, without {item.key}: {error.message}")
    return quarantine(zones.store, zones.landing, zones.raw, [item], why)
