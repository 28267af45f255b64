"""Object keys: what a landing key may look like, and where everything derived from it is kept."""

import hashlib
import re
from collections.abc import Container
from dataclasses import dataclass, replace

from p300.bids.paths import FORMATS, LABEL, is_of_one, left_alone, metadata_of, of_eeg
from p300.errors import RecordingError
from p300.formats import BIDS_ENDING, EXTENSIONS, HEADER_OF, SIDECAR_ENDING, SIDECAR_ENDINGS, instead

QUARANTINE = "quarantine/"
RECORDS = "quarantine-records/"
"""Where the quarantine's own records are: no landing key leads there (see `quarantine_key`), so nobody who uploads can write one."""
# Lengths leave room for what is derived from a key: 1,024 bytes for an object's, 255 for a file's name.
_LANDING_KEY = re.compile(
    rf"(?P<folder>(?:subject_|sub-){LABEL}|(?P<in_tree>sub-{LABEL}/(?:ses-{LABEL}/)?eeg))/"
    r"(?P<name>[A-Za-z0-9][\w.+=@ -]{0,199})\.(?P<ext>[A-Za-z]+5?)",
    re.ASCII,
)
_SUBJECT = re.compile(rf"(?:subject_|sub-)({LABEL})", re.ASCII)
_MAX_KEY_BYTES = 1024
_ID_LENGTH = 32
_ID = re.compile(f"[0-9a-f]{{{_ID_LENGTH}}}")
_LITTER = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".directory", ".gitkeep", ".keep"}
_LITTER_BEGINNINGS = ("._", "~$", ".~lock.", ".fuse_hidden", ".nfs0")
_LITTER_ENDINGS = (
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    ".download",
    ".tmp",
    ".temp",
    ".swp",
    "~",
    "_$folder$",
)
_LITTER_FOLDERS = {
    "__MACOSX",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    ".TemporaryItems",
    "$RECYCLE.BIN",
    "System Volume Information",
}


def subject_name(spelled: str) -> str:
    """Return the canonical name of a subject: ``subject_5``, ``subject_05`` and ``sub-05`` are all ``subject_05``.

    A label may be any of BIDS, letters and digits: ``sub-P7``, ``sub-p07`` and ``subject_P007`` are all ``subject_p07``. Capitals do not
    count, nor do zeros before the number at its end.

    Ingestion stores a new recording under this name (see `p300_pipeline.steps.raw_data.home_of`). Wherever it matters whose a recording
    is, this name is compared, as older buckets hold other spellings.

    Parameters
    ----------
    spelled : str
        A subject as named by a user or a key; anything else is returned unchanged.

    Returns
    -------
    str
    """
    match = _SUBJECT.fullmatch(spelled)
    if not match:
        return spelled
    label = match[1].lower()
    letters = label.rstrip("0123456789")
    number = label[len(letters) :]
    return f"subject_{letters}{number.lstrip('0').rjust(2, '0') if number else ''}"


def subject_named(text: str) -> str | None:
    """Return the canonical name of a subject in any spelling, or by its label alone (``07``); None where it can be none."""
    label = text if _SUBJECT.fullmatch(text) else f"subject_{text}"
    return subject_name(label) if _SUBJECT.fullmatch(label) else None


@dataclass(frozen=True, order=True)
class RecordingKey:
    """The key of a recording in the landing and raw buckets: ``<folder>/<recording>.<ext>``.

    The folder is a spelling of its subject; in the landing zone it may be that of a BIDS data set, ``sub-<label>/[ses-<label>/]eeg``.
    """

    folder: str
    name: str
    ext: str

    @classmethod
    def parse(cls, key: str) -> "RecordingKey":
        """Return the parts of a landing key.

        Raises
        ------
        RecordingError
            With code ``wrong_key`` if the key is not ``subject_<label>/<recording>.<ext>``, or ``sub-<label>/...``, of a known
            extension, nor that of a recording in a BIDS data set.
        """
        match = _match(key, EXTENSIONS)
        if not match:
            raise RecordingError(
                "wrong_key",
                f"{key[:200]!r} is not the key of a recording. Expected subject_<label>/<recording>.<extension>, for example "
                f"subject_11/run_01.parquet, with one of the extensions {', '.join(EXTENSIONS)}; or, of a BIDS data set, "
                "sub-<label>/[ses-<label>/]eeg/sub-<label>_[ses-<label>_]task-<label>_[...]eeg.<extension>, with one of "
                f"{', '.join(FORMATS)}. Upload it again under such a key.{instead(key)}",
            )
        return cls(match["folder"], match["name"], match["ext"])

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}.{self.ext}"

    @property
    def subject(self) -> str:
        """The one name of the recording's subject, however the key spells it."""
        return subject_name(self.folder.partition("/")[0])

    @property
    def in_tree(self) -> bool:
        """Whether it is a path in a BIDS data set."""
        return "/" in self.folder

    @property
    def recording(self) -> str:
        """``<folder>/<recording>``: the folder of what is derived from it."""
        return f"{self.folder}/{self.name}"

    @property
    def file_name(self) -> str:
        """What the recording's file is called where a reader opens it."""
        return f"{self.name}.{self.ext.lower()}"

    def spellings(self) -> list["RecordingKey"]:
        """Return the keys that the recording may have in the raw zone, the one of its subject's own name first."""
        label = self.subject.removeprefix("subject_")
        as_landed = [self.folder] if self.folder.startswith("subject_") else []
        folders = [self.subject, *as_landed, *([f"subject_{label.lstrip('0') or '0'}"] if label.isdigit() else [])]
        return [replace(self, folder=folder) for folder in dict.fromkeys(folders)]

    def beside(self, name: str) -> str:
        """Key of a file that belongs to the recording."""
        return f"{self.folder}/{name}"

    @property
    def sidecar(self) -> str:
        """Key of what the lab says about the recording."""
        return f"{self.recording}{SIDECAR_ENDING}"

    @property
    def bids(self) -> str:
        """Key of what its BIDS data set says about the recording."""
        return f"{self.recording}{BIDS_ENDING}"

    @property
    def features(self) -> str:
        """Key of the features in the features bucket."""
        return f"{self.recording}/features.parquet"

    @property
    def report(self) -> str:
        """Key of the report beside the features."""
        return f"{self.recording}/report.json"

    @property
    def erp_plot(self) -> str:
        """Key of the picture beside the features."""
        return f"{self.recording}/erp.png"

    @property
    def page(self) -> str:
        """Key of the HTML report beside the features."""
        return f"{self.recording}/report.html"


