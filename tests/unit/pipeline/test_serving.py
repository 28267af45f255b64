"""What the prediction API answers: every form of request, every refusal, and which model it is that answers."""

import base64
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
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from p300 import models
from p300.errors import RequestError
from p300_pipeline.errors import status_of
from p300_pipeline.model_index import update_index
from p300_pipeline.registry import Registry
from p300_pipeline.serving import ALIAS_CHECK_S, INTACT_CHECK_S, Service, cache, requests
from p300_pipeline.serving.predictions import MAX_EPOCHS
from p300_pipeline.storage import Store

from tests.support.serving import (
    N_FEATURES,
    N_TIMES,
    OTHER_EPOCH,
    TARGET_EPOCH,
    V1,
    V2,
    npz,
    npz_of,
    publish,
    response,
)

MODELS = "p300-models"


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(cache, "time", clock)
    return clock


@pytest.fixture
def service(store: Store, clock: Clock) -> Service:
    """One model is champion."""
    Registry(store, MODELS).set_alias("champion", publish(store, V1))
    return Service(store, MODELS)


def b64(rows: Any) -> str:
    return base64.b64encode(np.array(rows, "<f4").tobytes()).decode()


# ---- answers
def test_one_epoch_is_answered_at_the_top_level(service: Service) -> None:
    answer = service.predict(json.dumps({"features": TARGET_EPOCH}))
    assert answer == {
        "predicted_label_code": 2,
        "predicted_class_name": "Target",
        "probability_target": pytest.approx(1 / (1 + np.exp(-N_FEATURES)), rel=1e-6),
        "model_version": V1,
    }
    other = service.predict(json.dumps({"features": OTHER_EPOCH}))
    assert (other["predicted_label_code"], other["predicted_class_name"]) == (1, "NonTarget")
    assert other["probability_target"] == pytest.approx(1 - answer["probability_target"], abs=1e-9)


def test_every_form_answers_the_same(service: Service) -> None:
    rows = np.random.default_rng(0).normal(0, 1e-6, (5, N_FEATURES)).astype(np.float32)
    batch = service.predict(json.dumps({"epochs": rows.tolist()}))
    packed = service.predict(json.dumps({"epochs_b64": b64(rows), "n_epochs": 5}).encode())
    single = [service.predict(json.dumps({"features": row})) for row in rows.tolist()]
    assert batch == packed
    assert (batch["n_epochs"], batch["model_version"]) == (5, V1)
    assert batch["predictions"] == [{k: v for k, v in one.items() if k != "model_version"} for one in single]
    json.dumps(batch, allow_nan=False)


def test_a_batch_of_one_is_a_batch(service: Service) -> None:
    assert len(service.predict(json.dumps({"epochs": [TARGET_EPOCH]}))["predictions"]) == 1


def test_whole_numbers_are_numbers(service: Service) -> None:
    assert service.predict(json.dumps({"features": [1] * N_FEATURES}))["predicted_label_code"] == 2


