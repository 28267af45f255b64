"""Inspect files before they land: what they contain, and what the pipeline would make of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p300.errors import P300Error
from p300.formats import SIDECAR_ENDINGS, instead
from p300.readers import sidecar as sidecars
from p300.readers.companions import is_part_file

from p300_client.bids_finding import refuse_one_person_twice
from p300_client.finding import recordings_in
from p300_client.progress import Notify, Progress, ignore_notes, no_progress

if TYPE_CHECKING:
    from p300.inspection import Inspection
    from p300.signals import Parameters


def inspect(
    paths: Sequence[Path],
    parameters: "Parameters | None" = None,
    *,
    sidecar: dict[str, Any] | None = None,
    progress: Progress = no_progress,
    notify: Notify = ignore_notes,
) -> "list[Inspection]":
    """Inspect recordings and folders of recordings; nothing is uploaded, and no stack is needed.

    Parameters
    ----------
    paths : sequence of Path
        Recordings, or folders of them.
    parameters : Parameters, optional
        The preprocessing to assume; by default the stack's defaults.
    sidecar : dict, optional
        Used as the content of each recording's sidecar.
    progress : callable, optional
        Called before each file, and at the end.
    notify : callable, optional
        Called with what is skipped in folders, and why.

    Returns
    -------
    list of Inspection
        In the order of the paths; files that would be refused are included, with the reason.

    Raises
    ------
    P300Error
        ``not_found``, ``companion_named``, ``no_recordings`` or ``same_subject``.
    """
    from p300.inspection import inspect as look  # MNE takes seconds to import

    files: dict[Path, str] = {}
    for path in paths:
        if not path.exists():
            raise P300Error("not_found", f"{path} does not exist.")
        if path.is_dir():
            whole = (
                path.absolute()
            )  # the name includes the folder: where two subjects play at once, the subject matters
            files |= {
                file: file.absolute().relative_to(whole.parent).as_posix() for file in recordings_in(path, notify)
            }
        elif path.name.endswith(SIDECAR_ENDINGS) or is_part_file(path):
            raise P300Error("companion_named", f"{path} is a part of a recording. Name the recording itself.")
        else:
            files[path] = path.name
    if not files:
        advice = "".join(dict.fromkeys(instead(path.name) for path in paths))
        raise P300Error("no_recordings", f"No recordings in {', '.join(map(str, paths))}.{advice}")
    refuse_one_person_twice(list(files))
    found = []
    for number, (file, name) in enumerate(files.items()):
        progress(number, len(files), name)
        found.append(look(file, name=name, parameters=parameters, sidecar=sidecar))
    progress(len(files), len(files), "")
    return found


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the fields of a sidecar from a file of any name, in the form that `p300 inspect` prints.

    Raises
    ------
    P300Error
        ``not_found`` or ``bad_sidecar``.
    """
    if not path.is_file():
        raise P300Error("not_found", f"{path} is not a file. Expected the JSON that `p300 inspect` prints.")
    return sidecars.read(path)
