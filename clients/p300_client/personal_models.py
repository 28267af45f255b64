"""A subject's personal models: all of them with their metrics, and which one serves."""

import time
from typing import Any

from p300.errors import ArtifactError, P300Error
from p300_pipeline.aliases import SUBJECT_ALIAS
from p300_pipeline.keys import subject_named
from p300_pipeline.montage_groups import Montage
from p300_pipeline.personal_models import before, held_by_subject, line_of, population_of, subject_in, versions_of
from p300_pipeline.promotions import Promotions
from p300_pipeline.registry import Registry


def canonical(subject: str) -> str:
    """Return the one name of a subject, in any spelling or by its label.

    Raises
    ------
    P300Error
        ``bad_subject``.
    """
    name = subject_named(subject)
    if name is None:
        raise P300Error("bad_subject", f"{subject!r} is not a subject; expected subject_07, sub-07 or 07.")
    return name


def list_personal(models: Registry, subject: str) -> dict[str, Any]:
    """Return a subject's personal models.

    Returns
    -------
    dict
        ``subject``; ``aliases`` and what they hold; ``models``, newest first, with the AUC of the population's model and of the personal
        one on the same flashes, or ``problem`` where a version is damaged.
    """
    name = canonical(subject)
    aliases = held_by_subject(models, name)
    rows = [
        _row(models, version, [one for one, held in aliases.items() if held == version])
        for version in reversed(versions_of(models, name))
    ]
    return {"subject": name, "aliases": aliases, "models": rows}


def _row(models: Registry, version: str, aliases: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"version": version, "aliases": " ".join(aliases)}
    try:
        manifest = models.manifest(version)
        population = population_of(manifest)
    except ArtifactError as error:
        return {**row, "problem": error.message}
    metrics = manifest["metrics"]
    return {
        **row,
        "created": manifest["created"],
        "montage": Montage.of(manifest).group,
        "population": population["version"],
        "population_trained_on_subject": population.get("trained_on_subject"),
        **{name: metrics.get(name) for name in ("scheme", "auc_population", "auc_personal", "n_flashes", "margin")},
        "learned_from": manifest.get("learned_from", "labelled recordings"),
        "sessions": manifest.get("sessions", []),
        "epochs": manifest["n_epochs"],
        "recordings": [entry["recording"] for entry in manifest["recordings"]],
    }


def is_personal(name: str | None) -> bool:
    """Say whether a name is a personal model's version, or an alias of one."""
    return name is not None and (subject_in(name) is not None or SUBJECT_ALIAS.fullmatch(name) is not None)


def promote_personal(models: Registry, version: str | None, alias: str | None) -> tuple[str, str | None, str]:
    """Serve a personal version, or the one before; return it, the one that it replaces, and their alias.

    Parameters
    ----------
    models : Registry
        The registry.
    version : str or None
        The version; None for the one before that of `alias` or, where there is none, the population model that the first stood on.
    alias : str or None
        ``subject_<label>``, or ``subject_<label>_<montage>``.

    Raises
    ------
    ArtifactError
        If there is no such version, it serves already, or another promotion came in between.
    """
    if version is None:
        label, _, group = str(alias).removeprefix("subject_").partition("_")
        role = canonical(label) + (f"_{group}" if group else "")
        line = Promotions(models.store, models.bucket, role)
        version = before(models, line)
        manifest = models.manifest(version)
    else:
        manifest = models.manifest(version)
        line = line_of(models, str(subject_in(version)), Montage.of(manifest).group)
    models.artifact(version, "model.npz", manifest)  # a version that cannot serve must not be promoted
    serving = line.champion()
    if version == serving == line.held_by(line.role):
        raise ArtifactError("is_champion", f"{version} serves {line.role} already.")
    # The name is unique: every promotion by hand is a separate entry in the history.
    entry = {"execution": f"by hand {time.time_ns()}", "why": "promoted by hand"}
    if not line.promote(version, expected=serving, entry=entry):
        raise ArtifactError(
            "overtaken", "Another promotion came in between. Check `p300 models --subject` and try again."
        )
    return version, serving, line.role
