"""Public recordings from Zenodo by DOI: download, check, unpack, lay out for `p300 land`.

A download that breaks off is resumed, in this run or the next. Archives stay in ``<folder>/.download``.
"""

import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import requests
from p300.errors import P300Error
from p300_pipeline.steps.zones import MAX_RECORDING_BYTES
from pooch import Pooch, get_logger
from pooch.downloaders import ZenodoRepository

from p300_cli.terminal import download_progress

ATTEMPTS = 4
TIMEOUT_S = (10, 60)  # to connect, between two pieces
CHUNK_BYTES = 1 << 16  # lost at most when a connection breaks
LASTING = {401, 403, 404, 410}  # statuses where asking again would not help
HASHES = {"md5", "sha1", "sha256", "sha512"}


@dataclass(frozen=True)
class DataSet:
    """Where a data set's recordings are, as MOABB's `moabb.datasets.braininvaders` documents it.

    Attributes
    ----------
    doi : str
        Of the Zenodo record.
    n_subjects : int
        Subjects are numbered from 1.
    archives : callable
        Subject to the names of its archives in the record.
    members : callable
        Subject to a pattern of its recordings in the archive, matched from the last folder on.
    """

    doi: str
    n_subjects: int
    archives: Callable[[int], list[str]]
    members: Callable[[int], str]


def _pair(subject: int) -> int:
    return (subject + 1) // 2


def _bi2013a_archives(subject: int) -> list[str]:
    if subject > 7:
        return [f"subject{subject:02}.zip"]
    return [f"subject{subject:02}_session{session:02}.zip" for session in range(1, 9)]


DATA_SETS = {
    "bi2012": DataSet(
        "10.5281/zenodo.2649069", 25, lambda s: [f"subject_{s:02}.zip"], lambda s: r"(?:training|online)\.mat"
    ),
    "bi2013a": DataSet("10.5281/zenodo.2669187", 24, _bi2013a_archives, lambda s: r"(Session\d+)/(\d+\.mat)"),
    "bi2014a": DataSet(
        "10.5281/zenodo.3266223", 64, lambda s: [f"subject_{s:02}.zip"], lambda s: rf"subject_{s:02}\.mat"
    ),
    "bi2014b": DataSet(
        "10.5281/zenodo.3267302",
        38,
        lambda s: [f"group_{_pair(s):02}_mat.zip"],
        lambda s: rf"group_\d+_sujet_0{2 - s % 2}\.mat",  # the two play alone here; their game together is left out
    ),
    "bi2015a": DataSet(
        "10.5281/zenodo.3266930",
        43,
        lambda s: [f"subject_{s:02}_mat.zip"],
        lambda s: rf"subject_{s:02}_session_\d+\.mat",
    ),
    "bi2015b": DataSet(
        "10.5281/zenodo.3268762", 44, lambda s: [f"group_{_pair(s):02}_mat.zip"], lambda s: r"group_\d+_s\d+\.mat"
    ),
}


def parse_subjects(text: str, name: str) -> list[int]:
    """Return the subjects that ``1-10,12`` names; all of the data set for ``all``.

    Raises
    ------
    P300Error
        With code ``bad_subjects`` if that is no such list, or the data set has fewer.
    """
    n_subjects = _data_set(name).n_subjects
    if text == "all":
        return list(range(1, n_subjects + 1))
    subjects: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:\s*-\s*(\d{1,4}))?\s*", part, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= n_subjects:
            raise P300Error(
                "bad_subjects",
                f"--subjects {text!r}: {part.strip()!r} names no subjects of {name}. Expected numbers from 1 to "
                f"{n_subjects}, such as 1-10 or 1,3,5, or all.",
            )
        subjects.update(range(first, last + 1))
    return sorted(subjects)


def fetch(name: str, subjects: Sequence[int], folder: Path, server: str = "https://zenodo.org") -> list[Path]:
    """Download and unpack recordings.

    Parameters
    ----------
    name : str
        A key of `DATA_SETS`.
    subjects : sequence of int
        Whose recordings.
    folder : Path
        Recordings come to lie at ``<folder>/subject_<n>/<recording>.mat``; what is there already is not fetched again.
    server : str
        A server with Zenodo's API.

    Returns
    -------
    list of Path
        The recordings, those that were there already among them.

    Raises
    ------
    P300Error
        ``unreachable``, ``no_such_file``, ``refused``, ``damaged_download``, ``bad_archive``.
    """
    data_set = _data_set(name)
    record = _Record(data_set.doi, server)
    get_logger().setLevel("WARNING")
    shelf = Pooch(folder / ".download", base_url="", retry_if_failed=ATTEMPTS - 1)
    record.populate_registry(shelf)
    recordings: list[Path] = []
    with download_progress() as display:
        for subject in subjects:
            for archive in data_set.archives(subject):
                if archive not in record.names:
                    raise P300Error("no_such_file", f"{record} has no file {archive}. Did its layout change?")
                shelf.urls[archive] = record.download_url(archive)
                task = display.add_task(archive, total=None)

                def show(done: int, total: int | None, task: Any = task) -> None:
                    display.update(task, completed=done, total=total)

                path = _download(shelf, archive, show)
                show(path.stat().st_size, path.stat().st_size)
                recordings += unpack(path, data_set.members(subject), folder / f"subject_{subject:02}")
    return recordings


