"""Replay recordings flash by flash against the API, as a speller's session would run, and count what was right."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from p300.decoding import Share, bits_per_minute, by_repetitions
from p300.errors import P300Error
from p300.evaluation import classification_metrics, curves
from p300_cli.plots import Curve, Stop, draw_accuracy
from p300_cli.terminal import fail, note, out, print_json, progress, table
from p300_pipeline.storage import Store

from p300_client import decoding
from p300_client.api import Api
from p300_client.decoding import Decision, Requests, Speller
from p300_client.model_versions import registry
from p300_client.sessions import Screen, Session, of_target, raw_keys
from p300_client.target import Target

FLASH_FIGURES = ("n_epochs", "accuracy", "kappa", "roc_auc")
SYMBOL_FIGURES = ("n_symbols", "accuracy_stopping", "mean_repetitions", "seconds_a_symbol", "bits_per_minute")


@dataclass(frozen=True)
class Replayed:
    """What came of one session."""

    session: Session
    probability: NDArray[np.float64]
    decisions: list[Decision]
    right: list[list[bool]]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which flashes had an epoch, and so a label."""
        return ~np.isnan(self.probability)


def manifest_of(target: Target, alias: str) -> dict[str, Any]:
    """Return the manifest of the model that is asked; ends the command where there is none."""
    models = registry(target)
    try:
        return models.manifest(models.resolve(alias))
    except P300Error as error:
        fail(f"{error.message} `p300 models` lists the versions.")


def sessions(
    target: Target, subjects: Sequence[str], manifest: Mapping[str, Any], shown: Screen, *, seen: bool
) -> list[Session]:
    """Read the subjects' recordings; ends the command for subjects that the model was trained on, and where nothing can be replayed."""
    trained_on = sorted(set(subjects) & set(manifest["subjects"]))
    if trained_on and not seen:
        fail(
            f"Model {manifest['version']} was trained on {', '.join(trained_on)}: its figures on them would flatter. Simulate "
            "subjects that it has not seen (`p300 train --held-out subject_<n>` keeps some out), or say --seen."
        )
    found = []
    for subject in dict.fromkeys(subjects):
        keys = raw_keys(target, f"{subject}/")
        if not keys:
            fail(f"There are no recordings of {subject} in the raw data. Expected subject_<n> of a landed recording.")
        for key in keys:
            try:
                session = of_target(target, key, manifest, shown)
            except P300Error as error:
                note(f"left out: {error.message}")
                continue
            if session.code is None:
                note(f"{session.name} does not say what each flash lit: labels only, no symbols")
            found.append(session)
    if not found:
        fail("No recording is left that this model can score.")
    return found


def simulate(
    requests: Requests, found: Sequence[Session], shown: Screen, *, rate: float, confidence: float
) -> list[Replayed]:
    """Replay sessions one after the other at ``rate`` times their own pace; 0 is as fast as it goes."""
    replayed = []
    total = sum(len(session.label) + decoding.n_curve_requests(session) for session in found)
    with progress() as display:
        task = display.add_task("simulating", total=total, detail="")
        for session in found:
            speller = Speller(requests, session, shown, confidence)

            def tell(session: Session = session, speller: Speller = speller) -> None:
                spelled = " ".join(one.symbol for one in speller.decisions[-12:])
                display.update(task, advance=1, detail=f"{session.name.rpartition('/')[2]}  {spelled}")

            probability = _replay(requests, session, speller, rate, tell)
            right = decoding.rights(session, shown, decoding.curve(requests, session, shown, tell))
            replayed.append(Replayed(session, probability, speller.decisions, right))
    return replayed


