"""Put recordings into the landing zone, with the files that belong to them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from p300.errors import P300Error, RecordingError
from p300.formats import EXTENSIONS
from p300.readers.companions import companions
from p300_pipeline.keys import RecordingKey, is_companion, is_litter

from p300_client.progress import Progress, Tell, no_progress, tell_nobody
from p300_client.target import Target


@dataclass(frozen=True)
class Upload:
    """A file, the key it lands under, and the version that S3 gave it."""

    path: Path
    key: str
    version_id: str | None = None
    etag: str = ""


def find(paths: Sequence[Path], subject: str | None = None, tell: Tell = tell_nobody) -> list[Upload]:
    """Return the recordings in files and folders, with their landing keys, each after the files that it consists of beside its own.

    A file in a folder ``subject_<n>`` lands under that subject; any other needs `subject`, or ``subject_<n>`` at the start of its name.
    Of a folder, what programs leave behind and links that lead out of it are left out, and said to be.

    Parameters
    ----------
    paths : sequence of Path
        Recordings, or folders of them.
    subject : str, optional
        ``subject_<n>``, where folders and names do not tell.
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
            own = Upload(file, f"{subject or _subject(file)}/{file.name}")
            if is_companion(own.key):
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
            f"No recordings in {', '.join(map(str, paths))}: expected files ending in {', '.join('.' + ext for ext in EXTENSIONS)}.",
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
        else:
            found.append(file)
    for why, names in left_out.items():
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        tell(f"not landed, {why}: {', '.join(names[:5])}{more}")
    return found


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


def _subject(file: Path) -> str:
    import re

    folder = file.absolute().parent.name
    if re.fullmatch(r"subject_\d+", folder):
        return folder
    match = re.match(r"subject_\d+", file.name)
    if match:
        return match.group()
    raise P300Error(
        "no_subject",
        f"Which subject is {file}? Name it with --subject subject_<n>, or put it into a folder subject_<n>.",
    )


def land(target: Target, uploads: Sequence[Upload], progress: Progress = no_progress) -> list[Upload]:
    """Upload recordings, one after another; each upload starts an execution.

    Parameters
    ----------
    target : Target
        Where to.
    uploads : sequence of Upload
        As `find` returns them.
    progress : callable, optional
        Called after each with its key.

    Returns
    -------
    list of Upload
        With what S3 said of each: its version and its ETag.
    """
    s3, bucket = target.client("s3"), target.outputs["LandingBucketName"]
    done: list[Upload] = []
    for upload in uploads:
        with upload.path.open("rb") as body:
            answer = s3.put_object(Bucket=bucket, Key=upload.key, Body=body)
        done.append(Upload(upload.path, upload.key, answer.get("VersionId"), answer["ETag"].strip('"')))
        progress(len(done), len(uploads), upload.key)
    return done
