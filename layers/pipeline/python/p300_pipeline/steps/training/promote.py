"""Champion against challenger, on the recordings that both were tested on without having seen the person."""

from typing import Any, cast

import numpy as np
from p300.chance import chance_of, in_words
from p300.errors import ArtifactError
from p300.evaluation import headline, left_out_recordings

from p300_pipeline.contracts import PromoteOutcome, PromoteResult
from p300_pipeline.feature_store import subject_of
from p300_pipeline.keys import subject_name
from p300_pipeline.montage_groups import Montage, add_group
from p300_pipeline.promotions import Promotions
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store
from p300_pipeline.synthetic import is_synthetic

PROMOTION_MARGIN_AUC = 0.01


def promote(store: Store, models_bucket: str, version: str, *, execution: str) -> PromoteResult:
    """Make a version the champion unless it is at chance, or worse than the one that serves.

    It is compared with the champion of its own montage group. A group of more subjects than the default one becomes the default.
    Compared on the recordings that both were tested on without having seen the person (leave-one-subject-out), paired: the mean over
    subjects of the difference of ROC AUC must not be below -`PROMOTION_MARGIN_AUC`. A challenger that was overtaken by a newer champion
    must be better by more than that. A challenger at chance (`p300.chance`) is never promoted here, not even as the first.

    Parameters
    ----------
    store : Store
        S3 access.
    models_bucket : str
        Bucket name.
    version : str
        The challenger, or an alias of it.
    execution : str
        Name of the execution, for the history.

    Returns
    -------
    dict
        ``outcome`` (``promoted`` or ``kept``), ``champion``, and the figures that decided; ``alias`` of the champion where it is not of the
        default group, or became the default just now.
    """
    registry = Registry(store, models_bucket)
    version = registry.resolve(version)
    challenger = registry.manifest(version)
    own = Montage.of(challenger)
    while True:
        default = _default(registry)
        line: Promotions = registry
        if default and default.group != own.group:
            registry.finish_promotion()  # of the default group, which may not see another one soon
            line = registry.line(own.group)
        answer = _promote(registry, line, challenger, execution)
        now = _default(registry)
        if line is registry or now is None or now.group != own.group:
            break  # else its group became the default meanwhile, so that another alias counts
    if line is not registry:
        answer = {**answer, "alias": line.role}
        is_larger = now is not None and (own.synthetic, -own.people) < (now.synthetic, -now.people)
        if answer["outcome"] == "promoted" and now and is_larger:
            answer = _make_default(registry, answer, own, now, execution)
    registry.keep_decision(version, answer)
    return answer


def _promote(registry: Registry, line: Promotions, challenger: dict[str, Any], execution: str) -> PromoteResult:
    """Promote a version within its group, or not."""
    version = challenger["version"]
    while True:
        champion = line.champion()
        if champion != version:
            line.finish_promotion()
        # A retry compares with the same model as the attempt that failed, and gives the same answer.
        other = line.replaced_by(version) if champion == version else champion
        decision = (
            _at_chance(challenger) or _synthetic(registry, other, challenger) or _compare(registry, other, challenger)
        )
        if not decision.pop("promote"):
            if champion != version:
                return _answer("kept", champion=champion, challenger=version, **decision)
            decision = {"why": "It is the champion already."}
        if line is not registry:
            add_group(registry.store, registry.bucket, Montage.of(challenger).channels)
        if line.promote(version, expected=other, entry={"execution": execution, **decision}):
            return _answer("promoted", champion=version, replaced=other, **decision)


def _default(registry: Registry) -> Montage | None:
    """Return the group of the default champion; None where there is none, or its manifest cannot be read: the next model replaces it."""
    champion = registry.champion()
    try:
        return Montage.of(registry.manifest(champion)) if champion else None
    except ArtifactError:
        return None


def _make_default(
    registry: Registry, answer: PromoteResult, own: Montage, now: Montage, execution: str
) -> PromoteResult:
    """Make a group of more people the default, unless the default changed meanwhile: the next promotion then sees to it."""
    before = registry.champion()
    more = f"more than the {now.people} of" if own.people > now.people else "and only synthetic recordings have that of"
    why = f"{answer['why']} Its montage {own.group} has {own.people} subjects, {more} {now.group}."
    if not before or not registry.make_default(
        answer["champion"] or "", expected=before, entry={"execution": execution, "why": why}
    ):
        return answer
    return cast(PromoteResult, {**answer, "alias": "champion", "why": why, "default_instead_of": now.group})


