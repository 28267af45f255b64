"""A subject's recordings, and the population model that a personal model of theirs stands on."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from p300.decoding import Response
from p300.errors import ArtifactError, RequestError
from p300.features import FeatureSet
from p300.likeness import Sketch, sketch
from p300.models import RecordingEpochs
from p300.montages import fitted
from p300.recording import TARGET
from p300.scoring import read_arrays

from p300_pipeline.documents import parse
from p300_pipeline.feature_store import UNLABELLED, features_key, load_features, subject_of
from p300_pipeline.keys import recording_of_features
from p300_pipeline.registry import Registry
from p300_pipeline.serving.routing import choose_champion
from p300_pipeline.steps.training.choice import FEWEST_OF_A_CLASS, raw_identity, raw_versions
from p300_pipeline.steps.training.evaluate import too_large, unusable
from p300_pipeline.steps.training.people import People
from p300_pipeline.storage import Item, NotFoundError, Store

MOST_RECORDINGS = 20
"""The newest are learnt from: each is read twice, within the time of a step."""


@dataclass(frozen=True)
class Population:
    """The population model that serves some channels."""

    alias: str
    manifest: Mapping[str, Any]
    sha256: str
    arrays: Mapping[str, Any]

    def stated(self, subject: str) -> dict[str, Any]:
        """Return what the manifest of a subject's model says of it."""
        return {
            "alias": self.alias,
            "version": self.manifest["version"],
            "sha256": self.sha256,
            "trained_on_subject": subject in self.manifest["subjects"],
        }


class Own:
    """A subject's recordings that fit a population model, read one at a time."""

    def __init__(self, store: Store, bucket: str, channels: list[str]) -> None:
        self._store, self._bucket, self._channels = store, bucket, channels
        self.facts: dict[str, dict[str, Any]] = {}
        self.sketches: dict[str, Sketch] = {}
        self.gap = 0.0

    def __iter__(self) -> Iterator[RecordingEpochs]:
        for name, facts in self.facts.items():
            features = fitted(self.load(name, facts["features_etag"]), self._channels, name)
            yield RecordingEpochs(
                name,
                subject_of(name),
                features.X,
                features.label,
                len(features.ch_names),
                features.flash,
                features.onset_sample,
                features.ch_names,
            )

    def load(self, name: str, etag: str) -> FeatureSet:
        """Load a recording's features as they were when they were first looked at."""
        return load_features(self._store, self._bucket, name, etag=etag)

    def add(self, name: str, etag: str, features: FeatureSet) -> None:
        """Take a recording."""
        n_targets = int(np.sum(features.label == TARGET))
        self.sketches[name] = sketch(fitted(features, self._channels, name).epochs)
        self.facts[name] = {
            "features_etag": etag,
            "raw": raw_identity(features.provenance),
            **raw_versions(features.provenance, f"s3://{self._bucket}/{features_key(name)}"),
            "n_epochs": len(features.label),
            "n_targets": n_targets,
        }
        # Onsets count samples at the recording's own rate.
        self.gap = (features.tmax - features.tmin) * float(features.survey.get("sfreq", np.inf))


def champions_of(registry: Registry) -> dict[str, dict[str, Any]]:
    """Return the manifests of the population's champions by alias."""
    return {alias: registry.manifest(version) for alias, version in registry.champions().items()}


def population_for(
    registry: Registry, manifests: Mapping[str, dict[str, Any]], features: FeatureSet
) -> Population | str:
    """Return the champion that serves a recording's channels, or why none can be stood on."""
    try:
        alias = choose_champion(features.ch_names, manifests)
    except RequestError as error:
        return error.message
    manifest = manifests[alias]
    content = registry.artifact(manifest["version"], "model.npz", manifest)
    arrays = read_arrays(content)
    if Response.from_arrays(arrays) is None:
        return f"{manifest['version']} holds no response to start from. Train it again."
    return Population(alias, manifest, hashlib.sha256(content).hexdigest(), arrays)


def own_recordings(
    store: Store,
    bucket: str,
    recording: str,
    population: Population,
    manifests: Mapping[str, dict[str, Any]],
    memory_mb: int,
) -> tuple[Own, dict[str, str]]:
    """Return the subject's recordings to learn from, and why the others are left out."""
    own, left_out = Own(store, bucket, list(population.manifest["channels"])), {}
    present = _present(store, bucket, recording)
    newest = sorted(present, key=lambda name: (present[name].modified, name), reverse=True)
    unlabelled = {name for name in newest if _is_unlabelled(store, bucket, name)}
    labelled = [name for name in newest if name not in unlabelled]
    for name in labelled[MOST_RECORDINGS:]:
        left_out[name] = f"the newest {MOST_RECORDINGS} recordings are learnt from"
    for name in sorted(labelled[:MOST_RECORDINGS]):
        etag = present[name].etag
        reason = too_large(present[name], memory_mb)
        if not reason:
            try:
                features = own.load(name, etag)
                reason = _unfit(features, population, manifests)
            except ArtifactError as error:
                reason = error.message
        if reason:
            left_out[name] = reason
        else:
            own.add(name, etag, features)
    for name, reason in People(own.sketches, ()).unfit(list(own.facts)).items():
        left_out[name] = reason
        del own.facts[name]
    return own, left_out


def _present(store: Store, bucket: str, recording: str) -> dict[str, Item]:
    """Return the features of a subject, under the name that the recording has and under the canonical one."""
    found = {}
    for folder in {recording.partition("/")[0], subject_of(recording)}:
        for item in store.list(bucket, f"{folder}/"):
            name = recording_of_features(item.key)
            if name and name.count("/") == 1:
                found[name] = item
    return found


def _is_unlabelled(store: Store, bucket: str, recording: str) -> bool:
    """Say whether a recording is unlabelled by its report, which is smaller than its features."""
    key = f"{recording}/report.json"
    try:
        return parse(store.get(bucket, key)[0], key, dict).get("labelled") is False
    except NotFoundError:
        return False


def _unfit(features: FeatureSet, population: Population, manifests: Mapping[str, dict[str, Any]]) -> str | None:
    if not features.labelled:
        return UNLABELLED
    n_targets = int(np.sum(features.label == TARGET))
    n_non_targets = len(features.label) - n_targets
    if min(n_targets, n_non_targets) < FEWEST_OF_A_CLASS:
        return f"{n_targets} Target and {n_non_targets} NonTarget epochs; at least {FEWEST_OF_A_CLASS} of each are learnt from"
    try:
        alias = choose_champion(features.ch_names, manifests)
    except RequestError as error:
        return error.message
    if alias != population.alias:
        return f"its channels are those of another model: {alias}"
    return unusable(features, population.manifest)
