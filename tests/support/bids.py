"""BIDS data sets of synthetic recordings."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.support.labs import NAMES, SFREQ, Lab, write

FORMATS = ("edf", "bdf", "set", "vhdr")
DESCRIPTION = {"Name": "Spellers", "BIDSVersion": "1.10.0"}
EEG_JSON = {
    "TaskName": "p300",
    "SamplingFrequency": SFREQ,
    "EEGReference": "linked mastoids",
    "PowerLineFrequency": 50,
    "SoftwareFilters": "n/a",
}


def tsv(columns: Mapping[str, Sequence[object]]) -> str:
    """Return a table."""
    lines = [list(columns), *zip(*columns.values(), strict=True)]
    return "".join("\t".join(map(str, line)) + "\n" for line in lines)


def events_tsv(made: Lab, names: Mapping[int, str] = NAMES, **more: Sequence[object]) -> str:
    """Return the events of a recording as a table; keywords add or replace columns."""
    columns: dict[str, Sequence[object]] = {
        "onset": [f"{onset / SFREQ:.6f}" for onset in made.onsets],
        "duration": ["n/a"] * len(made.onsets),
        "trial_type": [names[int(code)] for code in made.stim[made.onsets]],
        "sample": made.onsets.tolist(),
    }
    return tsv(columns | more)


def channels_tsv(made: Lab, bad: Sequence[str] = (), **more: Sequence[object]) -> str:
    """Return the channels of a recording as a table."""
    columns: dict[str, Sequence[object]] = {
        "name": made.names,
        "type": [kind.upper() for kind in made.kinds],
        "units": ["uV"] * len(made.names),
        "status": ["bad" if name in bad else "good" for name in made.names],
    }
    return tsv(columns | more)


def without_events(made: Lab) -> Lab:
    """Return a recording whose file has no events."""
    return dataclasses.replace(made, stim=np.zeros_like(made.stim))


def write_bids(
    root: Path,
    made: Lab,
    extension: str = "edf",
    *,
    subject: str = "01",
    session: str | None = None,
    run: str | None = None,
    in_file: Lab | None = None,
    inherited: bool = False,
    events: str | None = None,
) -> Path:
    """Write a recording into a data set, and return its path.

    With `inherited`, what is the same for all recordings is said once, at the root. `in_file` is what the file itself holds: by default
    the recording without its events.
    """
    entities = [f"sub-{subject}"] + ([f"ses-{session}"] if session else [])
    folder = root.joinpath(*entities, "eeg")
    folder.mkdir(parents=True, exist_ok=True)
    stem = "_".join([*entities, "task-p300", *([f"run-{run}"] if run else [])])
    path = write(folder, in_file or without_events(made), extension, stem=f"{stem}_eeg")
    (root / "dataset_description.json").write_text(json.dumps(DESCRIPTION))
    (root / "README").write_text("Synthetic.\n")
    people = root / "participants.tsv"
    rows = people.read_text() if people.exists() else "participant_id\tage\n"
    if f"sub-{subject}\t" not in rows:
        people.write_text(f"{rows}sub-{subject}\t3{len(rows) % 10}\n")
    (folder / f"{stem}_events.tsv").write_text(events_tsv(made) if events is None else events)
    shared = root / "task-p300" if inherited else folder / stem
    Path(f"{shared}_eeg.json").write_text(json.dumps(EEG_JSON))
    Path(f"{shared}_channels.tsv").write_text(channels_tsv(made))
    return path