def unpack(archive: Path, member: str, folder: Path) -> list[Path]:
    """Write the members whose last parts match the pattern to a folder; names with folders are joined by ``_``.

    Raises
    ------
    P300Error
        ``bad_archive`` where it is none, is damaged, points outside itself, unfolds to more than a recording may hold,
        or holds no such member; ``in_the_way`` where another file has a recording's place.
    """
    written = []
    try:
        with zipfile.ZipFile(archive) as content:
            members = content.infolist()
            for info in members:
                _check_member(archive, info)
            for info in members:
                match = re.search(rf"(?:^|/)({member})$", info.filename)
                if match:
                    written.append(_extract(content, info, folder / match[1].replace("/", "_")))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise P300Error("bad_archive", f"{archive} cannot be unpacked: {error}. Delete it and fetch again.") from error
    if not written:
        raise P300Error("bad_archive", f"{archive} holds no recording: expected a file named like {member}.")
    return sorted(written)


def _check_member(archive: Path, info: zipfile.ZipInfo) -> None:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
    if path.is_absolute() or ".." in path.parts or ":" in info.filename or is_link:
        raise P300Error(
            "bad_archive", f"{archive} holds {info.filename!r}, which points outside the archive. Nothing was unpacked."
        )
    if info.file_size > MAX_RECORDING_BYTES:
        raise P300Error(
            "bad_archive",
            f"{archive} holds {info.filename!r} of {info.file_size:,} bytes; a recording may have {MAX_RECORDING_BYTES:,}.",
        )


def _extract(content: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> Path:
    if target.exists():
        if _crc(target) != info.CRC:
            raise P300Error(
                "in_the_way", f"{target} is there already and is not what {content.filename} holds. Move it away first."
            )
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    with content.open(info) as source, partial.open("wb") as file:
        while chunk := source.read(CHUNK_BYTES):
            file.write(chunk)
    partial.replace(target)
    return target


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            crc = zlib.crc32(chunk, crc)
    return crc


class _Record(ZenodoRepository):  # type: ignore[misc]
    """A record's files, read once; pooch knows the forms that Zenodo's answer may have."""

    def __init__(self, doi: str, server: str) -> None:
        number = doi.rpartition(".")[2]
        super().__init__(doi, f"{server}/records/{number}")
        url = f"{server}/api/records/{number}"
        try:
            answer = requests.get(url, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            raise _unreachable(str(self), error) from error
        if not answer.ok:
            raise P300Error("refused", f"{self}: {url} answers {answer.status_code} {answer.reason}.")
        try:
            self.record: dict[str, Any] = answer.json()
            self.names = {file.get("key") or file["filename"] for file in self.record["files"]}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise P300Error("refused", f"{self}: {url} does not answer as Zenodo does ({error!r}).") from error

    def __str__(self) -> str:
        return f"doi:{self.doi}"

    @property
    def api_response(self) -> dict[str, Any]:
        return self.record


class _RefusedError(Exception):
    """The server refuses for good; not a `ValueError`, after which pooch would ask again."""


class _Resuming:
    """A downloader for pooch that keeps what came, and asks for the rest when pooch calls it again."""

    def __init__(self, partial: Path, show: Callable[[int, int | None], None]) -> None:
        self._partial = partial
        self._show = show

    def __call__(self, url: str, output_file: str, pooch: Pooch) -> None:
        held = self._partial.stat().st_size if self._partial.exists() else 0
        # Bytes as they are: a compressed answer could not be continued.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if held and answer.status_code == requests.codes.requested_range_not_satisfiable:
                self._partial.unlink()  # as long as the file, or longer: from the start again, and the checksum decides
                self(url, output_file, pooch)
                return
            if answer.status_code in LASTING:
                raise _RefusedError(f"{url} answers {answer.status_code} {answer.reason}.")
            answer.raise_for_status()  # what is left may pass: pooch asks again
            resumed = answer.headers.get("Content-Range", "").startswith(f"bytes {held}-")
            held = held if resumed else 0
            rest = answer.headers.get("Content-Length")
            total = held + int(rest) if rest else None
            with self._partial.open("ab" if resumed else "wb") as file:
                for chunk in answer.iter_content(CHUNK_BYTES):
                    held += file.write(chunk)
                    self._show(held, total)
        self._partial.replace(output_file)


def _download(shelf: Pooch, archive: str, show: Callable[[int, int | None], None]) -> Path:
    checksum, url = shelf.registry[archive], shelf.urls[archive]
    if checksum.partition(":")[0] not in HASHES:
        raise P300Error("refused", f"{archive}: expected an MD5 or SHA checksum in the record, found {checksum!r}.")
    try:
        return Path(shelf.fetch(archive, downloader=_Resuming(shelf.abspath / f"{archive}.part", show)))
    except _RefusedError as error:
        raise P300Error("refused", str(error)) from error
    except requests.HTTPError as error:
        raise P300Error("refused", f"{error}, {ATTEMPTS} times.") from error
    except requests.RequestException as error:
        raise _unreachable(url, error) from error
    except ValueError as error:
        raise P300Error(
            "damaged_download",
            f"{url}: what came does not have the checksum of the record ({checksum}), {ATTEMPTS} times. The file is "
            "damaged at the server or on the way: try again later.",
        ) from error


def _unreachable(what: str, error: Exception) -> P300Error:
    return P300Error(
        "unreachable",
        f"{what}: the connection failed or broke off ({type(error).__name__}). Run the same command again: it continues where "
        "it stopped.",
    )


def _data_set(name: str) -> DataSet:
    if name not in DATA_SETS:
        raise P300Error("no_such_data_set", f"There is no data set {name!r}; expected one of {', '.join(DATA_SETS)}.")
    return DATA_SETS[name]
