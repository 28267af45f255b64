"""One word for what came of an execution."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from p300_client.outcomes import BAD, GOOD, STATUSES, left_out_of, status_of
from p300_client.watching import Execution

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A = {"outcome": "features", "recording": "subject_01/a"}


def execution(
    output: dict[str, Any] | None = None, status: str = "SUCCEEDED", state: str = "", at: int = 0
) -> Execution:
    return Execution(f"arn:{at}", status, NOW + timedelta(seconds=at), state=state, output=output or {})


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"outcome": "features", "recording": A}, "features"),
        ({"outcome": "model", "recording": A, "training": {}}, "model"),
        ({"outcome": "model", "recording": None, "training": {"left_out": []}}, "model"),
        ({"outcome": "features", "recording": {**A, "outcome": "unchanged"}}, "unchanged"),
        ({"outcome": "unchanged", "version": "v1", "why": "same recordings"}, "unchanged"),
        ({"outcome": "superseded"}, "superseded"),
        ({"outcome": "gone", "detail": "newer"}, "superseded"),
        ({"outcome": "ignored", "detail": "a folder marker"}, "ignored"),
        ({"outcome": "incomplete", "missing": ["x.eeg"]}, "incomplete"),
        ({"outcome": "unreadable"}, "unreadable"),
        ({"outcome": "quarantined", "reason": {"message": "no flashes"}}, "quarantined"),
        (
            {
                "outcome": "model",
                "recording": A,
                "training": {"left_out": [{"recording": "subject_01/a", "reason": "x"}]},
            },
            "left out",
        ),
    ],
)
def test_an_execution_that_succeeded_says_what_it_came_to(output: dict[str, Any], expected: str) -> None:
    assert status_of(execution(output)) == expected
    assert expected in STATUSES


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_one_that_ended_badly_failed(status: str) -> None:
    assert status_of(execution({"outcome": "features"}, status)) == "failed"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("Wait for other files", "waiting"),
        ("Wait for more recordings", "waiting"),
        ("Preprocess", "running"),
        ("", "running"),
    ],
)
def test_one_that_runs_may_be_waiting(state: str, expected: str) -> None:
    assert status_of(execution(status="RUNNING", state=state)) == expected


def test_another_execution_s_training_leaves_a_recording_out_until_one_uses_it() -> None:
    own = execution({"outcome": "features", "recording": A})
    left_out = {
        "training": {"left_out": [{"recording": "subject_01/a", "reason": "other channels"}]},
        "outcome": "model",
    }
    trained = execution(left_out, at=1)
    assert left_out_of([own, trained]) == {"subject_01/a": "other channels"}
    assert status_of(own, left_out_of([own, trained])) == "left out"
    later = execution({"outcome": "model", "training": {"left_out": []}}, at=2)
    assert status_of(own, left_out_of([own, later, trained])) == "features"


def test_what_a_training_says_may_be_anything() -> None:
    for odd in (None, 3, "x", [3], {"left_out": 3}, {"left_out": [3, {"reason": 1}]}):
        assert status_of(execution({"outcome": "model", "training": odd, "recording": odd}), {}) in STATUSES


def test_bad_is_not_good() -> None:
    assert GOOD.isdisjoint(BAD)
    assert set(STATUSES) >= GOOD | BAD


def test_what_a_recording_replaced_is_part_of_what_came_of_it() -> None:
    recording = {**A, "notes": ["replaced another recording under subject_01/a.edf"]}
    for output in ({"outcome": "features"}, {"outcome": "model", "training": {"version": "v1"}}):
        assert "; replaced another recording under" in execution({**output, "recording": recording}).outcome


def test_what_became_of_a_personal_model_is_part_of_what_came_of_a_recording() -> None:
    failed = {"Error": "ArtifactError", "Cause": '{"errorMessage": "It is not loaded."}'}
    for personal, said in (
        (
            {"outcome": "promoted", "version": "subject_01/v1", "why": "Not worse."},
            "features, personal model subject_01/v1",
        ),
        ({"outcome": "kept", "version": "subject_01/v1", "why": "Worse."}, "subject_01/v1 does not serve: Worse."),
        ({"outcome": "none", "why": "There is no population model yet."}, "features"),
        (failed, "features; no personal model: It is not loaded."),
        (None, "features"),
    ):
        assert execution({"outcome": "features", "recording": A, "personal": personal}).outcome.endswith(said)