# ---- refusals
GOOD_ROW = json.dumps(TARGET_EPOCH)
REFUSED: dict[str, tuple[Any, str, int]] = {
    "nothing": (None, "not_json", 400),
    "empty": (b"", "not_json", 400),
    "no json": (b"features=1", "not_json", 400),
    "not utf-8": (b'{"features": "\xff"}', "not_json", 400),
    "cut off": (b'{"features": [1, 2', "not_json", 400),
    "NaN is no json": (b'{"features": [NaN]}', "not_json", 400),
    "deep": (b"[" * 100_000, "not_json", 400),
    "list": (b"[]", "not_an_object", 400),
    "number": (b"3", "not_an_object", 400),
    "null": (b"null", "not_an_object", 400),
    "no form": (b"{}", "which_epochs", 422),
    "two forms": (f'{{"features": {GOOD_ROW}, "epochs": [{GOOD_ROW}]}}'.encode(), "which_epochs", 422),
    "features null": (b'{"features": null}', "bad_shape", 422),
    "features text": (b'{"features": "abc"}', "bad_shape", 422),
    "features object": (b'{"features": {"0": 1}}', "bad_shape", 422),
    "no epochs": (b'{"epochs": []}', "bad_shape", 422),
    "flat epochs": (f'{{"epochs": {GOOD_ROW}}}'.encode(), "bad_shape", 422),
    "mixed epochs": (f'{{"epochs": [{GOOD_ROW}, 3]}}'.encode(), "bad_shape", 422),
    "no features": (b'{"features": []}', "wrong_length", 422),
    "too short": (b'{"features": [1, 2]}', "wrong_length", 422),
    "ragged": (f'{{"epochs": [{GOOD_ROW}, [1]]}}'.encode(), "wrong_length", 422),
    "nested": (f'{{"features": {[[1]] * N_FEATURES}}}'.encode(), "not_numbers", 422),
    "text among": (b'{"features": [1, 2, 3, 4, 5, "6"]}', "not_numbers", 422),
    "null among": (b'{"features": [1, 2, 3, 4, 5, null]}', "not_numbers", 422),
    "true among": (b'{"features": [1, 2, 3, 4, 5, true]}', "not_numbers", 422),
    "huge": (b'{"features": [1, 2, 3, 4, 5, 1e39]}', "not_finite", 422),
    "huge whole": (b'{"features": [1, 2, 3, 4, 5, 1%b]}' % (b"0" * 60), "not_finite", 422),
    "too many": (json.dumps({"epochs": [[0]] * (MAX_EPOCHS + 1)}).encode(), "too_many_epochs", 413),
    "b64 without count": (json.dumps({"epochs_b64": b64([TARGET_EPOCH])}).encode(), "bad_n_epochs", 422),
    "b64 count zero": (json.dumps({"epochs_b64": "", "n_epochs": 0}).encode(), "bad_n_epochs", 422),
    "b64 count true": (json.dumps({"epochs_b64": b64([TARGET_EPOCH]), "n_epochs": True}).encode(), "bad_n_epochs", 422),
    "b64 count 1.0": (json.dumps({"epochs_b64": b64([TARGET_EPOCH]), "n_epochs": 1.0}).encode(), "bad_n_epochs", 422),
    "b64 too many": (json.dumps({"epochs_b64": "", "n_epochs": MAX_EPOCHS + 1}).encode(), "too_many_epochs", 413),
    "b64 list": (b'{"epochs_b64": [1], "n_epochs": 1}', "bad_base64", 422),
    "b64 broken": (b'{"epochs_b64": "AAA", "n_epochs": 1}', "bad_base64", 422),
    "b64 url alphabet": (b'{"epochs_b64": "__--", "n_epochs": 1}', "bad_base64", 422),
    "b64 not ascii": ('{"epochs_b64": "é", "n_epochs": 1}'.encode(), "bad_base64", 422),
    "b64 length": (json.dumps({"epochs_b64": b64([TARGET_EPOCH]), "n_epochs": 2}).encode(), "wrong_length", 422),
    "b64 NaN": (json.dumps({"epochs_b64": b64([[np.nan] * N_FEATURES]), "n_epochs": 1}).encode(), "not_finite", 422),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(service: Service, case: str) -> None:
    body, code, status = REFUSED[case]
    with pytest.raises(RequestError) as refused:
        service.predict(body)
    assert (refused.value.code, status_of(refused.value)) == (code, status)
    assert len(refused.value.message) < 1000


@pytest.mark.parametrize("case", ["no form", "too short", "ragged", "flat epochs", "b64 length", "nested"])
def test_refusals_say_what_the_model_expects(service: Service, case: str) -> None:
    with pytest.raises(
        RequestError, match=r"6 features an epoch: 2 channels \(Cz Pz\) x 3 samples at 100 Hz from -0.1 s"
    ):
        service.predict(REFUSED[case][0])


def test_any_body_is_answered_or_refused(service: Service) -> None:
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
        max_leaves=12,
    )
    rows = st.lists(st.floats(width=32) | st.integers(), min_size=N_FEATURES, max_size=N_FEATURES)
    forms = st.fixed_dictionaries(
        {},
        optional={
            "features": rows | values,
            "epochs": st.lists(rows, max_size=3) | values,
            "epochs_b64": st.binary(max_size=60).map(lambda raw: base64.b64encode(raw).decode()) | values,
            "n_epochs": st.integers(0, 3) | values,
        },
    )

    @given(st.binary(max_size=40) | st.text(max_size=40) | (forms | values).map(json.dumps))
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @example('{"features": "\ud800"}')
    def check(body: bytes | str) -> None:
        try:
            answer = service.predict(body)
        except RequestError as error:
            assert 400 <= status_of(error) < 500
            return
        assert answer["model_version"] == V1
        assert all(0 <= one["probability_target"] <= 1 for one in answer.get("predictions", [answer]))

    check()


def test_without_orjson_the_answers_are_the_same(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_loads", json.loads)
    assert service.predict(json.dumps({"features": TARGET_EPOCH}))["predicted_label_code"] == 2
    for case in ("no json", "cut off", "deep", "list", "huge whole", "not utf-8"):
        with pytest.raises(RequestError) as refused:
            service.predict(REFUSED[case][0])
        assert status_of(refused.value) in {400, 422}


# ---- which model
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
