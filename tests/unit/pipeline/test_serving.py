"""What the prediction API answers: every form of request, and every refusal."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from p300.errors import RequestError
from p300_pipeline.errors import HttpError, status_of
from p300_pipeline.serving import Service, requests
from p300_pipeline.serving.predictions import MAX_EPOCHS

from tests.support.serving import (
    N_FEATURES,
    OTHER_EPOCH,
    TARGET_EPOCH,
    V1,
)


def b64(rows: Any) -> str:
    return base64.b64encode(np.array(rows, "<f4").tobytes()).decode()


# ---- answers
@pytest.mark.parametrize(
    "body",
    [
        '{"features": [1.0], "features": [2.0]}',
        b'{"a": {"b": 1, "b": 2}}',
        '{"a": [{"b": 1}, {"b": 1, "b": 2}]}',
        '{"a:": 1, "a:": 2}',
    ],
)
def test_a_body_that_says_a_name_twice_is_refused(body: str | bytes) -> None:
    with pytest.raises(HttpError, match="occurs twice") as raised:
        requests.parse_json(body)
    assert (raised.value.code, raised.value.status) == ("duplicate_name", 400)


@pytest.mark.parametrize("body", ['{"a": "b:c"}', '{"a": [1, {"b": 2}]}', '{"a": [{"b": 1}, {"b": 2}]}'])
def test_other_colons_are_no_members(body: str) -> None:
    assert requests.parse_json(body) == json.loads(body)


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
