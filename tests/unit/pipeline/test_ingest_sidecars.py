"""Sidecars: whenever one comes, its recording's features are made with it in the end, and it goes wherever the recording goes."""

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from p300.features import FeatureSet, read_features
from p300.signals import Parameters
from p300_pipeline.contracts import IngestResult
from p300_pipeline.keys import is_recording
from p300_pipeline.steps.ingest import Landed, ingest
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, LANDING, RAW, content
from tests.support.ingest import do, land
from tests.support.readers import N_SAMPLES, stim, write_parquet

RECORDING, SIDECAR = "subject_11/run_01.parquet", "subject_11/run_01.p300.json"
SAID = {"event_id": {"1": 1, "2": 2}, "event_delay_ms": 20, "reference": "average"}
BODY = json.dumps(SAID).encode()


@pytest.fixture
def recording(tmp_path: Path) -> bytes:
    return write_parquet(tmp_path / "run.parquet").read_bytes()


@pytest.fixture
def foreign(tmp_path: Path) -> bytes:
    """A recording whose events only a sidecar makes usable."""
    return write_parquet(tmp_path / "foreign.parquet", stim=stim(33, 44).astype(np.int32)).read_bytes()


def go_on(store: Store, answer: IngestResult) -> str:
    """What the state machine does after ingestion."""
    if answer["outcome"] not in {"stored", "unchanged"}:
        return str(answer["outcome"])
    return str(preprocess(store, RAW, FEATURES, answer["key"], answer["etag"], Parameters())["outcome"])


def execution(store: Store, landed: Landed) -> str:
    return go_on(store, do(store, landed))


def features(store: Store) -> FeatureSet:
    return read_features(io.BytesIO(store.get(FEATURES, "subject_11/run_01/features.parquet")[0]))


def reason(answer: IngestResult) -> tuple[str, str]:
    assert answer["outcome"] == "quarantined", answer
    return answer["reason"]["code"], answer["reason"]["message"]


@pytest.mark.parametrize("order", list(itertools.permutations([RECORDING, SIDECAR])))
def test_features_are_made_with_the_sidecar_in_whatever_order_the_files_come(
    store: Store, recording: bytes, order: tuple[str, ...]
) -> None:
    files = {RECORDING: recording, SIDECAR: BODY}
    outcomes = [execution(store, land(store, key, files[key])) for key in order]
    assert outcomes == (["features", "features"] if order[0] == RECORDING else ["waiting", "features"])
    assert (content(store, RAW), content(store, LANDING)) == (files, {})
    made = features(store)
    assert made.sidecar == SAID
    assert any("run_01.p300.json: reference average" in note for note in made.notes)
    named = json.loads(made.provenance["raw_companions"])
    assert named == {"run_01.p300.json": store.head(RAW, SIDECAR).etag}
    assert set(json.loads(made.provenance["raw_companion_versions"])["run_01.p300.json"]) == {"version_id", "sha256"}
    report = json.loads(store.get(FEATURES, "subject_11/run_01/report.json")[0])
    assert report["sidecar"] == SAID


def test_no_order_of_two_executions_leaves_features_without_the_sidecar(
    store: Store, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None], recording: bytes
) -> None:
    files = {RECORDING: recording, SIDECAR: BODY}

    # So many operations of the recording's execution, then so many of the sidecar's, then the first to its end.
    @given(st.integers(0, 40), st.integers(0, 12))
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def any_order(of_recording: int, of_other: int) -> None:
        turns = [0] * of_recording + [1] * of_other
        empty_buckets()
        landed = {RECORDING: land(store, RECORDING, recording)}

        def of_sidecar(at: Store) -> str:
            list(at.list(LANDING))  # the upload itself comes some time after the other execution began
            landed[SIDECAR] = land(store, SIDECAR, BODY)
            return execution(at, landed[SIDECAR])

        answers = interleave([lambda s: execution(s, landed[RECORDING]), of_sidecar], turns)
        assert set(answers) <= {"features", "unchanged", "superseded"}, answers
        assert (content(store, RAW), content(store, LANDING)) == (files, {})
        assert features(store).sidecar == SAID
        for event in landed.values():
            assert execution(store, event) == "unchanged"

    any_order()


@pytest.mark.parametrize("first", [RECORDING, SIDECAR, None])
def test_a_death_anywhere_is_mended_by_the_retry(
    store: Store,
    after_any_death: Callable[..., None],
    empty_buckets: Callable[[], None],
    recording: bytes,
    first: str | None,
) -> None:
    landed: dict[str, Landed] = {}

    def prepare() -> None:
        empty_buckets()
        landed[RECORDING] = land(store, RECORDING, recording, seconds_ago=20)
        if first == RECORDING:
            execution(store, landed[RECORDING])
        landed[SIDECAR] = land(store, SIDECAR, BODY)

    def step(at: Store) -> str:
        outcome = execution(at, landed[RECORDING if first is None else SIDECAR])
        return "features" if outcome == "unchanged" else outcome

    def state() -> Any:
        for event in landed.values():  # the other execution finds nothing left to do
            execution(store, event)
        return content(store, LANDING), content(store, RAW), features(store).sidecar

    after_any_death(prepare, step, state)
    assert state()[0] == {}


