"""Put recordings into the landing zone, with the files that belong to them."""

import filecmp
import hashlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from p300.errors import P300Error, RecordingError
from p300.formats import BIDS_ENDING, SIDECAR_ENDING
from p300.readers import sidecar as sidecars
from p300.signals import Parameters
from p300_pipeline.keys import RecordingKey, is_sidecar, subject_name
from p300_pipeline.steps.raw_data import home_of, sidecar_of
from p300_pipeline.storage import Item, Store

from p300_client.finding import Upload, find
from p300_client.progress import Notify, Progress, ignore_notes, no_progress
from p300_client.target import Target

__all__ = ["Landed", "Upload", "by_recording", "find", "land", "refusal_of", "refused_rows"]


@dataclass(frozen=True)
class Landed:
    """What came of landing some recordings.

    Attributes
    ----------
    uploads : list of Upload
        What was uploaded, each with the version and ETag that S3 gave it.
    unchanged : list of Upload
        Files of recordings that the raw zone already holds byte for byte; not uploaded.
    refused : list of (Upload, RecordingError)
        Recordings that would have ended up in quarantine, and why; not uploaded.
    notes : dict of str to tuple of str
        What the check of a recording assumed or found in its signal, by landing key; recordings without a note are left out.
    """

    uploads: list[Upload]
    unchanged: list[Upload]
    refused: list[tuple[Upload, RecordingError]] = field(default_factory=list)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Recording:
    """A recording, the files to upload, and the content of the sidecar that the raw zone holds for it, if any."""

    own: Upload
    files: list[Upload]
    earlier_sidecar: dict[str, Any] | None = None


def land(
    target: Target,
    uploads: Sequence[Upload],
    progress: Progress = no_progress,
    *,
    replace: bool = False,
    parameters: Parameters | None = None,
    notify: Notify = ignore_notes,
) -> Landed:
    """Upload recordings one after another; each upload starts an execution.

    Parameters
    ----------
    target : Target
        Where to.
    uploads : sequence of Upload
        As `find` returns them.
    progress : callable, optional
        Called after each file with its key.
    replace : bool
        Whether they may replace other recordings that the raw zone holds under the same keys.
    parameters : Parameters, optional
        The stack's preprocessing (`Target.preprocessing`), with which each recording is checked before anything is uploaded, as the
        pipeline will check it. By default nothing is checked.
    notify : callable, optional
        Called if the credentials do not allow reading the raw zone, so that nothing can be compared with it.

    Returns
    -------
    Landed

    Raises
    ------
    P300Error
        ``place_taken``, before anything is uploaded.
    """
    found = [_Recording(files[-1], files) for files in by_recording(uploads)]
    unchanged: list[Upload] = []
    try:
        found, unchanged = _compare(target, found, replace=replace)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"AccessDenied", "403"}:
            raise
        notify(
            "these credentials cannot read the raw zone: uploads were not compared with it, and replace what it holds"
        )
    refused: list[tuple[Upload, RecordingError]] = []
    notes: dict[str, tuple[str, ...]] = {}
    if parameters is not None:
        for number, recording in enumerate(found, 1):
            progress(number - 1, len(found), f"checking {recording.own.path.name}")
            try:
                notes[recording.own.key] = _check(recording.own, parameters, recording.earlier_sidecar)
            except RecordingError as refusal:
                refused.append((recording.own, refusal))
        progress(len(found), len(found), "")
    left = {upload.key for upload, _ in refused}
    wanted = [upload for recording in found if recording.own.key not in left for upload in recording.files]
    s3, bucket = target.client("s3"), target.outputs["LandingBucketName"]
    done: list[Upload] = []
    for upload in wanted:
        with _opened(upload) as body:
            answer = s3.put_object(Bucket=bucket, Key=upload.key, Body=body)
        done.append(Upload(upload.path, upload.key, answer.get("VersionId"), answer["ETag"].strip('"'), upload.content))
        progress(len(done), len(wanted), upload.key)
    return Landed(done, unchanged, refused, {key: texts for key, texts in notes.items() if texts})


def refused_rows(refused: Sequence[tuple[Upload, RecordingError]]) -> list[dict[str, str]]:
    """Return the refused recordings, for JSON and tables."""
    return [
        {"recording": upload.key, "status": "refused", "detail": f"{error.code}: {error.message}"}
        for upload, error in refused
    ]


def by_recording(uploads: Sequence[Upload]) -> list[list[Upload]]:
    """Group uploads, as `find` returns them, by recording; each recording's own file comes last."""
    found: list[list[Upload]] = [[]]
    for upload in uploads:
        found[-1].append(upload)
        if upload.is_recording:
            found.append([])
    return [files for files in found if files]