def _replay(
    requests: Requests, session: Session, speller: Speller, rate: float, tell: Callable[[], None]
) -> NDArray[np.float64]:
    probability = np.full(len(session.label), np.nan)
    began = time.monotonic()
    late_s = 0.0
    for number, epoch in enumerate(session.X):
        if rate:
            complete_s = session.onset_s[number] - session.onset_s[0] + session.epoch_end_s
            ahead_s = began + complete_s / rate - time.monotonic()
            late_s = max(late_s, -ahead_s)
            time.sleep(max(0.0, ahead_s))
        if not np.isnan(epoch).any():
            answer = requests.post("/predict", {"features": epoch.astype(float).tolist()})
            probability[number] = answer["probability_target"]
        speller.after(number + 1)
        tell()
    if rate and late_s > session.soa_s / rate:
        note(f"{session.name}: the API did not keep up; epochs were sent up to {late_s:.1f} s after they were complete")
    return probability


def figures(replayed: Sequence[Replayed], n_symbols: int) -> dict[str, Any]:
    """Return the figures of some sessions, pooled: of their labels, and of their symbols where there are any."""
    label = np.concatenate([one.session.label[one.present] for one in replayed])
    probability = np.concatenate([one.probability[one.present] for one in replayed])
    document = dict(classification_metrics(label, probability))
    known = [decision for one in replayed for decision in one.decisions if decision.attended is not None]
    document |= dict.fromkeys(SYMBOL_FIGURES)
    if known:
        share = Share.of([decision.right for decision in known])
        seconds = float(np.mean([decision.seconds for decision in known]))
        assert share.accuracy is not None  # noqa: S101 - there are some
        document |= {
            "n_symbols": share.n,
            "accuracy_stopping": share.accuracy,
            "accuracy_stopping_interval_95": share.interval,
            "mean_repetitions": float(np.mean([decision.n_repetitions for decision in known])),
            "seconds_a_symbol": seconds,
            "bits_per_minute": bits_per_minute(share.accuracy, n_symbols, seconds),
            "stopped_by_confidence": float(np.mean([decision.stopped for decision in known])),
            "accuracy_by_repetitions": decoding.shares(by_repetitions([n for one in replayed for n in one.right])),
        }
    return document


def report(replayed: Sequence[Replayed], requests: Requests, shown: Screen, how: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole simulation as one document."""
    n_symbols = len(shown.layout.symbols)
    by_subject = {
        subject: figures([one for one in replayed if one.session.subject == subject], n_symbols)
        for subject in dict.fromkeys(one.session.subject for one in replayed)
    }
    mean = {}
    for name in (*FLASH_FIGURES[1:], *SYMBOL_FIGURES[1:]):
        values = [row[name] for row in by_subject.values() if row[name] is not None]
        mean[name] = float(np.mean(values)) if values else None
    return {
        "model_version": requests.version,
        **how,
        "subjects": by_subject,
        "pooled": figures(replayed, n_symbols),
        "mean": mean,
        "latency": requests.latencies(),
        "sessions": [
            {"recording": one.session.name, "symbols": [asdict(decision) for decision in one.decisions]}
            for one in replayed
        ],
    }


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
    people = "person" if len(document["subjects"]) == 1 else "people"
    seen = "who trained the model" if document["seen_in_training"] else "the model has not seen"
    title = f"{n} symbols of {len(document['subjects'])} {people} {seen}"
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
                [name, *[row.get(figure) for figure in FLASH_FIGURES], *[_short(row.get(f), f) for f in SYMBOL_FIGURES]]
                for name, row in rows
            ],
        )
    )
    pooled = document["pooled"]
    if pooled["n_symbols"]:
        low, high = pooled["accuracy_stopping_interval_95"]
        known = [(name, _shares(row)) for name, row in rows if row.get("accuracy_by_repetitions")]
        decoding.show_by_repetitions(known)
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
                {"subject": subject, **{name: row[name] for name in (*FLASH_FIGURES, *SYMBOL_FIGURES)}}
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


def requests_to(target: Target, version: str) -> Requests:
    """Return requests to the target's API about one version."""
    return Requests(Api(target), version)
