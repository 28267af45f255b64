"""The index of the models bucket: a row for each finished version, so that listing thousands of models reads one object.

It is derived from the manifests, and updated by every writer of a manifest: the bucket is listed before a conditional write, so of two
writers the later one has seen both manifests. Where the index is missing or damaged, the newest manifests are read instead.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from p300.chance import chance_of
from p300.errors import ArtifactError
from p300.json_text import is_number

from p300_pipeline.documents import parse
from p300_pipeline.storage import Keep, NotFoundError, Write, compare_and_swap

if TYPE_CHECKING:
    from p300_pipeline.registry import Registry

INDEX_KEY = "index.json"
FORMAT = 1
MAX_UNINDEXED = 20
"""Number of manifests that are read if there is no index."""

Row = dict[str, Any]


def row_of(manifest: Mapping[str, Any]) -> Row:
    """Return a version's row: the metrics that lists show."""
    metrics = manifest["metrics"]
    left_out = metrics.get("leave_one_subject_out")
    chance = chance_of(metrics)
    folds = left_out or metrics.get("within_subject_blocks")
    return {
        "version": manifest["version"],
        "kind": manifest["kind"],
        "subjects": len(manifest["subjects"]),
        "recordings": len(manifest["recordings"]),
        "n_epochs": manifest["n_epochs"],
        "auc_left_out": _auc(left_out, "mean"),  # a training on one subject leaves none out
        "scheme": "leave_one_subject_out" if left_out else "within_subject_blocks",
        "auc_mean": _auc(folds, "mean"),
        "auc_sd": _auc(folds, "sd"),
        "auc_random_split": _auc(metrics, "pooled_random_split_optimistic"),
        "at_chance": chance and chance["at_chance"],
        "p_chance": chance and chance["p_value"],
        "created": manifest["created"],
    }


def read_index(registry: "Registry") -> list[Row]:
    """Return the rows of the index, newest version first.

    Raises
    ------
    ArtifactError
        ``no_index`` where it is missing, ``bad_index`` where it is damaged.
    """
    return list(reversed(_read(registry)[0].values()))


def update_index(registry: "Registry") -> list[Row]:
    """Update the index from the manifests in the bucket; return its rows, newest version first."""

    def decide() -> Keep[list[Row]] | Write[list[Row]]:
        held: dict[str, Row] = {}
        etag: str | None = None
        try:
            held, etag = _read(registry)
        except ArtifactError as error:
            etag = _etag(registry) if error.code == "bad_index" else None
        intact = {version: row for version, row in held.items() if "problem" not in row}
        rows = {version: intact.get(version) or _row(registry, version) for version in registry.versions()}
        newest_first = list(reversed(rows.values()))
        if etag is not None and list(rows.items()) == list(held.items()):
            return Keep(newest_first)
        body = json.dumps({"format": FORMAT, "versions": list(rows.values())}).encode()
        return Write(newest_first, body, etag, "application/json")

    return compare_and_swap(registry.store, registry.bucket, INDEX_KEY, decide)[0]


def newest_rows(registry: "Registry") -> tuple[list[Row], str]:
    """Return rows, newest version first, and the reason if they are incomplete because the index cannot be used."""
    try:
        return read_index(registry), ""
    except ArtifactError as error:
        newest = registry.versions()[-MAX_UNINDEXED:]
        rows = [_row(registry, version) for version in reversed(newest)]
        return rows, f"{error.message} Only the newest {MAX_UNINDEXED} versions are listed until then." if rows else ""


def _row(registry: "Registry", version: str) -> Row:
    try:
        return row_of(registry.manifest(version))
    except ArtifactError as error:
        return {"version": version, "problem": error.message}


def _read(registry: "Registry") -> tuple[dict[str, Row], str]:
    name = f"The index of the models, s3://{registry.bucket}/{INDEX_KEY},"
    remedy = "`p300 models`, or the next training, writes it again."
    try:
        body, item = registry.store.get(registry.bucket, INDEX_KEY)
    except NotFoundError as error:
        raise ArtifactError("no_index", f"{name} is missing. {remedy}") from error
    try:
        found = parse(body, name, dict)
    except ArtifactError as error:
        raise ArtifactError("bad_index", f"{name} is damaged. {remedy}") from error
    rows = found.get("versions")
    if found.get("format") != FORMAT or not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise ArtifactError("bad_index", f"{name} has an unknown format. {remedy}")
    return {row["version"]: row for row in rows}, item.etag


def _etag(registry: "Registry") -> str | None:
    try:
        return registry.store.get(registry.bucket, INDEX_KEY)[1].etag
    except NotFoundError:
        return None


_COUNTS, _FIGURES = ("subjects", "recordings", "n_epochs"), ("auc_left_out", "auc_mean", "auc_sd", "auc_random_split")
_TEXTS = ("version", "kind", "scheme", "created")


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("version"), str):
        return False
    if "problem" in row:
        return isinstance(row["problem"], str)
    return (
        all(isinstance(row.get(name), str) for name in _TEXTS)
        and all(type(row.get(name)) is int for name in _COUNTS)
        and all(name in row and (row[name] is None or is_number(row[name])) for name in _FIGURES)
        # Rows older than the test against chance have neither.
        and (row.get("p_chance") is None or is_number(row["p_chance"]))
        and isinstance(row.get("at_chance"), bool | None)
    )


def _auc(figures: Any, part: str) -> float | None:
    try:
        auc = figures[part]["roc_auc"]
    except (LookupError, TypeError):
        return None
    return auc if is_number(auc) else None


def page(rows: Sequence[Row], limit: int, before: str | None) -> tuple[list[Row], str | None]:
    """Return `limit` rows of versions older than `before`, and the version to continue from; None where there are no more."""
    older = [row for row in rows if before is None or row["version"] < before]
    chosen = older[:limit]
    return chosen, chosen[-1]["version"] if len(older) > limit else None
