"""The raw zone: metadata of a recording's objects, and writes in which the newer upload wins."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from p300.errors import RecordingError

from p300_pipeline.keys import RecordingKey, is_companion, is_recording, is_sidecar
from p300_pipeline.storage import Item, Keep, PreconditionError, Store, Write, compare_and_swap, find, sha256_hex

type Outcome = Literal["stored", "unchanged"]
NO_VERSION = "null"
"""What S3 calls the version of an object in a bucket that keeps none."""


@dataclass(frozen=True)
class RawFacts:
    """Metadata that ingestion wrote to an object in the raw zone.

    Attributes
    ----------
    landing_etag, landing_version : str
        ETag and version of the upload; empty where not known.
    landing_modified : float
        POSIX time of the upload, of a recording of several files that of the latest.
    header : str or None
        Key of the recording that a companion or a sidecar belongs to.
    companions : dict of str to str
        Names of the files that belong to a header -> their ETags.
    replaced_version, replaced_sha256 : str
        Version and digest of the recording whose place this upload took; empty where there was none.
    """

    landing_etag: str = ""
    landing_version: str = ""
    landing_modified: float = 0.0
    header: str | None = None
    companions: dict[str, str] = field(default_factory=dict)
    replaced_version: str = ""
    replaced_sha256: str = ""

    @classmethod
    def of(cls, held: Item) -> "RawFacts":
        """Read an object's metadata; what is not as ingestion writes it counts as not there."""
        said = held.metadata
        header = said.get("header")
        return cls(
            said.get("landing-etag", ""),
            said.get("landing-version", ""),
            _time(said.get("landing-modified", "")),
            header if header and is_recording(header) else None,
            _companions(said.get("companions", "")),
            said.get("replaced-version", ""),
            said.get("replaced-sha256", ""),
        )


def _time(text: str) -> float:
    try:
        at = float(text)
    except ValueError:
        return 0.0
    return at if math.isfinite(at) and at >= 0 else 0.0


def _companions(text: str) -> dict[str, str]:
    try:
        named = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(named, dict) or not all(isinstance(etag, str) for etag in named.values()):
        return {}
    return named if all(is_companion(f"subject_1/{name}") for name in named) else {}


def named_companions(recording: Item) -> dict[str, str]:
    """Return the files that a raw recording consists of beside its own object: name -> ETag."""
    return RawFacts.of(recording).companions


def recordings_in(store: Store, bucket: str, prefix: str = "subject_") -> Iterator[Item]:
    """Yield the raw recordings whose keys begin with a prefix, without the files that belong to them."""
    for item in store.list(bucket, prefix):
        if is_recording(item.key) and not (is_companion(item.key) and _is_part(store, bucket, item.key)):
            yield item


def _is_part(store: Store, bucket: str, key: str) -> bool:
    """Tell whether an object whose extension leaves a doubt belongs to a header, as ingestion noted it."""
    held = find(store, bucket, key)
    return held is None or RawFacts.of(held).header is not None


def replacement_notes(bucket: str, recording: Item) -> list[str]:
    """Return what a person should know of a raw recording or sidecar that took another one's place: which, and how to get that one back.

    Parameters
    ----------
    bucket : str
        The raw zone's.
    recording : Item
        The raw recording, or its sidecar, as it is now.

    Returns
    -------
    list of str
        Empty where it took no place.
    """
    facts = RawFacts.of(recording)
    if not facts.replaced_version:
        return []
    name, version = recording.key.rpartition("/")[2], facts.replaced_version
    what = "sidecar" if is_sidecar(recording.key) else "recording"
    found = f"replaced another {what} under {recording.key} (SHA-256 {facts.replaced_sha256 or 'unknown'})"
    if version == NO_VERSION:
        return [f"{found}; s3://{bucket} keeps no versions, so that one is gone"]
    get = f"aws s3api get-object --bucket {bucket} --key '{recording.key}' --version-id {version} '{name}'"
    return [f"{found}; the bucket still has it as version {version}. To get it back: {get}"]


def files_of(store: Store, raw_bucket: str, recording: Item) -> dict[str, str]:
    """Return the files that belong to a raw recording: its companions and its sidecars, name -> ETag."""
    sidecars = find_sidecars(store, raw_bucket, RecordingKey.parse(recording.key))
    return named_companions(recording) | {PurePosixPath(one.key).name: one.etag for one in sidecars}


def find_sidecars(store: Store, raw_bucket: str, key: RecordingKey) -> list[Item]:
    """Return what the raw data says about a recording: its sidecar, and what its BIDS data set says, where there are such.

    The sidecar's own object says which recording it belongs to: no write of the recording can lose it, whichever is written last.
    """
    found = (find(store, raw_bucket, name) for name in (key.sidecar, key.bids))
    return [held for held in found if held and RawFacts.of(held).header == str(key)]


def sidecar_of(store: Store, raw_bucket: str, key: RecordingKey) -> str | None:
    """Return the ETag of a recording's sidecar in the raw data; None where it has none."""
    held = find(store, raw_bucket, key.sidecar)
    return held.etag if held and RawFacts.of(held).header == str(key) else None


