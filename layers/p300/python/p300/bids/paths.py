"""Names in a BIDS data set: which file is an EEG recording, which metadata apply to it, and what is left alone.

Paths are relative to the data set's root, with ``/`` between folders, on a file system and in a bucket alike.
"""

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from p300.formats import HEADER_OF

LABEL = r"[0-9A-Za-z+]{1,64}"
"""Of a subject, session, task, ...: letters, digits and ``+``."""
DATA_SET, PEOPLE = "dataset_description.json", "participants.tsv"
IS_SYNTHETIC = "SyntheticRecording"
"""Field of the ``_eeg.json`` of a recording that was simulated."""
FORMATS = ("edf", "bdf", "set", "vhdr")
"""Extensions of EEG recordings in BIDS."""
USED = {
    ("events", "tsv"),
    ("channels", "tsv"),
    ("electrodes", "tsv"),
    ("coordsystem", "json"),
    ("eeg", "json"),
}
"""Suffixes and extensions of the metadata that are read."""
_FOLDERS = re.compile(rf"(?:sub-({LABEL})(?:/ses-({LABEL}))?(?:/(eeg))?)?", re.ASCII)
_NAME = re.compile(
    rf"(?P<entities>(?:[a-z]+-{LABEL}_)*)(?P<suffix>[A-Za-z0-9]+)\.(?P<extension>\w+(?:\.gz)?)", re.ASCII
)
_OF_ANOTHER = re.compile(rf"sub-{LABEL}/(?:ses-{LABEL}/)?(?P<kind>[a-z]+)/.+", re.ASCII | re.DOTALL)
_OTHER_KINDS = frozenset(
    {"anat", "beh", "dwi", "emg", "fmap", "func", "ieeg", "meg", "micr", "motion", "mrs", "nirs", "perf", "pet"}
)
_APART = {
    "derivatives": "results computed from recordings",
    "sourcedata": "files from before the conversion to BIDS",
    "code": "programs",
    "stimuli": "stimulus files",
    "phenotype": "questionnaires",
    ".git": "git's own files",
    ".datalad": "DataLad's own files",
}
_OF_ROOT = re.compile(
    r"README(\.(md|rst|txt))?|CHANGES|LICENSE|CITATION\.cff|dataset_description\.json|\.bidsignore|\.gitattributes|\.gitmodules"
    r"|\.gitignore|(participants|samples)\.(tsv|json)|genetic_info\.json"
)
_LONGEST_PATH = 512
_SPACE = "space"
"""Entity of electrode positions, which says in which coordinates they are, not what was recorded."""


@dataclass(frozen=True)
class Named:
    """A file whose name BIDS defines.

    Attributes
    ----------
    path : str
        From the data set's root on.
    entities : dict of str to str
        ``sub``, ``ses``, ``task``, ``acq``, ``run`` and others, with their labels.
    suffix, extension : str
        ``eeg`` and ``edf`` of ``sub-01_task-p300_eeg.edf``.
    """

    path: str
    entities: dict[str, str] = field(default_factory=dict)
    suffix: str = ""
    extension: str = ""

    @property
    def folder(self) -> str:
        """The folder that it is in; empty for the root."""
        return self.path.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """Its name without the extension."""
        return PurePosixPath(self.path).stem

    @property
    def space(self) -> str:
        """In which coordinates electrode positions are; empty of anything else."""
        return self.entities.get(_SPACE, "")

    @property
    def nearness(self) -> tuple[int, int]:
        """How near it is to the recordings that it applies to: by folder, then by what its name says."""
        return (len(self.path.split("/")), len(self.entities))


def folders_of(path: str) -> list[str]:
    """Return the folders whose metadata may apply to a recording, the data set's root first, each with a ``/`` at its end but the root.

    Parameters
    ----------
    path : str
        Of the recording.

    Returns
    -------
    folders : list of str
    """
    parts = path.split("/")[:-1]
    return ["".join(f"{part}/" for part in parts[:n]) for n in range(len(parts) + 1)]


def recording_of(path: str) -> Named | None:
    """Return the parts of an EEG recording's path; None of any other.

    Parameters
    ----------
    path : str
        As ``sub-01/ses-1/eeg/sub-01_ses-1_task-p300_eeg.edf``.

    Returns
    -------
    named : Named or None
    """
    named = of_eeg(path)
    return named if named and named.extension.lower() in FORMATS else None


