"""Find the EEG recordings of BIDS data sets on this machine."""

from collections.abc import Sequence
from pathlib import Path

from p300.bids.bundle import Bundle
from p300.bids.paths import DATA_SET, recording_of
from p300.bids.tree import Tree, bundle_in_place, is_root, read_tree, refuse_unfetched, root_of
from p300.errors import P300Error, RecordingError
from p300_pipeline.keys import is_litter, subject_name

from p300_client.progress import Notify

MOST_NAMED = 5


def data_set_of(folder: Path) -> Path | None:
    """Return the root of the BIDS data set that a folder is or belongs to; None if there is none."""
    if is_root(folder):
        return folder
    if folder.name != "eeg" and not folder.name.startswith(("sub-", "ses-")):
        return None
    return next((one for one in folder.absolute().parents if (one / DATA_SET).exists()), None)


def recordings_of(folder: Path, root: Path, notify: Notify) -> list[Path]:
    """Return the EEG recordings of a data set below a folder of it, and report what is skipped.

    Raises
    ------
    P300Error
        ``pointer`` where the content of none has been fetched.
    """
    tree = read_tree(root)
    below = folder.absolute().relative_to(root.absolute()).as_posix()
    inside = [path for path in tree.recordings if below == "." or path.startswith(f"{below}/")]
    found, unfetched = [], []
    for path in inside:
        try:
            refuse_unfetched(root / path, path)
        except RecordingError as error:
            unfetched.append((path, error))
        else:
            found.append(path)
    if unfetched and not found:
        raise unfetched[0][1]
    if unfetched:
        tree.left["pointers of git-annex or Git LFS, whose content has not been fetched"] = [
            path for path, _ in unfetched
        ]
    if out := [path for path in found if not (root / path).resolve().is_relative_to(root.resolve())]:
        tree.left["links that point outside the data set"] += out
    if broken := [path for path in found if not (root / path).is_file()]:
        tree.left["broken links and special files"] = broken
    _report(tree, below, notify)
    return [root / path for path in found if path not in {*out, *broken}]


def _report(tree: Tree, below: str, notify: Notify) -> None:
    for why, paths in tree.left.items():
        names = [path for path in paths if not is_litter(path, 1) and (below == "." or path.startswith(below))]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        if names:
            notify(f"not landed, {why}: {', '.join(names[:MOST_NAMED])}{more}")


def bundle_of(file: Path) -> Bundle | None:
    """Return the metadata of a recording in a data set; None for any other file.

    Raises
    ------
    P300Error
        What is wrong with it.
    """
    try:
        refuse_unfetched(file, str(file))
        return bundle_in_place(file)
    except RecordingError as error:
        placed = root_of(file)
        where = placed[0] if placed else file.parent
        raise P300Error(error.code, f"{where}: {error.message}") from error


def top_of(file: Path, named: Path) -> Path:
    """Return the folder that no link of a recording may point outside of: its data set's root, or what the user named."""
    placed = root_of(file)
    return placed[0] if placed else named


def subject_of(file: Path) -> str | None:
    """Return the subject of a recording in a data set, as in landing keys; None for any other file."""
    placed = root_of(file)
    named = recording_of(placed[1]) if placed else None
    return subject_name(f"sub-{named.entities['sub']}") if named else None


def refuse_one_person_twice(files: Sequence[Path]) -> None:
    """Refuse two subjects of one data set whose labels are spellings of one name.

    Raises
    ------
    P300Error
        ``same_subject``.
    """
    spelled: dict[tuple[Path, str], str] = {}
    for file in files:
        placed = root_of(file)
        named = recording_of(placed[1]) if placed else None
        if not placed or not named:
            continue
        label = f"sub-{named.entities['sub']}"
        other = spelled.setdefault((placed[0], subject_name(label)), label)
        if other != label:
            raise P300Error(
                "same_subject",
                f"{placed[0]}: {other} and {label} would both be {subject_name(label)}, as upper and lower case are the same and zeros "
                "before a number do not count. Rename one of them; if they are one person, make them sessions or runs of one subject.",
            )
