"""Model versions: all of them with their metrics, and which is the champion."""

import time
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError
from p300.chance import chance_of, in_words
from p300.errors import ArtifactError
from p300.evaluation import headline
from p300_pipeline.model_index import update_index
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from p300_client.target import Target


def registry(target: Target) -> Registry:
    """Return the target's registry."""
    return Registry(Store(target.client("s3")), target.outputs["ModelsBucketName"])


def promote(target: Target, version: str | None, *, force: bool = False) -> tuple[str, str | None]:
    """Promote a version by hand: the named one, or the previous champion.

    Parameters
    ----------
    target : Target
        The stack whose models these are.
    version : str or None
        The version; None for the previous champion.
    force : bool
        Whether to promote a version even if it is at chance.

    Returns
    -------
    tuple of (str, str or None)
        The new champion, and the one it replaced.

    Raises
    ------
    ArtifactError
        If there is no such version, it is already the champion, there is none to roll back to, or another promotion came in between;
        ``at_chance`` without `force`.
    """
    models = registry(target)
    serving = models.champion()
    if version is None:
        version = before(models, serving)
    try:
        manifest = models.manifest(version)
        models.artifact(version, "model.npz", manifest)  # a version that cannot serve must not be promoted
        chance = chance_of(manifest["metrics"])
    except ArtifactError as error:
        raise ArtifactError(error.code, f"{error.message} `p300 models` lists the versions.") from error
    if version == serving == models.held_by("champion"):
        if models.pointer() == version:
            raise ArtifactError("is_champion", f"{version} is already the champion.")
        models.follow_champion()
        return version, serving
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
    if not models.promote(version, expected=serving, entry=entry):
        raise ArtifactError("overtaken", "Another promotion came in between. Check `p300 models` and try again.")
    return version, serving


def at_chance(models: Registry, version: str) -> str:
    """Return ``, at chance (p = ...)`` for a version that is; an empty string for any other."""
    chance = chance_of(models.manifest(version)["metrics"])
    return f", {in_words(chance)}" if chance and chance["at_chance"] else ""


def before(models: Registry, serving: str | None) -> str:
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
        ``history`` of promotions; ``problems`` of the bucket.
    """
    models = registry(target)
    with suppress(ClientError):  # a user with read access only sees the same list
        update_index(models)
    aliases, problems = models.aliases()[0], models.problems()
    rows: list[dict[str, Any]] = []
    for version in reversed(models.versions()):
        serves = " ".join(name for name, held in aliases.items() if held == version)
        try:
            manifest = models.manifest(version)
        except ArtifactError as error:
            rows.append({"version": version, "aliases": serves, "problem": error.message})
            continue
        rows.append(
            {
                "version": version,
                "aliases": serves,
                "kind": manifest["kind"],
                "subjects": len(manifest["subjects"]),
                "recordings": len(manifest["recordings"]),
                "epochs": manifest["n_epochs"],
                **headline(manifest["metrics"]),
                "chance": in_words(chance) if (chance := chance_of(manifest["metrics"])) else None,
            }
        )
    return {"models": rows, "aliases": aliases, "history": models.history(), "problems": problems}
