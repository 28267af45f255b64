"""Which model answers: aliases, new champions, and what serves when a champion cannot."""

import io
import json
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from p300 import models
from p300.errors import RequestError
from p300_pipeline.errors import status_of
from p300_pipeline.model_index import update_index
from p300_pipeline.registry import Registry
from p300_pipeline.serving import ALIAS_CHECK_S, INTACT_CHECK_S, Service, cache
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS
from tests.support.serving import (
    N_TIMES,
    OTHER_EPOCH,
    TARGET_EPOCH,
    V1,
    V2,
    Clock,
    npz,
    npz_of,
    publish,
    response,
)


def answered_by(service: Service, alias: str = "champion") -> str:
    return service.predict(json.dumps({"features": TARGET_EPOCH}), alias)["model_version"]


def test_aliases_and_versions(service: Service, store: Store) -> None:
    Registry(store, MODELS).set_alias("challenger", publish(store, V2))
    assert [answered_by(service, alias) for alias in ("champion", "challenger", V2)] == [V1, V2, V2]


@pytest.mark.parametrize(
    ("alias", "code", "status"),
    [
        ("best", "unknown_alias", 400),
        ("", "unknown_alias", 400),
        ("../x", "unknown_alias", 400),
        ("v2026010100000", "unknown_alias", 400),
        ("v20990101000000", "unknown_version", 404),
        ("challenger", "no_model", 503),
    ],
)
def test_models_that_are_not_there(service: Service, alias: str, code: str, status: int) -> None:
    with pytest.raises(RequestError) as refused:
        answered_by(service, alias)
    assert (refused.value.code, status_of(refused.value)) == (code, status)


def test_before_the_first_training(store: Store, clock: Clock) -> None:
    service = Service(store, MODELS)
    with pytest.raises(RequestError) as refused:
        answered_by(service)
    assert (refused.value.code, status_of(refused.value)) == ("no_model", 503)
    status, body = service.health()
    assert (status, body["status"], body["model_version"]) == (503, "no model", None)
    assert "Train one first" in body["message"]
    # The first champion serves at once: nobody has to wait for the next look.
    Registry(store, MODELS).set_alias("champion", publish(store, V1))
    assert answered_by(service) == V1


def test_a_new_champion_serves_without_a_restart(service: Service, store: Store, clock: Clock) -> None:
    assert answered_by(service) == V1
    Registry(store, MODELS).set_alias("champion", publish(store, V2))
    clock.now += ALIAS_CHECK_S * 0.99
    assert answered_by(service) == V1
    clock.now += ALIAS_CHECK_S * 0.02
    assert answered_by(service) == V2


