"""Makes a subject's personal model when a new recording of theirs has features, and promotes it unless it is worse than the population's.

It stands on the population model that serves the recording's channels, and learns from all of the subject's labelled recordings of these
channels. Nothing of the population is trained. A new champion does not make personal models again: each goes on standing on its
population version until the subject's next labelled recording. Sessions of use that the serving version learned from are learnt from again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
from p300 import __version__
from p300.errors import ArtifactError

from p300_pipeline import provenance
from p300_pipeline.contracts import PersonalResult
from p300_pipeline.feature_store import features_key, load_features, subject_of
from p300_pipeline.making.personal import MadePersonal, make_personal_model
from p300_pipeline.montage_groups import Montage
from p300_pipeline.personal_models import line_of, population_of, subject_in
from p300_pipeline.registry import PROMOTION, Registry
from p300_pipeline.steps.training.earlier_use import EarlierUse, earlier_use
from p300_pipeline.steps.training.own_recordings import Own, Population, champions_of, own_recordings, population_for
from p300_pipeline.steps.training.personal_answers import KIND, answer, no_model, stands_on
from p300_pipeline.steps.training.use import USE_NPZ, learn_from_use
from p300_pipeline.storage import Store, find

PERSONAL_MARGIN_AUC = 0.01
"""A personal model serves unless its mean AUC is further than this below the population's, on the same flashes."""
SHOWN_LEFT_OUT = 20
"""Of the recordings left out, in the answer; the manifest has all."""


def make_personal(  # noqa: PLR0911 - an answer each
    store: Store,
    features_bucket: str,
    models_bucket: str,
    recording: str,
    *,
    execution: str,
    started: datetime,
    memory_mb: int,
) -> PersonalResult:
    """Make, compare and promote a subject's personal model; of an unlabelled recording, as `learn_from_use` does.

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
        return no_model(subject, f"The features of {recording} were deleted meanwhile.")
    features = load_features(store, features_bucket, recording, etag=item.etag)
    if not features.labelled:
        where = (store, features_bucket, models_bucket, recording, features, item)
        return learn_from_use(*where, execution=execution, started=started, memory_mb=memory_mb)
    manifests = champions_of(registry)
    if not manifests:
        return no_model(
            subject, "There is no population model yet. The subject's next recording after it makes a personal one."
        )
    found = population_for(registry, manifests, features)
    if isinstance(found, str):
        return no_model(subject, found)
    own, left_out = own_recordings(store, features_bucket, recording, found, manifests, memory_mb)
    listed = [{"recording": name, "reason": reason} for name, reason in left_out.items()]
    if not own.facts:
        return {**no_model(subject, f"No recording of {subject} can be learnt from."), "left_out": listed}
    use = earlier_use(registry, store, features_bucket, subject, found, own)
    if use.knows(found, own):
        why = f"{use.serving['version']} learned from the same recordings, and from use since. Nothing to do."
        return answer(use.serving, "unchanged", why=why)
    fingerprint = _fingerprint(subject, found, own, use)
    claim = registry.claim(execution, fingerprint, started, f"{subject}/")
    if not claim.finished:
        made = make_personal_model(found.arrays, own, own.gap, use.sessions)
        manifest = {
            **stands_on(found.manifest),
            "kind": KIND,
            "learned_from": "labelled recordings",
            "population": found.stated(subject),
            "subjects": [subject],
            "held_out": [],
            "recordings": [{"recording": name, **facts} for name, facts in own.facts.items()],
            **use.stated(made),
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
        if made.use_npz:
            artifacts[USE_NPZ] = (made.use_npz, "application/octet-stream")
        claim = registry.publish(claim.version, fingerprint, artifacts, manifest)
    return _promote(registry, features_bucket, claim.version, subject, execution, listed)


def _fingerprint(subject: str, population: Population, own: Own, use: EarlierUse) -> str:
    identity = {
        "personal": subject,
        "population": [population.manifest["version"], population.sha256],
        "recordings": sorted((name, facts["features_etag"]) for name, facts in own.facts.items()),
        **({"sessions": use.identity()} if use.sessions else {}),
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
        return answer(manifest, "unchanged", why=f"The same recordings led to {version} before. Nothing to do.", **told)
    group = Montage.of(manifest).group
    while True:
        line = line_of(registry, subject, group)
        serving = line.champion()
        if serving != version:
            line.finish_promotion()
        _check_use(registry, manifest, serving)
        why_not = _worse(manifest["metrics"]) or _overtaken(registry, features_bucket, manifest, serving)
        if why_not and serving != version:
            found = answer(manifest, "kept", alias=line.role, why=why_not, **told)
            break
        replaced = line.replaced_by(version) if serving == version else serving
        why = "Not worse than the population's model on the subject's own flashes."
        figures = {
            name: manifest["metrics"][name] for name in ("auc_population", "auc_personal", "n_flashes", "margin")
        }
        if line.promote(version, expected=replaced, entry={"execution": execution, "why": why, **figures}):
            found = answer(manifest, "promoted", alias=line.role, why=why, **told)
            break
    registry.keep_decision(version, found)
    return found


def _check_use(registry: Registry, manifest: Mapping[str, Any], serving: str | None) -> None:
    """Refuse to replace a version that learned from a session meanwhile: the step's retry makes the model with that session.

    Raises
    ------
    ArtifactError
        ``overtaken``.
    """
    if serving in {None, manifest["version"]} or subject_in(str(serving)) is None:
        return
    try:
        theirs = registry.manifest(str(serving)).get("sessions", [])
    except ArtifactError:
        return  # it is replaced
    considered = manifest.get("sessions", []) + manifest.get("sessions_left_out", [])
    if missing := {entry["recording"] for entry in theirs} - {entry["recording"] for entry in considered}:
        raise ArtifactError(
            "overtaken", f"{serving} learned from {min(missing)} meanwhile; {manifest['version']} was made without it."
        )


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
