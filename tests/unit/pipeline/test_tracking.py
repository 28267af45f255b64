"""Tracking: the real Weights & Biases writes an offline run, and its own messages are read back from the models bucket."""

import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from p300.errors import ArtifactError
from p300.metrics import classification_metrics, curves
from p300_cli.tracking import fetch_runs, sync_runs
from p300_pipeline.contracts import TrackResult
from p300_pipeline.registry import Registry
from p300_pipeline.steps.reporting import draw_pictures
from p300_pipeline.steps.tracking import track
from p300_pipeline.storage import Store
from p300_pipeline.wandb_run import Destination, batch_evaluation, write

from tests.support.training import train
from tests.support.wandb_server import wandb_server

FEATURES, MODELS = "p300-processed-features", "p300-models"
VERSION = "v20260102030405"
EVALUATION = f"{VERSION}-evaluation"
PROMOTION = {"outcome": "promoted"}


@pytest.fixture(scope="module", autouse=True)
def wandb_service() -> Iterator[None]:
    yield
    import wandb

    wandb.teardown()


def do(store: Store, mode: str = "offline", **changes: Any) -> TrackResult:
    how: dict[str, Any] = {"promotion": PROMOTION, "project": "p300-test", "mode": mode, "api_key": None} | changes
    return track(store, MODELS, VERSION, **how)


def trained(store: Store, put_features: Callable[..., Any], n_people: int = 2) -> dict[str, Any]:
    for number in range(n_people):
        put_features(f"subject_{number:02d}/run")
    answer = train(store)
    draw_pictures(store, MODELS, VERSION)
    return answer


def records(log: bytes) -> Iterator[Any]:
    """Yield the messages of a .wandb file: LevelDB's log format (blocks of 32 KiB; checksum, length, kind) after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    assert log.startswith(b":W&B")
    position, message = 7, b""
    while position + 7 <= len(log):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", log, position)
        message += log[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in {1, 4}:  # whole, last part
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            record.ParseFromString(message)
            yield record
            message = b""


@dataclass
class Written:
    """What a .wandb file tells."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    ended: bool = False

    @classmethod
    def read(cls, log: bytes) -> "Written":
        written = cls()
        for record in records(log):
            if record.HasField("run"):
                written.run = record.run
                written.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            elif record.HasField("history"):
                written.history |= _items(record.history.item)
            elif record.HasField("summary"):
                written.summary |= _items(record.summary.update)
            elif record.HasField("artifact"):
                written.artifacts[record.artifact.type] = record.artifact
            elif record.HasField("exit"):
                written.ended = True
        return written


def _items(items: Any) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def written(store: Store, run: str) -> Written:
    (log,) = [item.key for item in store.list(MODELS, f"wandb/{run}/") if item.key.endswith(".wandb")]
    assert log == f"wandb/{run}/wandb/offline-run-20260102_030405-{run}/run-{run}.wandb"
    return Written.read(store.get(MODELS, log)[0])


def tables(store: Store, run: str) -> dict[str, Any]:
    """Return the tables that stand beside a run, by name."""
    keys = [item.key for item in store.list(MODELS, f"wandb/{run}/") if item.key.endswith(".table.json")]
    return {key.rpartition("/")[2].rsplit("_", 2)[0]: json.loads(store.get(MODELS, key)[0]) for key in keys}


def evaluated(store: Store) -> dict[str, Any]:
    y, probability = np.array([1, 1, 1, 2] * 6), np.linspace(0.1, 0.9, 24)
    figures = classification_metrics(y, probability)
    evaluation = {
        "version": VERSION,
        "seen_in_training": False,
        "skipped": [],
        "recordings": [
            {"recording": "subject_09/run", **figures},
            {"recording": "subject_10/run", **figures, "kappa": None},
        ],
        "overall": figures,
        "curves": curves(y, probability),
    }
    Registry(store, MODELS).keep_evaluation(VERSION, evaluation)
    return evaluation


