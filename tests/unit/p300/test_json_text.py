"""JSON with a name twice in an object."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.errors import P300Error
from p300.json_text import DuplicateNameError, count_members, is_number, loads
from p300.signals import Parameters

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner),
)


@given(values)
def test_what_is_unambiguous_is_read(value: object) -> None:
    assert loads(json.dumps(value)) == value
    assert count_members(value) <= json.dumps(value).count(":")


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": 3}}]', '{"a": 1, "\\u0061": 2}'])
def test_a_name_twice_is_refused(text: str) -> None:
    with pytest.raises(DuplicateNameError, match="the name 'a' occurs twice"):
        loads(text)


def test_a_parameter_that_is_stated_twice_is_refused() -> None:
    with pytest.raises(P300Error, match="the name 'h_freq' occurs twice") as raised:
        Parameters.from_json('{"h_freq": 15, "h_freq": 20}')
    assert raised.value.code == "bad_parameters"


@pytest.mark.parametrize("value", [0, -1, 1.5, 10**300])
def test_numbers(value: object) -> None:
    assert is_number(value)


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan"), True, None, "1", [1]])
def test_what_is_no_number_of_a_float(value: object) -> None:
    assert not is_number(value)