def test_the_sidecar_makes_a_foreign_recording_usable(store: Store, foreign: bytes) -> None:
    land(store, SIDECAR, json.dumps({"event_id": {"33": 1, "44": 2}}).encode())
    assert execution(store, land(store, RECORDING, foreign)) == "features"


def test_a_released_recording_finds_the_sidecar_that_came_meanwhile(store: Store, foreign: bytes) -> None:
    assert reason(do(store, land(store, RECORDING, foreign)))[0] == "unknown_codes"
    landed = land(store, SIDECAR, json.dumps({"event_id": {"33": 1, "44": 2}}).encode())
    waiting = do(store, landed)
    assert (waiting["outcome"], waiting["missing"]) == ("waiting", ["recording subject_11/run_01.<extension>"])
    assert execution(store, land(store, RECORDING, foreign)) == "features"
    assert execution(store, landed) == "unchanged"


@pytest.mark.parametrize("event", [RECORDING, SIDECAR])
def test_an_invalid_sidecar_takes_its_recording_to_quarantine(store: Store, recording: bytes, event: str) -> None:
    landed = {RECORDING: land(store, RECORDING, recording), SIDECAR: land(store, SIDECAR, b'{"units": "uV"}')}
    code, message = reason(do(store, landed[event]))
    assert code == "bad_sidecar"
    assert all(word in message for word in ("run_01.p300.json", "'units'", "expected event_id, unit"))
    assert content(store, LANDING) == {}
    assert len([key for key in content(store, RAW) if key.startswith("quarantine/")]) == 2
    assert reason(do(store, landed[RECORDING]))[0] == "bad_sidecar", "the other execution says the same"


@pytest.mark.parametrize("body", [b"[", b'{"event_id": {"7": 1, "8": 2}}', b""])
def test_a_late_sidecar_that_makes_its_recording_unusable_goes_to_quarantine_alone(
    store: Store, recording: bytes, body: bytes
) -> None:
    execution(store, land(store, RECORDING, recording))
    before = features(store)
    code, message = reason(do(store, land(store, SIDECAR, body)))
    assert code in {"bad_sidecar", "unknown_codes", "empty_object"}
    assert "run_01.parquet stays as it is" in message
    assert content(store, LANDING) == {}
    assert {key for key in content(store, RAW) if not key.startswith("quarantine")} == {RECORDING}
    assert features(store).provenance == before.provenance


def test_another_sidecar_takes_the_place_of_the_first_and_an_empty_one_says_nothing(
    store: Store, recording: bytes
) -> None:
    land(store, SIDECAR, BODY, seconds_ago=20)
    execution(store, land(store, RECORDING, recording, seconds_ago=20))
    with_delay = features(store).onset_sample
    assert execution(store, land(store, SIDECAR, b"{}")) == "features"
    assert (features(store).sidecar, content(store, RAW)[SIDECAR]) == ({}, b"{}")
    assert not np.array_equal(features(store).onset_sample, with_delay)


def test_a_sidecar_stays_when_its_recording_comes_again(store: Store, recording: bytes, foreign: bytes) -> None:
    land(store, SIDECAR, BODY, seconds_ago=20)
    execution(store, land(store, RECORDING, recording, seconds_ago=20))
    assert do(store, land(store, RECORDING, recording))["outcome"] == "unchanged"
    assert reason(do(store, land(store, RECORDING, foreign)))[0] == "unknown_codes", "as the sidecar maps others"
    assert content(store, RAW)[SIDECAR] == BODY
    assert features(store).sidecar == SAID


def test_a_sidecar_named_after_the_whole_file_is_refused_with_its_recording(store: Store, recording: bytes) -> None:
    named = "subject_11/run_01.parquet.p300.json"
    land(store, named, BODY)
    code, message = reason(do(store, land(store, RECORDING, recording)))
    assert (code, "run_01.p300.json. Rename it" in message) == ("bad_sidecar", True)
    assert content(store, LANDING) == {}
    assert reason(do(store, land(store, named, BODY)))[0] == "bad_sidecar", "alone as well"


def test_two_recordings_cannot_share_a_sidecar(store: Store, recording: bytes) -> None:
    other = "subject_11/run_01.csv"
    events = [land(store, key, body) for key, body in ((RECORDING, recording), (other, b"x"), (SIDECAR, BODY))]
    code, message = reason(do(store, events[0]))
    assert (code, other in message, SIDECAR in message) == ("bad_sidecar", True, True)
    assert content(store, LANDING) == {}
    assert {do(store, event)["outcome"] for event in events} == {"quarantined"}
    assert not any(map(is_recording, content(store, RAW)))