def test_a_training_is_a_run_that_is_complete_in_the_models_bucket(
    store: Store, put_features: Callable[..., Any]
) -> None:
    answer = trained(store, put_features)
    manifest = Registry(store, MODELS).manifest(VERSION)
    assert do(store) == {
        "outcome": "tracked",
        "version": VERSION,
        "mode": "offline",
        "runs": [VERSION],
        "folders": [f"wandb/{VERSION}/"],
    }
    found = written(store, VERSION)
    assert (found.run.run_id, found.run.project, found.run.job_type) == (VERSION, "p300-test", "training")
    assert found.ended
    assert (found.config["version"], found.config["kind"]) == (VERSION, "lda")
    assert found.config["channels"] == ["Fz", "Cz", "Pz"]
    assert [entry["recording"] for entry in found.config["recordings"]] == ["subject_00/run", "subject_01/run"]
    summary = found.summary
    assert summary["leave_one_subject_out/roc_auc"] == pytest.approx(answer["auc_mean"])
    assert summary["random_split_optimistic/roc_auc"] == pytest.approx(answer["auc_pooled_random_split_optimistic"])
    assert {"single_epochs/brier", "label_shuffled_control/roc_auc"} <= set(summary)
    assert summary["promotion"] == "promoted"
    assert found.history["leave_one_subject_out/roc_auc"] == summary["leave_one_subject_out/roc_auc"]
    logged = tables(store, VERSION)
    assert logged["left_out"]["columns"][:3] == ["left_out", "n_epochs", "roc_auc"]
    assert [row[:3] for row in logged["left_out"]["data"]] == [
        [name, 60, pytest.approx(auc)] for name, auc in answer["auc_by_fold"].items()
    ]
    for name in ("roc", "precision_recall", "calibration"):
        points = manifest["metrics"][f"{name}_curve"]
        assert logged[f"{name}_curve_table"] == {
            "columns": list(points[0]),
            "data": [list(point.values()) for point in points],
        }
    model = found.artifacts["model"]
    assert model.name == "lda-model"
    contents = {entry.path: entry for entry in model.manifest.contents}
    pictures = {"calibration.png", "learning_curve.png", "subjects.png"}
    assert set(contents) == {"model.npz", "manifest.json"} | pictures
    # The bytes that a later `wandb sync` sends stand in the bucket too.
    staged = contents["model.npz"].local_path.rpartition("/artifacts/")[2]
    assert store.get(MODELS, f"wandb/{VERSION}/artifacts/{staged}")[0] == store.get(MODELS, f"{VERSION}/model.npz")[0]


def test_an_evaluation_is_a_run_of_its_own(store: Store, put_features: Callable[..., Any]) -> None:
    trained(store, put_features, n_people=1)
    evaluation = evaluated(store)
    answer = do(store)
    assert answer["runs"] == [VERSION, EVALUATION]
    assert answer["folders"] == [f"wandb/{VERSION}/", f"wandb/{EVALUATION}/"]
    found = written(store, EVALUATION)
    assert (found.run.job_type, found.run.run_group, found.run.project) == ("batch-evaluation", VERSION, "p300-test")
    assert found.ended
    assert (found.config["model_version"], found.config["seen_in_training"]) == (VERSION, False)
    assert found.summary["overall/roc_auc"] == evaluation["overall"]["roc_auc"]
    assert "overall/confusion_matrix" not in found.summary
    logged = tables(store, EVALUATION)
    assert [row[0] for row in logged["subjects"]["data"]] == ["subject_09/run", "subject_10/run"]
    kappa = logged["subjects"]["columns"].index("kappa")
    assert [row[kappa] for row in logged["subjects"]["data"]] == [evaluation["overall"]["kappa"], None]
    assert {"roc_curve_table", "precision_recall_curve_table", "calibration_curve_table"} <= set(logged)


