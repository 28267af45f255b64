"""A subject is one subject, however it is spelled: in keys, in requests, in manifests of before."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.errors import TrainingError
from p300_pipeline.feature_store import subject_of
from p300_pipeline.keys import RecordingKey, subject_name
from p300_pipeline.registry import Registry
from p300_pipeline.steps.training import TrainingRequest
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS
from tests.support.training import train


def trained(store: Store, **request: Any) -> dict[str, Any]:
    return Registry(store, MODELS).manifest(train(store, **request)["version"])


@given(st.integers(0, 10**12), st.integers(0, 5), st.sampled_from(["subject_", "sub-"]))
def test_every_spelling_of_a_number_is_one_name(number: int, zeros: int, before: str) -> None:
    name = subject_name(f"{before}{'0' * zeros}{number}")
    assert name == subject_name(f"subject_{number}") == subject_name(name) == f"subject_{number:02d}"
    assert RecordingKey.parse(f"{name}/run.edf").subject == name


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_two_numbers_are_two_names(one: int, other: int) -> None:
    assert (subject_name(f"subject_{one}") == subject_name(f"sub-{other}")) == (one == other)


@pytest.mark.parametrize(
    "text", ["", "subject_", "sub-", "subject_x/y", "sub-5_a", "subject_\u0665", "p/subject_5", "anybody"]
)
def test_what_is_no_subject_stays_as_it_is(text: str) -> None:
    assert subject_name(text) == text


def test_a_request_and_a_recording_name_the_same_subject() -> None:
    request = TrainingRequest.parse({"subjects": ["subject_1", "sub-01", "subject_002"], "held_out": ["sub-3"]}, "lda")
    assert request.subjects == ("subject_01", "subject_02")
    assert request.held_out == ("subject_03",)
    assert {subject_of(f"{folder}/run") for folder in ("subject_5", "subject_05")} == {"subject_05"}


def test_two_spellings_are_left_out_together(put_features: Callable[..., Any], store: Store) -> None:
    for number, name in enumerate(("subject_5/a", "subject_05/b", "subject_6/a", "subject_07/a")):
        put_features(name, seed=number)
    manifest = trained(store)
    assert manifest["subjects"] == ["subject_05", "subject_06", "subject_07"]
    assert sorted(manifest["metrics"]["leave_one_subject_out"]["subjects"]) == manifest["subjects"]
    assert [entry["recording"] for entry in manifest["recordings"]] == [
        "subject_05/b", "subject_07/a", "subject_5/a", "subject_6/a",
    ]  # fmt: skip


def test_a_subject_held_out_in_another_spelling_is_not_trained_on(
    put_features: Callable[..., Any], store: Store
) -> None:
    for number, name in enumerate(("subject_5/a", "subject_6/a", "subject_7/a")):
        put_features(name, seed=number)
    manifest = trained(store, held_out=["sub-05"])
    assert manifest["subjects"] == ["subject_06", "subject_07"]
    assert manifest["held_out"] == ["subject_05"]


def test_somebody_who_is_not_there_cannot_be_held_out(put_features: Callable[..., Any], store: Store) -> None:
    put_features("subject_01/a")
    with pytest.raises(TrainingError, match="No features for subject_09, to be held out"):
        trained(store, held_out=["subject_9"])
