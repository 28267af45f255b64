"""Weights & Biases runs of a model: its training, and its evaluation through inference; offline unless a key is configured."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p300_pipeline.contracts import PromoteResult, TrackResult
from p300_pipeline.registry import Registry
from p300_pipeline.storage import NotFoundError, Store
from p300_pipeline.wandb_run import Destination, Run, batch_evaluation, numbers, write

RUNS_PREFIX = "wandb/"
CURVES = ("roc", "precision_recall", "calibration", "learning")
COLUMNS = ("n_epochs", "roc_auc", "average_precision", "balanced_accuracy", "accuracy", "kappa", "brier")


def track(
    store: Store,
    models_bucket: str,
    version: str,
    *,
    promotion: PromoteResult | None,
    project: str,
    mode: str,
    api_key: str | None,
) -> TrackResult:
    """Log a model's training as a run whose id is the version, and its evaluation through inference as another run.

    An offline run's folder is kept under ``wandb/<run>/`` in the models bucket, complete for a later ``wandb sync``.

    Parameters
    ----------
    store : Store
        S3 access.
    models_bucket : str
        Bucket name.
    version : str
        The model, or an alias of it.
    promotion : dict or None
        What promotion decided, where it did.
    project : str
        W&B project.
    mode : {"offline", "online", "disabled"}
        ``online`` needs `api_key`; without one the run is kept offline.
    api_key : str or None
        W&B API key.

    Returns
    -------
    dict
        ``outcome`` (``tracked``, ``unchanged`` or ``disabled``), ``version``, ``mode``, ``runs`` and, where they are kept offline,
        ``folders`` of the models bucket.
    """
    if mode == "disabled":
        return {"outcome": "disabled", "version": version}
    registry = Registry(store, models_bucket)
    manifest = registry.manifest(registry.resolve(version))
    version = manifest["version"]
    pictures = registry.pictures(version, manifest)
    files = {
        "model.npz": registry.artifact(version, "model.npz", manifest),
        **{name: registry.picture(version, name, manifest) for name in pictures},
    }
    runs = [_training_run(manifest, files, promotion)]
    if evaluation := registry.evaluation(version):
        runs.append(_evaluation_run(version, manifest, evaluation))
    destination = Destination(project, mode, api_key)
    new = [keep(store, models_bucket, run, destination) for run in runs]
    answer: TrackResult = {
        "outcome": "tracked" if any(new) else "unchanged",
        "version": version,
        "mode": "online" if destination.online else "offline",
        "runs": [run.id for run in runs],
    }
    return answer if destination.online else {**answer, "folders": [f"{RUNS_PREFIX}{run.id}/" for run in runs]}


def keep(store: Store, bucket: str, run: Run, destination: Destination) -> bool:
    """Send a run, or keep it under ``wandb/<run>/`` in the models bucket, unless that has been done.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket : str
        Models bucket.
    run : Run
        What it tells.
    destination : Destination
        Where it goes.

    Returns
    -------
    new : bool
        Whether it was done now.
    """
    prefix = f"{RUNS_PREFIX}{run.id}/"
    done_key = f"{prefix}run.json"
    try:
        store.head(bucket, done_key)
    except NotFoundError:
        pass
    else:
        return False
    with tempfile.TemporaryDirectory() as folder:
        write(run, Path(folder), destination)
        if not destination.online:
            for path in sorted(path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink()):
                store.put(bucket, prefix + path.relative_to(folder).as_posix(), path.read_bytes())
    # The run refers to its artifact files by path, so it can be sent later only from the same folder.
    done = json.dumps({"run": run.id, "written_in": str(folder)}).encode()
    store.put(bucket, done_key, done, content_type="application/json")
    return True


def _evaluation_run(version: str, manifest: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Run:
    return batch_evaluation(
        f"{version}-evaluation",
        version,
        [{"recording": row["recording"], **_row(row)} for row in evaluation["recordings"]],
        evaluation["overall"] or {},
        curves=evaluation["curves"],
        config={
            "kind": manifest["kind"],
            "seen_in_training": evaluation["seen_in_training"],
            "skipped": evaluation["skipped"],
        },
    )


def _training_run(manifest: Mapping[str, Any], files: Mapping[str, bytes], promotion: Mapping[str, Any] | None) -> Run:
    metrics = manifest["metrics"]
    scheme = "leave_one_subject_out" if metrics["leave_one_subject_out"] else "within_subject_blocks"
    folds = metrics[scheme]
    by_fold = folds.get("subjects") or folds["blocks"]
    reference = metrics["reference_lda"].get("subjects") or metrics["reference_lda"]["blocks"]
    return Run(
        manifest["version"],
        "training",
        group=manifest["version"],
        config={name: value for name, value in manifest.items() if name not in {"metrics", "artifacts"}},
        figures={
            **numbers(scheme, folds["mean"]),
            **numbers(f"{scheme}_sd", folds["sd"]),
            **numbers("single_epochs", (metrics["leave_one_subject_out_single_epochs"] or {}).get("mean")),
            **numbers("reference_lda", metrics["reference_lda"]["mean"]),
            **numbers("train_first_test_rest", (metrics["train_first_test_rest"] or {}).get("mean")),
            **numbers("label_shuffled_control", metrics["label_shuffled_control"]),
            **numbers("random_split_optimistic", metrics["pooled_random_split_optimistic"]),
        },
        tables={
            "left_out": [
                {"left_out": name, **_row(row), "reference_lda_roc_auc": reference[name]["roc_auc"]}
                for name, row in by_fold.items()
            ]
        },
        curves={name: metrics.get(f"{name}_curve") or [] for name in CURVES},
        summary={"promotion": (promotion or {}).get("outcome")},
        artifact=f"{manifest['kind']}-model",
        files={**files, "manifest.json": json.dumps(manifest).encode()},
    )


def _row(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figures.get(name) for name in COLUMNS}
