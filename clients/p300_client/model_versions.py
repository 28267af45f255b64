"""Model versions: all of them with their metrics, and which is the champion."""

import time
from contextlib import suppress
from typing import Any, NamedTuple

from botocore.exceptions import ClientError
from p300.chance import chance_of, in_words
from p300.errors import ArtifactError
from p300.evaluation import headline
from p300_pipeline.model_index import update_index
from p300_pipeline.montage_groups import PREFIX, Montage, add_group, mend_groups
from p300_pipeline.promotions import CHAMPION, Promotions
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store
from p300_pipeline.synthetic import n_synthetic

from p300_client.coverage import coverage
from p300_client.personal_models import is_personal, promote_personal
from p300_client.target import Target


def registry(target: Target) -> Registry:
    """Return the target's registry."""
    return Registry(Store(target.client("s3")), target.outputs["ModelsBucketName"])


class Promoted(NamedTuple):
    """The new champion of a montage group, the one it replaced, and their alias."""

    version: str
    replaced: str | None
    alias: str


def promote(target: Target, version: str | None, *, force: bool = False, alias: str | None = None) -> Promoted:
    """Promote a version by hand within its montage group: the named one, or the previous champion.

    Parameters
    ----------
    target : Target
        The stack whose models these are.
    version : str or None
        The version; None for the previous champion.
    force : bool
        Whether to promote a version even if it is at chance.
    alias : str, optional
        Whose previous champion, where `version` is None: ``champion`` by default, ``champion_<montage>``, or ``subject_<label>``, whose
        first personal model goes back to the population's.

    Returns
    -------
    Promoted

    Raises
    ------
    ArtifactError
        If there is no such version, it is already the champion, there is none to roll back to, or another promotion came in between;
        ``at_chance`` without `force`.
    """
    models = registry(target)
    if is_personal(version or alias):
        return Promoted(*promote_personal(models, version, alias))
    line: Promotions = models.line(alias.removeprefix(PREFIX)) if alias and alias != CHAMPION else models
    serving = line.champion()
    version_is_previous = version is None
    if version is None:
        version = before(line, serving)
    try:
        manifest = models.manifest(version)
        models.artifact(version, "model.npz", manifest)  # a version that cannot serve must not be promoted
        chance = chance_of(manifest["metrics"])
    except ArtifactError as error:
        raise ArtifactError(error.code, f"{error.message} `p300 models` lists the versions.") from error
    own, default = Montage.of(manifest), models.champion()
    other_group = default and (group := models.group_of(default)) and group != own.group
    rolls_default_back = version_is_previous and line is models
    if other_group and not rolls_default_back:
        line = models.line(own.group)
        serving = line.champion()
    if version == serving == line.held_by(line.role):
        if line is not models or models.pointer() == version:
            raise ArtifactError(
                "is_champion",
                f"{version} is already the champion{f' ({line.role})' if line.role != CHAMPION else ''}.",
            )
        models.follow_champion()
        return Promoted(version, serving, line.role)
    at_chance = in_words(chance) if chance and chance["at_chance"] else ""
    if at_chance and not force:
        raise ArtifactError(
            "at_chance",
            f"{version} is {at_chance} on left-out subjects: its predictions are no better than guesses. Train on more or cleaner "
            f"recordings, or promote it anyway: `p300 promote {version} --force`.",
        )
    # The name is unique: every promotion by hand is a separate entry in the history.
    why = f"promoted by hand, though it is {at_chance}" if at_chance else "promoted by hand"
    entry = {"execution": f"by hand {time.time_ns()}", "why": why}
    if line is not models:
        add_group(models.store, models.bucket, own.channels)
    if other_group and rolls_default_back and default:
        done = models.make_default(version, expected=default, entry=entry)
    else:
        done = line.promote(version, expected=serving, entry=entry)
    if not done:
        raise ArtifactError("overtaken", "Another promotion came in between. Check `p300 models` and try again.")
    return Promoted(version, serving, line.role)


def at_chance(models: Registry, version: str) -> str:
    """Return ``, at chance (p = ...)`` for a version that is; an empty string for any other."""
    chance = chance_of(models.manifest(version)["metrics"])
    return f", {in_words(chance)}" if chance and chance["at_chance"] else ""


def before(models: Promotions, serving: str | None) -> str:
    """Return the previous champion.

    Raises
    ------
    ArtifactError
        If the history does not name one.
    """
    history = models.history()
    if history and serving not in {entry["version"] for entry in history}:  # the alias was set without a promotion
        return str(history[-1]["version"])
    for entry in reversed(history):
        if entry["version"] == serving and entry.get("replaced") not in {None, serving}:
            return str(entry["replaced"])
    raise ArtifactError(
        "no_champion_before", "The history names no earlier champion: there is nothing to roll back to."
    )


def list_models(target: Target) -> dict[str, Any]:
    """Return all versions with their metrics.

    Returns
    -------
    dict
        ``models``, newest first, with the metrics on left-out subjects, or ``problem`` if a version is damaged; ``aliases``;
        ``history`` of promotions; ``problems`` of the bucket; ``recordings`` as `p300_client.coverage.coverage` returns them.
    """
    models = registry(target)
    with suppress(ClientError):  # a user with read access only sees the same list
        update_index(models)
    manifests: dict[str, Any] = {}
    for version in reversed(models.versions()):
        try:
            manifests[version] = models.manifest(version)
        except ArtifactError as error:
            manifests[version] = error
    montages = {version: Montage.of(one) for version, one in manifests.items() if not isinstance(one, ArtifactError)}
    with suppress(ClientError):
        mend_groups(models, montages)
    aliases, problems = models.aliases()[0], models.problems()
    rows: list[dict[str, Any]] = []
    for version, manifest in manifests.items():
        serves = " ".join(name for name, held in aliases.items() if held == version)
        if isinstance(manifest, ArtifactError):
            rows.append({"version": version, "aliases": serves, "problem": manifest.message})
            continue
        rows.append(
            {
                "version": version,
                "aliases": serves,
                "kind": manifest["kind"],
                "montage": montages[version].group,
                "channels": manifest["channels"],
                "subjects": len(manifest["subjects"]),
                "recordings": len(manifest["recordings"]),
                "synthetic": n_synthetic(manifest),
                "epochs": manifest["n_epochs"],
                **headline(manifest["metrics"]),
                "chance": in_words(chance) if (chance := chance_of(manifest["metrics"])) else None,
            }
        )
    return {
        "models": rows,
        "aliases": aliases,
        "history": models.history(),
        "problems": problems,
        "recordings": coverage(target, manifests, aliases),
    }