def test_without_usable_epochs_the_sidecar_leaves_the_raw_data_too(store: Store, tmp_path: Path) -> None:
    wild = np.random.default_rng(0).normal(0, 150, N_SAMPLES)
    body = write_parquet(tmp_path / "wild.parquet", eeg_A=wild, eeg_B=wild + 1, eeg_C=wild + 2).read_bytes()
    land(store, SIDECAR, BODY)
    assert execution(store, land(store, RECORDING, body)) == "quarantined"
    assert all(key.startswith("quarantine") for key in content(store, RAW))
    assert sum(key.startswith("quarantine/") for key in content(store, RAW)) == 2


def test_a_sidecar_without_a_recording_is_said_to_be_incomplete(store: Store) -> None:
    landed = land(store, SIDECAR, BODY, seconds_ago=600)
    answer = ingest(store, LANDING, RAW, landed, wait_for_files_s=300)
    assert (answer["outcome"], answer["key"]) == ("incomplete", SIDECAR)


# ---- spellings of a subject
@pytest.mark.parametrize("folders", list(itertools.product(["sub-05", "subject_5", "subject_05"], repeat=2)))
@pytest.mark.parametrize("sidecar_first", [True, False])
def test_a_sidecar_follows_its_recording_home(
    store: Store, recording: bytes, folders: tuple[str, str], sidecar_first: bool
) -> None:
    files = [(f"{folders[0]}/run_01.parquet", recording), (f"{folders[1]}/run_01.p300.json", BODY)]
    landed = [land(store, key, body) for key, body in (reversed(files) if sidecar_first else files)]
    outcomes = [execution(store, event) for event in landed]
    if "waiting" in outcomes:  # its state machine looks again
        outcomes = [execution(store, event) for event in landed]
    assert set(outcomes) <= {"features", "unchanged"}
    assert content(store, RAW) == {"subject_05/run_01.parquet": recording, "subject_05/run_01.p300.json": BODY}
    assert content(store, LANDING) == {}
    made = read_features(io.BytesIO(store.get(FEATURES, "subject_05/run_01/features.parquet")[0]))
    assert made.sidecar == SAID
    assert [execution(store, event) for event in landed] == ["unchanged", "unchanged"]


def test_a_sidecar_goes_where_an_older_bucket_holds_its_recording(store: Store, recording: bytes) -> None:
    store.put(RAW, "subject_5/run_01.parquet", recording, metadata={"sha256": "0" * 64})
    answer = do(store, land(store, "sub-05/run_01.p300.json", BODY))
    assert (answer["outcome"], answer["key"]) == ("stored", "subject_5/run_01.parquet")
    assert "stored as subject_5/run_01.p300.json: sub-05 and subject_5 are one subject" in answer["notes"]
    assert content(store, RAW) == {"subject_5/run_01.parquet": recording, "subject_5/run_01.p300.json": BODY}
    answer = do(store, land(store, "subject_05/run_01.parquet", recording))
    assert answer["key"] == "subject_5/run_01.parquet"
    assert any("reference average" in note for note in answer["notes"]), "read with the sidecar that is there"


def test_an_invalid_sidecar_of_another_spelling_is_quarantined_as_it_landed(store: Store, recording: bytes) -> None:
    execution(store, land(store, "subject_05/run_01.parquet", recording))
    landed = land(store, "sub-05/run_01.p300.json", b"[")
    answer = do(store, landed)
    assert reason(answer)[0] == "bad_sidecar"
    assert answer["reason"]["landing_key"] == "sub-05/run_01.p300.json"
    assert reason(do(store, landed)) == reason(answer)
    assert {key for key in content(store, RAW) if not key.startswith("quarantine")} == {"subject_05/run_01.parquet"}


# ---- notes
def test_an_execution_says_what_the_sidecar_says_and_what_was_replaced(
    store: Store, recording: bytes, recording_bytes: Callable[..., bytes]
) -> None:
    def notes() -> list[str]:
        raw = store.head(RAW, RECORDING)
        answers = [preprocess(store, RAW, FEATURES, RECORDING, raw.etag, Parameters()) for _ in range(2)]
        assert answers[1]["outcome"] == "unchanged"
        assert answers[0].get("notes") == answers[1].get("notes")
        return answers[1].get("notes", [])

    do(store, land(store, RECORDING, recording, seconds_ago=60))
    assert notes() == []
    do(store, land(store, SIDECAR, b'{"reference": "average"}', seconds_ago=40))
    assert notes() == ["run_01.p300.json: reference average"]
    do(store, land(store, SIDECAR, b'{"reference": "Cz"}', seconds_ago=30))
    do(store, land(store, RECORDING, recording_bytes(seed=2), seconds_ago=20))
    of_recording, of_sidecar, said = notes()
    assert of_recording.startswith(f"replaced another recording under {RECORDING} ")
    assert of_sidecar.startswith(f"replaced another sidecar under {SIDECAR} ")
    assert said == "run_01.p300.json: reference Cz"