def refusal_of(
    recording: Upload, parameters: Parameters, *, sidecar: Mapping[str, Any] | None = None
) -> RecordingError | None:
    """Return the reason for which a recording would be quarantined; None if it would become features.

    Parameters
    ----------
    recording : Upload
        The recording's own file, with its companions and sidecar beside it.
    parameters : Parameters
        The stack's preprocessing.
    sidecar : mapping, optional
        Used as the sidecar's content in place of a sidecar beside the file.
    """
    try:
        _check(recording, parameters, sidecar)
    except RecordingError as error:
        return error
    return None


def _check(recording: Upload, parameters: Parameters, sidecar: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the notes of a recording that would become features; refuse one that would not."""
    from p300.inspection import check  # MNE takes seconds to import

    return check(recording.path, recording.key, parameters, sidecar=sidecar)


def _compare(target: Target, found: Sequence[_Recording], *, replace: bool) -> tuple[list[_Recording], list[Upload]]:
    """Return the recordings with the files to upload, and the files of those that are already in the raw zone.

    A recording's own files are uploaded together; a new sidecar is uploaded alone.
    """
    store, raw = Store(target.client("s3")), target.outputs["RawBucketName"]
    items = list(store.list(raw, "subject_"))
    held = {_place(item.key): item for item in items}
    exact = {item.key: item for item in items}
    wanted: list[_Recording] = []
    unchanged: list[Upload] = []
    taken: list[tuple[Upload, Item]] = []
    for recording in found:
        present = {one.key: exact.get(one.key, held.get(_place(one.key))) for one in recording.files}
        other = [one for one in recording.files if not ((item := present[one.key]) and _same(store, raw, item, one))]
        unchanged += recording.files if not other else []
        if any(not is_sidecar(one.key) for one in other):
            other = recording.files
        if other:
            first = recording.own if recording.own in other else other[0]
            named = (
                recording.own if first.content is not None else first
            )  # what a data set says is in no file of its own
            taken += [(named, item)] if (item := present[first.key]) else []
            new = any(one.key.endswith(SIDECAR_ENDING) for one in other)
            earlier = None if new else _held_sidecar(store, raw, recording.own)
            wanted.append(_Recording(recording.own, other, earlier))
    if taken and not replace:
        upload, item = taken[0]
        more = f" (and {len(taken) - 1} more)" if len(taken) > 1 else ""
        since = f"{datetime.fromtimestamp(item.modified, UTC):%Y-%m-%d %H:%M} UTC{more}. Nothing was uploaded"
        if item.key.endswith(BIDS_ENDING):
            raise P300Error(
                "place_taken",
                f"The BIDS metadata of {upload.path} differ from those in the raw "
                f"zone, {item.key} of {since}. To replace them, use --replace.",
            )
        what = "sidecar" if is_sidecar(item.key) else "recording"
        raise P300Error(
            "place_taken",
            f"{upload.path} would replace another {what}, {item.key}, which the raw zone has held since {since}. Rename the file, or use "
            "--replace.",
        )
    return wanted, unchanged


def _held_sidecar(store: Store, raw: str, recording: Upload) -> dict[str, Any] | None:
    """Return the content of the sidecar in the raw zone, which stays when its recording is uploaded again."""
    key = home_of(store, raw, RecordingKey.parse(recording.key))
    etag = sidecar_of(store, raw, key)
    return sidecars.parse(store.get(raw, key.sidecar, if_match=etag)[0], key.sidecar) if etag else None


def _place(key: str) -> tuple[str, str]:
    """Return what two spellings of a key have in common: ``subject_5/a.edf`` and ``subject_05/a.edf`` are one recording."""
    subject, _, name = key.partition("/")
    return subject_name(subject), name


def _opened(upload: Upload) -> io.BufferedReader | io.BytesIO:
    return upload.path.open("rb") if upload.content is None else io.BytesIO(upload.content)


def _same(store: Store, raw: str, item: Item, upload: Upload) -> bool:
    """Return whether an object in the raw zone holds the same bytes as a file."""
    if item.size != (upload.path.stat().st_size if upload.content is None else len(upload.content)):
        return False
    with _opened(upload) as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 == item.etag:
        return True
    if upload.content is not None:
        return store.get(raw, item.key, if_match=item.etag)[0] == upload.content
    with (
        tempfile.TemporaryDirectory() as folder
    ):  # an ETag need not be the content's MD5: with KMS, or after a copy in parts
        copy = Path(folder) / "held"
        store.download(raw, item.key, copy)
        return filecmp.cmp(copy, upload.path, shallow=False)
