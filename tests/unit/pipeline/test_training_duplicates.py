"""The same recording under several names or subjects is trained on once."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.training import later, reasons, train

# ---- on whom


def copy_of(features: Any, **how: Any) -> Any:
    """Return features as they would be after another export: at another gain, and without their beginning."""
    first = how.get("first", 0)
    X = (features.X * how.get("gain", 1.0)).astype(np.float32)[first:]
    return dataclasses.replace(features, X=X, label=features.label[first:], onset_sample=features.onset_sample[first:])


@pytest.mark.parametrize("how", [{}, {"gain": 0.5}, {"first": 20}, {"gain": -1.0, "first": 10}])
def test_one_recording_under_other_subjects_is_trained_on_once(
    store: Store, registry: Registry, put_features: Callable[..., Any], how: dict[str, Any]
) -> None:
    for number in (1, 2, 3):
        put_features(f"subject_{number:02d}/run", effect_uv=2.0)
    honest = train(store)
    easy = put_features("subject_00/easy", effect_uv=20.0)
    with_easy = train(store, "b", later(60))
    for number in range(10, 15):
        put_features(f"subject_{number}/easy", features=copy_of(easy, **how))
    attacked = train(store, "c", later(120), seed=1)
    assert honest["auc_mean"] < with_easy["auc_mean"]
    assert attacked["auc_by_fold"] == with_easy["auc_by_fold"]
    assert set(reasons(attacked)) == {f"subject_{number}/easy" for number in range(10, 15)}
    assert set(reasons(attacked).values()) == {
        "holds the same epochs as subject_00/easy, which is trained on: they count once"
    }
    assert attacked["one_person"] == [["subject_00", *(f"subject_{number}" for number in range(10, 15))]]
    assert registry.manifest(attacked["version"])["one_person"] == attacked["one_person"]


def test_subjects_with_a_recording_in_common_are_left_out_together(
    store: Store, people: list[str], put_features: Callable[..., Any]
) -> None:
    put_features("subject_07/a")
    put_features("subject_07/b", features=put_features("subject_08/c"))
    put_features("subject_08/d")
    answer = train(store)
    assert set(answer["auc_by_fold"]) == {"subject_01", "subject_02", "subject_03", "subject_07"}
    assert answer["one_person"] == [["subject_07", "subject_08"]]
    assert set(reasons(answer)) == {"subject_08/c"}
    assert answer["subjects"][-2:] == ["subject_07", "subject_08"]


def test_a_recording_twice_of_one_subject_counts_once(
    store: Store, people: list[str], put_features: Callable[..., Any]
) -> None:
    put_features("subject_01/again", features=put_features("subject_01/run_1"))
    answer = train(store)
    assert set(reasons(answer)) == {"subject_01/run_1"}
    assert answer["one_person"] == []


def test_nobody_who_is_held_out_is_trained_on_under_another_name(
    store: Store, people: list[str], put_features: Callable[..., Any]
) -> None:
    held = put_features("subject_09/run")
    put_features("subject_04/copy", features=copy_of(held, gain=2.0, first=5))
    put_features("subject_04/another")
    answer = train(store, held_out=["subject_09"])
    assert answer["subjects"] == ["subject_01", "subject_02", "subject_03"]
    assert reasons(answer) == {
        "subject_04/copy": "holds the same epochs as subject_09/run, and subject_09 is held out",
        "subject_04/another": "subject_04 has a recording in common with subject_09, who is held out",
    }
