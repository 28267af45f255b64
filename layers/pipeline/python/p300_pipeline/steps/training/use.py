"""Learning from use: an unlabelled spelling session updates the subject's personal model by the certainty of its symbols.

It starts from what serves the subject: the personal model or, where there is none, the population's. A session is learnt from as a whole
or not at all, and what was learnt serves unless the subject's labelled recordings speak against it. Every update is a version of the same
alias, so that it can be rolled back; the next session then starts from the version that serves again.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from p300 import __version__
from p300.errors import ArtifactError, RequestError, TrainingError
from p300.features import FeatureSet
from p300.likeness import alike, sketch
from p300.models.learning_from_use import Spelling
from p300.montages import fitted
from p300.scoring import read_arrays

from p300_pipeline import provenance
from p300_pipeline.contracts import PersonalResult
from p300_pipeline.feature_store import features_key, load_features, subject_of
from p300_pipeline.making.personal import USE_MARGIN_AUC, Learned, learn_from_session, use_loses
from p300_pipeline.montage_groups import Montage
from p300_pipeline.personal_models import line_of, subject_in
from p300_pipeline.registry import PROMOTION, Registry
from p300_pipeline.serving.symbols import read_layout
from p300_pipeline.steps.training.choice import raw_identity, raw_versions
from p300_pipeline.steps.training.evaluate import too_large, unusable
from p300_pipeline.steps.training.own_recordings import MOST_RECORDINGS, Own, Population, champions_of, population_for
from p300_pipeline.steps.training.personal_answers import KIND, answer, no_model, refused, stands_on
from p300_pipeline.storage import Item, Store, find

USE_NPZ = "use.npz"
"""Artifact of a personal version: what sessions of use taught, without the labelled recordings."""
MOST_RACES = 5
"""Times that another version may begin to serve while a session is learnt from."""


@dataclass(frozen=True)
class _Base:
    """What serves the subject now, and is learnt on."""

    version: str
    manifest: Mapping[str, Any]
    arrays: Mapping[str, Any]
    use_npz: bytes | None

    @property
    def is_personal(self) -> bool:
        """Whether it knows the subject."""
        return subject_in(self.version) is not None

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """The sessions that it learnt from."""
        return list(self.manifest.get("sessions", ())) if self.is_personal else []

    @property
    def recordings(self) -> list[dict[str, Any]]:
        """The labelled recordings that it learnt from."""
        return list(self.manifest["recordings"]) if self.is_personal else []


def learn_from_use(
    store: Store,
    features_bucket: str,
    models_bucket: str,
    recording: str,
    features: FeatureSet,
    item: Item,
    *,
    execution: str,
    started: datetime,
    memory_mb: int,
) -> PersonalResult:
    """Have a subject's personal model learn from an unlabelled recording.

    Parameters
    ----------
    store, features_bucket, models_bucket, recording, execution, started, memory_mb
        As in `make_personal`.
    features : FeatureSet
        The recording's, unlabelled.
    item : Item
        Their object.

    Returns
    -------
    dict
        ``outcome``: ``promoted``, ``kept`` (a version was made, and does not serve), ``refused`` (nothing was learnt, and nothing changed),
        ``unchanged`` (it was learnt from before) or ``none`` (there is nothing to stand on); ``why``, and ``learned_from_use``: its
        symbols, how many were learnt from, and their mean certainty.

    Raises
    ------
    ArtifactError
        If what the registry says cannot be read, or other versions went on beginning to serve meanwhile.
    """
    registry, subject = Registry(store, models_bucket), subject_of(recording)
    if reason := too_large(item, memory_mb):
        return refused(subject, f"{recording} {reason}")
    for _ in range(MOST_RACES):
        manifests = champions_of(registry)
        if not manifests:
            return no_model(subject, "There is no population model yet. Land the recording again when there is one.")
        found = population_for(registry, manifests, features)
        if isinstance(found, str):
            return no_model(subject, found)
        base = _base(registry, subject, found)
        held = _Held(store, features_bucket, recording, features, item)
        if done := held.learn(registry, subject, base, found, execution, started):
            return done
    raise ArtifactError("overtaken", f"Other versions of {subject} began to serve while {recording} was learnt from.")


def _base(registry: Registry, subject: str, population: Population) -> _Base:
    serving = line_of(registry, subject, Montage.of(population.manifest).group).champion()
    if serving is None or subject_in(serving) is None:  # never made, or rolled back to the population's
        return _Base(str(population.manifest["version"]), population.manifest, population.arrays, None)
    manifest = registry.manifest(serving)
    arrays = read_arrays(registry.artifact(serving, "model.npz", manifest))
    use_npz = registry.artifact(serving, USE_NPZ, manifest) if USE_NPZ in manifest["artifacts"] else None
    return _Base(serving, manifest, arrays, use_npz)


@dataclass(frozen=True)
class _Held:
    """The session that is to be learnt from."""

    store: Store
    bucket: str
    recording: str
    features: FeatureSet
    item: Item

    def learn(
        self,
        registry: Registry,
        subject: str,
        base: _Base,
        population: Population,
        execution: str,
        started: datetime,
    ) -> PersonalResult | None:
        """Learn and promote; None where another version began to serve meanwhile."""
        if known := self._known(registry, subject, base, execution):
            return known
        fingerprint = self._fingerprint(subject, base)
        version = registry.version_of_training(fingerprint)
        if version is None:
            try:
                learned = self._learned(base)
            except (TrainingError, RequestError) as error:
                return refused(subject, error.message)
            if not learned.lesson.learnt:
                return refused(subject, " ".join(learned.lesson.problems), self._said(learned))
            manifest = self._manifest(subject, base, population, learned, execution, started)
            artifacts = {
                "model.npz": (learned.npz, "application/octet-stream"),
                USE_NPZ: (learned.use_npz, "application/octet-stream"),
            }
            claim = registry.claim(
                execution, fingerprint, started, f"{subject}/"
            )  # only now: a refusal leaves nothing behind
            version = claim.version
            if not claim.finished:
                version = registry.publish(version, fingerprint, artifacts, manifest).version
        return _serve(registry, version, execution)

    def _known(self, registry: Registry, subject: str, base: _Base, execution: str) -> PersonalResult | None:
        """Answer where the base learned from this session, or from an earlier upload of it; None where it did not."""
        raw = raw_identity(self.features.provenance)
        for entry in base.sessions:
            if entry["raw"] == raw if raw else entry["features_etag"] == self.item.etag:
                if not find(self.store, registry.bucket, f"{base.version}/{PROMOTION}"):
                    return _serve(registry, base.version, execution)  # interrupted right after the alias
                why = f"{base.version} learned from {entry['recording']} before. Nothing to do."
                return answer(base.manifest, "unchanged", why=why)
            if entry["recording"] == self.recording:
                return refused(
                    subject,
                    f"{base.version} learned from an earlier upload of {self.recording}. Roll back to the version before it, and land it "
                    "again, or land it under another name.",
                )
        return None

    def _learned(self, base: _Base) -> Learned:
        """Learn; raises `TrainingError` or `RequestError` where the session is none to learn from."""
        if reason := unusable(self.features, base.manifest):
            raise TrainingError("unusable", f"{self.recording}: {reason}")
        channels = list(base.manifest["channels"])
        session = fitted(self.features, channels, self.recording)
        spelling = Spelling.of(session, read_layout(self.features.sidecar.get("layout")), self.recording)
        own = self._own(base, session)
        return learn_from_session(base.arrays, base.use_npz, spelling, own, own.gap)

    def _own(self, base: _Base, session: FeatureSet) -> Own:
        """Return the labelled recordings that the base learned from, as they were then.

        Raises
        ------
        TrainingError
            ``same_epochs`` where this session is one of them, or another session that the base learned from.
        """
        channels = list(session.ch_names)
        own, sketches = Own(self.store, self.bucket, channels), {self.recording: sketch(session.epochs)}
        for entry in base.recordings[:MOST_RECORDINGS]:
            name, etag = entry["recording"], entry["features_etag"]
            with suppress(ArtifactError):  # deleted or replaced since: it cannot be tested on
                own.add(name, etag, own.load(name, etag))
        for entry in base.sessions[-MOST_RECORDINGS:]:
            name = entry["recording"]
            with suppress(ArtifactError):
                earlier = load_features(self.store, self.bucket, name, etag=entry["features_etag"])
                sketches[name] = sketch(fitted(earlier, channels, name).epochs)
        for pair in alike(own.sketches | sketches):
            if self.recording in pair:
                (other,) = set(pair) - {self.recording}
                raise TrainingError(
                    "same_epochs",
                    f"{self.recording} holds the same epochs as {other}, which {base.version} learned from: they count once.",
                )
        return own

    def _fingerprint(self, subject: str, base: _Base) -> str:
        identity = {
            "use": subject,
            "base": [base.version, base.manifest["artifacts"]["model.npz"]["sha256"]],
            "session": [self.recording, self.item.etag],
            **provenance.code_of(provenance.PERSONAL).stated(),
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]

    def _said(self, learned: Learned) -> dict[str, Any]:
        lesson = learned.lesson
        return {
            "recording": self.recording,
            "n_symbols": lesson.n_symbols,
            "n_counted": lesson.n_certain,
            "n_confirmed": lesson.n_confirmed,
            "mean_certainty": round(lesson.mean_certainty, 4),
            "n_flashes": len(self.features.X),
        }

    def _manifest(
        self,
        subject: str,
        base: _Base,
        population: Population,
        learned: Learned,
        execution: str,
        started: datetime,
    ) -> dict[str, Any]:
        facts = {
            **self._said(learned),
            "features_etag": self.item.etag,
            "raw": raw_identity(self.features.provenance),
            **raw_versions(self.features.provenance, f"s3://{self.bucket}/{features_key(self.recording)}"),
        }
        return {
            **stands_on(base.manifest),
            "kind": KIND,
            "learned_from": "use",
            "base": base.version,
            "population": base.manifest["population"] if base.is_personal else population.stated(subject),
            "subjects": [subject],
            "held_out": [],
            "recordings": base.recordings,
            "sessions": [*base.sessions, facts],
            "left_out": [],
            "montage": asdict(Montage.of(base.manifest)),
            "n_epochs": sum(entry["n_epochs"] for entry in base.recordings),
            "n_targets": sum(entry["n_targets"] for entry in base.recordings),
            "metrics": metrics_of(learned),
            "execution": execution,
            "created": started.isoformat(timespec="seconds"),
            "code_version": __version__,
            **provenance.code_of(provenance.PERSONAL).stated(),
            "machine": provenance.machine(),
        }


def metrics_of(learned: Learned) -> dict[str, Any]:
    """Return the metrics of a manifest: on the subject's labelled recordings, where there are any."""
    names = ("auc_population", "auc_without", "auc_personal")
    means: dict[str, Any] = dict.fromkeys(names)
    if learned.compared:
        means = {name: float(np.mean([getattr(one, name) for one in learned.compared])) for name in names}
    return {
        "scheme": "labelled_recordings" if learned.compared else "none",
        **means,
        "margin": USE_MARGIN_AUC,
        "worse_by_use": use_loses(learned.compared),
        "n_flashes": sum(one.n_flashes for one in learned.compared),
        "n_targets": sum(one.n_targets for one in learned.compared),
        "recordings": [asdict(one) for one in learned.compared],
    }


