"""``?subject=``: the personal model answers where there is one that fits, else the population's, and the answer says which."""

import json
from typing import Any

import pytest
from p300.montages import name_of
from p300_pipeline.aliases import read_alias
from p300_pipeline.errors import HttpError
from p300_pipeline.registry import Registry
from p300_pipeline.serving import Service, personal
from p300_pipeline.serving.cache import ALIAS_CHECK_S
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS
from tests.support.serving import CHANNELS, TARGET_EPOCH, V1, Clock, npz, publish

SUBJECT = "subject_07"
P1, P2 = f"{SUBJECT}/v20260101000011", f"{SUBJECT}/v20260101000012"
LAYOUT = {"type": "sets", "symbols": ["A", "B"], "groups": {"1": ["A"], "2": ["B"]}}


def opposite(store: Store, version: str = P1, **changes: Any) -> str:
    """Publish a personal model that says NonTarget where the population's says Target."""
    return publish(store, version, npz(weights=[-1e6] * len(TARGET_EPOCH)), kind="personal", **changes)


def ask(service: Service, subject: str, **more: Any) -> dict[str, Any]:
    return service.predict(json.dumps({"features": TARGET_EPOCH, **more}), None, subject)


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, MODELS)


@pytest.mark.parametrize("spelled", ["subject_07", "subject_7", "sub-07", "07", "7"])
def test_the_personal_model_answers_however_the_subject_is_spelled(
    store: Store, registry: Registry, service: Service, spelled: str
) -> None:
    registry.set_alias(SUBJECT, opposite(store))
    answer = ask(service, spelled)
    assert answer["predicted_class_name"] == "NonTarget"
    assert answer["model_version"] == P1
    assert answer["model"] == {"subject": SUBJECT, "alias": SUBJECT, "version": P1}
    assert service.predict(json.dumps({"features": TARGET_EPOCH}))["model_version"] == V1


def test_decode_uses_it_too(store: Store, registry: Registry, service: Service) -> None:
    registry.set_alias(SUBJECT, opposite(store))
    body = json.dumps({"layout": LAYOUT, "flashes": [{"group": 1, "features": TARGET_EPOCH}]})
    assert service.decode(body)["symbol"] == "A"
    answer = service.decode(body, None, SUBJECT)
    assert (answer["symbol"], answer["model"]["version"]) == ("B", P1)


def test_without_one_the_population_answers_and_says_so(service: Service) -> None:
    answer = ask(service, "subject_08")
    assert (answer["predicted_class_name"], answer["model_version"]) == ("Target", V1)
    model = answer["model"]
    assert (model["subject"], model["alias"], model["version"]) == ("subject_08", "champion", V1)
    assert "There is no personal model of subject_08" in model["note"]
    assert "The population's model answered." in model["note"]


@pytest.mark.parametrize("text", ["", "no one", "subject_", "../subject_07", "ü", "a" * 65, "subject_07_8ch-00000000"])
def test_what_can_be_no_subject_is_refused(service: Service, text: str) -> None:
    with pytest.raises(HttpError) as refused:
        ask(service, text)
    assert (refused.value.status, refused.value.code) == (400, "bad_subject")
    assert "expected a subject such as subject_07" in refused.value.message


def test_alias_and_subject_together_are_refused(service: Service) -> None:
    with pytest.raises(HttpError) as refused:
        service.predict(json.dumps({"features": TARGET_EPOCH}), "champion", SUBJECT)
    assert (refused.value.status, refused.value.code) == (400, "alias_and_subject")


def test_a_new_one_serves_without_a_restart_and_the_alias_is_read_every_few_seconds(
    store: Store, registry: Registry, service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(service, SUBJECT)["model_version"] == V1
    registry.set_alias(SUBJECT, opposite(store))
    reads: list[str] = []

    def counted(store: Store, bucket: str, name: str, *, unless: str | None = None) -> Any:
        reads.append(name)
        return read_alias(store, bucket, name, unless=unless)

    monkeypatch.setattr(personal, "read_alias", counted)
    assert ask(service, SUBJECT)["model_version"] == V1
    assert reads == [], "that there is none is remembered as well"
    clock.now += ALIAS_CHECK_S
    assert ask(service, SUBJECT)["model_version"] == P1
    registry.set_alias(SUBJECT, opposite(store, P2))
    clock.now += ALIAS_CHECK_S
    assert ask(service, SUBJECT)["model_version"] == P2
    clock.now += ALIAS_CHECK_S
    assert ask(service, SUBJECT)["model_version"] == P2
    assert reads == [SUBJECT] * 3


def test_a_model_of_other_channels_does_not_answer_and_that_of_the_montage_does(
    store: Store, registry: Registry, service: Service
) -> None:
    registry.set_alias(SUBJECT, opposite(store, channels=["P3", "P4"]))
    answer = ask(service, SUBJECT)
    assert answer["model_version"] == V1
    registry.set_alias(f"{SUBJECT}_{name_of(CHANNELS)}", opposite(store, P2))
    service = Service(store, MODELS)
    for more in ({}, {"channels": CHANNELS}):
        answer = ask(service, SUBJECT, **more)
        assert answer["model"] == {"subject": SUBJECT, "alias": f"{SUBJECT}_{name_of(CHANNELS)}", "version": P2}


@pytest.mark.parametrize("changes", [{"tmin": 0.0}, {"sfreq": 50.0}, {"preprocessing": {"tmin": -0.1}}])
def test_a_model_of_other_features_does_not_answer(
    store: Store, registry: Registry, service: Service, changes: dict[str, Any]
) -> None:
    registry.set_alias(SUBJECT, opposite(store, **changes))
    answer = ask(service, SUBJECT)
    assert answer["model_version"] == V1
    assert f"{P1} takes features of another {next(iter(changes))}" in answer["model"]["note"]


def test_channels_of_the_same_number_in_another_order_are_not_taken_for_its_own(
    store: Store, registry: Registry, service: Service
) -> None:
    registry.set_alias(SUBJECT, opposite(store, channels=CHANNELS[::-1]))
    assert "takes the channels" in ask(service, SUBJECT)["model"]["note"]
    assert ask(service, SUBJECT, channels=CHANNELS)["model_version"] == P1


def test_one_that_was_rolled_back_leaves_the_population_to_answer(
    store: Store, registry: Registry, service: Service
) -> None:
    registry.set_alias(SUBJECT, V1)
    answer = ask(service, SUBJECT)
    assert (answer["model_version"], answer["model"]["alias"]) == (V1, "champion")
    assert "rolled back" in answer["model"]["note"]


def test_a_damaged_one_is_told_and_the_population_answers(store: Store, registry: Registry, clock: Clock) -> None:
    registry.set_alias("champion", publish(store, V1))
    registry.set_alias(SUBJECT, opposite(store))
    body = store.get(MODELS, f"{P1}/model.npz")[0]
    store.put(MODELS, f"{P1}/model.npz", body[:-1] + b"?")
    faults: list[str] = []
    service = Service(store, MODELS, lambda alias, problem: faults.append(alias))
    note = ask(service, SUBJECT)["model"]["note"]
    assert "cannot be used" in note
    assert "SHA-256" in note
    assert faults == [SUBJECT]
    store.put(MODELS, f"{P1}/model.npz", body)
    clock.now += ALIAS_CHECK_S
    assert ask(service, SUBJECT)["model_version"] == P1


def test_memory_holds_the_latest_subjects_only(store: Store, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal, "ALIASES_KEPT", 3)
    for number in range(10):
        ask(service, f"{number}")
    assert list(service.personal._entries) == ["subject_07", "subject_08", "subject_09"]
