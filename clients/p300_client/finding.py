"""Find recordings in files and folders, with the files that belong to them and their landing keys."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from p300.bids.bundle import name_of
from p300.bids.paths import LABEL
from p300.bids.tree import is_unfetched, refuse_unfetched
from p300.errors import P300Error, RecordingError
from p300.formats import EXTENSIONS, SIDECAR_ENDINGS, instead
from p300.readers import sidecar as sidecars
from p300.readers.companions import companions, is_part_file, is_prose
from p300_pipeline.keys import RecordingKey, is_litter, is_sidecar, subject_name

from p300_client import bids_finding
from p300_client.progress import Notify, ignore_notes

_SUBJECT = rf"(?:subject_|sub-){LABEL}"


@dataclass(frozen=True)
class Upload:
    """A file, the key it lands under, and the version that S3 gave it; with `content`, what lands is that, and no file has it."""

    path: Path
    key: str
    version_id: str | None = None
    etag: str = ""
    content: bytes | None = None

    @property
    def is_recording(self) -> bool:
        """Whether it is a recording's own file, not a sidecar or a companion that a header names."""
        return not is_sidecar(self.key) and not is_part_file(self.path)


def find(paths: Sequence[Path], subject: str | None = None, notify: Notify = ignore_notes) -> list[Upload]:
    """Return the recordings in files and folders, with their landing keys; companions and sidecar come before the recording's own file.

    A file in a folder ``subject_<label>`` or ``sub-<label>`` lands under that subject; for any other file, `subject` or the start of its
    name must say the subject. A recording of a BIDS data set lands with the metadata that apply to it. In folders, files that programs
    leave behind and links that point outside are skipped and reported.

    Parameters
    ----------
    paths : sequence of Path
        Recordings, or folders of them.
    subject : str, optional
        ``subject_<label>`` or ``sub-<label>``, if folders and file names do not say it.
    notify : callable, optional
        Called with what is skipped, and why.

    Returns
    -------
    list of Upload

    Raises
    ------
    P300Error
        ``not_found``, ``companion_named``, ``wrong_key``, ``no_recordings``, ``same_key``, ``no_subject``, ``companion_missing``,
        ``bad_sidecar`` or ``link_out``; of BIDS data sets ``same_subject``, ``subject_given``, ``pointer``, ``bad_bids`` or ``too_large``.
    """
    uploads: list[Upload] = []
    for path in paths:
        if not path.exists():
            refuse_unfetched(path, str(path))
            raise P300Error("not_found", f"{path} does not exist.")
        for file in recordings_in(path, notify) if path.is_dir() else [path]:
            if not file.is_file():
                raise P300Error("not_found", f"{file} is not a file. Name recordings, or folders of them.")
            in_data_set = bids_finding.subject_of(file)
            if in_data_set and subject and subject_name(subject) != in_data_set:
                raise P300Error(
                    "subject_given", f"{file} is of {in_data_set} by its BIDS name; leave --subject {subject} out."
                )
            own = Upload(file, f"{in_data_set or (_folder(subject) if subject else _subject(file))}/{file.name}")
            if not own.is_recording:
                whole = "the recording that it belongs to" if is_sidecar(own.key) else "the .vhdr or .set that names it"
                raise P300Error(
                    "companion_named", f"{file} is only a part of a recording. Land {whole}; this file comes with it."
                )
            try:
                RecordingKey.parse(own.key)
            except RecordingError as error:
                raise P300Error(
                    "wrong_key",
                    f"{file} would land under an invalid key: {error.message} Rename the file first.",
                ) from error
            said = bids_finding.bundle_of(file)
            if said:
                key = RecordingKey.parse(own.key).bids
                uploads.append(Upload(file.with_name(name_of(file.name)), key, content=said.to_bytes()))
            top = bids_finding.top_of(file, path)
            beside = [*_sidecar(file, top), *_companions(file, top)]
            uploads += [Upload(one, f"{own.key.rpartition('/')[0]}/{one.name}") for one in beside]
            uploads.append(own)
    if not uploads:
        raise P300Error(
            "no_recordings",
            f"No recordings in {', '.join(map(str, paths))}: expected files ending in {', '.join('.' + ext for ext in EXTENSIONS)}."
            + "".join(dict.fromkeys(instead(path.name) for path in paths)),
        )
    bids_finding.refuse_one_person_twice([upload.path for upload in uploads if upload.is_recording])
    counts = Counter(upload.key.lower() for upload in uploads)
    if twice := sorted(upload.key for upload in uploads if counts[upload.key.lower()] > 1):
        raise P300Error("same_key", f"Two files would land under {twice[0]}. Land them one at a time, with --subject.")
    return uploads


