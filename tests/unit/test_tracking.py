"""Tracking: the real Weights & Biases writes an offline run, and its own messages are read back from the models bucket."""

import json
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from p300.errors import ArtifactError
from p300.steps.tracking import track
from p300.steps.training import TrainingRequest, train
from p300.storage import Store

FEATURES, MODELS = "p300-processed-features", "p300-models"
VERSION = "v20260102030405"
RUN = f"wandb/{VERSION}/wandb/offline-run-20260102_030405-{VERSION}/"
OUTCOMES = {"evaluation": {"pooled": {"roc_auc": 0.61, "kappa": None}}, "promotion": {"outcome": "promoted"}}


@pytest.fixture(autouse=True)
def wandb_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give back what tracking sets."""
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_SILENT"):
        monkeypatch.setenv(name, "")


@pytest.fixture(scope="module", autouse=True)
def wandb_service() -> Iterator[None]:
    yield
    import wandb

    wandb.teardown()


def do(store: Store, mode: str = "offline", **changes: Any) -> dict[str, Any]:
    how: dict[str, Any] = {"outcomes": OUTCOMES, "project": "p300-test", "mode": mode, "api_key": None} | changes
    return track(store, MODELS, VERSION, **how)


def trained(store: Store, put_features: Callable[..., Any], n_people: int = 2) -> dict[str, Any]:
    for number in range(n_people):
        put_features(f"subject_{number:02d}/run")
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return train(store, FEATURES, MODELS, TrainingRequest("lda"), execution="a", started=started)


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
            record = wandb_internal_pb2.Record()
            record.ParseFromString(message)
            yield record
            message = b""


def test_an_offline_run_is_complete_in_the_models_bucket(store: Store, put_features: Callable[..., Any]) -> None:
    answer = trained(store, put_features)
    assert do(store) == {
        "outcome": "tracked",
        "version": VERSION,
        "mode": "offline",
        "run": VERSION,
        "folder": f"wandb/{VERSION}/",
    }
    keys = [item.key for item in store.list(MODELS, RUN)]
    run: Any = None
    history: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    artifacts = {}
    for record in records(store.get(MODELS, f"{RUN}run-{VERSION}.wandb")[0]):
        if record.HasField("run"):
            run = record.run
        elif record.HasField("history"):
            history |= {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item
            }
        elif record.HasField("summary"):
            summary |= {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.summary.update
            }
        elif record.HasField("artifact"):
            artifacts[record.artifact.type] = record.artifact
    assert (run.run_id, run.project, run.job_type) == (VERSION, "p300-test", "training")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (config["version"], config["kind"], config["channels"]) == (VERSION, "lda", ["Fz", "Cz", "Pz"])
    assert [entry["recording"] for entry in config["recordings"]] == ["subject_00/run", "subject_01/run"]
    assert summary["leave_one_subject_out/roc_auc"] == pytest.approx(answer["auc_mean"])
    assert summary["random_split_optimistic/roc_auc"] == pytest.approx(answer["auc_pooled_random_split_optimistic"])
    assert summary["through_inference/roc_auc"] == 0.61
    assert "through_inference/kappa" not in summary
    assert summary["promotion"] == "promoted"
    assert history["leave_one_subject_out/roc_auc"] == summary["leave_one_subject_out/roc_auc"]
    (table_key,) = [key for key in keys if key.endswith(".table.json")]
    table = json.loads(store.get(MODELS, table_key)[0])
    assert table["columns"][:3] == ["left_out", "n_epochs", "roc_auc"]
    assert [row[:3] for row in table["data"]] == [
        [name, 60, pytest.approx(auc)] for name, auc in answer["auc_by_fold"].items()
    ]
    model = artifacts["model"]
    assert model.name == "lda-model"
    contents = {entry.path: entry for entry in model.manifest.contents}
    assert set(contents) == {"model.npz", "manifest.json"}
    # The bytes that a later `wandb sync` sends stand in the bucket too.
    staged = contents["model.npz"].local_path.rpartition("/artifacts/")[2]
    assert store.get(MODELS, f"wandb/{VERSION}/artifacts/{staged}")[0] == store.get(MODELS, f"{VERSION}/model.npz")[0]


def test_twice_is_one_run(store: Store, put_features: Callable[..., Any]) -> None:
    trained(store, put_features, n_people=1)
    first = do(store)
    state = {item.key: item.etag for item in store.list(MODELS)}
    assert do(store) == {**first, "outcome": "unchanged"}
    assert {item.key: item.etag for item in store.list(MODELS)} == state
    # A retry after a death just before the end.
    store.delete(MODELS, f"wandb/{VERSION}/run.json")
    assert do(store) == first
    folders = {item.key.split("/")[3] for item in store.list(MODELS, f"wandb/{VERSION}/wandb/")}
    assert folders == {f"offline-run-20260102_030405-{VERSION}"}


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
    from p300.steps import tracking

    trained(store, put_features, n_people=1)
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(tracking, "_log_run", lambda *_, **how: (seen.append(how), VERSION)[1])
    answer = do(store, mode, api_key=key)
    assert (answer["mode"], seen[0]["mode"], seen[0]["api_key"]) == (used, used, key)
    assert ("folder" in answer) == (used == "offline")


def test_an_altered_model_is_not_tracked(store: Store, put_features: Callable[..., Any]) -> None:
    trained(store, put_features, n_people=1)
    store.put(MODELS, f"{VERSION}/model.npz", b"altered")
    with pytest.raises(ArtifactError):
        do(store)
