"""Features of a size that EEG cannot have are refused, of a size that it hardly has are noted; what a route does not take is refused."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.errors import RequestError
from p300.signals.parameters import Parameters
from p300_pipeline.errors import status_of
from p300_pipeline.serving import Served
from p300_pipeline.serving.predictions import predict
from p300_pipeline.serving.requests import parse_json, query_of
from p300_pipeline.serving.scale import LARGEST_V, scale_notes
from p300_pipeline.serving.symbols import decode

from tests.support.epochs import NAMES
from tests.support.raw_epochs import MODEL, SFREQ, served

N = MODEL.scorer.n_features
EEG = np.random.default_rng(0).normal(0, 5e-6, (3, N))


def packed(X: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(X, "<f4").tobytes()).decode()


def raw(X: Any) -> dict[str, Any]:
    """Raw epochs of the same size: what came as volts here goes as microvolts there."""
    epochs = 1e6 * np.resize(X, (3, len(NAMES), 65))
    return {"epochs_uv": epochs.tolist(), "sfreq": SFREQ, "channels": list(NAMES)}


FORMS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "features": lambda X: predict(parse_json(json.dumps({"features": X[0].tolist()})), MODEL),
    "epochs": lambda X: predict(parse_json(json.dumps({"epochs": X.tolist()})), MODEL),
    "epochs_b64": lambda X: predict({"epochs_b64": packed(X), "n_epochs": 3}, MODEL),
    "epochs_uv": lambda X: predict(parse_json(json.dumps(raw(X))), MODEL),
    "flashes": lambda X: decode(
        {
            "layout": {"type": "brain_invaders"},
            "flashes": [{"group": 1}, *({"group": k + 1, "features": row} for k, row in enumerate(X.tolist()))],
        },
        MODEL,
    ),
    "groups": lambda X: decode(
        {
            "layout": {"type": "brain_invaders"},
            "groups": [1, 2, 3, 4],
            "epochs_b64": packed(np.concatenate([np.full((1, N), np.nan), X])),
        },
        MODEL,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_eeg_has_nothing_to_note(form: str) -> None:
    assert "notes" not in FORMS[form](EEG)


@pytest.mark.parametrize("form", FORMS)
def test_microvolts_sent_as_volts_are_refused(form: str) -> None:
    with pytest.raises(RequestError) as refused:
        FORMS[form](EEG * 1e6)
    assert (refused.value.code, status_of(refused.value)) == ("impossible_scale", 422)
    assert "microvolts" in refused.value.message


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("factor", "said"), [(1e3, "up to"), (0.0, "stay below"), (1e-6, "stay below"), (1e-30, "stay below")]
)
def test_another_unit_or_no_signal_is_noted(form: str, factor: float, said: str) -> None:
    (note,) = FORMS[form](EEG * factor)["notes"]
    assert said in note
    assert "uV" in note


@pytest.mark.parametrize("form", FORMS)
def test_what_a_blink_or_a_bad_channel_makes_is_answered(form: str) -> None:
    blink = EEG.copy()
    blink[0, :20] += 4e-4
    assert "notes" not in FORMS[form](blink)
    electrode = EEG.copy()
    electrode[0, :20] += 0.05
    assert FORMS[form](electrode)["notes"]


@given(st.floats(-40, 30))
def test_the_larger_the_worse(exponent: float) -> None:
    X = (EEG[:1] * 10**exponent).astype(np.float64)
    peak = np.abs(X).max()
    try:
        notes = scale_notes("features", X, MODEL)
    except RequestError as error:
        assert error.code == "impossible_scale"
        assert peak > LARGEST_V
        return
    assert peak <= LARGEST_V
    assert bool(notes) == (not 1e-7 <= peak <= 1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_refused(value: float) -> None:
    X = EEG.copy()
    X[1, 3] = value
    for form in ("epochs_b64", "groups"):
        with pytest.raises(RequestError) as refused:
            FORMS[form](X)
        assert refused.value.code == "not_finite"


def test_the_limit_is_the_one_that_the_model_was_trained_with() -> None:
    def noted(limit: Any, volts: float) -> bool:
        preprocessing = {**Parameters(tmax=0.4).to_dict(), "reject_peak_to_peak_uv": limit}
        return bool(scale_notes("features", np.full((1, N), volts), served(preprocessing=preprocessing)))

    assert noted(100.0, 2e-3)
    assert not noted(300.0, 2e-3)
    for odd in (None, "x", -1, 0, float("nan"), 1e30, True, []):
        assert noted(odd, 2e-3)
        assert not noted(odd, 5e-4)
    bare = Served(MODEL.version, MODEL.scorer, {"channels": [], "preprocessing": 5})
    assert scale_notes("features", np.full((1, N), 2e-3), bare)


# ---- fields and parameters that nobody reads
@pytest.mark.parametrize("form", ["features", "epochs", "epochs_b64", "epochs_uv"])
def test_unknown_fields_beside_known_ones_are_refused(form: str) -> None:
    bodies = {
        "features": {"features": EEG[0].tolist()},
        "epochs": {"epochs": EEG.tolist()},
        "epochs_b64": {"epochs_b64": packed(EEG), "n_epochs": 3},
        "epochs_uv": raw(EEG),
    }
    for extra in ("alias", "n_epoch", "channels " * 20, "model"):
        with pytest.raises(RequestError) as refused:
            predict(bodies[form] | {extra: 1}, MODEL)
        assert refused.value.code == "unknown_field"
        assert extra[:30] in refused.value.message
        assert form in refused.value.message


def test_query_parameters() -> None:
    def event(**several: list[str]) -> dict[str, Any]:
        return {
            "multiValueQueryStringParameters": several,
            "queryStringParameters": {name: values[-1] for name, values in several.items()},
        }

    assert query_of({}, ()) == {}
    assert query_of({"queryStringParameters": None, "multiValueQueryStringParameters": None}, ()) == {}
    assert query_of(event(alias=["v1"]), ("alias",)) == {"alias": "v1"}
    assert query_of({"queryStringParameters": {"alias": "v1"}}, ("alias",)) == {"alias": "v1"}
    assert query_of({"queryStringParameters": {"alias": None}}, ("alias",)) == {"alias": ""}
    for given_, code in (
        (event(alias=["v1", "v2"]), "repeated_parameter"),
        (event(alais=["v1"]), "unknown_parameter"),
        ({"queryStringParameters": {"": ""}}, "unknown_parameter"),
        (event(alias=["v1"], x=["1"]), "unknown_parameter"),
    ):
        with pytest.raises(RequestError) as refused:
            query_of(given_, ("alias",))
        assert (refused.value.code, status_of(refused.value)) == (code, 400)
    with pytest.raises(RequestError, match="takes none"):
        query_of(event(alias=["v1"]), ())


ROUTES = [("POST", "/predict"), ("POST", "/decode"), ("GET", "/health"), ("GET", "/models"), ("GET", "/openapi.json")]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_refuses_what_it_does_not_take(api: Any, method: str, path: str) -> None:
    body = {"features": [1e-5, -1e-5] * 15} if method == "POST" else None
    status, answer = api(method, path, body, queryStringParameters={"verbose": "1"})
    assert (status, answer["error"]["code"]) == (400, "unknown_parameter")
    assert "verbose" in answer["error"]["message"]
    if method == "GET":
        status, answer = api(method, path, {"x": 1})
        assert (status, answer["error"]["code"]) == (400, "unexpected_body")


@pytest.mark.parametrize(
    "query",
    [{"limit": limit} for limit in ("0", "-1", "101", "1e1", "", "9" * 5000, "\u0661", " 1")]
    + [{"before": before} for before in ("", "v1", "champion")],
)
def test_a_page_of_models_that_cannot_be_is_refused(api: Any, query: dict[str, str]) -> None:
    status, answer = api("GET", "/models", queryStringParameters=query)
    assert status == 400
    assert next(iter(query)) in answer["error"]["message"]
