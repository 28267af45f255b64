"""A BIDS data set in the landing zone, as `aws s3 sync` brings it: what it says about a recording, and whom a file of it concerns."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from p300.bids.bundle import Bundle, bundle, parse
from p300.bids.paths import DATA_SET, Named, applies, folders_of, is_own, metadata_of, recording_in_eeg, recording_of
from p300.errors import RecordingError
from p300.formats import BIDS_ENDING
from p300.limits import LARGEST_BIDS_BYTES, LARGEST_BIDS_FILE_BYTES

from p300_pipeline.keys import RecordingKey, recording_of_sidecar, subject_name
from p300_pipeline.steps.raw_data import RawFacts
from p300_pipeline.storage import Item, NotFoundError, Store, find

MOST_LISTED = 100_000
REQUEST = b"{}\n"
"""Content of an object that asks to look again at what a data set says about a recording: its key says which."""


@dataclass(frozen=True)
class Metadata:
    """What the landing zone holds of a recording's metadata.

    Attributes
    ----------
    bodies : dict of str to bytes
        By path in the data set, which is the key.
    own : list of Item
        Those of this recording alone.
    """

    bodies: dict[str, bytes]
    own: list[Item]


def named(key: RecordingKey) -> Named:
    """Return the parts of the path of a recording that landed in a data set.

    Raises
    ------
    RecordingError
        ``wrong_key``.
    """
    found = recording_of(str(key))
    if found is None:
        raise RecordingError("wrong_key", f"{key} is not the path of an EEG recording in a BIDS data set. Rename it.")
    return found


def named_in_raw(key: RecordingKey) -> Named:
    """Return the parts of the path that a raw recording has in its data set, which its name says.

    Raises
    ------
    RecordingError
        ``wrong_key``.
    """
    found = recording_of(recording_in_eeg(key.name, key.ext) or "")
    if found is None:
        raise RecordingError("wrong_key", f"{key} is not a recording of a BIDS data set. Land it with its metadata.")
    return found


def metadata(store: Store, landing: str, recording: Named) -> Metadata:
    """Return the metadata in the landing zone that apply to a recording.

    Raises
    ------
    RecordingError
        ``too_many_files`` of a folder whose end cannot be seen.
    """
    bodies: dict[str, bytes] = {}
    own: list[Item] = []
    for folder in folders_of(recording.path):
        for listed in _listed(store.folder(landing, folder), folder):
            one = metadata_of(listed.key)
            if one is None or not applies(one, recording):
                continue
            try:
                # As it is now: who replaces it has an execution for it.
                bodies[one.path], item = store.get(landing, one.path, most=LARGEST_BIDS_FILE_BYTES + 1)
            except NotFoundError:  # another execution has moved it with its recording
                continue
            if is_own(one, recording):
                own.append(item)
    return Metadata(bodies, own)


def missing(recording: Named, paths: Iterable[str]) -> list[str]:
    """Return what a recording has to wait for: its events, its ``_eeg.json`` and the description of its data set, which BIDS requires."""
    kinds = {(one.suffix, one.extension) for path in paths if (one := metadata_of(path))}
    stem = recording.path.rpartition("_")[0]
    needed = {
        ("events", "tsv"): f"{stem}_events.tsv",
        ("eeg", "json"): f"{stem}_eeg.json (or one in a folder above, that it inherits)",
        ("dataset_description", "json"): DATA_SET,
    }
    return [what for kind, what in needed.items() if kind not in kinds]


def own_recordings(store: Store, landing: str, metadata: Named) -> list[Item]:
    """Return the recording in the landing zone that metadata are of, by its name, as it is now."""
    stem = _own_stem(metadata)
    listed = [item.key for item in islice(store.list(landing, f"{stem}."), MOST_LISTED)]
    found = [find(store, landing, key) for key in listed if recording_of(key)]
    return [item for item in found if item]


def own_key(metadata: Named) -> str:
    """Return the key of the sidecar of the recording that metadata are of, by their name."""
    return f"{_own_stem(metadata)}{BIDS_ENDING}"


def _own_stem(metadata: Named) -> str:
    entities = "_".join(f"{entity}-{label}" for entity, label in metadata.entities.items() if entity != "space")
    return f"{metadata.folder}/{entities}_eeg"


@dataclass(frozen=True)
class Held:
    """What the raw data says of a recording's data set: nothing where it has no such object.

    Attributes
    ----------
    bundle : Bundle
        What it says.
    modified : float
        When that landed, POSIX time.
    etag : str
        Of the object.
    """

    bundle: Bundle
    modified: float = 0.0
    etag: str = ""


def held(store: Store, raw: str, key: RecordingKey) -> Held:
    """Return what the raw data says of a recording's data set."""
    item = find(store, raw, key.bids)
    if item is None:
        return Held(Bundle(recording_in_eeg(key.name, key.ext) or str(key)))
    body, _ = store.get(raw, item.key, if_match=item.etag, most=LARGEST_BIDS_BYTES + 1)
    return Held(parse(body, item.key), RawFacts.of(item).landing_modified, item.etag)