def _at_chance(challenger: dict[str, Any]) -> dict[str, Any] | None:
    """Return the decision on a challenger that is at chance; None for any other."""
    chance = chance_of(challenger["metrics"])
    if not chance or not chance["at_chance"]:
        return None
    why = f"It is {in_words(chance)} on left-out subjects. `p300 promote {challenger['version']} --force` makes it the champion."
    return {"promote": False, "why": why, "p_chance": chance["p_value"]}


def _synthetic(registry: Registry, champion: str | None, challenger: dict[str, Any]) -> dict[str, Any] | None:
    """Return the decision where one of the two was trained on synthetic recordings alone; None where that is not so."""
    try:
        replaces_demo = champion is not None and is_synthetic(registry.manifest(champion))
    except ArtifactError:
        return None
    if champion is None or replaces_demo == is_synthetic(challenger):
        return None
    if replaces_demo:
        return {"promote": True, "why": "The champion was trained on synthetic recordings alone."}
    why = f"It was trained on synthetic recordings alone. `p300 promote {challenger['version']}` makes it the champion."
    return {"promote": False, "why": why}


def _answer(outcome: PromoteOutcome, **facts: Any) -> PromoteResult:
    return cast(PromoteResult, {"outcome": outcome, **facts})


def _compare(registry: Registry, champion_version: str | None, challenger: dict[str, Any]) -> dict[str, Any]:
    if champion_version is None:
        return {"promote": True, "why": "There was no champion."}
    try:
        champion = registry.manifest(champion_version)
        ours, theirs = _comparable(challenger, champion)
    except ArtifactError as error:
        return {"promote": True, "why": f"The champion cannot serve: {error.message}"}
    older = challenger["version"] < champion_version
    common = sorted(theirs.keys() & ours.keys())
    if not common:
        fewer = len(challenger["subjects"]) < len(champion["subjects"])
        why = "No recording was left out of both models: nothing to compare, " + (
            "and this one was trained on fewer subjects. `p300 promote VERSION` makes it the champion."
            if fewer
            else "the newer one serves."
        )
        return {"promote": not older and not fewer, "why": why}
    difference = float(np.mean([ours[name] - theirs[name] for name in common]))
    figures = {
        "auc_difference": round(difference, 4),
        "margin": PROMOTION_MARGIN_AUC,
        "auc_champion": round(float(np.mean([theirs[name] for name in common])), 4),
        "auc_challenger": round(float(np.mean([ours[name] for name in common])), 4),
        "compared_on": common,
    }
    if older and difference <= PROMOTION_MARGIN_AUC:
        return {"promote": False, "why": "Older than the champion, and not better on left-out subjects.", **figures}
    if difference < -PROMOTION_MARGIN_AUC:
        return {"promote": False, "why": "Worse on left-out subjects than the champion.", **figures}
    return {"promote": True, "why": "Not worse on left-out subjects than the champion.", **figures}


def _comparable(*manifests: dict[str, Any]) -> list[dict[str, float]]:
    """Return each model's AUC by subject: the mean over the recordings that all were tested on, of the same content under the same name.

    Models of before there were figures for each recording are compared on the subjects that all were tested on.
    """
    found = [_auc_by_recording(manifest) for manifest in manifests]
    if any(recordings is None for recordings in found):
        return [_auc_by_subject(manifest) for manifest in manifests]
    common = set.intersection(*(set(recordings or ()) for recordings in found))
    return [
        _mean_by_subject({key: auc for key, auc in (recordings or {}).items() if key in common}) for recordings in found
    ]


def _mean_by_subject(aucs: dict[tuple[str, str | None], float]) -> dict[str, float]:
    by_subject: dict[str, list[float]] = {}
    for (recording, _), auc in aucs.items():
        by_subject.setdefault(subject_of(recording), []).append(auc)
    return {subject: float(np.mean(found)) for subject, found in by_subject.items()}


def _auc_by_recording(manifest: dict[str, Any]) -> dict[tuple[str, str | None], float] | None:
    """Return the AUC of each left-out recording, by its name and content; None where the model has no such figures."""
    aucs = left_out_recordings(manifest["metrics"])
    if aucs is None:
        return None
    content = {entry["recording"]: entry.get("raw") for entry in manifest["recordings"]}
    return {(name, content.get(name)): auc for name, auc in aucs.items()}


def _auc_by_subject(manifest: dict[str, Any]) -> dict[str, float]:
    figures = headline(manifest["metrics"])
    if figures["scheme"] != "leave_one_subject_out":
        return {}
    return {subject_name(name): auc for name, auc in figures["auc_by_fold"].items() if auc is not None}
