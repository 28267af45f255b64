"""Scores recordings with a new model through inference, the code that serves."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from p300.errors import ArtifactError
from p300.features import FeatureSet
from p300.metrics import classification_metrics, curves
from p300.montages import fitted

from p300_pipeline import provenance
from p300_pipeline.contracts import EvaluateResult
from p300_pipeline.feature_store import find_features, load_features, subject_of
from p300_pipeline.keys import subject_name
from p300_pipeline.registry import Registry
from p300_pipeline.steps.training.choice import raw_identity
from p300_pipeline.steps.training.fit import misfit, recipe_of
from p300_pipeline.storage import Item, Store

EVALUATION_RECORDINGS = 5
MEMORY_SHARE = 12
"""Of the function's memory, the features of a recording take one over this at most: they are held up to four times while they are read."""

Predict = Callable[[str, NDArray[np.float32]], NDArray[np.float64]]
"""(version, X of shape (n_epochs, n_features)) -> probability of Target, shape (n_epochs,)."""


def evaluate(
    store: Store, features_bucket: str, models_bucket: str, version: str, predict: Predict, *, memory_mb: int
) -> EvaluateResult:
    """Score recordings through the serving code and compare with their labels.

    Held-out subjects' recordings where there are any that the model can score; else the newest ones it was trained on, said to be
    seen.

    Parameters
    ----------
    store : Store
        S3 access.
    features_bucket, models_bucket : str
        Bucket names.
    version : str
        The model.
    predict : callable
        Asks the serving function; see `Predict`.
    memory_mb : int
        Memory of this process: recordings that take too much of it are skipped.

    Returns
    -------
    dict
        ``recordings`` (name, n_epochs, roc_auc, accuracy, kappa), ``seen_in_training``, ``skipped`` (name, reason) and the pooled
        figures. All figures, and the curves, are kept beside the model as ``evaluation.json``.
    """
    registry = Registry(store, models_bucket)
    manifest = registry.manifest(version)
    present = find_features(store, features_bucket)
    held_out = sorted(name for name in present if subject_of(name) in set(map(subject_name, manifest["held_out"])))
    trained_on = {entry["recording"] for entry in manifest["recordings"]} & set(present)
    newest = sorted(trained_on, key=lambda name: (present[name].modified, name), reverse=True)[:EVALUATION_RECORDINGS]
    skipped: list[dict[str, str]] = []
    rows: list[dict[str, Any]] = []
    labels, probabilities = [], []
    seen = False
    for names in (held_out, sorted(newest)):
        candidates = {name: present[name] for name in names}
        for name, features in _usable(store, features_bucket, candidates, manifest, memory_mb, skipped, seen=seen):
            probability = predict(version, features.X)
            rows.append({"recording": name, **classification_metrics(features.label, probability)})
            labels.append(features.label)
            probabilities.append(probability)
        if rows:
            break
        seen = True
    pooled = (np.concatenate(labels), np.concatenate(probabilities)) if rows else None
    overall = classification_metrics(*pooled) if pooled else None
    answer: EvaluateResult = {
        "version": version,
        "seen_in_training": seen,
        "skipped": skipped,
        "recordings": [{"recording": row["recording"], **_figures(row)} for row in rows],
        "pooled": _figures(overall) if overall else None,
    }
    kept = {name: answer[name] for name in ("version", "seen_in_training", "skipped")}
    registry.keep_evaluation(
        version, {**kept, "recordings": rows, "overall": overall, "curves": curves(*pooled) if pooled else {}}
    )
    return answer


def _usable(
    store: Store,
    bucket: str,
    candidates: Mapping[str, Item],
    manifest: Mapping[str, Any],
    memory_mb: int,
    skipped: list[dict[str, str]],
    *,
    seen: bool,
) -> Iterator[tuple[str, FeatureSet]]:
    """Load recordings one at a time; those that the model cannot be judged by go to `skipped`, with the reason."""
    trained_on = {entry.get("raw"): entry["recording"] for entry in manifest["recordings"] if entry.get("raw")}
    for name, item in candidates.items():
        reason = too_large(item, memory_mb)
        if not reason:
            try:
                features = load_features(store, bucket, name, etag=item.etag)
            except ArtifactError as error:
                reason = error.message
            else:
                reason = unusable(features, manifest)
                same = trained_on.get(raw_identity(features.provenance))
                if not reason and same and not seen:
                    reason = f"it is the same upload as {same}, which the model was trained on"
                if not reason:
                    yield name, fitted(features, manifest["channels"], name)
                    continue
        skipped.append({"recording": name, "reason": reason})


def too_large(item: Item, memory_mb: int) -> str | None:
    """Say why features take too much memory; None where they do not."""
    most_mb = memory_mb // MEMORY_SHARE
    if item.size <= most_mb << 20:
        return None
    return (
        f"has features of {item.size / (1 << 20):,.0f} MB; an evaluation takes up to {most_mb:,} MB of a recording in {memory_mb:,} MB of "
        "memory: land it in parts, or give the evaluation function more memory (MemorySize)"
    )


def unusable(features: FeatureSet, manifest: Mapping[str, Any]) -> str | None:
    """Say why features are not what a model takes; None where they are, or can be interpolated to it."""
    # Older models do not state their preprocessing, and take features of their shape.
    made_by: Any = manifest.get("features_made_by")
    outdated = provenance.other_code(features.provenance, made_by["code_digest"]) if isinstance(made_by, dict) else None
    return (
        outdated
        or misfit(features, manifest.get("preprocessing") or recipe_of(features), manifest["channels"])
        or (
            None
            if features.n_times == manifest["n_times"]
            else f"{features.n_times} samples an epoch; the model takes {manifest['n_times']}"
        )
    )


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in ("n_epochs", "roc_auc", "accuracy", "balanced_accuracy", "kappa")}
