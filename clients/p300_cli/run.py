"""The main job: everything from a recording to a prediction on this machine, told as it happens."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from p300_client import landing
from p300_client.api import Api, load_features, time_single_epoch
from p300_client.coverage import without_champion
from p300_client.model_versions import registry
from p300_client.paths import STATE
from p300_client.target import Target
from p300_pipeline.keys import subject_name

from p300_cli import deploy, localstack
from p300_cli.following import follow, follow_training, show_executions
from p300_cli.model_details import fetch_pictures
from p300_cli.model_list import show_models
from p300_cli.terminal import escape, fail, note, out, progress_of, table

SYNTHETIC_SUBJECTS = 5
SYNTHETIC_SEED = 7


def run(target: Target, folders: Sequence[Path]) -> None:
    """Start, deploy, land, follow, predict; ends the command with an error if any step fails."""
    began = time.monotonic()
    synthetic = not folders
    if synthetic:
        folders = [_synthetic()]
    localstack.up(target)
    step = time.monotonic()
    deploy.describe(target, deploy.deploy(target), time.monotonic() - step)
    found = landing.find(folders, notify=note)
    since = datetime.now(UTC).replace(microsecond=0)
    with progress_of("landing") as progress:
        # Synthetic recordings may be those of another version of this code.
        landed = landing.land(target, found, progress, replace=synthetic, notify=note)
    executions = follow(target, since, landed.uploads) if landed.uploads else []
    recordings = [upload.key for upload in found if upload.is_recording]
    for name in without_champion(target, [key.rpartition(".")[0] for key in recordings]):
        note(f"too few recordings of the montage of {name} for a training to be due: asking for one")
        executions.append(follow_training(target, {"recording": name}))
    show_executions(executions, unchanged=[one for one in landed.unchanged if one.is_recording])
    failed = [execution for execution in executions if execution.status != "SUCCEEDED"]
    quarantined = [execution for execution in executions if execution.output.get("outcome") == "quarantined"]
    show_models(target)
    _show_pictures(target)
    if registry(target).alias("champion") is None:
        fail(
            "No model serves: none was promoted. The table above says which are at chance, `p300 watch --all` what failed."
        )
    predict_each(
        target,
        sorted({key.rpartition(".")[0] for key in recordings} - {e.source.rpartition(".")[0] for e in quarantined}),
    )
    if synthetic:
        out.print(
            "[yellow]These recordings are synthetic: the metrics show that the pipeline works and say nothing about real subjects.[/yellow]"
        )
    note(f"done in {time.monotonic() - began:.0f} s; the stack stays up: `p300 --help`, `p300 env`, `make stop`")
    if failed:
        fail(f"{len(failed)} of {len(executions)} executions did not succeed; see `p300 watch --all`.")
    if quarantined:
        fail(f"{len(quarantined)} of {len(recordings)} recordings went to quarantine; the reasons stand above.")


def _show_pictures(target: Target) -> None:
    """Fetch the champion's pictures and say where they are."""
    models = registry(target)
    if version := models.alias("champion"):
        for path in fetch_pictures(models, models.manifest(version), STATE / "models" / version):
            out.print(str(path), soft_wrap=True, highlight=False)


def predict_each(target: Target, names: Sequence[str]) -> None:
    """Ask the API for every flash of each recording and compare with the labels."""
    from p300.metrics import classification_metrics

    if not names:
        fail("No recording has features: nothing to predict.")
    api = Api(target)
    trained_on: set[str] = set()
    rows, version = [], ""
    for name in names:
        features = load_features(target, name)
        if not features.labelled:
            note(f"{name} is unlabelled: there is nothing to compare with")
            continue
        probability, now_serving = api.predict(features.X, None, note, channels=features.ch_names)
        if now_serving != version:
            version = now_serving
            trained_on = set(map(subject_name, registry(target).manifest(version)["subjects"]))
        figures = classification_metrics(features.label, probability)
        seen = "yes" if subject_name(name.partition("/")[0]) in trained_on else "no"
        rows.append(
            [
                name,
                version,
                len(features.label),
                figures["roc_auc"],
                figures["balanced_accuracy"],
                figures["kappa"],
                seen,
            ]
        )
    columns = ["recording", "model", "epochs", "AUC", "balanced accuracy", "kappa", "subject seen in training"]
    out.print(table("POST /predict", columns, rows))
    answer, milliseconds = time_single_epoch(api, features)
    if answer.status != 200:
        fail(f"POST /predict answered {answer.status}: {answer.body}")
    out.print(f"one flash of {names[-1]} in {milliseconds:.0f} ms: {escape(json.dumps(answer.body))}")


def _synthetic() -> Path:
    from p300.synth import write_subjects

    folder = STATE / "synthetic"
    note(f"no RECORDINGS given: writing {SYNTHETIC_SUBJECTS} synthetic subjects (seed {SYNTHETIC_SEED}) to {folder}")
    write_subjects(folder, range(1, SYNTHETIC_SUBJECTS + 1), SYNTHETIC_SEED)
    return folder