def part_of(path: str) -> Named | None:
    """Return the parts of the path of a file that an EEG recording's header names; None of any other; as `recording_of`."""
    named = of_eeg(path)
    return named if named and named.extension.lower() in HEADER_OF else None


def recording_in_eeg(stem: str, extension: str) -> str | None:
    """Return the path of a recording in its data set, which its name determines; None where it is no BIDS name.

    Parameters
    ----------
    stem : str
        ``sub-01_ses-1_task-p300_eeg``.
    extension : str
        Of the recording.

    Returns
    -------
    path : str or None
    """
    match = re.match(rf"sub-({LABEL})_(?:ses-({LABEL})_)?", stem, re.ASCII)
    if not match:
        return None
    session = f"ses-{match[2]}/" if match[2] else ""
    path = f"sub-{match[1]}/{session}eeg/{stem}.{extension}"
    return path if recording_of(path) else None


def metadata_of(path: str) -> Named | None:
    """Return the parts of the path of metadata that are read; None of any other file.

    Parameters
    ----------
    path : str
        At any level of the data set.

    Returns
    -------
    named : Named or None
    """
    if path in (DATA_SET, PEOPLE):
        suffix, _, extension = path.partition(".")
        return Named(path, {}, suffix, extension)
    named = _named(path)
    return named if named and (named.suffix, named.extension) in USED else None


def applies(metadata: Named, recording: Named) -> bool:
    """Tell whether metadata apply to a recording, by the inheritance principle.

    Parameters
    ----------
    metadata : Named
        As `metadata_of` returns it.
    recording : Named
        As `recording_of` returns it.

    Returns
    -------
    applies : bool
        Whether the recording is in the metadata's folder or below it, and has all entities of its name.
    """
    if f"{metadata.folder}/" not in {"/", *folders_of(recording.path)}:
        return False
    return _without_space(metadata).items() <= recording.entities.items()


def is_own(metadata: Named, recording: Named) -> bool:
    """Tell whether metadata are of one recording alone: beside it, and with its name."""
    return metadata.folder == recording.folder and _without_space(metadata) == recording.entities


def is_of_one(metadata: Named) -> bool:
    """Tell whether metadata in an ``eeg`` folder name a task, as a recording does: then they may be those of one recording."""
    return metadata.folder.endswith("/eeg") and "task" in metadata.entities


def left_alone(path: str) -> str | None:
    """Say why a file of a BIDS data set is not read; None for one that is read, or that belongs to no data set.

    Parameters
    ----------
    path : str
        From the data set's root on.

    Returns
    -------
    why : str or None
    """
    first, slash, _ = path.partition("/")
    if slash and first in _APART:
        return f"{first}/ holds {_APART[first]}, which are not read"
    if (match := _OF_ANOTHER.fullmatch(path)) and match["kind"] in _OTHER_KINDS:
        return f"{match['kind']}/ holds another modality, and only eeg/ is read"
    if _OF_ROOT.fullmatch(path):
        return "a file about the data set as a whole, which is not read"
    named = _named(path)
    if named is None or recording_of(path) or part_of(path) or metadata_of(path):
        return None
    of_eeg = named.folder.endswith("eeg") and named.suffix == "eeg"
    return None if of_eeg or not named.entities else f"metadata that are not read (_{named.suffix}.{named.extension})"


def of_eeg(path: str) -> Named | None:
    """Return the parts of the path of a file named as an EEG recording is, whatever its extension; as `recording_of`."""
    named = _named(path)
    is_eeg = named is not None and named.folder.endswith("/eeg") and named.suffix == "eeg" and "task" in named.entities
    return named if is_eeg else None


def _named(path: str) -> Named | None:
    folder, _, name = path.rpartition("/")
    where, match = _FOLDERS.fullmatch(folder), _NAME.fullmatch(name)
    if not where or not match or len(path) > _LONGEST_PATH:
        return None
    pairs = [part.split("-", 1) for part in match["entities"].split("_")[:-1]]
    entities = dict(pairs)
    if len(entities) < len(pairs) or [entities.get("sub"), entities.get("ses")] != [where[1], where[2]]:
        return None
    return Named(path, entities, match["suffix"], match["extension"])


def _without_space(metadata: Named) -> dict[str, str]:
    return {entity: label for entity, label in metadata.entities.items() if entity != _SPACE}
