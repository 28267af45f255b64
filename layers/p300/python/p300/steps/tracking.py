"""A Weights & Biases run for a training: config, metrics, per-subject table and the model artifact; offline unless a key is configured."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p300.registry import Registry
from p300.storage import NotFoundError, Store

RUNS_PREFIX = "wandb/"


def track(
    store: Store,
    models_bucket: str,
    version: str,
    *,
    outcomes: Mapping[str, Any],
    project: str,
    mode: str,
    api_key: str | None,
) -> dict[str, Any]:
    """Log one training as a run whose id is the model's version.

    An offline run's folder is kept under ``wandb/<version>/`` in the models bucket, complete for a later ``wandb sync``.

    Parameters
    ----------
    store : Store
        S3 access.
    models_bucket : str
        Bucket name.
    version : str
        The model, or an alias of it.
    outcomes : mapping
        What evaluation and promotion answered.
    project : str
        W&B project.
    mode : {"offline", "online", "disabled"}
        ``online`` needs `api_key`; without one the run is kept offline.
    api_key : str or None
        W&B API key.

    Returns
    -------
    dict
        ``outcome`` (``tracked``, ``unchanged`` or ``disabled``), ``mode``, and ``folder`` in the models bucket of an offline run.
    """
    if mode == "disabled":
        return {"outcome": "disabled", "version": version}
    registry = Registry(store, models_bucket)
    version = registry.resolve(version)
    prefix = f"{RUNS_PREFIX}{version}/"
    done_key = f"{prefix}run.json"
    try:
        return {**json.loads(store.get(models_bucket, done_key)[0])["answer"], "outcome": "unchanged"}
    except NotFoundError:
        pass
    manifest = registry.manifest(version)
    model = registry.artifact(version, "model.npz", manifest)
    mode = "online" if mode == "online" and api_key else "offline"
    with tempfile.TemporaryDirectory() as folder:
        run_id = _log_run(Path(folder), manifest, model, outcomes, project=project, mode=mode, api_key=api_key)
        answer = {"outcome": "tracked", "version": version, "mode": mode, "run": run_id}
        if mode == "offline":
            for path in sorted(path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink()):
                store.put(models_bucket, prefix + path.relative_to(folder).as_posix(), path.read_bytes())
            answer["folder"] = prefix
    # The run names its artifact files by where they were written: sending it later takes the folder back there.
    done = {"answer": answer, "written_in": str(folder)}
    store.put(models_bucket, done_key, json.dumps(done).encode(), content_type="application/json")
    return answer


def _log_run(
    folder: Path,
    manifest: dict[str, Any],
    model: bytes,
    outcomes: Mapping[str, Any],
    *,
    project: str,
    mode: str,
    api_key: str | None,
) -> str:
    import os

    # Everything stays in the one folder that is kept: a run synced later needs the artifact files that W&B stages in its data folder.
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        os.environ[name] = str(folder / ("wandb-cache" if "CACHE" in name or "CONFIG" in name else "."))
    os.environ["WANDB_SILENT"] = "true"
    if api_key:
        os.environ["WANDB_API_KEY"] = api_key
    import wandb

    version = manifest["version"]
    config = {name: value for name, value in manifest.items() if name not in {"metrics", "artifacts"}}
    settings = wandb.Settings(console="off", x_disable_stats=True, disable_git=True, disable_code=True)
    run = wandb.init(
        project=project,
        id=version,
        name=version,
        job_type="training",
        config=config,
        mode=mode,  # type: ignore[arg-type]
        dir=str(folder),
        settings=settings,
        reinit="finish_previous",
    )
    try:
        metrics = manifest["metrics"]
        scheme = "leave_one_subject_out" if metrics["leave_one_subject_out"] else "within_subject_blocks"
        folds = metrics[scheme]
        pooled = (outcomes.get("evaluation") or {}).get("pooled") or {}
        figures = {
            **_numbers(scheme, folds["mean"]),
            **_numbers("random_split_optimistic", metrics["pooled_random_split_optimistic"] or {}),
            **_numbers("through_inference", pooled),
        }
        by_fold = folds.get("subjects") or folds["blocks"]
        columns = ["n_epochs", "roc_auc", "average_precision", "balanced_accuracy", "accuracy", "kappa", "brier"]
        rows = [[name, *[row[column] for column in columns]] for name, row in by_fold.items()]
        table = wandb.Table(columns=["left_out", *columns], data=rows)
        run.log({**figures, "left_out": table})
        run.summary["promotion"] = (outcomes.get("promotion") or {}).get("outcome")
        artifact = wandb.Artifact(f"{manifest['kind']}-model", type="model", metadata={"version": version})
        with artifact.new_file("model.npz", mode="wb") as file:
            file.write(model)
        with artifact.new_file("manifest.json", mode="w") as file:
            json.dump(manifest, file)
        run.log_artifact(artifact)
    finally:
        run.finish()
        wandb.teardown()  # only then has its service process written all of the run's file
    # Not after the time of this attempt: a retry must write over what an attempt that died left behind, or the run is there twice.
    for found in folder.glob("wandb/offline-run-*"):
        found.rename(found.with_name(f"offline-run-{version[1:9]}_{version[9:]}-{version}"))
    return str(run.id)


def _numbers(group: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{group}/{name}": value for name, value in metrics.items() if isinstance(value, int | float)}
