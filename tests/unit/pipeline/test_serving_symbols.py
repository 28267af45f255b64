"""What ``POST /decode`` answers: the same as decoding itself, in every form of request, and every refusal with a reason."""

import base64
import functools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from p300 import decoding, models
from p300.decoding import Response, brain_invaders
from p300.errors import RequestError
from p300.scoring import Scorer
from p300_pipeline.errors import status_of
from p300_pipeline.serving import Served
from p300_pipeline.serving.predictions import predict
from p300_pipeline.serving.requests import parse_json
from p300_pipeline.serving.symbols import MAX_FLASHES, MAX_SYMBOLS, decode

from tests.support.spellers import LATER, N_CHANNELS, N_TIMES, SFREQ, TRIALS, person, recordings

N_FEATURES = N_CHANNELS * N_TIMES
LAYOUT = brain_invaders()
BRAIN_INVADERS = {"type": "brain_invaders"}
LENGTHS = [trial.stop - trial.start for trial in TRIALS]


@functools.cache
def served() -> Served:
    """Return a model of six people."""
    people = list(recordings(range(6)))
    arrays = models.make("lda", n_channels=N_CHANNELS, n_times=N_TIMES).fit_recordings(people).to_arrays()
    manifest = {"channels": ["Fz", "Cz", "Pz", "Oz"], "n_times": N_TIMES, "sfreq": SFREQ, "tmin": 0.0}
    return Served("v20260101000001", Scorer.from_arrays(arrays), manifest, Response.fit(people, SFREQ))


def without_response() -> Served:
    return Served(served().version, served().scorer, served().manifest)


@functools.cache
def session() -> tuple[Any, list[int], Any, Any]:
    """Return features of another person's flashes, the groups that flashed, what they lit, and the symbols looked at."""
    X, lit, _, truth = person(100, **LATER)
    members = {tuple(LAYOUT.lit([code])[0].tolist()): code for code in LAYOUT.groups}
    return X, [members[tuple(row)] for row in lit.tolist()], lit, truth


def packed(X: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(X, "<f4").tobytes()).decode()


def compact(flashes: slice = slice(None), **more: Any) -> dict[str, Any]:
    X, groups, _, _ = session()
    return {"layout": BRAIN_INVADERS, "groups": groups[flashes], "epochs_b64": packed(X[flashes]), **more}


