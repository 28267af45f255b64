"""Makes a subject's personal model when a new recording of theirs has features, and promotes it unless it is worse than the population's.

It stands on the population model that serves the recording's channels, and learns from all of the subject's labelled recordings of these
channels. Nothing of the population is trained. A new champion does not make personal models again: each goes on standing on its
population version until the subject's next recording.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np
from p300 import __version__
from p300.decoding import Response
from p300.errors import ArtifactError, RequestError
from p300.features import FeatureSet
from p300.likeness import Sketch, sketch
from p300.models import RecordingEpochs
from p300.montages import fitted
from p300.recording import TARGET
from p300.scoring import read_arrays

from p300_pipeline import provenance
from p300_pipeline.contracts import PersonalResult
from p300_pipeline.feature_store import features_key, load_features, subject_of
from p300_pipeline.keys import recording_of_features
from p300_pipeline.making.personal import MadePersonal, make_personal_model
from p300_pipeline.montage_groups import Montage
from p300_pipeline.personal_models import line_of, population_of, subject_in
from p300_pipeline.registry import PROMOTION, Registry
from p300_pipeline.serving.routing import choose_champion
from p300_pipeline.steps.training.choice import FEWEST_OF_A_CLASS, raw_identity, raw_versions
from p300_pipeline.steps.training.evaluate import too_large, unusable
from p300_pipeline.steps.training.people import People
from p300_pipeline.storage import Item, Store, find

PERSONAL_MARGIN_AUC = 0.01
"""A personal model serves unless its mean AUC is further than this below the population's, on the same flashes."""
MOST_RECORDINGS = 20
"""The newest are learnt from: each is read twice, within the time of a step."""
SHOWN_LEFT_OUT = 20
"""Of the recordings left out, in the answer; the manifest has all."""
KIND = "personal"


@dataclass(frozen=True)
class _Population:
    """The population model that serves some channels."""

    alias: str
    manifest: Mapping[str, Any]
    sha256: str
    arrays: Mapping[str, Any]


class _Own:
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


def make_personal(
    store: Store,
    features_bucket: str,
    models_bucket: str,
    recording: str,
    *,
    execution: str,
    started: datetime,
    memory_mb: int,
) -> PersonalResult:
    """Make, compare and promote a subject's personal model.

    Compared with the population's on the subject's own flashes, paired, each flash on its own: on every recording with what the other
    recordings taught, or on blocks of time of the only recording with what the rest of it taught, at least an epoch's length away. The mean
    difference of AUC must not be below -`PERSONAL_MARGIN_AUC`.

    Parameters
    ----------
    store : Store
        S3 access.
    features_bucket, models_bucket : str
        Bucket names.
    recording : str
        ``<subject>/<name>`` of the recording that has features now.
    execution : str
        Name of the execution.
    started : datetime
        When it started; the version is named after it.
    memory_mb : int
        Memory of this process: recordings that take too much of it are left out by name.

    Returns
    -------
    dict
        ``outcome``: ``promoted``, ``kept`` (the model was made, and does not serve), ``unchanged`` (the same recordings led to ``version``
        before) or ``none`` (there is no population model to stand on, or nothing to learn from); ``why``, ``alias`` and the figures.

    Raises
    ------
    ArtifactError
        If the population model, or what the registry says, cannot be read.
    """
    registry, subject = Registry(store, models_bucket), subject_of(recording)
    item = find(store, features_bucket, features_key(recording))
    if item is None:
        return _none(subject, f"The features of {recording} were deleted meanwhile.")
    manifests = _champions(registry)
    if not manifests:
        return _none(
            subject, "There is no population model yet. The subject's next recording after it makes a personal one."
        )
    found = _population(registry, manifests, load_features(store, features_bucket, recording, etag=item.etag))
    if isinstance(found, str):
        return _none(subject, found)
    own, left_out = _own_recordings(store, features_bucket, recording, found, manifests, memory_mb)
    listed = [{"recording": name, "reason": reason} for name, reason in left_out.items()]
    if not own.facts:
        return {**_none(subject, f"No recording of {subject} can be learnt from."), "left_out": listed}
    fingerprint = _fingerprint(subject, found, own)
    claim = registry.claim(execution, fingerprint, started, f"{subject}/")
    if not claim.finished:
        made = make_personal_model(found.arrays, own, own.gap)
        manifest = {
            **{name: found.manifest[name] for name in ("channels", "sfreq", "n_times", "tmin")},
            **{
                name: found.manifest[name]
                for name in ("tmax", "preprocessing", "features_made_by")
                if name in found.manifest
            },
            "kind": KIND,
            "population": {
                "alias": found.alias,
                "version": found.manifest["version"],
                "sha256": found.sha256,
                "trained_on_subject": subject in found.manifest["subjects"],
            },
            "subjects": [subject],
            "held_out": [],
            "recordings": [{"recording": name, **facts} for name, facts in own.facts.items()],
            "left_out": listed,
            "montage": asdict(Montage.of(found.manifest)),
            "n_epochs": sum(facts["n_epochs"] for facts in own.facts.values()),
            "n_targets": sum(facts["n_targets"] for facts in own.facts.values()),
            "metrics": _metrics(made),
            "execution": execution,
            "created": started.isoformat(timespec="seconds"),
            "code_version": __version__,
            **provenance.code_of(provenance.PERSONAL).stated(),
            "machine": provenance.machine(),
        }
        artifacts = {"model.npz": (made.npz, "application/octet-stream")}
        claim = registry.publish(claim.version, fingerprint, artifacts, manifest)
    return _promote(registry, features_bucket, claim.version, subject, execution, listed)


# ---- what it stands on, and what it learns from
def _champions(registry: Registry) -> dict[str, dict[str, Any]]:
    return {alias: registry.manifest(version) for alias, version in registry.champions().items()}


