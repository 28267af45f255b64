"""Which recordings a training uses: whose, of one montage, with epochs of both classes."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from p300 import __version__
from p300.errors import ArtifactError, TrainingError
from p300.features import FeatureSet, read_features
from p300.models import RecordingEpochs

from p300_pipeline.keys import recording_of_features
from p300_pipeline.registry import Registry
from p300_pipeline.steps.training.request import TrainingRequest
from p300_pipeline.storage import Item, Store

Shape = tuple[tuple[str, ...], int]
"""Channels, and samples an epoch."""


class Downloaded:
    """Recordings whose features lie in a folder, read one at a time, as often as a fit needs: memory holds one of them."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self.names = names

    def __iter__(self) -> Iterator[RecordingEpochs]:
        for name in self.names:
            features = self.features(name)
            yield RecordingEpochs(name, subject_of(name), features.X, features.label, len(features.ch_names))

    def features(self, name: str) -> FeatureSet:
        """Return one recording's features."""
        return read_features(self.path(name))

    def path(self, name: str) -> Path:
        """Return where a recording's features lie, or are to lie."""
        return self._folder / f"{name.replace('/', '__')}.parquet"


@dataclass
class TrainingSet:
    """The recordings a training uses, those it leaves out, and why."""

    recordings: Downloaded
    etags: dict[str, str]
    left_out: list[dict[str, str]]


def choose(store: Store, registry: Registry, bucket: str, request: TrainingRequest, folder: Path) -> TrainingSet:
    """Download the features that a request asks for, and leave out what cannot be trained on.

    Parameters
    ----------
    store : Store
        S3 access.
    registry : Registry
        Whose champion says which montage this stack learns.
    bucket : str
        The features bucket.
    request : TrainingRequest
        Whose recordings.
    folder : Path
        Where the features are kept while they are trained on.

    Raises
    ------
    TrainingError
        If nothing is left, or a named subject has no features.
    """
    present = feature_objects(store, bucket)
    wanted = _wanted_subjects(sorted({subject_of(name) for name in present}), request)
    names = [name for name in sorted(present) if subject_of(name) in wanted]
    if not names:
        raise TrainingError(
            "no_recordings", f"There are no features in s3://{bucket} to train on. Land recordings first."
        )
    downloaded = Downloaded(folder, names)
    etags = {name: store.download(bucket, present[name].key, downloaded.path(name)).etag for name in names}
    left_out: list[dict[str, str]] = []
    shapes: dict[str, Shape] = {}
    for name in names:
        try:
            features = downloaded.features(name)
        except ArtifactError:
            left_out.append({"recording": name, "reason": "its features cannot be read: preprocess it again"})
            continue
        if len(np.unique(features.label)) < 2:
            left_out.append({"recording": name, "reason": "epochs of one class only"})
        elif not np.isfinite(features.X).all():
            left_out.append({"recording": name, "reason": "features hold NaN or infinity"})
        else:
            shapes[name] = (features.ch_names, features.n_times)
    if shapes:
        channels, n_times = _montage(registry, request, shapes)
        misfits = {name: _misfit_of(shape, channels, n_times) for name, shape in shapes.items()}
        left_out += [{"recording": name, "reason": reason} for name, reason in misfits.items() if reason]
    unfit = {entry["recording"] for entry in left_out}
    fit = [name for name in names if name not in unfit]
    if not fit:
        raise TrainingError("no_recordings", f"None of the {len(names)} recordings can be trained on: {left_out}.")
    return TrainingSet(Downloaded(folder, fit), {name: etags[name] for name in fit}, left_out)


def fingerprint_of(request: TrainingRequest, etags: Mapping[str, str], *, instead_of: str | None = None) -> str:
    """Return the identity of a training: what it is of, with which settings, by which code, and which version it makes up for."""
    identity = {
        "model": request.model,
        "seed": request.seed,
        "held_out": request.held_out,
        "recordings": sorted(etags.items()),
        "code": __version__,
        **({"instead_of": instead_of} if instead_of else {}),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def misfit(features: FeatureSet, channels: Sequence[str], n_times: int) -> str | None:
    """Say why features are none for a model of these channels and samples, if they are."""
    return _misfit_of((features.ch_names, features.n_times), channels, n_times)


def _misfit_of(shape: Shape, channels: Sequence[str], n_times: int) -> str | None:
    """Say why a recording of this shape is none for a model of these channels and samples, if it is."""
    if shape[0] != tuple(channels):
        return f"channels {' '.join(shape[0])}; this stack learns {' '.join(channels)}"
    if shape[1] != n_times:
        return f"{shape[1]} samples an epoch; this stack learns {n_times}"
    return None


def _wanted_subjects(present: list[str], request: TrainingRequest) -> set[str]:
    eligible = [name for name in present if name not in request.held_out]
    if isinstance(request.subjects, tuple):
        missing = sorted(set(request.subjects) - set(eligible))
        if missing:
            raise TrainingError(
                "unknown_subjects",
                f"No features for {', '.join(missing)} that may be trained on. There are: {', '.join(eligible) or 'none'}.",
            )
        return set(request.subjects)
    n_wanted = max(1, round(request.subjects * len(eligible)))
    return set(np.random.default_rng(request.seed).permutation(eligible)[:n_wanted].tolist())


def _montage(registry: Registry, request: TrainingRequest, shapes: Mapping[str, Shape]) -> Shape:
    """Return channels and samples an epoch of the champion; with none yet, of the recording that made training due."""
    champion = registry.champion()
    if champion:
        try:
            manifest = registry.manifest(champion)
        except ArtifactError:  # it cannot serve either: the next model takes its place
            pass
        else:
            return tuple(manifest["channels"]), int(manifest["n_times"])
    if request.recording is not None and request.recording in shapes:
        return shapes[request.recording]
    return Counter(shapes.values()).most_common(1)[0][0]


def feature_objects(store: Store, bucket: str) -> dict[str, Item]:
    """Return the feature files in the bucket by recording, ``<subject>/<name>``."""
    found = {}
    for item in store.list(bucket, "subject_"):
        if name := recording_of_features(item.key):
            found[name] = item
    return found


def subject_of(recording: str) -> str:
    """Return whose a recording is."""
    return recording.partition("/")[0]


def by_time(entry: tuple[str, Item]) -> tuple[float, str]:
    """Return what puts recordings into the order in which their features were made."""
    return entry[1].modified, entry[0]