def test_wandb_itself_takes_the_runs_from_the_bucket_to_a_server(
    store: Store, put_features: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(store, put_features, n_people=3)
    evaluation = evaluated(store)
    do(store)
    target: Any = SimpleNamespace(client=lambda _: store.client, outputs={"ModelsBucketName": MODELS})
    runs = fetch_runs(target, tmp_path / "runs")
    assert len(runs) == 2
    with wandb_server() as received:
        for name, value in (("BASE_URL", received.url), ("API_KEY", "0" * 40), ("DIR", str(tmp_path))):
            monkeypatch.setenv(f"WANDB_{name}", value)
        sync_runs(runs)
    assert received.unknown == []
    assert {run: said["project"] for run, said in received.runs.items()} == dict.fromkeys(
        (VERSION, EVALUATION), "p300-test"
    )
    assert json.loads(received.runs[VERSION]["config"])["kind"]["value"] == "lda"
    assert len(received.committed) == len(received.artifacts)
    (model,) = [str(number) for number, sent in enumerate(received.artifacts) if sent["type"] == "model"]
    manifest = Registry(store, MODELS).manifest(VERSION)
    for name in ("model.npz", "learning_curve.png"):
        assert received.files[f"artifact {model}/{name}"] == store.get(MODELS, f"{VERSION}/{name}")[0]
    tables = [name.rpartition("/")[2].rsplit("_", 2)[0] for name in received.files if name.startswith("media/table/")]
    shared = ["calibration_curve_table", "precision_recall_curve_table", "roc_curve_table"]
    assert sorted(tables) == sorted([*shared, *shared, "learning_curve_table", "left_out", "subjects"])
    figures: dict[str, Any] = {}
    for line in received.streamed["wandb-summary.json"]:
        figures |= line
    assert figures["overall/roc_auc"] == evaluation["overall"]["roc_auc"]
    assert figures["leave_one_subject_out/brier"] == manifest["metrics"]["leave_one_subject_out"]["mean"]["brier"]


def test_twice_is_one_run_each(store: Store, put_features: Callable[..., Any]) -> None:
    trained(store, put_features, n_people=1)
    evaluated(store)
    first = do(store)
    state = {item.key: item.etag for item in store.list(MODELS)}
    assert do(store) == {**first, "outcome": "unchanged"}
    assert {item.key: item.etag for item in store.list(MODELS)} == state
    # A retry after a death between the two.
    store.delete(MODELS, f"wandb/{EVALUATION}/run.json")
    assert do(store) == first
    folders = {item.key.split("/")[3] for item in store.list(MODELS, "wandb/") if item.key.split("/")[2] == "wandb"}
    assert folders == {f"offline-run-20260102_030405-{run}" for run in (VERSION, EVALUATION)}


def test_the_environment_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DIR", "mine")
    monkeypatch.delenv("WANDB_DATA_DIR", raising=False)
    run = batch_evaluation("simulation-1", VERSION, [{"subject": "subject_01", "roc_auc": 0.7}], {"roc_auc": 0.7})
    write(run, tmp_path / "runs", Destination())
    assert (os.environ["WANDB_DIR"], "WANDB_DATA_DIR" in os.environ) == ("mine", False)
    (log,) = tmp_path.glob("runs/wandb/offline-run-*-simulation-1/run-simulation-1.wandb")
    found = Written.read(log.read_bytes())
    assert (found.run.project, found.summary["overall/roc_auc"]) == ("p300-bci-mlops", 0.7)


def test_disabled_does_nothing(store: Store) -> None:
    assert do(store, "disabled") == {"outcome": "disabled", "version": VERSION}
    assert not list(store.list(MODELS))


@pytest.mark.parametrize(
    ("mode", "key", "used"), [("online", None, "offline"), ("online", "k", "online"), ("offline", "k", "offline")]
)
def test_online_needs_a_key(
    store: Store,
    put_features: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    key: str | None,
    used: str,
) -> None:
    import wandb

    trained(store, put_features, n_people=1)
    seen: list[tuple[str, str | None]] = []

    class AskedError(Exception):
        pass

    def ask(*, mode: str, **_: Any) -> None:
        seen.append((mode, os.environ.get("WANDB_API_KEY")))
        raise AskedError

    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr(wandb, "init", ask)
    with pytest.raises(AskedError):
        do(store, mode, api_key=key)
    assert seen == [(used, key)]
    assert "WANDB_API_KEY" not in os.environ


def test_an_altered_model_is_not_tracked(store: Store, put_features: Callable[..., Any]) -> None:
    trained(store, put_features, n_people=1)
    store.put(MODELS, f"{VERSION}/model.npz", b"altered")
    with pytest.raises(ArtifactError):
        do(store)