def test_a_champion_that_changes_under_two_thousand_requests_fails_none(
    service: Service, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is answered by one of the two models, with that model's own answer."""
    monkeypatch.setattr(cache, "ALIAS_CHECK_S", 0.0)  # every request looks
    publish(store, V2, npz(intercept=50.0))
    registry, half = Registry(store, MODELS), 1000
    body = json.dumps({"features": OTHER_EPOCH})
    started, swapped = threading.Barrier(9), threading.Event()

    def ask(number: int) -> list[tuple[str, int]]:
        answers = []
        for count in range(2 * half // 8):
            if count == 1:
                started.wait()  # all have been answered by the first one
            if count == half // 8:
                swapped.wait()
            answer = service.predict(body)
            answers.append((answer["model_version"], answer["predicted_label_code"]))
        return answers

    with ThreadPoolExecutor(8) as pool:
        asking = pool.map(ask, range(8))
        started.wait()
        registry.set_alias("champion", V2)
        swapped.set()
        answers = [answer for some in asking for answer in some]
    assert len(answers) == 2 * half
    assert set(answers) == {(V1, 1), (V2, 2)}
    assert service.cache.model().version == V2


def test_storage_is_not_asked_for_every_request(
    service: Service, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered_by(service)
    asked: list[str] = []
    get = store.get
    monkeypatch.setattr(store, "get", lambda bucket, key, **how: asked.append(key) or get(bucket, key, **how))  # type: ignore[func-returns-value]
    for _ in range(5):
        answered_by(service)
    assert asked == []
    clock.now += ALIAS_CHECK_S
    answered_by(service)
    assert asked == ["aliases/champion"]


def test_a_montage_may_have_more_channels_than_its_response_has_filters(service: Service, store: Store) -> None:
    names = [f"EEG{k}" for k in range(16)]
    rng = np.random.default_rng(2)
    X, y = rng.normal(0, 1e-5, (96, len(names) * N_TIMES)), np.tile([1, 1, 1, 2], 24)
    model = models.make("ensemble", n_channels=len(names), n_times=N_TIMES).fit(X, y)
    publish(store, V2, npz_of(model.to_arrays()), kind="ensemble", channels=names)
    Registry(store, MODELS).set_alias("champion", V2)
    response = Service(store, MODELS).cache.model().response
    assert response is not None
    assert (response.n_channels, len(response.filters) < len(names)) == (len(names), True)


def broken_models() -> dict[str, Callable[[Store], object]]:
    """Return ways for the new champion to be one that cannot serve."""

    def planted(store: Store) -> None:
        publish(store, V2)
        store.put(MODELS, f"{V2}/model.npz", npz(intercept=5.0))

    return {
        "gone": lambda _: None,
        "altered": planted,
        "newer format": lambda store: publish(store, V2, npz(format_version=99)),
        "unknown kind": lambda store: publish(store, V2, npz(kind="net")),
        "not npz": lambda store: publish(store, V2, b"model"),
        "half a response": lambda store: publish(store, V2, npz(response_filters=[[0.0]])),
        "response of other shape": lambda store: publish(store, V2, npz(**response(N_TIMES + 1))),
        "other shape": lambda store: publish(store, V2, channels=["Cz"]),
        "not a manifest": lambda store: store.put(MODELS, f"{V2}/manifest.json", b"[]"),
    }


@pytest.mark.parametrize("how", broken_models())
def test_a_champion_that_cannot_serve_leaves_the_last_good_one(
    service: Service, store: Store, clock: Clock, how: str
) -> None:
    assert answered_by(service) == V1
    broken_models()[how](store)
    Registry(store, MODELS).set_alias("champion", V2)
    clock.now += ALIAS_CHECK_S
    assert answered_by(service) == V1
    status, body = service.health()
    assert (status, body["status"], body["model_version"]) == (200, "degraded", V1)
    assert V2 in body["problem"]
    # It is mended: the next look finds it.
    for item in list(store.list(MODELS, V2)):
        store.delete(MODELS, item.key)
    publish(store, V2)
    clock.now += ALIAS_CHECK_S
    assert answered_by(service) == V2
    expected = {"status": "ok", "model_version": V2, "expects": service.cache.model().expected}
    assert service.health() == (200, expected | {"at_chance": None, "p_chance": None})


def test_health_says_that_the_model_that_serves_is_at_chance(store: Store) -> None:
    publish(store, V1, metrics={"chance": {"at_chance": True, "p_value": 0.3}})
    Registry(store, MODELS).set_alias("champion", V1)
    body = Service(store, MODELS).health()[1]
    assert (body["at_chance"], body["p_chance"]) == (True, 0.3)
    assert Service(store, MODELS).models()["models"][0]["at_chance"] is True


def test_health_says_that_no_model_serves_because_the_challenger_is_at_chance(store: Store) -> None:
    publish(store, V1, metrics={"chance": {"at_chance": True, "p_value": 0.342}})
    Registry(store, MODELS).set_alias("challenger", V1)
    status, body = Service(store, MODELS).health()
    assert status == 503
    assert f"{V1} was not promoted: at chance (p = 0.34)." in body["message"]


def test_an_alias_that_is_gone_leaves_the_last_good_model(service: Service, store: Store, clock: Clock) -> None:
    answered_by(service)
    store.delete(MODELS, "aliases/champion")
    clock.now += ALIAS_CHECK_S
    assert answered_by(service) == V1
    assert service.health()[1]["status"] == "degraded"


def promoted(store: Store, version: str) -> None:
    registry = Registry(store, MODELS)
    assert registry.promote(version, expected=registry.alias("champion"), entry={})


@pytest.mark.parametrize("how", [*broken_models(), "alias to nothing"])
def test_a_process_that_starts_with_a_broken_champion_serves_the_one_before(
    store: Store, clock: Clock, how: str
) -> None:
    """Memory is empty after a start: without the history, nothing would serve where a warm process goes on."""
    for version in ("v20250101000000", V1):
        promoted(store, publish(store, version))
    if how == "alias to nothing":
        store.delete(MODELS, "aliases/champion")
    else:
        broken_models()[how](store)
        promoted(store, V2)
    told: list[tuple[str, str]] = []
    service = Service(store, MODELS, lambda *fault: told.append(fault))
    assert answered_by(service) == V1
    status, body = service.health()
    assert (status, body["status"], body["model_version"]) == (200, "degraded", V1)
    assert told == [("champion", body["problem"])]


@pytest.mark.parametrize("history", [b"{", b"[1]", b'[{"version": "v20990101000000"}]'])
def test_without_a_history_that_helps_nothing_serves(store: Store, clock: Clock, history: bytes) -> None:
    Registry(store, MODELS).set_alias("champion", V2)
    store.put(MODELS, "aliases/history.json", history)
    status, body = Service(store, MODELS).health()
    assert (status, body["model_version"]) == (503, None)
    assert V2 in body["message"]


def test_faults_are_told_at_every_look_and_a_new_stack_has_none(store: Store, clock: Clock) -> None:
    told: list[str] = []
    service = Service(store, MODELS, lambda alias, _: told.append(alias))
    for alias in ("champion", "challenger", V2):
        with pytest.raises(RequestError):
            answered_by(service, alias)
    assert told == []
    Registry(store, MODELS).set_alias("champion", publish(store, V1))
    answered_by(service)
    assert told == []
    Registry(store, MODELS).set_alias("champion", V2)
    for _ in range(2):
        clock.now += ALIAS_CHECK_S
        answered_by(service)
        answered_by(service)
    assert told == ["champion", "champion"]


def test_health_sees_that_what_serves_from_memory_was_altered(service: Service, store: Store, clock: Clock) -> None:
    told: list[str] = []
    service.cache._on_fault = lambda _, problem: told.append(problem)
    assert service.health()[1]["status"] == "ok"
    kept = store.get(MODELS, f"{V1}/model.npz")[0]
    store.put(MODELS, f"{V1}/model.npz", npz(intercept=5.0))
    clock.now += INTACT_CHECK_S
    status, body = service.health()
    assert (status, body["status"], body["model_version"]) == (200, "degraded", V1)
    assert "SHA-256" in body["problem"]
    assert told == [body["problem"]]
    assert answered_by(service) == V1
    store.put(MODELS, f"{V1}/model.npz", kept)
    clock.now += INTACT_CHECK_S
    assert service.health()[1]["status"] == "ok"


FAULTS = {
    "refused": ClientError({"Error": {"Code": "AccessDenied", "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "GetObject"),  # type: ignore[typeddict-item]
    "out of reach": EndpointConnectionError(endpoint_url="http://s3"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_storage_that_fails_leaves_the_last_good_model(
    service: Service, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    answered_by(service)

    def fail(**_: Any) -> None:
        raise FAULTS[fault]

    monkeypatch.setattr(
        store, "client", type("Broken", (), {"get_object": staticmethod(fail), "exceptions": store.client.exceptions})()
    )
    clock.now += ALIAS_CHECK_S
    assert answered_by(service) == V1
    assert "p300-models cannot be read" in service.health()[1]["problem"]
    for alias in ("challenger", V2):
        with pytest.raises(RequestError) as refused:
            answered_by(service, alias)
        assert (refused.value.code, status_of(refused.value)) == ("no_model", 503)


class Planted:
    """Unpickled, it leaves a trace."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return _trace, ("loaded",)


TRACES: list[str] = []


def _trace(word: str) -> str:
    TRACES.append(word)
    return word


def test_a_planted_pickle_is_never_loaded(service: Service, store: Store, clock: Clock) -> None:
    """Neither a joblib file, nor objects inside an npz whose digest its planter put into the manifest."""
    answered_by(service)
    objects = io.BytesIO()
    np.savez(objects, weights=np.array([Planted()], dtype=object), allow_pickle=True)
    for number, model in enumerate((pickle.dumps(Planted()), objects.getvalue()), start=2):
        version = f"v2026010100000{number}"
        publish(store, version, model)
        store.put(MODELS, f"{version}/model.joblib", pickle.dumps(Planted()))
        Registry(store, MODELS).set_alias("champion", version)
        clock.now += ALIAS_CHECK_S
        assert answered_by(service) == V1
        assert service.health()[1]["status"] == "degraded"
        with pytest.raises(RequestError):
            answered_by(service, version)
    assert TRACES == []
    pickle.loads(pickle.dumps(Planted()))  # noqa: S301
    assert TRACES == ["loaded"], "it would have shown"
    TRACES.clear()


def test_the_list_of_models(service: Service, store: Store) -> None:
    publish(store, V2, metrics={"leave_one_subject_out": None})
    store.put(MODELS, "v20260101000003/manifest.json", b"{}")
    update_index(Registry(store, MODELS))
    answer = service.models()
    assert answer["aliases"] == {"champion": V1, "challenger": None}
    assert [row["version"] for row in answer["models"]] == ["v20260101000003", V2, V1]
    assert "problem" in answer["models"][0]
    assert answer["models"][1]["auc_left_out"] is None
    assert answer["models"][2] == {
        "version": V1, "kind": "lda", "aliases": ["champion"], "subjects": 1, "n_epochs": 9, "auc_left_out": 0.75,
        "at_chance": None, "p_chance": None, "created": "2026",
    }  # fmt: skip
    json.dumps(answer)


def test_many_versions_do_not_push_out_the_champion(service: Service, store: Store) -> None:
    for number in range(2, 9):
        assert answered_by(service, publish(store, f"v2026010100000{number}")) == f"v2026010100000{number}"
    assert len(service.cache._by_version) <= 4
    assert answered_by(service) == V1