def is_recording(key: str) -> bool:
    """Tell whether a key may be a recording's own: not in quarantine, not a sidecar's, nor a companion's, but for `TWOFOLD` extensions."""
    return _match(key, EXTENSIONS) is not None


def is_companion(key: str) -> bool:
    """Tell whether a landing key is that of a file that belongs to a header: a BrainVision signal, for instance."""
    return _match(key, HEADER_OF) is not None


def is_sidecar(key: str) -> bool:
    """Tell whether a landing key is that of a recording's sidecar, or of what its BIDS data set says about it."""
    recording = recording_of_sidecar(key)  # its name may be as long as that of a recording
    return recording != key and _match(f"{recording}.json", ("json",)) is not None


def recording_of_sidecar(key: str) -> str:
    """Return the key of a sidecar without its ending: that of its recording without the extension; any other key as it is."""
    ending = next((one for one in SIDECAR_ENDINGS if key.endswith(one)), "")
    return key.removesuffix(ending)


def _match(key: str, extensions: Container[str]) -> re.Match[str] | None:
    match = _LANDING_KEY.fullmatch(key)
    if not match or ".." in key or match["ext"].lower() not in extensions:
        return None
    if match["in_tree"] and (not of_eeg(key) or (extensions is EXTENSIONS and match["ext"].lower() not in FORMATS)):
        return None
    return match


def bare_name(key: str) -> str:
    """Return a key without the ending of a recording's file or sidecar: ``<subject>/<recording>``."""
    if (recording := recording_of_sidecar(key)) != key:
        return recording
    stem, dot, _ = key.rpartition(".")
    return stem if dot and "/" not in key[len(stem) :] else key


def recording_of_features(key: str) -> str | None:
    """Return ``<subject>/<recording>`` of a features key, or None if `key` names something else."""
    return key.removesuffix("/features.parquet") if key.endswith("/features.parquet") else None


def is_landing_key(key: str) -> bool:
    """Tell whether an object under this key can become raw data: a recording's own, or that of a companion, a sidecar or BIDS metadata."""
    metadata = metadata_of(key)
    return is_recording(key) or is_companion(key) or is_sidecar(key) or (metadata is not None and is_of_one(metadata))


def is_litter(key: str, size: int) -> bool:
    """Say whether an object is something that programs leave behind and nobody uploads on purpose.

    Folder markers without content, what operating systems and office programs keep beside files, and uploads that are not complete.
    """
    folders, _, name = key.rpartition("/")
    if not name:
        return size == 0
    if any(folder in _LITTER_FOLDERS for folder in folders.split("/")):
        return True
    lower = name.lower()
    return lower in _LITTER or lower.startswith(_LITTER_BEGINNINGS) or lower.endswith(_LITTER_ENDINGS)


def stays(key: str) -> bool:
    """Say whether an object is a file of a BIDS data set that stays in the landing zone: one not read, or about several recordings."""
    metadata = metadata_of(key)
    return left_alone(key) is not None or (metadata is not None and not is_of_one(metadata))


def quarantine_id(landing_key: str, etag: str) -> str:
    """Return what names an object in quarantine: by key and content, so that no upload takes the place of another."""
    return hashlib.sha256(f"{etag}/{landing_key}".encode(errors="surrogatepass")).hexdigest()[:_ID_LENGTH]


def quarantine_key(landing_key: str, etag: str) -> str:
    """Return where an object that is not a recording is kept."""
    folder = f"{QUARANTINE}{quarantine_id(landing_key, etag)}/"
    # A landing key may use all 1,024 bytes that S3 allows; the record holds all of it.
    room = _MAX_KEY_BYTES - len(folder)
    return folder + landing_key.encode()[:room].decode(errors="ignore")


def record_key(quarantined_key: str) -> str | None:
    """Return the key of the record that says why `quarantined_key` is in quarantine; None for what an older version put there."""
    name = quarantined_key.removeprefix(QUARANTINE).partition("/")[0]
    return f"{RECORDS}{name}.json" if _ID.fullmatch(name) else None