def download_files(
    store: Store, raw_bucket: str, recording: Item, files: Mapping[str, str], folder: Path
) -> tuple[Path, list[Item]]:
    """Download a raw recording with the files that belong to it, as a reader expects them.

    Parameters
    ----------
    store : Store
        S3 access.
    raw_bucket : str
        Bucket name.
    recording : Item
        The recording's own object.
    files : mapping of str to str
        As `files_of` returns them.
    folder : Path
        An empty folder.

    Returns
    -------
    path : Path
        The recording's file.
    items : list of Item
        All files, the recording's own first.

    Raises
    ------
    NotFoundError, PreconditionError
        Where one of them is not there any more, or was replaced.
    """
    key = RecordingKey.parse(recording.key)
    path = folder / key.file_name
    items = [store.download(raw_bucket, recording.key, path, if_match=recording.etag)]
    items += [
        store.download(raw_bucket, key.beside(name), path.with_name(name), if_match=etag)
        for name, etag in files.items()
    ]
    return path, items


def superseded(key: RecordingKey | str) -> RecordingError:
    """Return what is wrong with an upload that comes after a newer one under its key."""
    return RecordingError(
        "superseded",
        f"{key}: a newer upload under this key was ingested before this older one; the newer one is kept in the raw data.",
    )


def name_taken(key: RecordingKey, other: str) -> RecordingError:
    """Return what is wrong with a recording whose name another one has under another extension, or in other capitals."""
    return RecordingError(
        "name_taken",
        f"{key}: the raw data holds {other}, whose features would take the same place, here or on a file system that does not tell "
        "capitals apart. Upload this one under another name, or delete the other first.",
    )


def home_of(store: Store, bucket: str, key: RecordingKey) -> RecordingKey:
    """Return the key that a landed recording has in the raw zone.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket : str
        The raw zone's.
    key : RecordingKey
        As it landed.

    Returns
    -------
    RecordingKey
        With the one name of its subject; if the raw zone has the recording under another spelling, as older buckets may, that one.
    """
    spellings = key.spellings()
    if len(spellings) == 1:
        return spellings[0]
    return next((one for one in spellings if find(store, bucket, str(one))), spellings[0])


def recording_of(store: Store, bucket: str, held: Item) -> Item | None:
    """Return the raw recording that an object of the raw data is, or is a part of."""
    name = RawFacts.of(held).header
    if name is None:
        return held if is_recording(held.key) else None
    header = find(store, bucket, name)
    if is_sidecar(held.key):
        return header
    return header if header and named_companions(header).get(held.key.rpartition("/")[2]) == held.etag else None


def raw_key_of(store: Store, bucket: str, landing_key: str) -> str:
    """Return the key that any file of a recording has in the raw zone; parameters as `home_of`, for a key as it landed."""
    folder, _, name = landing_key.rpartition("/")
    stem, _, extension = name.rpartition(".")
    return str(home_of(store, bucket, RecordingKey(folder, stem, extension)))


def refuse_second_name(store: Store, bucket: str, key: RecordingKey) -> None:
    """Refuse a new recording that is already in the raw zone with another extension, or with other capitalisation.

    If two arrive at the same moment, both pass; then the write of their features decides, which only one can win (see `preprocess`).
    """
    name = key.recording.lower()
    held = recordings_in(store, bucket, f"{key.folder}/")
    others = [item.key for item in held if item.key.rpartition(".")[0].lower() == name]
    if others and str(key) not in others:
        raise name_taken(key, others[0])


def put_raw(
    store: Store,
    landing: str,
    raw: str,
    key: str,
    item: Item,
    path: Path,
    modified: float,
    extra: Mapping[str, str],
    *,
    expected: str | None = None,
) -> tuple[Outcome, str]:
    """Write one file of a recording to the raw zone, unless a newer upload is there.

    Parameters
    ----------
    store : Store
        S3 access.
    landing, raw : str
        Bucket names.
    key : str
        The file's key in the raw zone.
    item : Item
        The upload.
    path : Path
        Local copy of its bytes.
    modified : float
        POSIX time of the recording's upload.
    extra : mapping of str to str
        Further metadata for the object: ``header`` or ``companions``.
    expected : str, optional
        ETag of what the file was made from and takes the place of; empty where there was nothing.

    Returns
    -------
    tuple of str
        ``stored`` or ``unchanged``, and the ETag of what is there now.

    Raises
    ------
    RecordingError
        ``superseded``.
    PreconditionError
        If the upload was replaced in the meantime, or what is there is not what was expected.
    """
    metadata = {
        "sha256": sha256_hex(path),
        "landing-etag": item.etag,
        "landing-version": item.version_id or "",
        "landing-modified": f"{modified:.6f}",
        **extra,
    }
    content = {"sha256", *extra}

    def decide() -> Keep[tuple[Outcome, str]] | Write[tuple[Outcome, str]]:
        held = find(store, raw, key)
        if expected is not None and expected != (held.etag if held else ""):
            raise PreconditionError(f"{key} was replaced")
        held_modified = RawFacts.of(held).landing_modified if held else 0.0
        same = held is not None and all(held.metadata.get(name) == metadata[name] for name in content)
        if held and same and held_modified >= modified:
            return Keep(("unchanged", held.etag))
        if held and held_modified > modified:
            raise superseded(item.key)
        # After the look and before the write: a newer upload of the same second deletes this one before it writes.
        if store.head(landing, item.key, item.version_id).etag != item.etag:
            raise PreconditionError(f"{item.key} was replaced")
        replaced = {}
        if held and not same:
            replaced = {
                "replaced-version": held.version_id or NO_VERSION,
                "replaced-sha256": held.metadata.get("sha256", ""),
            }
        # The same bytes are written again, so that a late event of an upload in between finds the newer time here.
        stated = metadata | replaced
        return Write(("unchanged" if same else "stored", ""), path, held.etag if held else None, metadata=stated)

    (outcome, etag), written = compare_and_swap(store, raw, key, decide)
    return outcome, written or etag
