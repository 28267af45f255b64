"""A subject's personal models in the models bucket: which serves, by montage group.

A personal model is a version ``<subject>/v...``, with its manifest and ``model.npz`` in that folder of the models bucket. It belongs to the
montage group of the population model that it stands on, and goes on standing on that version until the subject's next recording.

The alias ``<subject>`` serves the first montage group that the subject had a personal model of; every other group has an alias of its own,
``<subject>_<group>``. An alias keeps a history, as champions do. It may also hold a population's version: that is what is returned to where
there was no personal model before.
"""

from typing import Any

from p300.errors import ArtifactError

from p300_pipeline.aliases import PERSONAL_VERSION
from p300_pipeline.montage_groups import Montage
from p300_pipeline.promotions import Promotions
from p300_pipeline.registry import Registry


def subject_in(version: str) -> str | None:
    """Return whose personal model a version is; None where it is a population's."""
    found = PERSONAL_VERSION.fullmatch(version)
    return found[1] if found else None


def aliases_of(subject: str, group: str) -> tuple[str, str]:
    """Return the aliases that may hold a subject's model of a montage group, the more likely one first."""
    return subject, f"{subject}_{group}"


def versions_of(registry: Registry, subject: str) -> list[str]:
    """Return a subject's versions, oldest first."""
    keys = (item.key for item in registry.store.list(registry.bucket, f"{subject}/v"))
    return sorted(key.removesuffix("/manifest.json") for key in keys if key.endswith("/manifest.json"))


def held_by_subject(registry: Registry, subject: str) -> dict[str, str]:
    """Return the version that each alias of a subject holds; raises as `Promotions.alias`."""
    names = [item.key.removeprefix("aliases/") for item in registry.store.list(registry.bucket, f"aliases/{subject}")]
    mine = [name for name in names if name == subject or name.startswith(f"{subject}_")]  # labels have no underscore
    return {name: version for name in mine if (version := registry.alias(name))}


def line_of(registry: Registry, subject: str, group: str) -> Promotions:
    """Return the promotions of a subject's models of a montage group."""
    first, other = aliases_of(subject, group)
    line = Promotions(registry.store, registry.bucket, first)
    serving = line.champion()
    of_group = serving is None or _group(registry, serving) in {None, group}  # one that cannot be read is replaced
    return line if of_group else Promotions(registry.store, registry.bucket, other)


def before(registry: Registry, line: Promotions) -> str:
    """Return the version to roll back to: the previous one or, where there is none, the population model that the first stood on.

    Raises
    ------
    ArtifactError
        If the subject has no personal model, or the population's serves already.
    """
    serving = line.champion()
    if serving is None:
        raise ArtifactError("no_model", f"There is no personal model {line.role}: nothing to roll back.")
    for entry in reversed(line.history()):
        if entry["version"] == serving and entry.get("replaced") not in {None, serving}:
            return str(entry["replaced"])
    if subject_in(serving) is None:
        raise ArtifactError("no_champion_before", f"{line.role} was rolled back to the population's {serving} already.")
    return str(population_of(registry.manifest(serving))["version"])


def population_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what a personal model's manifest says of the population model that it stands on.

    Raises
    ------
    ArtifactError
        ``bad_manifest`` where it does not.
    """
    found = manifest.get("population")
    if not isinstance(found, dict) or not isinstance(found.get("version"), str):
        raise ArtifactError(
            "bad_manifest", f"The manifest of {manifest['version']} does not name its population model."
        )
    return found


def _group(registry: Registry, version: str) -> str | None:
    try:
        return Montage.of(registry.manifest(version)).group
    except ArtifactError:
        return None
