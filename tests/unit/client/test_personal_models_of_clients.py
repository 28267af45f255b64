"""Personal models as clients see them: lists, rollback, and the scores of a recording's flashes."""

from types import SimpleNamespace
from typing import Any

import pytest
from p300.errors import ArtifactError, P300Error
from p300_client.api import Answer, Api
from p300_client.model_versions import promote
from p300_client.personal_models import list_personal
from p300_client.session_scores import session_scores
from p300_pipeline.promotions import Promotions
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS
from tests.support.features import make_features
from tests.support.serving import V1, publish

SUBJECT = "subject_07"
P1, P2 = f"{SUBJECT}/v20260101000011", f"{SUBJECT}/v20260101000012"
METRICS = {"scheme": "other_recordings", "auc_population": 0.8, "auc_personal": 0.85, "n_flashes": 900, "margin": 0.01}


@pytest.fixture
def target(store: Store) -> Any:
    return SimpleNamespace(client=lambda name: store.client, outputs={"ModelsBucketName": MODELS})


@pytest.fixture
def registry(store: Store) -> Registry:
    """Two personal models of a subject, promoted one after the other; and one of subject_071."""
    registry = Registry(store, MODELS)
    registry.set_alias("champion", publish(store, V1))
    before = None
    for version, recordings in ((P1, ["run_1"]), (P2, ["run_1", "run_2"])):
        publish(
            store,
            version,
            kind="personal",
            metrics=METRICS,
            recordings=[{"recording": f"{SUBJECT}/{name}"} for name in recordings],
            population={"version": V1, "trained_on_subject": False},
        )
        assert Promotions(store, MODELS, SUBJECT).promote(version, expected=before, entry={"execution": version})
        before = version
    registry.set_alias("subject_071", publish(store, "subject_071/v20260101000013"))
    return registry


@pytest.mark.parametrize("spelled", ["subject_07", "sub-7", "07"])
def test_a_subjects_models_are_listed_with_both_aucs(registry: Registry, spelled: str) -> None:
    found = list_personal(registry, spelled)
    assert (found["subject"], found["aliases"]) == (SUBJECT, {SUBJECT: P2})
    assert [row["version"] for row in found["models"]] == [P2, P1]
    newest = found["models"][0]
    assert (newest["auc_population"], newest["auc_personal"], newest["n_flashes"]) == (0.8, 0.85, 900)
    assert newest["recordings"] == [f"{SUBJECT}/run_1", f"{SUBJECT}/run_2"]
    assert newest["population"] == V1


def test_what_is_no_subject_is_refused(registry: Registry) -> None:
    with pytest.raises(P300Error, match="expected subject_07, sub-07 or 07"):
        list_personal(registry, "no one")


def test_rollback_returns_to_the_model_before_and_from_the_first_to_the_population(
    registry: Registry, target: Any
) -> None:
    assert promote(target, None, alias="subject_7") == (P1, P2, SUBJECT), "in any spelling"
    assert registry.resolve(SUBJECT) == P1
    assert promote(target, P2) == (P2, P1, SUBJECT)
    registry.store.delete(MODELS, f"aliases/history_{SUBJECT}.json")
    registry.set_alias(SUBJECT, P1)
    assert promote(target, None, alias=SUBJECT) == (V1, P1, SUBJECT)
    assert registry.champion() == V1
    assert promote(target, None, alias=SUBJECT) == (P1, V1, SUBJECT)


def test_a_subject_without_a_model_has_nothing_to_roll_back(registry: Registry, target: Any) -> None:
    with pytest.raises(ArtifactError, match="no personal model subject_08"):
        promote(target, None, alias="subject_08")


def test_a_session_is_asked_of_decode_with_the_sets_that_each_group_lit() -> None:
    import dataclasses

    import numpy as np

    features = make_features(n_epochs=24)
    flash = np.tile(np.arange(1, 7), 4).astype(np.int32)
    features = dataclasses.replace(features, flash=flash)
    asked: list[Any] = []

    class Fake(Api):
        def __init__(self) -> None:
            pass

        def ask(self, method: str, path: str, body: Any = None) -> Answer:
            asked.append((path, body))
            return Answer(200, {"flashes": {"score": "session", "probability_target": [0.5] * 24}})

    found = session_scores(Fake(), features, None, SUBJECT)
    assert found.probability is not None
    ((path, body),) = asked
    assert path == f"/decode?subject={SUBJECT}"
    assert body["flash_scores"] == "session"
    assert body["groups"] == flash.tolist()
    assert sum(body["trials"]) == 24
    assert all(set(lit) <= set(body["layout"]["symbols"]) for lit in body["layout"]["groups"].values())
    assert session_scores(Fake(), make_features()).probability is None
