"""Put recordings into the landing zone, with the files that belong to them."""

import filecmp
import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from botocore.exceptions import ClientError
from p300.errors import P300Error, RecordingError
from p300.formats import EXTENSIONS, TWOFOLD, instead
from p300.readers.companions import N_BEGINNING, companions, is_part
from p300_pipeline.keys import RecordingKey, is_litter, subject_name
from p300_pipeline.storage import Item, Store

from p300_client.progress import Progress, Tell, no_progress, tell_nobody
from p300_client.target import Target

_SUBJECT = r"(?:subject_|sub-)[0-9]+"


@dataclass(frozen=True)
class Upload:
    """A file, the key it lands under, and the version that S3 gave it."""

    path: Path
    key: str
    version_id: str | None = None
    etag: str = ""

    @property
    def is_recording(self) -> bool:
        """Whether it is a recording's own file, not one that a header names."""
        return not _is_part(self.path)


def find(paths: Sequence[Path], subject: str | None = None, tell: Tell = tell_nobody) -> list[Upload]:
    """Return the recordings in files and folders, with their landing keys, each after the files that it consists of beside its own.

    A file in a folder ``subject_<n>`` or ``sub-<n>`` lands under that subject; any other needs `subject`, or such a name at its start.
    Of a folder, what programs leave behind and links that lead out of it are left out, and said to be.

    Parameters
    ----------
    paths : sequence of Path
        Recordings, or folders of them.
    subject : str, optional
        ``subject_<n>`` or ``sub-<n>``, where folders and names do not tell.
    tell : callable, optional
        Called with what is left out and why.

    Returns
    -------
    list of Upload

    Raises
    ------
    P300Error
        ``not_found``, ``companion_named``, ``wrong_key``, ``no_recordings``, ``same_key``, ``no_subject``, ``companion_missing`` or
        ``link_out``.
    """
    uploads: list[Upload] = []
    for path in paths:
        if not path.exists():
            raise P300Error("not_found", f"{path} does not exist.")
        for file in _recordings(path, tell) if path.is_dir() else [path]:
            if not file.is_file():
                raise P300Error("not_found", f"{file} is not a file. Name recordings, or folders of them.")
            own = Upload(file, f"{_folder(subject) if subject else _subject(file)}/{file.name}")
            if not own.is_recording:
                raise P300Error(
                    "companion_named",
                    f"{file} is a part of a recording: land the .vhdr or .set that names it, which brings it along.",
                )
            try:
                RecordingKey.parse(own.key)
            except RecordingError as error:
                raise P300Error(
                    "wrong_key",
                    f"{file} would land under a key that is refused: {error.message} Rename the file first.",
                ) from error
            uploads += [Upload(one, f"{own.key.rpartition('/')[0]}/{one.name}") for one in _companions(file, path)]
            uploads.append(own)
    if not uploads:
        raise P300Error(
            "no_recordings",
            f"No recordings in {', '.join(map(str, paths))}: expected files ending in {', '.join('.' + ext for ext in EXTENSIONS)}."
            + "".join(dict.fromkeys(instead(path.name) for path in paths)),
        )
    counts = Counter(upload.key.lower() for upload in uploads)
    if twice := sorted(upload.key for upload in uploads if counts[upload.key.lower()] > 1):
        raise P300Error(
            "same_key", f"Two of the files would land under {twice[0]}. Land them one by one, with --subject."
        )
    return uploads


def _recordings(folder: Path, tell: Tell) -> list[Path]:
    """Return the recordings below a folder, and tell what is left out that a look at the names may take for one."""
    found: list[Path] = []
    left_out: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_dir():
            continue
        name = file.relative_to(folder).as_posix()
        if is_litter(name, 1):
            left_out.setdefault("left behind by programs", []).append(name)
        elif _extension(file) not in EXTENSIONS:
            continue
        elif _leads_out(file, folder):
            left_out.setdefault("links that lead out of the folder", []).append(name)
        elif not file.is_file():
            left_out.setdefault("not files, or links to nothing", []).append(name)
        elif not _is_part(file):
            found.append(file)
    for why, names in left_out.items():
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        tell(f"not landed, {why}: {', '.join(names[:5])}{more}")
    return found


def _is_part(file: Path) -> bool:
    if _extension(file) not in TWOFOLD:
        return is_part(file.name, b"")
    with file.open("rb") as body:
        return is_part(file.name, body.read(N_BEGINNING))


def _leads_out(file: Path, folder: Path) -> bool:
    return not file.resolve().is_relative_to(folder.resolve())


def _companions(header: Path, named: Path) -> list[Path]:
    """Return the files that a header names; `named` is what the user named, the header or a folder that it is in."""
    try:
        found = [header.with_name(name) for name in companions(header)]
    except RecordingError as error:
        raise P300Error(error.code, error.message) from error
    if missing := [file.name for file in found if not file.is_file()]:
        raise P300Error(
            "companion_missing", f"{header} names {' and '.join(missing)}, and there is no such file beside it."
        )
    if out := [file.name for file in found if _leads_out(file, named if named.is_dir() else named.absolute().parent)]:
        raise P300Error(
            "link_out",
            f"{header} names {out[0]}, which is a link that leads out of the folder. Put the file itself there.",
        )
    return found


