"""What use taught a subject's personal model before, for a model that is made of labelled recordings again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from p300.errors import ArtifactError, P300Error
from p300.likeness import alike, sketch
from p300.models.learning_from_use import Spelling
from p300.montages import fitted

from p300_pipeline import provenance
from p300_pipeline.feature_store import load_features
from p300_pipeline.making.personal import USE_MARGIN_AUC, MadePersonal, use_loses
from p300_pipeline.montage_groups import Montage
from p300_pipeline.personal_models import line_of, subject_in
from p300_pipeline.registry import Registry
from p300_pipeline.serving.symbols import read_layout
from p300_pipeline.steps.training.choice import raw_identity
from p300_pipeline.steps.training.evaluate import unusable
from p300_pipeline.steps.training.own_recordings import MOST_RECORDINGS, Own, Population
from p300_pipeline.storage import Store


@dataclass(frozen=True)
class EarlierUse:
    """The sessions that the serving version learned from.

    Attributes
    ----------
    serving : mapping
        The version's manifest; empty where it is a population's, or none.
    sessions : dict of str to Spelling
        Those that can be learnt from again, by recording, in order.
    entries : dict of str to dict
        What the manifest says of each.
    left_out : list of dict
        ``recording`` and ``reason`` of the others.
    """

    serving: Mapping[str, Any] = field(default_factory=dict)
    sessions: dict[str, Spelling] = field(default_factory=dict)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: list[dict[str, str]] = field(default_factory=list)

    def knows(self, population: Population, own: Own) -> bool:
        """Say whether the serving version learned from all of these labelled recordings, and from use since."""
        theirs = {(entry["recording"], entry.get("features_etag")) for entry in self.serving.get("recordings", ())}
        return (
            bool(self.entries or self.left_out)
            and {(name, facts["features_etag"]) for name, facts in own.facts.items()} <= theirs
            and self.serving["population"]["version"] == population.manifest["version"]
            and self.serving.get("code_digest") == provenance.code_of(provenance.PERSONAL).digest
        )

    def identity(self) -> list[list[str]]:
        """Return what tells these sessions from others, in a fingerprint."""
        return [[name, str(entry["features_etag"])] for name, entry in self.entries.items() if name in self.sessions]

    def stated(self, made: MadePersonal) -> dict[str, Any]:
        """Return what the new manifest says of the sessions: those that it learned from again, and why not from the others."""
        if not self.entries and not self.left_out:
            return {}
        left_out, kept = list(self.left_out), []
        lost = use_loses(made.with_use)
        for name, lesson in made.lessons.items():
            if lesson.learnt and not lost:
                counted = {"n_counted": lesson.n_certain, "mean_certainty": round(lesson.mean_certainty, 4)}
                kept.append({**self.entries[name], **counted})
            else:
                why = f"with use the labelled recordings lose more than {USE_MARGIN_AUC} of AUC" if lost else ""
                left_out.append({"recording": name, "reason": " ".join(lesson.problems) or why})
        return {"sessions": kept, "sessions_left_out": left_out}


def earlier_use(
    registry: Registry, store: Store, bucket: str, subject: str, population: Population, own: Own
) -> EarlierUse:
    """Return the sessions that the version which serves a subject learned from: what was rolled back is not among them.

    Parameters
    ----------
    registry, store, bucket
        The models, and the features.
    subject : str
        Canonical name.
    population : Population
        What the new model stands on.
    own : Own
        The labelled recordings that it learns from.
    """
    serving = line_of(registry, subject, Montage.of(population.manifest).group).champion()
    if serving is None or subject_in(serving) is None:
        return EarlierUse()
    try:
        manifest = registry.manifest(serving)
    except ArtifactError:
        return EarlierUse()  # it is replaced
    found = EarlierUse(manifest)
    channels, sketches = list(population.manifest["channels"]), {}
    entries = manifest.get("sessions", [])
    old = f"the newest {MOST_RECORDINGS} sessions are learnt from again"
    found.left_out.extend({"recording": entry["recording"], "reason": old} for entry in entries[:-MOST_RECORDINGS])
    for entry in entries[-MOST_RECORDINGS:]:
        name = entry["recording"]
        try:
            features = load_features(store, bucket, name)
            same = raw_identity(features.provenance) == entry["raw"] and not features.labelled
            reason: str | None = unusable(features, population.manifest) if same else "it was replaced since"
            if not reason:
                session = fitted(features, channels, name)
                spelling = Spelling.of(session, read_layout(features.sidecar.get("layout")), name)
        except P300Error as error:
            reason = error.message
        if reason:
            found.left_out.append({"recording": name, "reason": reason})
        else:
            found.sessions[name], found.entries[name] = spelling, entry
            sketches[name] = sketch(session.epochs)
    for pair in alike({**own.sketches, **sketches}):
        for name in set(pair) & found.sessions.keys():
            if other := (set(pair) - {name}) & own.sketches.keys():
                reason = f"it holds the same epochs as {other.pop()}, which is labelled: they count once"
                found.left_out.append({"recording": name, "reason": reason})
                del found.sessions[name], found.entries[name]
    return found
