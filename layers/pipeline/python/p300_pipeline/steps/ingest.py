"""Landing zone to raw zone: validate, copy with a checksum, then delete; invalid files go to quarantine.

A recording of several files (a BrainVision or EEGLAB header and its companions) moves as a whole: whichever of them comes last completes
it, and until then they stay in the landing zone. In the raw data the header comes last and names the companions' ETags.

A sidecar moves with its recording. One that comes later is added to the raw recording, and the execution goes on to new features; as the
features state which sidecar they were made with, and are written only while that is so, none without it outlasts it.

So do the metadata of a BIDS data set, which a recording waits for. Those of one recording move with it; those of several stay in the
landing zone, and every recording in the raw data has a copy of what applies to it.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_plus

from p300.bids.paths import Named, is_of_one, left_alone, metadata_of
from p300.errors import RecordingError
from p300.formats import HEADER_OF
from p300.readers.companions import companions
from p300.signals import Parameters
from p300.usable import reading

from p300_pipeline.contracts import IngestResult
from p300_pipeline.keys import RecordingKey, is_companion, is_landing_key, is_litter, is_sidecar
from p300_pipeline.steps import bids_tree, late, sidecars
from p300_pipeline.steps.described import Described
from p300_pipeline.steps.quarantine import earlier_quarantine, quarantine
from p300_pipeline.steps.raw_data import (
    RawFacts,
    find_sidecars,
    home_of,
    raw_key_of,
    recording_of,
    refuse_second_name,
    superseded,
)
from p300_pipeline.steps.storing import put_files
from p300_pipeline.steps.waiting import header_of, is_companion_file, wait
from p300_pipeline.steps.zones import Zones, answer, check_size, read, refuse_older_header, renamed, stored, unchanged
from p300_pipeline.storage import Item, NotFoundError, PreconditionError, Store, UnreadableError, find

WAIT_FOR_FILES_S = 900
_MOST_LOOKS = 20


@dataclass(frozen=True)
class Landed:
    """An object as the S3 event names it.

    Attributes
    ----------
    key : str
        Object key as the event gives it: as it is on AWS, as in a URL by LocalStack and by S3's own notifications.
    etag : str
        Its ETag at the time of the event; empty where the event has none.
    version_id : str or None
        Its version where the landing zone keeps versions.
    """

    key: str
    etag: str
    version_id: str | None


def ingest(
    store: Store,
    landing_bucket: str,
    raw_bucket: str,
    landed: Landed,
    *,
    wait_for_files_s: float = WAIT_FOR_FILES_S,
    parameters: Parameters | None = None,
) -> IngestResult:
    """Move one landed object, with its companion files, to the raw zone or to quarantine.

    Parameters
    ----------
    store : Store
        S3 access.
    landing_bucket, raw_bucket : str
        Bucket names.
    landed : Landed
        The object.
    wait_for_files_s : float
        How long after an upload the other files of a recording may take to come, in seconds.
    parameters : Parameters, optional
        The preprocessing that follows: names of events, and how much it would make of a recording.

    Returns
    -------
    dict
        ``outcome`` is ``stored`` (new or changed recording), ``unchanged`` (the raw zone has these bytes already), ``waiting`` (other
        files of the recording have not come yet: look again in ``look_again_s``), ``incomplete`` (nor have they in time; the recording
        still moves when they come), ``quarantined`` (with ``reason``), ``unreadable`` (S3 keeps the bytes from us; the object stays),
        ``ignored`` (a folder marker, what a program left behind, or a file of a BIDS data set that is not of one recording; it stays
        too) or ``gone`` (another execution has taken it); with
        ``subject``, ``recording``, ``key`` and ``etag`` of the raw recording for the first two, ``missing`` for the next two, and
        ``detail`` wherever an object stays.
    """
    zones = Zones(store, landing_bucket, raw_bucket, wait_for_files_s, parameters or Parameters())
    try:
        item = _find(store, landing_bucket, landed)
        return _taken(zones, landed) if item is None else _move(zones, item)
    except UnreadableError as error:
        return answer("unreadable", error.key, detail=f"{error} It stays in the landing zone.")


def _move(zones: Zones, item: Item, n_looks: int = 0) -> IngestResult:
    """Do with an object of the landing zone what is to be done with it."""
    if n_looks > _MOST_LOOKS:
        raise RuntimeError(f"the recording of {item.key} kept changing")
    if is_litter(item.key, item.size):
        return answer(
            "ignored",
            item.key,
            detail="A folder marker, or what a program left behind. It stays in the landing zone, and no harm is done by deleting it.",
        )
    if why := left_alone(item.key):
        return answer("ignored", item.key, detail=f"{why[0].upper()}{why[1:]}. It stays in the landing zone.")
    try:
        if recording := _stored_already(zones, item):
            zones.store.delete(zones.landing, item.key, item.version_id)
            return unchanged(recording)
        return _move_with_others(zones, item)
    except (NotFoundError, PreconditionError):  # another execution was faster
        belongs_to_one = is_sidecar(item.key) or metadata_of(item.key)
        if belongs_to_one and find(zones.store, zones.landing, item.key, item.version_id):
            return _move(zones, item, n_looks + 1)  # its recording was moved without it
        return _taken(zones, Landed(item.key, item.etag, item.version_id))


def _move_with_others(zones: Zones, item: Item) -> IngestResult:
    if is_sidecar(item.key):
        return _store_sidecar(zones, item)
    if metadata := metadata_of(item.key):
        return _store_metadata(zones, item, metadata)
    header = header_of(zones.store, zones.landing, item) if is_companion(item.key) else None
    if header or not is_companion_file(zones.store, zones.landing, item):
        return _store(zones, header or item)
    return _keep_companion(zones, item)


def _spellings(key: str) -> list[str]:
    """Return what an event's key may mean: the key as it stands, or else as decoded from a URL."""
    return list(dict.fromkeys([key, unquote_plus(key)]))


