"""Put recordings into the landing zone, with the files that belong to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from p300.errors import RecordingError
from p300.readers.companions import companions
from p300_pipeline.keys import EXTENSIONS, is_companion

from p300_cli.target import Target
from p300_cli.terminal import fail, progress


@dataclass(frozen=True)
class Upload:
    """A file, the key it lands under, and the version that S3 gave it."""

    path: Path
    key: str
    version_id: str | None = None
    etag: str = ""


def find(paths: Sequence[Path], subject: str | None = None) -> list[Upload]:
    """Return the recordings in files and folders, with their landing keys, each after the files that it consists of beside its own.

    A file in a folder ``subject_<n>`` lands under that subject; any other needs `subject`, or ``subject_<n>`` at the start of its name.
    """
    uploads: list[Upload] = []
    for path in paths:
        if not path.exists():
            fail(f"{path} does not exist.")
        files = (
            [file for file in sorted(path.rglob("*")) if _extension(file) in EXTENSIONS] if path.is_dir() else [path]
        )
        for file in filter(Path.is_file, files):
            own = Upload(file, f"{subject or _subject(file)}/{file.name}")
            if is_companion(own.key):
                fail(f"{file} is a part of a recording: land the .vhdr or .set that names it, which brings it along.")
            uploads += [Upload(one, f"{own.key.rpartition('/')[0]}/{one.name}") for one in _companions(file)]
            uploads.append(own)
    if not uploads:
        fail(
            f"No recordings in {', '.join(map(str, paths))}: expected files ending in {', '.join('.' + ext for ext in EXTENSIONS)}."
        )
    keys = [upload.key for upload in uploads]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        fail(f"Two of the files would land under {twice[0]}. Land them one by one, with --subject.")
    return uploads


def _companions(header: Path) -> list[Path]:
    try:
        found = [header.with_name(name) for name in companions(header)]
    except RecordingError as error:
        fail(error.message)
    if missing := [file.name for file in found if not file.is_file()]:
        fail(f"{header} names {' and '.join(missing)}, and there is no such file beside it.")
    return found


def _extension(file: Path) -> str:
    return file.suffix.lower().removeprefix(".")


def _subject(file: Path) -> str:
    import re

    folder = file.resolve().parent.name
    if re.fullmatch(r"subject_\d+", folder):
        return folder
    match = re.match(r"subject_\d+", file.name)
    if match:
        return match.group()
    fail(f"Which subject is {file}? Name it with --subject subject_<n>, or put it into a folder subject_<n>.")


def land(target: Target, uploads: Sequence[Upload]) -> list[Upload]:
    """Upload recordings, one after another; each upload starts an execution."""
    s3, bucket = target.client("s3"), target.outputs["LandingBucketName"]
    done = []
    with progress() as display:
        task = display.add_task("landing", total=len(uploads), detail="")
        for upload in uploads:
            with upload.path.open("rb") as body:
                answer = s3.put_object(Bucket=bucket, Key=upload.key, Body=body)
            done.append(Upload(upload.path, upload.key, answer.get("VersionId"), answer["ETag"].strip('"')))
            display.update(task, advance=1, detail=upload.key)
    return done
