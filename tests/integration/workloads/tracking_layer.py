"""What tracking may ask of the tracking layer: a Weights & Biases run, offline and finished, with a table and an artifact."""

import os
import tempfile
from pathlib import Path

import numpy as np
import wandb
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities import parameters

with tempfile.TemporaryDirectory() as scratch:
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        os.environ[name] = scratch
    os.environ["WANDB_SILENT"] = "true"
    run = wandb.init(project="p300", id="v1", mode="offline", settings=wandb.Settings(console="off"))
    run.config["kind"] = "lda"
    table = wandb.Table(columns=["left_out", "roc_auc"], data=[["subject_01", 0.9], ["subject_02", 0.8]])
    run.log({"roc_auc": 0.85, "left_out": table, "probability": wandb.Histogram(np.linspace(0, 1, 99).tolist())})
    run.summary["promotion"] = "promoted"
    artifact = wandb.Artifact("lda-model", type="model", metadata={"version": "v1"})
    with artifact.new_file("model.npz", mode="wb") as file:
        np.savez(file, w=np.ones(8))
    run.log_artifact(artifact)
    run.finish()
    wandb.teardown()  # only then has wandb-core written the run's log to its end
    kept = [path for path in Path(scratch).rglob("*") if path.is_file()]
    log = next(path for path in kept if path.suffix == ".wandb")
    assert log.stat().st_size > 1000
    assert any(path.name.endswith(".table.json") for path in kept), kept
    assert any("artifacts" in path.parts for path in kept), kept

assert Logger(service="x") and Tracer(service="x", disabled=True) and Metrics(service="x", namespace="x")
assert callable(parameters.get_parameter)