def _serve(registry: Registry, version: str, execution: str) -> PersonalResult | None:
    """Promote a version that was learned from use, unless it is worse; None where its base does not serve any more."""
    manifest = registry.manifest(version)
    if find(registry.store, registry.bucket, f"{version}/{PROMOTION}"):
        return answer(manifest, "unchanged", why=f"The same session led to {version} before. Nothing to do.")
    metrics = manifest["metrics"]
    line = line_of(registry, subject_of(manifest["sessions"][-1]["recording"]), Montage.of(manifest).group)
    serving = line.champion()
    if serving != version:
        line.finish_promotion()
        at_population = serving is None or subject_in(serving) is None
        if serving != manifest["base"] and not (at_population and subject_in(manifest["base"]) is None):
            return None
    said = {"alias": line.role, "learned_from_use": manifest["sessions"][-1]}
    if metrics["worse_by_use"]:
        why = (
            f"Worse on the subject's labelled recordings than without use: AUC {metrics['auc_personal']:.3f} against "
            f"{metrics['auc_without']:.3f} on {metrics['n_flashes']:,} flashes; the margin is {USE_MARGIN_AUC}."
        )
        done = answer(manifest, "kept", why=why, **said)
    else:
        entry = manifest["sessions"][-1]
        how = (
            "Not worse on the subject's labelled recordings."
            if metrics["recordings"]
            else "No labelled recording to test it on."
        )
        why = f"Learned from {entry['n_counted']} of {entry['n_symbols']} symbols of {entry['recording']}. {how}"
        replaced = line.replaced_by(version) if serving == version else serving
        figures = {name: metrics[name] for name in ("auc_population", "auc_personal", "n_flashes", "margin")}
        if not line.promote(version, expected=replaced, entry={"execution": execution, "why": why, **figures}):
            return None
        done = answer(manifest, "promoted", why=why, **said)
    registry.keep_decision(version, done)
    return done
