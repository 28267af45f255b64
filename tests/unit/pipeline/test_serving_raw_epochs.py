"""Raw epochs to ``POST /predict``: preprocessed as the model's own features were, channels by name, refusals with reasons."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.errors import RequestError
from p300.signals import extract, features_of_epochs
from p300.signals.epochs import reach_s
from p300_pipeline.errors import status_of
from p300_pipeline.serving import Served
from p300_pipeline.serving.predictions import predict
from p300_pipeline.serving.requests import parse_json

from tests.support.epochs import NAMES, cut, recording
from tests.support.raw_epochs import MODEL, PARAMETERS, SFREQ, served


def ask(request: dict[str, Any], model: Served = MODEL) -> dict[str, Any]:
    return json.loads(json.dumps(predict(parse_json(json.dumps(request)), model), allow_nan=False))


def test_the_answer_is_that_of_the_features_of_the_recording() -> None:
    rec, onsets = recording(SFREQ)
    features = extract(rec, PARAMETERS)
    padding_s = reach_s(SFREQ, PARAMETERS)
    epochs = cut(rec.data, onsets, SFREQ, PARAMETERS, padding_s) * 1e6
    request = {"epochs_uv": epochs.tolist(), "sfreq": SFREQ, "channels": list(NAMES), "tmin": -0.1 - padding_s}
    answer = ask(request)
    assert (answer["filter"], answer["n_epochs"], answer["model_version"]) == ("exact", 30, "v20260101000001")
    assert 0 < sum(one["rejected"] for one in answer["predictions"]) < 10
    kept = [one["probability_target"] for one in answer["predictions"] if not one["rejected"]]
    by_features = ask({"epochs": features.X.tolist()})
    wanted = [one["probability_target"] for one in by_features["predictions"]]
    np.testing.assert_allclose(kept, wanted, atol=1e-4)
    assert np.ptp(wanted) > 0.1
    # Channels go by name, in any order and among others.
    shuffled = np.concatenate([epochs[:, ::-1], np.full_like(epochs[:, :1], 1e6)], axis=1)
    again = ask(request | {"epochs_uv": shuffled.tolist(), "channels": ["PZ", "cz", "Fz", "EOG"]})
    assert again == answer


def test_bare_epochs_and_filtered_ones() -> None:
    rec, onsets = recording(SFREQ)
    epochs = cut(rec.data, onsets[:2], SFREQ, PARAMETERS, 0.0) * 1e6
    request = {"epochs_uv": epochs.tolist(), "sfreq": SFREQ, "channels": list(NAMES)}
    for more, how in (
        ({}, "approximate"),
        ({"filtered": True}, "none"),
        ({"tmin": -0.1, "filtered": False}, "approximate"),
    ):
        answer = ask(request | more)
        assert answer["filter"] == how
        X = features_of_epochs(epochs, SFREQ, PARAMETERS, filtered=how == "none").X
        probability = MODEL.scorer.probability_target(X)
        assert [one["probability_target"] for one in answer["predictions"]] == pytest.approx(probability.tolist())


GOOD = {"epochs_uv": [[[0.0] * 70] * 3], "sfreq": SFREQ, "channels": list(NAMES)}
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no channels": ({"channels": None}, "bad_channels", "channels is None"),
    "channels of numbers": ({"channels": [1, 2, 3]}, "bad_channels", "[1, 2, 3]"),
    "channel twice": ({"channels": ["Fz", "fz", "Pz"]}, "bad_channels", "twice"),
    "channel missing": ({"channels": ["Fz", "Cz", "Oz"]}, "missing_channels", "lacks Pz, more than the quarter"),
    "too many channels": ({"channels": [str(n) for n in range(513)]}, "too_large", "513 channels"),
    "no epochs": ({"epochs_uv": []}, "bad_shape", "epochs_uv is []"),
    "epochs null": ({"epochs_uv": None}, "bad_shape", "epochs_uv is None"),
    "one epoch bare": ({"epochs_uv": [[0.0] * 70] * 3}, "bad_shape", "epochs_uv[0] is a list of 70; expected 3"),
    "too few channels": ({"epochs_uv": [[[0.0] * 70] * 2]}, "bad_shape", "a list of 2; expected 3"),
    "ragged channels": ({"epochs_uv": [[[0.0] * 70, [0.0] * 70, [0.0] * 69]]}, "bad_shape", "of 69 and of 70"),
    "ragged epochs": ({"epochs_uv": [[[0.0] * 70] * 3, [[0.0] * 71] * 3]}, "bad_shape", "epochs_uv[1]"),
    "texts": ({"epochs_uv": [[["0"] * 70] * 3]}, "not_numbers", "epochs_uv[0]"),
    "too large": ({"epochs_uv": [[[1e8] * 70] * 3]}, "impossible_scale", "expected microvolts"),
    "far too large": ({"epochs_uv": [[[10**400] * 70] * 3]}, "impossible_scale", "expected microvolts"),
    "too many epochs": ({"epochs_uv": [[]] * 257}, "too_many_epochs", "257 epochs"),
    "too short": ({"epochs_uv": [[[0.0] * 64] * 3]}, "too_short", "-0.1 to 0.4 s, both ends included: 65 samples"),
    "empty": ({"epochs_uv": [[[], [], []]]}, "too_short", "0 samples"),
    "no sfreq": ({"sfreq": None}, "bad_sfreq", "sfreq is None"),
    "sfreq zero": ({"sfreq": 0}, "bad_sfreq", "sfreq is 0"),
    "sfreq true": ({"sfreq": True}, "bad_sfreq", "True"),
    "sfreq low": ({"sfreq": 40}, "bad_sfreq", "more than 40 Hz"),
    "sfreq high": ({"sfreq": 1e8}, "bad_sfreq", "at most 20000 Hz"),
    "tmin text": ({"tmin": "0"}, "bad_tmin", "tmin is '0'"),
    "tmin far": ({"tmin": -1e300}, "bad_tmin", "-1e+300"),
    "tmin late": ({"tmin": 0}, "too_short", "from 0 s on"),
    "filtered a text": ({"filtered": "no"}, "bad_filtered", "'no'"),
    "unknown field": ({"filterd": True}, "unknown_field", "filterd"),
    "two forms": ({"features": [0.0]}, "which_epochs", "features and epochs_uv"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    changes, code, names = REFUSED[case]
    with pytest.raises(RequestError) as refused:
        predict(json.loads(json.dumps(GOOD | changes)), MODEL)
    assert (refused.value.code, status_of(refused.value)) == (
        code,
        413 if code in {"too_large", "too_many_epochs"} else 422,
    )
    assert names in refused.value.message
    assert len(refused.value.message) < 700


@pytest.mark.parametrize(
    "told", [None, "yes", PARAMETERS.to_dict() | {"tmax": 0.7}, PARAMETERS.to_dict() | {"strange": 1}]
)
def test_a_model_that_does_not_say_how_its_features_were_made(told: Any) -> None:
    with pytest.raises(RequestError) as refused:
        ask(GOOD, served(preprocessing=told))
    assert status_of(refused.value) == 422
    assert "features" in refused.value.message or "strange" in refused.value.message


def test_any_request_is_answered_or_refused() -> None:
    anything = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
    sample = st.floats(allow_nan=False, allow_infinity=False) | anything
    row = st.tuples(st.sampled_from([0.0, 1e9, -3.5]) | sample, st.sampled_from([0, 64, 70, 70, 70]))
    rows = row.map(lambda filled: [filled[0]] * filled[1])
    epochs = st.lists(st.lists(rows, min_size=3, max_size=3), max_size=2)
    requests = st.fixed_dictionaries(
        {"epochs_uv": epochs | anything, "sfreq": st.sampled_from([128, 64.0]) | anything},
        optional={
            "channels": st.just(list(NAMES)) | st.permutations(NAMES) | anything,
            "tmin": st.floats(-1, 1) | anything,
            "filtered": st.booleans() | anything,
        },
    )

    @given(requests)
    @settings(max_examples=200, deadline=None)
    def check(request: dict[str, Any]) -> None:
        try:
            answer = ask(request)
        except RequestError as error:
            assert 400 <= status_of(error) < 500
        else:
            assert all(0 <= one["probability_target"] <= 1 for one in answer["predictions"])

    check()