def _find(store: Store, bucket: str, landed: Landed) -> Item | None:
    """Return the object that the event means; not a newer one under its key, which has an event of its own."""
    for key in _spellings(landed.key):
        item = find(store, bucket, key, landed.version_id)
        if item and (not landed.etag or item.etag == landed.etag):
            return item
    return None


def _store(zones: Zones, item: Item) -> IngestResult:
    store, files, own = zones.store, [item], list[Item]()
    try:
        key = RecordingKey.parse(item.key)
        check_size(key, files)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / key.file_name
            store.download(zones.landing, item.key, path, version_id=item.version_id, if_match=item.etag)
            with reading(str(key)):
                names = companions(path, name=str(key))
            if names:
                refuse_older_header(zones, item)
            found = {name: find(store, zones.landing, key.beside(name)) for name in names}
            files += [one for one in found.values() if one]
            if missing := [key.beside(name) for name, one in found.items() if not one]:
                return wait(key, files, missing, zones.wait_for_files_s)
            said = sidecars.landed(store, zones.landing, key)
            own += [one for one in said.files if key.in_tree and one.key == key.bids]  # no file, but a request to look
            files += [one for one in said.files if one not in own]
            if said.refusal:
                raise said.refusal
            check_size(key, files)
            home = home_of(store, zones.raw, key)
            refuse_second_name(store, zones.raw, home)
            described = Described(zones, item, home) if key.in_tree else None
            if described:
                own += described.metadata.own
                if missing := described.missing:
                    return wait(key, [*files, *own], missing, zones.wait_for_files_s)
                described.write(path.with_name(PurePosixPath(home.bids).name))
            paths = [path, *(path.with_name(PurePosixPath(one.key).name) for one in files[1:])]
            for one, to in list(zip(files, paths, strict=True))[1:]:
                store.download(zones.landing, one.key, to, version_id=one.version_id, if_match=one.etag)
            for held in find_sidecars(store, zones.raw, home):  # each stays until another takes its place
                earlier = path.with_name(PurePosixPath(held.key).name)
                if earlier not in paths and not earlier.exists():
                    store.download(zones.raw, held.key, earlier, if_match=held.etag)
            recording = read(path, key, zones.parameters)
            of_data_set = described.put() if described else "unchanged"
            outcome, etag = put_files(store, zones.landing, zones.raw, home, list(zip(files, paths, strict=True)))
            if described and described.came_meanwhile():
                return _store(zones, item)
            outcome = "stored" if "stored" in {outcome, of_data_set} else outcome
    except RecordingError as error:
        return quarantine(store, zones.landing, zones.raw, [*files, *own], error)
    # Only these versions: an upload that arrived under the same key in the meantime has its own execution.
    files += own
    for one in files:
        store.delete(zones.landing, one.key, one.version_id)
    return stored(outcome, home, etag, files, recording, renamed(item.key, str(home)))