def recordings_in(folder: Path, notify: Notify) -> list[Path]:
    """Return the recordings below a folder, and report skipped files whose names look like recordings."""
    if root := bids_finding.data_set_of(folder):
        return bids_finding.recordings_of(folder, root, notify)
    found: list[Path] = []
    left_out: dict[str, list[str]] = {}
    alone: list[Path] = []
    for file in sorted(folder.rglob("*")):
        if file.is_dir():
            continue
        name = file.relative_to(folder).as_posix()
        if is_litter(name, 1):
            left_out.setdefault("left behind by programs", []).append(name)
        elif name.endswith(SIDECAR_ENDINGS):
            alone.append(file)
        elif _extension(file) not in EXTENSIONS:
            continue
        elif _leads_out(file, folder):
            left_out.setdefault("links that point outside the folder", []).append(name)
        elif not file.is_file():
            why = (
                "pointers of git-annex, whose content has not been fetched"
                if is_unfetched(file)
                else "broken links and special files"
            )
            left_out.setdefault(why, []).append(name)
        elif is_prose(file):
            left_out.setdefault("text without rows of numbers", []).append(name)
        elif not is_part_file(file):
            found.append(file)
    wanted = {file.with_name(sidecars.name_of(file.name)) for file in found}
    if alone := [file for file in alone if file not in wanted]:
        left_out["sidecars without a recording"] = [file.relative_to(folder).as_posix() for file in alone]
    for why, names in left_out.items():
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        notify(f"not landed, {why}: {', '.join(names[:5])}{more}")
    return found


def _leads_out(file: Path, folder: Path) -> bool:
    return not file.resolve().is_relative_to(folder.resolve())


def _companions(header: Path, named: Path) -> list[Path]:
    """Return the files that a header names; `named` is the path that the user gave, the header itself or a folder around it."""
    try:
        found = [header.with_name(name) for name in companions(header)]
    except RecordingError as error:
        raise P300Error(error.code, error.message) from error
    if missing := [file.name for file in found if not file.is_file()]:
        raise P300Error(
            "companion_missing", f"{header} names {' and '.join(missing)}, but there is no such file beside it."
        )
    _refuse_links_out(header, found, named)
    return found


def _sidecar(recording: Path, named: Path) -> list[Path]:
    """Return the sidecar beside a recording, if there is one."""
    try:
        found = sidecars.beside(recording, recording.name)
    except RecordingError as error:
        raise P300Error(error.code, f"{recording.parent}: {error.message}") from error
    _refuse_links_out(recording, [found] if found else [], named)
    return [found] if found else []


def _refuse_links_out(recording: Path, files: Iterable[Path], named: Path) -> None:
    folder = named if named.is_dir() else named.absolute().parent
    if out := [file.name for file in files if _leads_out(file, folder)]:
        raise P300Error(
            "link_out",
            f"{out[0]}, which belongs to {recording}, is a link that points outside the folder. Put the file itself there.",
        )


def _extension(file: Path) -> str:
    return file.suffix.lower().removeprefix(".")


def _folder(subject: str) -> str:
    """Return the folder of a landing key: the subject as spelled, except that ``sub-05`` (BIDS), with which no key begins, is converted."""
    return subject_name(subject) if subject.startswith("sub-") else subject


def _subject(file: Path) -> str:
    folder = file.absolute().parent.name
    if re.fullmatch(_SUBJECT, folder):
        return _folder(folder)
    if match := re.match(_SUBJECT, file.name):
        return _folder(match.group())
    raise P300Error(
        "no_subject",
        f"The subject of {file} is unknown. Name it with --subject subject_<label>, or put the file into a folder subject_<label>.",
    )