def concerned(
    store: Store, landing: str, raw: str, shared: Named, body: bytes, wait_for_files_s: float
) -> tuple[list[str], int, int]:
    """Return which recordings have to look at metadata that have landed, and how many there are.

    Parameters
    ----------
    store : Store
        S3 access.
    landing, raw : str
        Bucket names.
    shared : Named
        The metadata.
    body : bytes
        Their content.
    wait_for_files_s : float
        How long a recording that has landed looks by itself, in seconds.

    Returns
    -------
    requests : list of str
        Keys under which to ask for it: of raw recordings of the data set that do not have the metadata yet, and of recordings that
        have stopped looking.
    n_applies : int
        Recordings that the metadata apply to.
    n_other : int
        Those in the raw data that are of another data set, or have other metadata of this path.
    """
    requests, n_applies, n_other = [], 0, 0
    description = body if shared.path == DATA_SET else _body(store, landing, DATA_SET)
    for item, recording in _raw(store, raw, shared):
        n_applies += 1
        known = _parsed(store, raw, item)
        came = bundle(recording.path, {shared.path: body} | ({DATA_SET: description} if description else {}))
        if not of_one_data_set(known, came.files) or known.files.get(shared.path) not in (
            None,
            came.files[shared.path],
        ):
            n_other += 1
        elif (
            shared.path == DATA_SET or shared.path not in known.files
        ):  # others of its metadata may have come before it
            requests.append(request_key(recording))
    label = shared.entities.get("sub")
    for item in islice(store.list(landing, f"sub-{label}/" if label else "sub-"), MOST_LISTED):
        waiting = recording_of(item.key)
        if waiting and applies(shared, waiting):
            n_applies += 1
            if time.time() - item.modified > wait_for_files_s:
                requests.append(request_key(waiting))
    return list(dict.fromkeys(requests)), n_applies, n_other


def of_one_data_set(known: Bundle, came: Mapping[str, str]) -> bool:
    """Tell whether files in the landing zone are of a raw recording's data set: only its description says so, as names are often alike."""
    return DATA_SET in came and came[DATA_SET] == known.files.get(DATA_SET)


def request_key(recording: Named) -> str:
    """Return the key under which to ask for a look at what a data set says about a recording."""
    return f"{recording.folder}/{recording.stem}{BIDS_ENDING}"


def _raw(store: Store, raw: str, shared: Named) -> Iterator[tuple[Item, Named]]:
    label = shared.entities.get("sub")
    prefix = f"{subject_name(f'sub-{label}')}/" if label else "subject_"
    for item in islice(store.list(raw, prefix), MOST_LISTED):
        if item.key.endswith(BIDS_ENDING):
            path = recording_in_eeg(recording_of_sidecar(item.key).rpartition("/")[2], "edf")
            recording = recording_of(path) if path else None
            if recording and applies(shared, recording):
                yield item, recording


def combined(known: Bundle, came: Mapping[str, str]) -> Bundle:
    """Return what a raw recording's data set says with files that came later; those that it has stay."""
    return Bundle(known.recording, {**came, **known.files})


def _parsed(store: Store, raw: str, item: Item) -> Bundle:
    body, _ = store.get(raw, item.key, most=LARGEST_BIDS_BYTES + 1)
    return parse(body, item.key)


def _body(store: Store, bucket: str, key: str) -> bytes:
    try:
        return store.get(bucket, key, most=LARGEST_BIDS_FILE_BYTES + 1)[0]
    except NotFoundError:
        return b""


def _listed(items: Iterator[Item], folder: str) -> Iterator[Item]:
    for number, item in enumerate(items):
        if number >= MOST_LISTED:
            raise RecordingError(
                "too_many_files",
                f"{folder or 'the landing zone'} has more than {MOST_LISTED:,} files. Expected at most as many.",
            )
        yield item
