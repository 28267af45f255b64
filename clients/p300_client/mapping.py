"""Write what a lab states about its recordings into sidecars beside them, which land with them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from p300.errors import P300Error
from p300.readers import sidecar as sidecars
from p300.signals import Parameters

from p300_client.landing import Upload, by_recording, refusal_of
from p300_client.progress import Progress, no_progress


def write(
    uploads: Sequence[Upload],
    said: dict[str, Any],
    parameters: Parameters,
    *,
    replace: bool = False,
    progress: Progress = no_progress,
) -> list[Path]:
    """Write a sidecar beside each recording, after all of them have been checked with it.

    Parameters
    ----------
    uploads : sequence of Upload
        As `p300_client.landing.find` returns them.
    said : dict
        Content of the sidecars.
    parameters : Parameters
        The stack's preprocessing.
    replace : bool
        Whether to replace sidecars with other content.
    progress : callable, optional
        Called for each recording.

    Returns
    -------
    list of Path
        The sidecars that were written.

    Raises
    ------
    P300Error
        ``sidecar_there`` if a recording has another sidecar, or the reason for which a recording would be quarantined; nothing is
        written then.
    """
    recordings = [files[-1] for files in by_recording(uploads)]
    paths = [recording.path.with_name(sidecars.name_of(recording.path.name)) for recording in recordings]
    there = {path: sidecars.read(path) for path in paths if path.is_file()}
    if not replace and (other := [path for path, found in there.items() if found != said]):
        raise P300Error(
            "sidecar_there",
            f"{other[0]} already exists with other content. Nothing was written. Correct that file, or use --replace.",
        )
    for number, recording in enumerate(recordings):
        progress(number, len(recordings), f"checking {recording.path.name}")
        if refusal := refusal_of(recording, parameters, sidecar=said):
            raise P300Error(refusal.code, f"With this mapping: {refusal.message} Nothing was written.")
    progress(len(recordings), len(recordings), "")
    written = [path for path in paths if there.get(path) != said]
    for path in written:
        new = path.with_name(path.name + ".part")
        new.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", "utf-8")
        os.replace(new, path)  # noqa: PTH105 - atomic: no reader sees half a file
    return written
