"""Preprocessing parameters as an operator states them: what differs from the defaults, as JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.errors import P300Error
from p300.signals import Parameters


def test_nothing_stated_means_the_defaults() -> None:
    assert Parameters.from_json("") == Parameters.from_json("{}") == Parameters()


def test_what_is_stated_differs_and_the_rest_does_not() -> None:
    stated = Parameters.from_json('{"h_freq": 15, "baseline": [-0.05, 0], "notch_freq": null}')
    assert stated == Parameters(h_freq=15, baseline=(-0.05, 0.0), notch_freq=None)


@given(
    st.builds(
        Parameters,
        l_freq=st.floats(0.1, 5),
        h_freq=st.floats(6, 40),
        notch_freq=st.none() | st.floats(45, 65),
        reject_peak_to_peak_uv=st.none() | st.floats(1, 1000),
        baseline=st.none() | st.just((-0.1, 0.0)),
    )
)
def test_to_json_and_back(parameters: Parameters) -> None:
    assert Parameters.from_json(json.dumps(parameters.to_dict())) == parameters


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("h_freq=15", "no JSON"),
        ("[15]", "JSON object"),
        ('"15"', "JSON object"),
        ('{"high": 15}', "'high'"),
        ('{"h_freq": "15"}', "h_freq"),
        ('{"h_freq": null}', "h_freq"),
        ('{"h_freq": 80}', "h_freq <= sfreq / 2"),
        ('{"l_freq": 0}', "0 < l_freq"),
        ('{"baseline": [0]}', "baseline"),
        ('{"baseline": [-1, 0]}', "baseline inside"),
        ('{"baseline": 3}', "baseline"),
        ('{"tmin": NaN}', "finite"),
        ('{"precision": "float16"}', "precision"),
    ],
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    with pytest.raises(P300Error, match=told) as raised:
        Parameters.from_json(text)
    assert raised.value.code == "bad_parameters"
    assert raised.value.message.lower().count("preprocessing parameters") == 1  # a refusal is not wrapped in another
