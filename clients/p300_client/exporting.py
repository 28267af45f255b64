"""Write the raw data back as a BIDS data set, with features and predictions as its derivatives."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p300.bids.bundle import Bundle, name_of, parse
from p300.bids.paths import DATA_SET, recording_of
from p300.errors import P300Error
from p300_pipeline.keys import RecordingKey, subject_name
from p300_pipeline.steps.raw_data import download_files, files_of, recordings_in
from p300_pipeline.storage import Item, Store, find

from p300_client.api import Api
from p300_client.progress import Notify, Progress, ignore_notes, no_progress
from p300_client.target import Target

if TYPE_CHECKING:
    from p300.features import FeatureSet

DERIVATIVES = Path("derivatives") / "p300"
NAME = "P300 recordings"
README = """Recordings of a P300 brain-computer interface, exported by `p300 export --bids`.

A recording that landed from a BIDS data set is as it was there. Any other is written as BrainVision, with its EEG channels and its flashes;
SourceRecording in its _eeg.json names the file that it was made from. derivatives/p300 has the features of each recording (epochs of each
channel in volts) and what the champion predicts of each flash.
"""


@dataclass
class Exported:
    """What was written.

    Attributes
    ----------
    recordings : dict of str to str
        Key of each raw recording -> path of its file in the data set.
    n_features, n_predictions : int
        Recordings whose features, and predictions, were written.
    """

    recordings: dict[str, str] = field(default_factory=dict)
    n_features: int = 0
    n_predictions: int = 0


@dataclass(frozen=True)
class _Source:
    """A raw recording, and what its data set says."""

    item: Item
    key: RecordingKey
    made: Bundle | None


def export_bids(
    target: Target,
    out: Path,
    names: Sequence[str] = (),
    *,
    alias: str | None = None,
    progress: Progress = no_progress,
    notify: Notify = ignore_notes,
) -> Exported:
    """Write raw recordings as a BIDS data set, and their features and predictions as its derivatives.

    Parameters
    ----------
    target : Target
        Where they are.
    out : Path
        The data set's folder, which must not exist yet, or be empty; it is there as a whole, or not at all.
    names : sequence of str, optional
        Subjects, or ``<subject>/<recording>``; everything without.
    alias : str, optional
        The model whose predictions are written; by default, the champion that has a recording's channels.
    progress : callable, optional
        Called for each recording.
    notify : callable, optional
        Called with what is left out, and why.

    Returns
    -------
    Exported

    Raises
    ------
    P300Error
        ``not_empty``, ``no_recordings``, or what is wrong with a recording.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise P300Error("not_empty", f"{out} is there already. Name a folder that does not exist yet, or an empty one.")
    store, raw = Store(target.client("s3")), target.outputs["RawBucketName"]
    sources = _sources(store, raw, names)
    if not sources:
        raise P300Error(
            "no_recordings", f"No raw recordings{' of ' + ', '.join(names) if names else ''} in s3://{raw}."
        )
    entities = _entities(sources)
    done, people = Exported(), dict[str, dict[str, str]]()
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as temporary:
        root = Path(temporary) / "data_set"
        root.mkdir()
        derived = _Derived(target, root, alias, notify)
        for number, source in enumerate(sources):
            progress(number, len(sources), str(source.key))
            of_name = entities[str(source.key)]
            written = _write(store, raw, source, root, of_name, target, notify)
            if written is None:
                continue
            path, participant = written
            people.setdefault(of_name["sub"], {}).update(participant)
            done.recordings[str(source.key)] = path
            derived.write(source.key, of_name, path, done)
        progress(len(sources), len(sources), "")
        from p300.bids.writing import write_data_set

        write_data_set(root, _name(sources), people, README)
        derived.close(done)
        if out.exists():
            out.rmdir()
        root.rename(out)
    return done


def _sources(store: Store, raw: str, names: Sequence[str]) -> list[_Source]:
    """Return the raw recordings that are asked for, in the order of their keys."""
    found = []
    for item in recordings_in(store, raw):
        key = RecordingKey.parse(item.key)
        wanted = any(
            subject_name(name.partition("/")[0]) == key.subject and name.partition("/")[2] in {"", key.name}
            for name in names
        )
        if not names or wanted:
            described = name_of(item.key) in files_of(store, raw, store.head(raw, item.key))
            made = parse(store.get(raw, key.bids)[0], key.bids) if described else None
            found.append(_Source(store.head(raw, item.key), key, made))
    return sorted(found, key=lambda source: source.key)


def _entities(sources: Sequence[_Source]) -> dict[str, dict[str, str]]:
    """Return the entities of each recording's name: those of its data set, or made from its key, all different."""
    labels = {
        source.key.subject: named.entities["sub"]
        for source in reversed(sources)
        if source.made and (named := recording_of(source.made.recording))
    }
    found: dict[str, dict[str, str]] = {}
    taken: set[tuple[tuple[str, str], ...]] = set()
    for source in sorted(sources, key=lambda source: (source.made is None, source.key)):
        named = recording_of(source.made.recording) if source.made else None
        label = labels.get(source.key.subject, source.key.subject.removeprefix("subject_"))
        own = (
            named.entities
            if named
            else {"task": "p300", "acq": re.sub("[^0-9A-Za-z]", "", source.key.name)[:64] or "x"}
        )
        entities, number = {**own, "sub": label}, 1
        while tuple(sorted(entities.items())) in taken:
            number += 1
            entities = {**own, "sub": label, "run": str(number)}
        taken.add(tuple(sorted(entities.items())))
        found[str(source.key)] = entities
    return found