def _population(registry: Registry, manifests: Mapping[str, dict[str, Any]], features: FeatureSet) -> _Population | str:
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
    return _Population(alias, manifest, hashlib.sha256(content).hexdigest(), arrays)


def _own_recordings(
    store: Store,
    bucket: str,
    recording: str,
    population: _Population,
    manifests: Mapping[str, dict[str, Any]],
    memory_mb: int,
) -> tuple[_Own, dict[str, str]]:
    """Return the subject's recordings to learn from, and why the others are left out."""
    own, left_out = _Own(store, bucket, list(population.manifest["channels"])), {}
    present = _present(store, bucket, recording)
    newest = sorted(present, key=lambda name: (present[name].modified, name), reverse=True)
    for name in newest[MOST_RECORDINGS:]:
        left_out[name] = f"the newest {MOST_RECORDINGS} recordings are learnt from"
    for name in sorted(newest[:MOST_RECORDINGS]):
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


def _unfit(features: FeatureSet, population: _Population, manifests: Mapping[str, dict[str, Any]]) -> str | None:
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


def _fingerprint(subject: str, population: _Population, own: _Own) -> str:
    identity = {
        "personal": subject,
        "population": [population.manifest["version"], population.sha256],
        "recordings": sorted((name, facts["features_etag"]) for name, facts in own.facts.items()),
        **provenance.code_of(provenance.PERSONAL).stated(),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def _metrics(made: MadePersonal) -> dict[str, Any]:
    if not made.compared:
        return {"scheme": made.scheme, "auc_population": None, "auc_personal": None, "n_flashes": 0, "recordings": []}
    population, personal = (
        float(np.mean([getattr(one, name) for one in made.compared])) for name in ("auc_population", "auc_personal")
    )
    return {
        "scheme": made.scheme,
        "auc_population": population,
        "auc_personal": personal,
        "auc_difference": personal - population,
        "margin": PERSONAL_MARGIN_AUC,
        "n_flashes": sum(one.n_flashes for one in made.compared),
        "n_targets": sum(one.n_targets for one in made.compared),
        "recordings": [asdict(one) for one in made.compared],
    }


# ---- whether it serves
def _promote(
    registry: Registry, features_bucket: str, version: str, subject: str, execution: str, left_out: list[dict[str, str]]
) -> PersonalResult:
    manifest = registry.manifest(version)
    told = {"left_out": left_out[:SHOWN_LEFT_OUT]}
    if find(registry.store, registry.bucket, f"{version}/{PROMOTION}"):
        return _answer(
            manifest, "unchanged", why=f"The same recordings led to {version} before. Nothing to do.", **told
        )
    group = Montage.of(manifest).group
    while True:
        line = line_of(registry, subject, group)
        serving = line.champion()
        if serving != version:
            line.finish_promotion()
        why_not = _worse(manifest["metrics"]) or _overtaken(registry, features_bucket, manifest, serving)
        if why_not and serving != version:
            answer = _answer(manifest, "kept", alias=line.role, why=why_not, **told)
            break
        replaced = line.replaced_by(version) if serving == version else serving
        why = "Not worse than the population's model on the subject's own flashes."
        figures = {
            name: manifest["metrics"][name] for name in ("auc_population", "auc_personal", "n_flashes", "margin")
        }
        if line.promote(version, expected=replaced, entry={"execution": execution, "why": why, **figures}):
            answer = _answer(manifest, "promoted", alias=line.role, why=why, **told)
            break
    registry.keep_decision(version, answer)
    return answer


def _worse(metrics: Mapping[str, Any]) -> str | None:
    if not metrics["recordings"]:
        return (
            "There are too few labelled flashes to compare it with the population's model. Record a longer calibration."
        )
    if metrics["auc_difference"] >= -PERSONAL_MARGIN_AUC:
        return None
    return (
        f"Worse than the population's model on the subject's own flashes: AUC {metrics['auc_personal']:.3f} against "
        f"{metrics['auc_population']:.3f} on {metrics['n_flashes']:,} flashes; the margin is {PERSONAL_MARGIN_AUC}."
    )


def _overtaken(registry: Registry, bucket: str, manifest: Mapping[str, Any], serving: str | None) -> str | None:
    """Say that the model that serves knows all of these recordings and more, as where recordings were landed together."""
    if serving is None or subject_in(serving) is None:
        return None
    try:
        theirs = registry.manifest(serving)
        same = population_of(theirs)["version"] == manifest["population"]["version"]
    except ArtifactError:
        return None  # it is replaced
    ours, more = (
        {(entry["recording"], entry.get("features_etag")) for entry in one["recordings"]} for one in (manifest, theirs)
    )
    if not same or not ours < more:
        return None
    held = {name: find(registry.store, bucket, features_key(name)) for name, _ in more - ours}
    if any(item is None for item in held.values()):
        return None  # a recording was deleted since
    return f"{serving} knows these recordings and {len(more - ours)} more."


def _answer(manifest: Mapping[str, Any], outcome: Any, **facts: Any) -> PersonalResult:
    metrics = manifest["metrics"]
    answer = {
        "outcome": outcome,
        "version": manifest["version"],
        "subject": manifest["subjects"][0],
        "population": manifest["population"]["version"],
        "n_recordings": len(manifest["recordings"]),
        "n_epochs": manifest["n_epochs"],
        "auc_population": metrics["auc_population"],
        "auc_personal": metrics["auc_personal"],
        "n_flashes": metrics["n_flashes"],
        **facts,
    }
    return cast(PersonalResult, answer)


def _none(subject: str, why: str) -> PersonalResult:
    return {"outcome": "none", "subject": subject, "why": why}
