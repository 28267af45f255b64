"""Why a recording is in no model: one that only waits for a training of its montage is not said to be of another one."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from p300.montages import name_of
from p300_client.coverage import coverage
from p300_client.watching import Execution
from p300_pipeline.montage_groups import alias_of
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, MODELS
from tests.support.training import finish, later, train

THREE, FOUR = ("Fz", "Cz", "Pz"), ("P3", "P4", "PO7", "PO8")


def test_a_recording_that_waits_for_its_own_montage_says_so(
    store: Store, registry: Registry, put_features: Callable[..., Any]
) -> None:
    def put(number: int, channels: tuple[str, ...]) -> None:
        name = f"subject_{number:02d}/run"
        put_features(name, channels=channels)
        store.put(FEATURES, f"{name}/report.json", b'{"channels": ["' + '", "'.join(channels).encode() + b'"]}')

    for number, channels in enumerate((THREE, THREE, THREE, FOUR, FOUR), 1):
        put(number, channels)
    finish(store, train(store, recording="subject_01/run"))
    finish(store, train(store, "b", later(60), recording="subject_04/run"))
    put(6, FOUR)
    put(7, ("C3", "C4"))
    finish(store, train(store, "c", later(120), recording="subject_01/run", seed=1))
    target: Any = SimpleNamespace(
        client=lambda _: store.client, outputs={"FeaturesBucketName": FEATURES, "ModelsBucketName": MODELS}
    )
    manifests = {version: registry.manifest(version) for version in reversed(registry.versions())}
    found = coverage(target, manifests, registry.aliases()[0])
    reasons = {entry["recording"]: entry["reason"] for entry in found["left_out"]}
    assert set(reasons) == {"subject_06/run", "subject_07/run"}
    assert reasons["subject_06/run"].startswith(
        f"{alias_of(name_of(FOUR))} is the champion of its montage; no training"
    )
    assert "lacks Fz, Cz, Pz" in reasons["subject_07/run"]


def test_what_is_missing_for_a_training_is_counted() -> None:
    due = {"outcome": "counted", "montage": "3ch-x", "new_recordings": 3, "retrain_every": 5}
    execution = Execution("arn", "SUCCEEDED", later(0), output={"outcome": "features", "training_due": due})
    assert execution.outcome == "features; 2 more new recordings of montage 3ch-x, then it trains (3 of 5)"