def _write(
    store: Store, raw: str, source: _Source, root: Path, entities: dict[str, str], target: Target, notify: Notify
) -> tuple[str, dict[str, str]] | None:
    """Write one recording; return its path in the data set, and what is known of the participant. None of an unlabelled one."""
    from p300.bids.writing import copy_recording, stem_of, write_recording
    from p300.usable import open_usable

    with tempfile.TemporaryDirectory() as folder:
        files = files_of(store, raw, source.item)
        path, items = download_files(store, raw, source.item, files, Path(folder))
        stream = open_usable(path, str(source.key), target.preprocessing)
        if not stream.flashes.labelled:
            notify(
                f"{source.key}: left out: it is unlabelled, and events.tsv says of each flash whether it was a target"
            )
            return None
        has_sidecar = bool(stream.sidecar)
        parts = [path, *(path.with_name(item.key.rpartition("/")[2]) for item in items[1:])]
        parts = [part for part in parts if not part.name.endswith(".json")]
        same_name = path.stem == f"{stem_of(entities)}_eeg"
        if source.made and not has_sidecar and (same_name or len(parts) == 1):
            written = copy_recording(root, entities, parts, source.made)
        else:
            written = write_recording(root, entities, stream, str(source.key))
            left = [note for note in stream.notes if "left out" in note]
            for note in left:
                notify(f"{source.key}: {note}")
    return written[0].relative_to(root).as_posix(), dict(stream.bids.get("participant", {}))


def _name(sources: Sequence[_Source]) -> str:
    """Return the name of the data set that all recordings came from, if it is one."""
    from p300.readers.bids import said_by

    names = {said_by(source.made).facts.get("data_set", NAME) if source.made else NAME for source in sources}
    return names.pop() if len(names) == 1 else NAME


class _Derived:
    """Writes features and predictions as derivatives."""

    def __init__(self, target: Target, root: Path, alias: str | None, notify: Notify) -> None:
        self._target, self._root, self._alias, self._notify = target, root, alias, notify
        self._folder = root / DERIVATIVES
        self._api: Api | None = Api(target)

    def write(self, key: RecordingKey, entities: dict[str, str], source: str, done: Exported) -> None:
        """Write the derivatives of a recording, where there are any."""
        from p300.bids.writing import folder_of, stem_of, write_json
        from p300.features import read_features

        store, bucket = Store(self._target.client("s3")), self._target.outputs["FeaturesBucketName"]
        if find(store, bucket, key.features) is None:
            self._notify(f"{key}: no features yet")
            return
        folder = folder_of(self._folder, entities)
        folder.mkdir(parents=True, exist_ok=True)
        base = folder / f"{stem_of(entities)}_desc-features_eeg"
        store.download(bucket, key.features, base.with_suffix(".parquet"))
        features = read_features(base.with_suffix(".parquet"))
        facts: dict[str, Any] = {
            "Description": "Epochs around the flashes, one row each, in volts; all samples of the first channel, then of the second",
            "Sources": [f"bids:raw:{source}"],
            "Channels": list(features.ch_names),
            "SamplingFrequency": features.sfreq,
            "StartTime": features.tmin,
            "EndTime": features.tmax,
        }
        write_json(base.with_suffix(".json"), facts)
        done.n_features += 1
        self._predict(features, folder / f"{stem_of(entities)}_desc-predictions_eeg", source, done)

    def _predict(self, features: "FeatureSet", base: Path, source: str, done: Exported) -> None:
        from p300.bids.writing import write_json, write_table

        if self._api is None:
            return
        try:
            probability, version = self._api.predict(features.X, self._alias, channels=features.ch_names)
        except P300Error as error:
            self._notify(f"{source}: no predictions ({error.message})")
            if "answered 503" in error.message:  # no such model: nor is there one for the others
                self._api = None
            return
        columns = {
            "sample": features.onset_sample.tolist(),
            "label": features.label.tolist(),
            "probability_target": [f"{one:.6g}" for one in probability.tolist()],
        }
        write_table(base.with_suffix(".tsv"), columns)
        said = {
            "Description": "Probability that a flash was a target",
            "Sources": [f"bids:raw:{source}"],
            "ModelVersion": version,
            "sample": {"Description": "First sample of the flash in the recording"},
            "label": {"Description": "1 for NonTarget, 2 for Target"},
        }
        write_json(base.with_suffix(".json"), said)
        done.n_predictions += 1

    def close(self, done: Exported) -> None:
        """Describe the derivatives, if there are any."""
        from p300.bids.writing import BIDS_VERSION, generated_by, write_json

        if not done.n_features:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        said = {
            "Name": "Features and predictions",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": generated_by(),
            "DatasetLinks": {"raw": "../.."},
        }
        write_json(self._folder / DATA_SET, said)
