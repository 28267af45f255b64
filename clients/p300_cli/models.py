"""Model versions as tables."""

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

from p300_cli.target import Target
from p300_cli.terminal import err, escape, out, print_json, table


def registry(target: Target) -> Registry:
    """Return the target's registry."""
    return Registry(Store(target.client("s3")), target.outputs["ModelsBucketName"])


def promote(target: Target, version: str | None, *, force: bool = False) -> tuple[str, str | None]:
    """Make a version the champion by hand: the one named, or the champion before the present one.

    Parameters
    ----------
    target : Target
        Whose models.
    version : str or None
        The version; None for the champion before.
    force : bool
        Whether to promote a version that is at chance too.

    Returns
    -------
    tuple of (str, str or None)
        The champion now, and the one it replaced.

    Raises
    ------
    ArtifactError
        If there is no such version, it serves already, there is none to go back to, or another promotion came in between; ``at_chance``
        without `force`.
    """
    models = registry(target)
    serving = models.champion()
    if version is None:
        version = before(models, serving)
    try:
        manifest = models.manifest(version)
        models.artifact(version, "model.npz", manifest)  # what cannot serve is not promoted
        chance = chance_of(manifest["metrics"])
    except ArtifactError as error:
        raise ArtifactError(error.code, f"{error.message} `p300 models` lists the versions.") from error
    if version == serving == models.held_by("champion"):
        if models.pointer() == version:
            raise ArtifactError("is_champion", f"{version} is the champion already.")
        models.follow_champion()
        return version, serving
    at_chance = in_words(chance) if chance and chance["at_chance"] else ""
    if at_chance and not force:
        raise ArtifactError(
            "at_chance",
            f"{version} is {at_chance} on left-out people: its predictions cannot be told from guesses. Train on more or clearer "
            f"recordings, or promote it all the same: `p300 promote {version} --force`.",
        )
    # A name of its own: every promotion by hand is one entry of the history.
    why = f"promoted by hand, though it is {at_chance}" if at_chance else "promoted by hand"
    entry = {"execution": f"by hand {time.time_ns()}", "why": why}
    if not models.promote(version, expected=serving, entry=entry):
        raise ArtifactError("overtaken", "Another promotion came in between; look at `p300 models` and try again.")
    return version, serving


def at_chance(models: Registry, version: str) -> str:
    """Return ``, at chance (p = ...)`` of a version that is; nothing of any other."""
    chance = chance_of(models.manifest(version)["metrics"])
    return f", {in_words(chance)}" if chance and chance["at_chance"] else ""


def before(models: Registry, serving: str | None) -> str:
    """Return the champion before the present one.

    Raises
    ------
    ArtifactError
        If the history names none.
    """
    history = models.history()
    if history and serving not in {entry["version"] for entry in history}:  # nobody promoted what the alias holds
        return str(history[-1]["version"])
    for entry in reversed(history):
        if entry["version"] == serving and entry.get("replaced") not in {None, serving}:
            return str(entry["replaced"])
    raise ArtifactError(
        "no_champion_before", "The history names no champion before this one: there is nothing to roll back to."
    )


def show_models(target: Target, *, as_json: bool = False) -> None:
    """Print all versions, newest first, with the figures of left-out people."""
    models = registry(target)
    with suppress(ClientError):  # who may only read sees the same
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
    if as_json:
        print_json({"models": rows, "aliases": aliases, "history": models.history(), "problems": problems})
        return
    out.print(
        table(
            "Models (AUC on people left out of training; the random split is optimistic)",
            [
                "version",
                "alias",
                "kind",
                "subjects",
                "recordings",
                "epochs",
                "AUC left out",
                "± sd",
                "chance",
                "AUC random split",
            ],
            [
                [
                    row["version"],
                    row["aliases"] or row.get("problem"),
                    *[
                        row.get(name)
                        for name in (
                            "kind",
                            "subjects",
                            "recordings",
                            "epochs",
                            "auc_mean",
                            "auc_sd",
                            "chance",
                            "auc_pooled_random_split_optimistic",
                        )
                    ],
                ]
                for row in rows
            ],
        )
    )
    for problem in problems:
        err.print(f"[yellow]{escape(problem)}[/yellow]")
    if rows and "auc_by_fold" in rows[0]:
        by_fold = rows[0]["auc_by_fold"]
        out.print(
            escape(
                f"newest, {rows[0]['scheme'].replace('_', ' ')}: "
                + "  ".join(f"{name} {auc:.3f}" for name, auc in by_fold.items() if auc is not None)
            )
        )