def _extension(file: Path) -> str:
    return file.suffix.lower().removeprefix(".")


def _folder(subject: str) -> str:
    """Return the folder of a landing key: a subject as it is spelled, but for BIDS's ``sub-05``, which no key begins with."""
    return subject_name(subject) if subject.startswith("sub-") else subject


def _subject(file: Path) -> str:
    folder = file.absolute().parent.name
    if re.fullmatch(_SUBJECT, folder):
        return _folder(folder)
    if match := re.match(_SUBJECT, file.name):
        return _folder(match.group())
    raise P300Error(
        "no_subject",
        f"Which subject is {file}? Name it with --subject subject_<n>, or put it into a folder subject_<n>.",
    )


@dataclass(frozen=True)
class Landed:
    """What came of landing some recordings.

    Attributes
    ----------
    uploads : list of Upload
        What was uploaded, with what S3 said of each.
    unchanged : list of Upload
        Files of recordings that the raw data holds already, to the byte: they were not uploaded.
    """

    uploads: list[Upload]
    unchanged: list[Upload]


def land(
    target: Target,
    uploads: Sequence[Upload],
    progress: Progress = no_progress,
    *,
    replace: bool = False,
    tell: Tell = tell_nobody,
) -> Landed:
    """Upload recordings, one after another; each upload starts an execution.

    Parameters
    ----------
    target : Target
        Where to.
    uploads : sequence of Upload
        As `find` returns them.
    progress : callable, optional
        Called after each with its key.
    replace : bool
        Whether they may take the place of other recordings that the raw data holds under their keys.
    tell : callable, optional
        Called where the raw data may not be read, so that nothing can be compared with it.

    Returns
    -------
    Landed

    Raises
    ------
    P300Error
        ``place_taken``, before anything is uploaded.
    """
    wanted: list[Upload] = list(uploads)
    unchanged: list[Upload] = []
    try:
        wanted, unchanged = _compare(target, uploads, replace=replace)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"AccessDenied", "403"}:
            raise
        tell("these credentials may not read the raw data: not compared with what it holds, and the newer upload wins")
    s3, bucket = target.client("s3"), target.outputs["LandingBucketName"]
    done: list[Upload] = []
    for upload in wanted:
        with upload.path.open("rb") as body:
            answer = s3.put_object(Bucket=bucket, Key=upload.key, Body=body)
        done.append(Upload(upload.path, upload.key, answer.get("VersionId"), answer["ETag"].strip('"')))
        progress(len(done), len(wanted), upload.key)
    return Landed(done, unchanged)


def _compare(target: Target, uploads: Sequence[Upload], *, replace: bool) -> tuple[list[Upload], list[Upload]]:
    """Return the files to upload, and those of recordings that are there already; a recording's files go together."""
    store, raw = Store(target.client("s3")), target.outputs["RawBucketName"]
    items = list(store.list(raw, "subject_"))
    held = {_place(item.key): item for item in items}
    exact = {item.key: item for item in items}
    wanted: list[Upload] = []
    unchanged: list[Upload] = []
    taken: list[tuple[Upload, Item]] = []
    files: list[Upload] = []
    for upload in uploads:
        files.append(upload)
        if not upload.is_recording:
            continue
        present = [exact.get(one.key, held.get(_place(one.key))) for one in files]
        if all(item and _same(store, raw, item, one.path) for item, one in zip(present, files, strict=True)):
            unchanged += files
        else:
            wanted += files
            taken += [(upload, present[-1])] if present[-1] else []
        files = []
    if taken and not replace:
        upload, item = taken[0]
        more = f" (and {len(taken) - 1} more)" if len(taken) > 1 else ""
        raise P300Error(
            "place_taken",
            f"The raw data holds another recording {item.key} since {datetime.fromtimestamp(item.modified, UTC):%Y-%m-%d %H:%M} UTC, "
            f"whose place {upload.path} would take{more}. Nothing was uploaded. Rename the file, or say --replace.",
        )
    return wanted, unchanged


def _place(key: str) -> tuple[str, str]:
    """Return what two keys of one place share: ``subject_5/a.edf`` and ``subject_05/a.edf`` are one recording."""
    subject, _, name = key.partition("/")
    return subject_name(subject), name


def _same(store: Store, raw: str, item: Item, path: Path) -> bool:
    """Whether an object of the raw data holds the bytes of a file."""
    if item.size != path.stat().st_size:
        return False
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 == item.etag:
        return True
    with (
        tempfile.TemporaryDirectory() as folder
    ):  # an ETag need not be the content's MD5: with KMS, or after a copy in parts
        copy = Path(folder) / "held"
        store.download(raw, item.key, copy)
        return filecmp.cmp(copy, path, shallow=False)