def listed(values: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    flashes = [{"group": group, **value} for group, value in zip(session()[1], values, strict=False)]
    return {"layout": BRAIN_INVADERS, "flashes": flashes, **more}


def ask(request: dict[str, Any], model: Served | None = None) -> dict[str, Any]:
    """Decode what arrives as JSON; what comes out has to become JSON too."""
    return json.loads(json.dumps(decode(parse_json(json.dumps(request)), model or served()), allow_nan=False))


# ---- answers
@pytest.mark.parametrize("score", ["session", "causal"])
def test_flashes_are_scored_by_what_decodes_them_and_the_score_says_what_it_knows(score: str) -> None:
    X, _, lit, _ = session()
    response = served().response
    assert response is not None
    whole = decoding.SessionDecoder(response).fit(X, lit, TRIALS).log_likelihood_ratio_
    ratio = whole if score == "session" else decoding.causal_log_likelihood_ratio(X, response, lit, TRIALS)
    found = ask(compact(trials=LENGTHS, flash_scores=score))["flashes"]
    prior = served().scorer.prior_target
    assert found["score"] == score
    p = np.array(found["probability_target"])
    assert np.log(p / (1 - p)) == pytest.approx(ratio + np.log(prior / (1 - prior)), rel=1e-3, abs=1e-3)
    assert "flashes" not in ask(compact(trials=LENGTHS))


def test_a_flash_without_an_epoch_has_no_score() -> None:
    values = [{"features": row.tolist()} for row in session()[0][:24]]
    values[3] = {}
    found = ask(listed(values, flash_scores="session"))["flashes"]["probability_target"]
    assert [number for number, p in enumerate(found) if p is None] == [3]


@pytest.mark.parametrize(
    ("request_", "model", "code"),
    [
        (compact(flash_scores="whole"), None, "bad_flash_scores"),
        (compact(flash_scores=["session"]), None, "bad_flash_scores"),
        (compact(flash_scores="session", adapt=False), None, "no_flash_scores"),
        (compact(flash_scores="causal"), without_response, "no_flash_scores"),
        (listed([{"probability": 0.5}], flash_scores="session"), None, "no_flash_scores"),
    ],
)
def test_scores_that_cannot_be_given_are_refused(request_: dict[str, Any], model: Any, code: str) -> None:
    with pytest.raises(RequestError) as refused:
        ask(request_, model() if model else None)
    assert refused.value.code == code


def test_a_session_is_decoded_as_decoding_does() -> None:
    X, _, lit, _ = session()
    response = served().response
    assert response is not None
    decoder = decoding.SessionDecoder(response).fit(X, lit, TRIALS)
    expected = [decoder.decode(number) for number in range(len(TRIALS))]
    answer = ask(compact(trials=LENGTHS))
    names = LAYOUT.symbols
    assert answer["symbol"] == names[expected[-1].best]
    assert list(answer["posterior"]) == list(names)
    np.testing.assert_allclose(list(answer["posterior"].values()), expected[-1].posterior, rtol=1e-9)
    assert answer["confidence"] == answer["posterior"][answer["symbol"]]
    assert (answer["stop"], answer["n_flashes"], answer["adapted"]) == (False, LENGTHS[-1], True)
    assert answer["model_version"] == "v20260101000001"
    assert answer["trials"] == [
        {"symbol": names[one.best], "confidence": pytest.approx(one.confidence)} for one in expected[:-1]
    ]


def test_every_form_of_flash_answers_the_same() -> None:
    X, groups, lit, _ = session()
    first = TRIALS[0]
    rows = [{"features": row} for row in X[first].tolist()]
    assert ask(listed(rows)) == ask(compact(first))
    named = compact(first) | {"groups": [sorted(LAYOUT.groups[code]) for code in groups[first]]}
    assert ask(named) == ask(compact(first))
    plain = ask(compact(first, adapt=False))
    assert plain["adapted"] is False
    # The probabilities of /predict carry the same evidence as the features they were made from.
    answers = predict({"epochs_b64": packed(X[first]), "n_epochs": LENGTHS[0]}, served())["predictions"]
    told = ask(listed([{"probability": one["probability_target"]} for one in answers]))
    assert told["posterior"] == pytest.approx(plain["posterior"], rel=1e-6)
    assert (told["adapted"], "trials" in told) == (False, False)
    ratio = decoding.evidence(served().scorer.log_odds(X[first]), served().scorer.prior_target)
    expected = decoding.decode(lit[first], ratio).posterior
    np.testing.assert_allclose(list(plain["posterior"].values()), expected, rtol=1e-9)


def test_a_model_from_before_there_was_a_response_decodes_without_adapting() -> None:
    answer = ask(compact(TRIALS[0]), without_response())
    assert answer == ask(compact(TRIALS[0], adapt=False))


def test_flashing_stops_once_sure() -> None:
    flashes = [{"probability": 0.95 if code in {2, 9} else 0.02} for code in session()[1][:144]]
    answer = ask(listed(flashes, confidence=0.9))
    assert answer["stop"] is True
    assert answer["n_flashes"] < 144
    assert answer["symbol"] == next(iter(LAYOUT.groups[2] & LAYOUT.groups[9]))
    assert answer["confidence"] >= 0.9
    fewer = ask(listed(flashes[: answer["n_flashes"] - 1], confidence=0.9))
    assert (fewer["stop"], fewer["n_flashes"]) == (False, answer["n_flashes"] - 1)
    assert fewer["confidence"] < 0.9


def test_flashes_without_an_epoch_say_nothing() -> None:
    X = session()[0][:24].copy()
    X[3::4] = np.nan
    rows = [{} if np.isnan(row[0]) else {"features": row} for row in X.tolist()]
    answer = ask(listed(rows))
    assert answer == ask({**compact(slice(0, 24)), "epochs_b64": packed(X)})
    alone = ask({**listed(rows), "flashes": [f for f in listed(rows)["flashes"] if "features" in f]})
    assert answer["posterior"] == pytest.approx(alone["posterior"])
    assert answer["n_flashes"] == 24
    nothing = ask(listed([{}, {"features": None}, {"probability": None}]))
    assert list(nothing["posterior"].values()) == pytest.approx([1 / 36] * 36)


def test_a_prior_is_of_the_last_trial_alone() -> None:
    prior = {symbol: 1.0 if symbol == "C4" else 0.01 for symbol in LAYOUT.symbols}
    flashes = [{"probability": 0.3}] * 24
    answer = ask(listed(flashes, prior=prior, trials=[12, 12]))
    assert (answer["symbol"], answer["trials"][0]["symbol"]) == ("C4", "A1")
    assert answer["posterior"]["C4"] == pytest.approx(1.0 / 1.35)


@pytest.mark.parametrize(
    ("layout", "group", "lights"),
    [
        ({"type": "grid", "rows": ["ABC", "DEF"]}, 1, "AD"),
        ({"type": "grid", "rows": ["ABC", "DEF"]}, 4, "ABC"),
        ({"type": "grid", "rows": [["A", "B"], ["C", "D"]], "rows_first": True}, 1, "AB"),
        ({"type": "grid", "rows": ["ABC", "DEF"]}, ["A", "F"], "AF"),
        ({"type": "sets", "symbols": ["A", "B", "C"], "groups": {"7": ["A", "C"], "-1": ["B"]}}, 7, "AC"),
        ({"type": "sets", "symbols": ["A", "B", "C"]}, ["C"], "C"),
        (BRAIN_INVADERS, 12, ["A6", "B6", "C6", "D6", "E6", "F6"]),
    ],
)
def test_layouts(layout: dict[str, Any], group: Any, lights: Any) -> None:
    answer = ask({"layout": layout, "flashes": [{"group": group, "probability": 0.99}]})
    most = max(answer["posterior"].values())
    assert [symbol for symbol, p in answer["posterior"].items() if p == most] == list(lights)


def test_certainty_is_no_fault() -> None:
    flashes = [{"group": 1, "probability": 1}, {"group": 2, "probability": 0.0}]
    answer = ask({"layout": {"type": "grid", "rows": ["AB", "CD"]}, "flashes": flashes})
    assert answer["posterior"]["A"] == pytest.approx(0.5)
    assert answer["posterior"]["B"] < 1e-9


# ---- refusals
GRID = {"type": "grid", "rows": ["AB", "CD"]}
SETS = {"type": "sets", "symbols": ["A", "B"]}
ONE = [{"group": 1, "probability": 0.5}]
ROW = [0.0] * N_FEATURES


def body(**changes: Any) -> dict[str, Any]:
    return {"layout": GRID, "flashes": ONE} | changes


def in_flash(**changes: Any) -> dict[str, Any]:
    return body(flashes=[{"group": 1} | changes])


def packed_body(**changes: Any) -> dict[str, Any]:
    return {"layout": GRID, "groups": [1], "epochs_b64": packed([ROW])} | changes


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "empty": ({}, "bad_layout", "layout"),
    "layout a text": (body(layout="grid"), "bad_layout", "layout is 'grid'"),
    "layout of no type": (body(layout={"rows": ["AB"]}), "bad_layout", "whose type is grid, brain_invaders, sets"),
    "layout of unknown type": (body(layout={"type": "hex"}), "bad_layout", "hex"),
    "layout with a slip": (body(layout=GRID | {"row_first": True}), "unknown_field", "row_first"),
    "rows missing": (body(layout={"type": "grid"}), "bad_layout", "layout.rows is None"),
    "rows of numbers": (body(layout=GRID | {"rows": [[1, 2]]}), "bad_layout", "layout.rows"),
    "rows uneven": (body(layout=GRID | {"rows": ["AB", "C"]}), "bad_layout", "equally many"),
    "rows empty": (body(layout=GRID | {"rows": []}), "bad_layout", "rows"),
    "rows of nothing": (body(layout=GRID | {"rows": ["", ""]}), "bad_layout", "at least two"),
    "rows_first a number": (body(layout=GRID | {"rows_first": 1}), "bad_layout", "rows_first is 1"),
    "symbol twice": (body(layout=GRID | {"rows": ["AB", "AC"]}), "bad_layout", "all different"),
    "long symbol": (body(layout=GRID | {"rows": [["A", "B" * 65]]}), "bad_layout", "layout.rows"),
    "too many symbols": (body(layout=GRID | {"rows": ["A" * (MAX_SYMBOLS + 1)]}), "too_large", "at most 1024"),
    "too many groups": (body(layout=SETS | {"groups": {str(n): ["A"] for n in range(1025)}}), "too_large", "groups"),
    "symbols missing": (body(layout={"type": "sets"}), "bad_layout", "layout.symbols is None"),
    "groups a list": (body(layout=SETS | {"groups": [["A"]]}), "bad_layout", "layout.groups"),
    "group without number": (body(layout=SETS | {"groups": {"x": ["A"]}}), "bad_layout", "layout.groups"),
    "group with two numbers": (body(layout=SETS | {"groups": {"01": ["A"]}}), "bad_layout", "layout.groups"),
    "group of a stranger": (body(layout=SETS | {"groups": {"1": ["Z"]}}), "unknown_symbol", "group 1 lights Z"),
    "group of a text": (body(layout=SETS | {"groups": {"1": "AB"}}), "bad_layout", "layout.groups"),
    "no flashes": ({"layout": GRID}, "which_flashes", "no flashes"),
    "both forms": (packed_body(flashes=ONE), "which_flashes", "flashes, and groups"),
    "flashes empty": (body(flashes=[]), "bad_flashes", "at least one"),
    "flashes null": (body(flashes=None), "bad_flashes", "flashes is None"),
    "too many flashes": (body(flashes=ONE * (MAX_FLASHES + 1)), "too_large", "4097 flashes"),
    "flash a number": (body(flashes=[1]), "bad_flashes", "flashes[0] is 1"),
    "flash with a slip": (in_flash(prob=0.5), "unknown_field", "flashes[0] has the field 'prob'"),
    "group missing": (body(flashes=[{"probability": 0.5}]), "bad_group", "flashes[0].group is None"),
    "group true": (in_flash(group=True), "bad_group", "True"),
    "group 1.0": (in_flash(group=1.0), "bad_group", "1.0"),
    "group unknown": (in_flash(group=9), "unknown_group", "Flash 0 lit group 9"),
    "group of strangers": (in_flash(group=["A", "Z"]), "unknown_symbol", "Z"),
    "group of nobody": (in_flash(group=[]), "unknown_symbol", "no symbol"),
    "probability 2": (in_flash(probability=2), "bad_probability", "flashes[0].probability is 2"),
    "probability text": (in_flash(probability="0.5"), "bad_probability", "'0.5'"),
    "mixed": (body(flashes=[{"group": 1, "features": ROW}, *ONE]), "mixed_flashes", "1 flashes have features, 1 a"),
    "both in one": (in_flash(features=ROW, probability=0.5), "mixed_flashes", "the one or the other"),
    "features too short": (in_flash(features=[1, 2]), "wrong_length", "flashes[0].features has 2 numbers"),
    "features a text": (in_flash(features="abc"), "bad_shape", "4 channels (Fz Cz Pz Oz)"),
    "features of texts": (in_flash(features=["1"] * N_FEATURES), "not_numbers", "not a number"),
    "features too large": (in_flash(features=[1e39] * N_FEATURES), "not_finite", "float32"),
    "features far too large": (in_flash(features=[10**400] * N_FEATURES), "not_finite", "float32"),
    "groups alone": ({"layout": GRID, "groups": [1]}, "bad_base64", "epochs_b64"),
    "epochs alone": ({"layout": GRID, "epochs_b64": packed([ROW])}, "bad_flashes", "groups is None"),
    "epochs too short": (packed_body(groups=[1, 2]), "wrong_length", "2 epochs of float32"),
    "epochs no base64": (packed_body(epochs_b64="~"), "bad_base64", "epochs_b64"),
    "epochs partly NaN": (packed_body(epochs_b64=packed([[np.nan, *ROW[1:]]])), "not_finite", "Epoch 0"),
    "epochs infinite": (packed_body(epochs_b64=packed([[np.inf] * N_FEATURES])), "not_finite", "Epoch 0"),
    "trials a number": (body(trials=1), "bad_trials", "trials is 1"),
    "trials too few": (body(trials=[2]), "bad_trials", "2 flashes in all; expected the number of flashes of each"),
    "trials with nothing": (body(trials=[1, 0]), "bad_trials", "[1, 0]"),
    "trials true": (body(trials=[True]), "bad_trials", "[True]"),
    "confidence 0": (body(confidence=0), "bad_confidence", "confidence is 0"),
    "confidence null": (body(confidence=None), "bad_confidence", "None"),
    "confidence 90": (body(confidence=90), "bad_confidence", "at most 1"),
    "prior a list": (body(prior=[0.5, 0.5]), "bad_prior", "prior is"),
    "prior negative": (body(prior={"A": -1, "B": 1, "C": 1, "D": 1}), "bad_prior", "0 to 1"),
    "prior of a stranger": (body(prior={"Z": 1}), "unknown_field", "'Z'"),
    "prior of some": (body(prior={"A": 1}), "bad_prior", "no 'B'"),
    "prior of nobody": (body(prior=dict.fromkeys("ABCD", 0)), "bad_prior", "zeros only"),
    "adapt a text": (body(adapt="yes"), "bad_adapt", "yes"),
    "unknown field": (body(treshold=0.9), "unknown_field", "treshold"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    request, code, names = REFUSED[case]
    with pytest.raises(RequestError) as refused:
        decode(json.loads(json.dumps(request)), served())
    assert (refused.value.code, status_of(refused.value)) == (code, 413 if code == "too_large" else 422)
    assert names in refused.value.message
    assert len(refused.value.message) < 700


def test_epochs_of_any_size_are_decoded_or_refused() -> None:
    """Whatever float32 holds: a broken amplifier's numbers are bad evidence, not a fault of the service."""
    sizes = st.floats(width=32, allow_nan=False, allow_infinity=False)

    @given(st.lists(st.tuples(st.integers(1, 4), sizes, sizes), min_size=1, max_size=8), st.booleans())
    @settings(max_examples=150, deadline=None)
    @example([(1, 3e38, -3e38)] * 8, True)
    @example([(1, 1e-45, 0.0)] * 8, True)
    def check(flashes: list[tuple[int, float, float]], adapt: bool) -> None:
        X = [[a] * (N_FEATURES // 2) + [b] * (N_FEATURES // 2) for _, a, b in flashes]
        groups = [group for group, _, _ in flashes]
        try:
            answer = ask({"layout": GRID, "groups": groups, "epochs_b64": packed(X), "adapt": adapt})
        except RequestError as error:
            assert 400 <= status_of(error) < 500
        else:
            assert sum(answer["posterior"].values()) == pytest.approx(1)

    check()


def test_any_request_is_decoded_or_refused() -> None:
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["A", "B", "1", ""]),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["A", "1", "type"]), inner),
        max_leaves=8,
    )
    groups = st.integers(0, 5) | st.lists(st.sampled_from("ABCD"), max_size=3) | anything
    flash = st.fixed_dictionaries(
        {}, optional={"group": groups, "probability": st.floats(0, 1) | anything, "features": anything}
    )
    layouts = st.sampled_from([GRID, SETS, BRAIN_INVADERS]) | st.fixed_dictionaries(
        {"type": st.sampled_from(["grid", "sets", "brain_invaders"])},
        optional={"rows": st.lists(st.text("ABCD", max_size=3)) | anything, "symbols": anything, "groups": anything},
    )
    bodies = st.fixed_dictionaries(
        {"layout": layouts},
        optional={
            "flashes": st.lists(flash, max_size=5) | anything,
            "groups": st.lists(groups, max_size=3) | anything,
            "epochs_b64": st.just(packed([ROW])) | anything,
            "trials": st.lists(st.integers(0, 4), max_size=3) | anything,
            "confidence": st.floats(0, 1) | anything,
            "prior": st.fixed_dictionaries(dict.fromkeys("ABCD", st.floats(0, 1))) | anything,
            "adapt": st.booleans() | anything,
        },
    )

    @given(bodies)
    @settings(max_examples=300, deadline=None)
    def check(request: dict[str, Any]) -> None:
        try:
            answer = ask(request)
        except RequestError as error:
            assert 400 <= status_of(error) < 500
        else:
            assert sum(answer["posterior"].values()) == pytest.approx(1)

    check()
