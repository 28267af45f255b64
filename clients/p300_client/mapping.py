"""Write what a lab says about its recordings beside them, as sidecars that land with them."""

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
    """Give recordings a sidecar, once each of them has been checked with it.

    Parameters
    ----------
    uploads : sequence of Upload
        As `p300_client.landing.find` returns them.
    said : dict
        What the sidecars say.
    parameters : Parameters
        The stack's preprocessing.
    replace : bool
        Whether a sidecar that says something else is replaced.
    progress : callable, optional
        Called for each recording.

    Returns
    -------
    list of Path
        The sidecars that were written.

    Raises
    ------
    P300Error
        ``sidecar_there`` where a recording has another sidecar, or what a recording would be in quarantine for; nothing is written then.
    """
    recordings = [files[-1] for files in by_recording(uploads)]
    paths = [recording.path.with_name(sidecars.name_of(recording.path.name)) for recording in recordings]
    there = {path: sidecars.read(path) for path in paths if path.is_file()}
    if not replace and (other := [path for path, found in there.items() if found != said]):
        raise P300Error(
            "sidecar_there", f"{other[0]} says something else. Nothing was written. Correct it there, or say --replace."
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
        os.replace(new, path)  # noqa: PTH105 - whoever reads it finds the whole of it
    return written
