"""Write recordings as a BIDS data set."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p300 import __version__
from p300.errors import RecordingError
from p300.recording import CLASS_NAMES, SYNTHETIC, RecordingStream
from p300.text import printable

from .brainvision import write_brainvision
from .bundle import Bundle
from .paths import IS_SYNTHETIC, PEOPLE, Named, recording_of

BIDS_VERSION = "1.10.0"
MISSING = "n/a"
_ORDER = ("sub", "ses", "task", "acq", "run")
_EVENTS = {
    "trial_type": {
        "Description": "What flashed.",
        "Levels": {"Target": "the symbol that was attended flashed", "NonTarget": "other symbols flashed"},
    },
    "value": {"Description": "1 for NonTarget, 2 for Target."},
    "flash": {"Description": "Number of the row, column or set of symbols that flashed."},
}


def stem_of(entities: Mapping[str, str]) -> str:
    """Return how the files of a recording are called before their suffix: ``sub-01_ses-1_task-p300_run-1``."""
    ordered = sorted(
        entities, key=lambda entity: (_ORDER.index(entity) if entity in _ORDER else len(_ORDER) - 1, entity)
    )
    return "_".join(f"{entity}-{entities[entity]}" for entity in ordered)


def folder_of(root: Path, entities: Mapping[str, str]) -> Path:
    """Return the folder of a recording's files."""
    session = [f"ses-{entities['ses']}"] if "ses" in entities else []
    return root.joinpath(f"sub-{entities['sub']}", *session, "eeg")


def write_recording(root: Path, entities: Mapping[str, str], stream: RecordingStream, source: str) -> list[Path]:
    """Write a recording's EEG as BrainVision, with the metadata that BIDS requires.

    Parameters
    ----------
    root : Path
        The data set.
    entities : mapping of str to str
        ``sub`` and ``task``, and whatever else tells the recording from others.
    stream : RecordingStream
        The recording, with what its sidecar says.
    source : str
        What it is called in the raw data.

    Returns
    -------
    paths : list of Path
        The files, the header first.

    Raises
    ------
    RecordingError
        ``unlabelled``.
    """
    if not stream.flashes.labelled:
        raise RecordingError(
            "unlabelled", f"{source} is unlabelled; expected a recording whose events say which flashes were targets."
        )
    base = _base(root, entities)
    paths = write_brainvision(_with(base, "eeg.vhdr"), stream)
    said = {**stream.bids, **stream.sidecar}
    stated = {
        "TaskName": entities["task"],
        "EEGReference": said.get("reference", MISSING),
        "SamplingFrequency": stream.sfreq,
        "PowerLineFrequency": said.get("notch_freq", MISSING),
        "SoftwareFilters": MISSING,
        "EEGChannelCount": len(stream.ch_names),
        "RecordingDuration": stream.n_samples / stream.sfreq,
        "RecordingType": "discontinuous" if stream.gaps else "continuous",
        "SourceRecording": source,
        **({IS_SYNTHETIC: True} if SYNTHETIC in stream.notes else {}),
    }
    described = {name: what for name, what in _EVENTS.items() if name != "flash" or stream.flash is not None}
    return [
        *paths,
        write_json(_with(base, "eeg.json"), stated),
        write_table(_with(base, "channels.tsv"), _channels(stream)),
        write_table(_with(base, "events.tsv"), _events(stream)),
        write_json(_with(base, "events.json"), described),
    ]