# ---- sidecars, and metadata of BIDS data sets
def _store_sidecar(zones: Zones, item: Item) -> IngestResult:
    """Move a sidecar with its recording, or to its recording, which then gets new features; wait where there is none."""
    store = zones.store
    is_request = late.is_request(item.key)
    if landed := sidecars.recordings(store, zones.landing, item.key):
        return _store(zones, landed[0])
    if held := sidecars.raw_recording(store, zones.raw, item.key):
        return late.add_metadata(zones, item, held) if is_request else late.add_sidecar(zones, item, held)
    if is_request:
        store.delete(zones.landing, item.key, item.version_id)
        return answer("ignored", item.key, detail="Its recording is not there any more.")
    if refusal := sidecars.misnamed(item.key):
        return quarantine(store, zones.landing, zones.raw, [item], refusal)
    return wait(item.key, [item], [f"recording {sidecars.recording_name(item.key)}"], zones.wait_for_files_s)


def _store_metadata(zones: Zones, item: Item, metadata: Named) -> IngestResult:
    """Move metadata of one recording with it, or to it; those of several stay where recordings find them."""
    if not is_of_one(metadata):
        return late.spread(zones, item)
    if landed := bids_tree.own_recordings(zones.store, zones.landing, metadata):
        return _store(zones, landed[0])
    if held := sidecars.raw_recording(zones.store, zones.raw, bids_tree.own_key(metadata)):
        return late.add_metadata(zones, item, held)
    return late.spread(zones, item)


# ---- recordings of several files
def _keep_companion(zones: Zones, item: Item) -> IngestResult:
    """Answer for a companion whose header is not there, or not any more."""
    done = earlier_quarantine(zones.store, zones.landing, zones.raw, item.key, item.etag)
    if done and item.version_id and done["reason"].get("version_id") == item.version_id:
        zones.store.delete(zones.landing, item.key, item.version_id)
        return done
    held = _held(zones, item.key)
    if held and RawFacts.of(held).landing_modified > item.modified:
        return quarantine(zones.store, zones.landing, zones.raw, [item], superseded(item.key))
    header = f"a .{HEADER_OF[item.key.rpartition('.')[2].lower()]} that names it"
    return wait(item.key, [item], [header], zones.wait_for_files_s)


# ---- what another execution has done
def _stored_already(zones: Zones, item: Item) -> Item | None:
    """Return the raw recording that this upload became, or became a part of: an execution may have died before it deleted it here."""
    held = _held(zones, item.key)
    if held is None:
        return None
    facts = RawFacts.of(held)
    if facts.landing_etag != item.etag or facts.landing_version != (item.version_id or ""):
        return None
    return None if facts.landing_modified < item.modified else recording_of(zones.store, zones.raw, held)


def _held(zones: Zones, key: str) -> Item | None:
    """Return what the raw data holds of a landing key; anything else there is not a recording, whatever it is called."""
    if not is_landing_key(key):
        return None
    return find(zones.store, zones.raw, raw_key_of(zones.store, zones.raw, key))


def _taken(zones: Zones, landed: Landed) -> IngestResult:
    """Answer for an object that is not in the landing zone: as the attempt did that moved it, where that can be told."""
    for spelling in _spellings(landed.key) if landed.etag else []:
        held = _held(zones, spelling)
        recording = (
            held and RawFacts.of(held).landing_etag == landed.etag and recording_of(zones.store, zones.raw, held)
        )
        if recording:
            return unchanged(recording)
        if recording := late.moved_with(zones, spelling):
            return unchanged(recording)
        if quarantined := earlier_quarantine(zones.store, zones.landing, zones.raw, spelling, landed.etag):
            return quarantined
    return answer(
        "gone",
        landed.key,
        detail="The object is not in the landing zone any more; a newer upload under its key has an event of its own.",
    )
