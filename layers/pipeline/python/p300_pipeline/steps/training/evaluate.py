"""Scores recordings with a new model through inference, the code that serves."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from p300.features import read_features
from p300.metrics import classification_metrics, curves

from p300_pipeline.registry import Registry
from p300_pipeline.steps.training.choice import by_time, feature_objects, misfit, subject_of
from p300_pipeline.storage import Store

EVALUATION_RECORDINGS = 5

Predict = Callable[[str, NDArray[np.float32]], NDArray[np.float64]]
"""(version, X of shape (n_epochs, n_features)) -> probability of Target, shape (n_epochs,)."""


def evaluate(store: Store, features_bucket: str, models_bucket: str, version: str, predict: Predict) -> dict[str, Any]:
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

    Returns
    -------
    dict
        ``recordings`` (name, n_epochs, roc_auc, accuracy, kappa), ``seen_in_training``, ``skipped`` (name, reason) and the pooled
        figures. All figures, and the curves, are kept beside the model as ``evaluation.json``.
    """
    registry = Registry(store, models_bucket)
    manifest = registry.manifest(version)
    present = feature_objects(store, features_bucket)
    held_out = {name for name in present if subject_of(name) in set(manifest["held_out"])}
    trained_on = {entry["recording"] for entry in manifest["recordings"]} & set(present)
    newest = sorted(trained_on, key=lambda name: by_time((name, present[name])), reverse=True)[:EVALUATION_RECORDINGS]
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    labels, probabilities = [], []
    seen = False
    for names in (sorted(held_out), sorted(newest)):
        for name in names:
            features = read_features(
                io.BytesIO(store.get(features_bucket, present[name].key, if_match=present[name].etag)[0])
            )
            if reason := misfit(features, manifest["channels"], manifest["n_times"]):
                skipped.append({"recording": name, "reason": reason})
                continue
            probability = predict(version, features.X)
            rows.append({"recording": name, **classification_metrics(features.label, probability)})
            labels.append(features.label)
            probabilities.append(probability)
        if rows:
            break
        seen = True
    pooled = (np.concatenate(labels), np.concatenate(probabilities)) if rows else None
    overall = classification_metrics(*pooled) if pooled else None
    common = {"version": version, "seen_in_training": seen, "skipped": skipped}
    registry.keep_evaluation(
        version, {**common, "recordings": rows, "overall": overall, "curves": curves(*pooled) if pooled else {}}
    )
    return {
        **common,
        "recordings": [{"recording": row["recording"], **_figures(row)} for row in rows],
        "pooled": _figures(overall) if overall else None,
    }


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in ("n_epochs", "roc_auc", "accuracy", "balanced_accuracy", "kappa")}