def copy_recording(root: Path, entities: Mapping[str, str], files: Sequence[Path], made: Bundle) -> list[Path]:
    """Write a recording that came from a BIDS data set as it came, with all that applies to it beside it.

    Parameters
    ----------
    root : Path
        The data set.
    entities : mapping of str to str
        Those of its name.
    files : sequence of Path
        The recording's own file, and those that its header names.
    made : Bundle
        What its data set says.

    Returns
    -------
    paths : list of Path
        The files, the recording's own first.
    """
    base = _base(root, entities)
    paths = []
    for file in files:
        paths.append(_with(base, f"eeg{file.suffix}"))
        shutil.copyfile(file, paths[-1])
    stated: dict[str, Any] = {}
    for _, text in made.of_kind("eeg", "json"):
        stated |= json.loads(text.removeprefix("\ufeff"))
    paths.append(write_json(_with(base, "eeg.json"), stated))
    for suffix in ("channels", "events"):
        if found := made.of_kind(suffix, "tsv"):
            paths.append(_with(base, f"{suffix}.tsv"))
            paths[-1].write_text(found[-1][1], "utf-8")
    before = (recording_of(made.recording) or Named("")).entities.get("sub", entities["sub"])
    for path, text in [*made.of_kind("electrodes", "tsv"), *made.of_kind("coordsystem", "json")]:
        paths.append(
            root / path.replace(f"sub-{before}", f"sub-{entities['sub']}")
        )  # of all recordings in the same coordinates
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        paths[-1].write_text(text, "utf-8")
    return paths


def write_data_set(root: Path, name: str, people: Mapping[str, Mapping[str, str]], readme: str) -> None:
    """Write what a data set says about itself.

    Parameters
    ----------
    root : Path
        The data set.
    name : str
        Its name.
    people : mapping of str to mapping
        What is known of each subject, by label.
    readme : str
        What it is, for a person.
    """
    description = {"Name": name, "BIDSVersion": BIDS_VERSION, "DatasetType": "raw", "GeneratedBy": generated_by()}
    write_json(root / "dataset_description.json", description)
    (root / "README").write_text(readme, "utf-8")
    known = sorted({column for facts in people.values() for column in facts})
    table: dict[str, list[str]] = {"participant_id": [f"sub-{label}" for label in sorted(people)]}
    table |= {column: [people[label].get(column, MISSING) for label in sorted(people)] for column in known}
    write_table(root / PEOPLE, table)


def generated_by() -> list[dict[str, str]]:
    """Return what ``GeneratedBy`` of a data set says."""
    return [{"Name": "p300", "Version": __version__}]


def write_json(path: Path, said: Mapping[str, Any]) -> Path:
    """Write a JSON file, and return its path."""
    path.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return path


def write_table(path: Path, columns: Mapping[str, Sequence[object]]) -> Path:
    """Write a table of columns of one length, and return its path."""
    lines = [list(columns), *zip(*columns.values(), strict=True)]
    path.write_text("".join("\t".join(printable(str(cell)) for cell in line) + "\n" for line in lines), "utf-8")
    return path


def _base(root: Path, entities: Mapping[str, str]) -> Path:
    folder = folder_of(root, entities)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / stem_of(entities)


def _with(base: Path, ending: str) -> Path:
    return base.with_name(f"{base.name}_{ending}")


def _channels(stream: RecordingStream) -> dict[str, list[str]]:
    n = len(stream.ch_names)
    status = ["bad" if name in stream.bad_channels else "good" for name in stream.ch_names]
    return {"name": list(stream.ch_names), "type": ["EEG"] * n, "units": ["µV"] * n, "status": status}


def _events(stream: RecordingStream) -> dict[str, list[object]]:
    """Return flashes, bad spans and gaps, in the order of their times."""
    rows: list[tuple[int, object, str, object, object]] = []
    for at in np.flatnonzero(stream.stim).tolist():
        group = MISSING if stream.flash is None or not stream.flash[at] else int(stream.flash[at])
        label = int(stream.stim[at])
        rows.append((at, MISSING, CLASS_NAMES[label], label, group))
    rows += [(first, (after - first) / stream.sfreq, "BAD_span", MISSING, MISSING) for first, after in stream.bad_spans]
    rows += [(gap, 0, "boundary", MISSING, MISSING) for gap in stream.gaps]
    rows.sort(key=lambda row: row[0])
    columns: dict[str, list[object]] = {
        "onset": [f"{row[0] / stream.sfreq:.6f}" for row in rows],
        "duration": [row[1] for row in rows],
        "trial_type": [row[2] for row in rows],
        "value": [row[3] for row in rows],
        "sample": [row[0] for row in rows],
    }
    return columns | ({} if stream.flash is None else {"flash": [row[4] for row in rows]})
