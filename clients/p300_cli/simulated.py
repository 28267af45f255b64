"""A simulation as tables, as a picture and as a Weights & Biases run."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from p300.decoding import Share
from p300.evaluation import curves
from p300_client.simulating import FLASH_METRICS, SYMBOL_METRICS, Replayed
from p300_client.target import Target
from p300_pipeline.storage import Store

from p300_cli import decoded
from p300_cli.plots import Curve, Stop, draw_accuracy
from p300_cli.terminal import note, out, print_json, table


def draw(document: Mapping[str, Any], path: Path) -> bool:
    """Draw accuracy against repetitions; nothing where no symbol is known."""
    pooled = document["pooled"]
    if not pooled.get("accuracy_by_repetitions"):
        return False
    others = [Curve(subject, _shares(row)) for subject, row in document["subjects"].items() if row["n_symbols"]]
    n = pooled["n_symbols"]
    stop = Stop(
        pooled["mean_repetitions"],
        pooled["accuracy_stopping"],
        f"stopping at {document['confidence']:g}: {pooled['bits_per_minute']:.1f} bits/min",
    )
    subjects = "subject" if len(document["subjects"]) == 1 else "subjects"
    seen = "who trained the model" if document["seen_in_training"] else "the model has not seen"
    title = f"{n} symbols of {len(document['subjects'])} {subjects} {seen}"
    behind = others if len(others) > 1 else []
    draw_accuracy(path, title, [Curve("all symbols", _shares(pooled))], behind=behind, stop=stop)
    return True


def _shares(row: Mapping[str, Any]) -> list[Share]:
    return [Share(entry["right"], entry["symbols"]) for entry in row["accuracy_by_repetitions"]]


def show(document: Mapping[str, Any], plot: Path | None, *, as_json: bool) -> None:
    """Print the figures."""
    if as_json:
        print_json({**document, "plot": str(plot) if plot else None})
        return
    rows = list(document["subjects"].items())
    if len(rows) > 1:
        rows += [("pooled", document["pooled"]), ("mean", document["mean"])]
    out.print(
        table(
            f"Session replayed, model {document['model_version']}, stopping at {document['confidence']:g}",
            ["", "flashes", "Acc", "Kap", "AUC", "symbols", "right", "repetitions", "s / symbol", "bits / min"],
            [
                [name, *[row.get(figure) for figure in FLASH_METRICS], *[_short(row.get(f), f) for f in SYMBOL_METRICS]]
                for name, row in rows
            ],
        )
    )
    pooled = document["pooled"]
    if pooled["n_symbols"]:
        low, high = pooled["accuracy_stopping_interval_95"]
        known = [(name, _shares(row)) for name, row in rows if row.get("accuracy_by_repetitions")]
        decoded.show_by_repetitions(known)
        out.print(
            f"right with stopping: {pooled['accuracy_stopping']:.2f}, 95 % interval {low:.2f} to {high:.2f}; "
            "seconds and bits count the pause between symbols"
        )
    for path, times in document["latency"].items():
        out.print(
            f"{path}: {times['requests']} requests, p50 {times['p50_ms']:.1f} ms, p95 {times['p95_ms']:.1f} ms",
            highlight=False,
        )
    if plot:
        out.print(str(plot), soft_wrap=True, highlight=False)


def _short(value: float | None, name: str) -> Any:
    if value is None or name == "n_symbols":
        return value
    return f"{value:.2f}" if name == "accuracy_stopping" else f"{value:.1f}"


def log(target: Target, document: Mapping[str, Any], replayed: Sequence[Replayed]) -> None:
    """Keep the batch as a Weights & Biases run, or say why not: the figures are there either way."""
    mode = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
    if mode == "disabled":
        return
    try:
        from p300_pipeline.steps.tracking import keep
        from p300_pipeline.wandb_run import PROJECT, Destination, batch_evaluation

        version = document["model_version"]
        run = batch_evaluation(
            f"{version}-simulation-{datetime.now(UTC):%Y%m%d%H%M%S}",
            version,
            [
                {"subject": subject, **{name: row[name] for name in (*FLASH_METRICS, *SYMBOL_METRICS)}}
                for subject, row in document["subjects"].items()
            ],
            document["pooled"],
            curves=_curves(document, replayed),
            config={name: document[name] for name in ("rate", "confidence", "layout", "seen_in_training")},
        )
        destination = Destination(os.environ.get("WANDB_PROJECT") or PROJECT, mode, os.environ.get("WANDB_API_KEY"))
        keep(Store(target.client("s3")), target.outputs["ModelsBucketName"], run, destination)
        where = "sent" if destination.online else "kept offline; `p300 track --sync` sends it"
        note(f"Weights & Biases run {run.id}: {where}")
    except Exception as error:
        note(f"not logged to Weights & Biases: {type(error).__name__}: {error}")


def _curves(document: Mapping[str, Any], replayed: Sequence[Replayed]) -> dict[str, Any]:
    label = np.concatenate([one.session.label[one.present] for one in replayed])
    found: dict[str, Any] = dict(curves(label, np.concatenate([one.probability[one.present] for one in replayed])))
    by_n = document["pooled"].get("accuracy_by_repetitions")
    if by_n:
        found["symbols"] = [{"repetitions": row["repetitions"], "symbols_right": row["accuracy"]} for row in by_n]
    return found
