"""Ingestion: what becomes raw data, what goes to quarantine and why, and that nothing is lost on the way."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from p300_pipeline.keys import record_key
from p300_pipeline.steps import zones
from p300_pipeline.steps.ingest import Landed
from p300_pipeline.storage import NotFoundError, Store

from tests.support.buckets import LANDING, RAW, content
from tests.support.ingest import do, land, stored

KEY = "subject_11/run_01.parquet"


def test_a_recording_moves_to_the_raw_data(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    body = recording_bytes(sfreq=250.0, channels=("C3", "C4"))
    answer = do(store, land(store, KEY, body))
    assert content(store, RAW) == {KEY: body}
    assert content(store, LANDING) == {}
    raw = store.head(RAW, KEY)
    assert answer == {
        "outcome": "stored",
        "key": KEY,
        "subject": "subject_11",
        "recording": "subject_11/run_01",
        "etag": raw.etag,
        "channels": 2,
        "sfreq": 250.0,
        "seconds": 14.0,
        "notes": [],
    }
    json.dumps(answer)


@pytest.mark.parametrize("n_channels", [8, 16])
@pytest.mark.parametrize("sfreq", [128.0, 256.0, 512.0])
def test_rate_and_channels_are_the_files_own(
    store: Store, recording_bytes: Callable[..., bytes], sfreq: float, n_channels: int
) -> None:
    names = [f"E{number}" for number in range(n_channels)]
    answer = do(store, land(store, KEY, recording_bytes(sfreq=sfreq, channels=names)))
    assert (answer["outcome"], answer["sfreq"], answer["channels"]) == ("stored", sfreq, n_channels)


BAD = {
    "wrong_key": ("uploads/x.parquet", lambda make: make()),
    "empty_object": (KEY, lambda _: b""),
    "unreadable": (KEY, lambda make: make()[:-100]),
    "missing_stim": (KEY, lambda make: make(stim=False)),
    "no_targets": (KEY, lambda make: make(codes=(1, 1))),
    "no_non_targets": (KEY, lambda make: make(codes=(2, 2))),
    "unknown_format": ("subject_11/run_01.vhdr", lambda _: b"Brain Vision"),
}


@pytest.fixture(params=BAD)
def bad(request: pytest.FixtureRequest, recording_bytes: Callable[..., bytes]) -> tuple[str, str, bytes]:
    """Code, key and bytes of an upload that is no recording."""
    key, make = BAD[request.param]
    return request.param, key, make(recording_bytes)


def test_what_is_no_recording_goes_to_quarantine(store: Store, bad: tuple[str, str, bytes]) -> None:
    code, key, body = bad
    if code == "unknown_format":
        pytest.importorskip("p300.readers")
    landed = land(store, key, body)
    answer = do(store, landed)
    assert answer["outcome"] == "quarantined"
    reason = answer["reason"]
    assert content(store, LANDING) == {}
    kept = content(store, RAW)
    assert kept[answer["quarantine_key"]] == body
    assert json.loads(kept[record_key(answer["quarantine_key"]) or ""]) == reason
    assert reason["code"] == code or (code == "unknown_format" and reason["code"] == "unreadable")
    assert key in reason["message"]
    assert (reason["landing_key"], reason["bytes"], reason["etag"]) == (key, len(body), landed.etag)


def test_a_bad_upload_leaves_the_good_one_before_it(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    good = recording_bytes()
    do(store, land(store, KEY, good))
    do(store, land(store, KEY, b""))
    assert store.get(RAW, KEY)[0] == good


def test_two_bad_uploads_under_one_key_are_both_kept(store: Store) -> None:
    first, second = (do(store, land(store, KEY, body)) for body in (b"not", b"parquet"))
    assert store.get(RAW, first["quarantine_key"])[0] == b"not"
    assert store.get(RAW, second["quarantine_key"])[0] == b"parquet"


def test_a_file_that_its_reader_did_not_expect_is_the_files_fault(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(*_: Any, **__: Any) -> None:
        raise IndexError("too many indices for array")

    monkeypatch.setattr("p300.usable.open_recording", trip)
    answer = do(store, land(store, "subject_1/x.mat", b"..."))
    assert answer["reason"]["code"] == "unreadable"
    assert "subject_1/x.mat" in answer["reason"]["message"]
    assert "too many indices" in answer["reason"]["message"]


@pytest.mark.parametrize("fault", [MemoryError, ImportError, OSError])
def test_our_own_faults_quarantine_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, fault: type) -> None:
    def trip(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr("p300.usable.open_recording", trip)
    landed = land(store, KEY, b"...")
    with pytest.raises(fault):
        do(store, landed)
    assert KEY in content(store, LANDING)
    assert content(store, RAW) == {}


def test_a_recording_too_large_is_told_the_limit(
    store: Store, monkeypatch: pytest.MonkeyPatch, recording_bytes: Callable[..., bytes]
) -> None:
    monkeypatch.setattr(zones, "MAX_RECORDING_BYTES", 1000)
    reason = do(store, land(store, KEY, recording_bytes()))["reason"]
    assert reason["code"] == "too_large"
    assert "1,000" in reason["message"]


# ---- the same event again, other orders, other uploads
def test_the_same_event_twice(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    landed = land(store, KEY, recording_bytes())
    first = do(store, landed)
    state = content(store, RAW)
    second = do(store, landed)
    assert second["outcome"] == "unchanged"
    assert {name: second[name] for name in ("key", "etag", "subject", "recording")} == {
        name: first[name] for name in ("key", "etag", "subject", "recording")
    }
    assert content(store, RAW) == state


def test_the_same_event_of_a_bad_upload_twice(store: Store) -> None:
    landed = land(store, KEY, b"bad")
    first = do(store, landed)
    assert do(store, landed) == first


def test_the_same_upload_twice_is_one_recording(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    body = recording_bytes()
    first = do(store, land(store, KEY, body))
    second = do(store, land(store, KEY, body))
    assert (second["outcome"], second["etag"]) == ("unchanged", first["etag"])
    assert content(store, LANDING) == {}


def test_a_newer_upload_replaces_the_older(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    older, newer = recording_bytes(seed=1), recording_bytes(seed=2)
    do(store, land(store, KEY, older, seconds_ago=10))
    assert do(store, land(store, KEY, newer))["outcome"] == "stored"
    assert store.get(RAW, KEY)[0] == newer


def test_events_that_come_in_the_wrong_order(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    older, newer = recording_bytes(seed=1), recording_bytes(seed=2)
    first = land(store, KEY, older, seconds_ago=10)
    second = land(store, KEY, newer)
    assert do(store, second)["outcome"] == "stored"
    answer = do(store, first)
    assert (answer["outcome"], answer["reason"]["code"]) == ("quarantined", "superseded")
    assert store.get(RAW, KEY)[0] == newer
    assert store.get(RAW, answer["quarantine_key"])[0] == older
    assert do(store, first) == answer
    assert do(store, second)["outcome"] == "unchanged"


def test_a_late_event_does_not_undo_a_return_to_earlier_bytes(
    store: Store, recording_bytes: Callable[..., bytes]
) -> None:
    good, slip = recording_bytes(seed=1), recording_bytes(seed=2)
    do(store, land(store, KEY, good, seconds_ago=30))
    late = land(store, KEY, slip, seconds_ago=20)
    assert do(store, land(store, KEY, good, seconds_ago=10))["outcome"] == "unchanged"
    assert do(store, late)["reason"]["code"] == "superseded"
    assert store.get(RAW, KEY)[0] == good


def test_an_upload_that_comes_meanwhile_stays_for_its_own_execution(
    store: Store, recording_bytes: Callable[..., bytes]
) -> None:
    first = land(store, KEY, recording_bytes(seed=1), seconds_ago=10)
    second = land(store, KEY, recording_bytes(seed=2))
    do(store, first)
    assert store.head(LANDING, KEY).version_id == second.version_id
    assert store.get(RAW, KEY)[0] == recording_bytes(seed=1)
    do(store, second)
    assert store.get(RAW, KEY)[0] == recording_bytes(seed=2)


def test_without_versions_in_the_event_nothing_newer_is_deleted(
    store: Store, recording_bytes: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = land(store, KEY, recording_bytes(seed=1))
    put = store.put

    def put_while_another_upload_comes(bucket: str, *more: Any, **how: Any) -> str:
        if bucket == RAW:
            put(LANDING, KEY, recording_bytes(seed=2))
        return put(bucket, *more, **how)

    monkeypatch.setattr(store, "put", put_while_another_upload_comes)
    do(store, Landed(KEY, first.etag, None))
    assert content(store, LANDING) == {KEY: recording_bytes(seed=2)}


def test_an_event_of_an_object_that_is_gone(store: Store) -> None:
    answer = do(store, Landed(KEY, "0" * 32, None))
    assert answer["outcome"] == "gone"
    assert do(store, Landed("no recording", "", None))["outcome"] == "gone"


def test_an_event_whose_object_was_replaced(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    land(store, KEY, recording_bytes())
    assert do(store, Landed(KEY, "0" * 32, None))["outcome"] == "gone"
    assert KEY in content(store, LANDING)


@pytest.mark.parametrize("key", ["subject_1/a b.parquet", "subject_1/a+b.parquet", "subject_1/50%25.parquet"])
@pytest.mark.parametrize("encoded", [True, False])
def test_keys_may_be_url_encoded(
    store: Store, recording_bytes: Callable[..., bytes], key: str, *, encoded: bool
) -> None:
    landed = land(store, key, recording_bytes())
    event = Landed(quote(key), landed.etag, landed.version_id) if encoded else landed
    first, second = do(store, event), do(store, event)
    if "%" in key:
        assert first == second
        assert (first["outcome"], first["reason"]["landing_key"]) == ("quarantined", key)
    else:
        assert (first["outcome"], second["outcome"]) == ("stored", "unchanged")
        assert first["key"] == second["key"] == key.replace("subject_1/", "subject_01/")


# ---- two uploads within one second, which their times do not tell apart
def land_two_in_one_second(store: Store, first: bytes, second: bytes) -> tuple[Landed, Landed]:
    older = land(store, KEY, first)
    at = stored(LANDING, KEY).last_modified.replace(microsecond=100_000)
    stored(LANDING, KEY).last_modified = at
    newer = land(store, KEY, second)
    stored(LANDING, KEY).last_modified = at + timedelta(milliseconds=300)
    return older, newer


@pytest.mark.parametrize("newer_first", [False, True])
def test_of_two_uploads_in_one_second_the_newer_wins(
    store: Store, recording_bytes: Callable[..., bytes], *, newer_first: bool
) -> None:
    bodies = recording_bytes(seed=1), recording_bytes(seed=2)
    older, newer = land_two_in_one_second(store, *bodies)
    answers = [do(store, event) for event in ((newer, older) if newer_first else (older, newer))]
    assert store.get(RAW, KEY)[0] == bodies[1]
    assert content(store, LANDING) == {}
    if newer_first:
        assert [answer["outcome"] for answer in answers] == ["stored", "quarantined"]
        assert answers[1]["reason"]["code"] == "superseded"
        assert store.get(RAW, answers[1]["quarantine_key"])[0] == bodies[0], "kept all the same"
    assert [do(store, newer)["outcome"]] == ["unchanged"]


def test_of_two_uploads_in_one_second_at_once_the_newer_wins(
    store: Store,
    interleave: Callable[..., list[Any]],
    empty_buckets: Callable[[], None],
    recording_bytes: Callable[..., bytes],
) -> None:
    bodies = recording_bytes(seed=1), recording_bytes(seed=2)

    @given(st.lists(st.integers(0, 1), max_size=40))
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def any_order(turns: list[int]) -> None:
        empty_buckets()
        events = land_two_in_one_second(store, *bodies)
        interleave([lambda s, event=event: do(s, event) for event in events], turns)
        assert store.get(RAW, KEY)[0] == bodies[1]
        assert content(store, LANDING) == {}
        versions = [store.get(RAW, KEY, version_id=one.version_id)[0] for one in store.versions(RAW, KEY)]
        assert set(bodies) <= {*versions, *content(store, RAW).values()}, "nothing is lost"

    any_order()


# ---- one recording under two names
def test_a_second_extension_is_refused(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    do(store, land(store, KEY, recording_bytes()))
    answer = do(store, land(store, "subject_11/run_01.PARQUET", recording_bytes(seed=2)))
    assert answer["reason"]["code"] == "name_taken"
    assert KEY in answer["reason"]["message"]
    assert do(store, land(store, "subject_11/run_01.b.parquet", recording_bytes(seed=3)))["outcome"] == "stored"


# ---- at the same time, and deaths
@pytest.mark.parametrize("is_bad", [False, True])
def test_one_event_in_two_executions_at_once(
    store: Store,
    interleave: Callable[..., list[Any]],
    empty_buckets: Callable[[], None],
    recording_bytes: Callable[..., bytes],
    *,
    is_bad: bool,
) -> None:
    body = b"bad" if is_bad else recording_bytes()

    @given(st.lists(st.integers(0, 1), max_size=24))
    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def any_order(turns: list[int]) -> None:
        empty_buckets()
        landed = land(store, KEY, body)
        answers = interleave([lambda s: do(s, landed)] * 2, turns)
        outcomes = {answer["outcome"] for answer in answers}
        assert content(store, LANDING) == {}
        if is_bad:
            # The slower of the two may find the object gone before the reason stands there.
            assert "quarantined" in outcomes <= {"quarantined", "gone"}
            kept = next(answer["quarantine_key"] for answer in answers if answer["outcome"] == "quarantined")
            assert set(content(store, RAW)) == {kept, record_key(kept)}
        else:
            assert "stored" in outcomes <= {"stored", "unchanged"}
            assert content(store, RAW) == {KEY: body}

    any_order()


@pytest.mark.parametrize("story", ["new", "newer", "bad", "superseded", "second name"])
def test_a_death_anywhere_is_mended_by_the_retry(
    store: Store,
    after_any_death: Callable[..., None],
    empty_buckets: Callable[[], None],
    recording_bytes: Callable[..., bytes],
    story: str,
) -> None:
    landed: list[Landed] = []

    def prepare() -> None:
        empty_buckets()
        landed.clear()
        if story in {"newer", "second name"}:
            do(store, land(store, KEY, recording_bytes(seed=1), seconds_ago=20))
        if story == "superseded":
            landed.append(land(store, KEY, recording_bytes(seed=1), seconds_ago=20))
            do(store, land(store, KEY, recording_bytes(seed=2)))
        elif story == "second name":
            landed.append(
                land(store, KEY.upper().replace("SUBJECT", "subject").replace("RUN", "run"), recording_bytes(seed=2))
            )
        else:
            landed.append(land(store, KEY, b"bad" if story == "bad" else recording_bytes(seed=2)))

    def step(at: Store) -> str:
        outcome = do(at, landed[0])["outcome"]
        return "stored" if outcome == "unchanged" else outcome

    def state() -> Any:
        kept = content(store, RAW)
        return (
            content(store, LANDING),
            {key: body for key, body in kept.items() if not key.endswith(".json")},
            set(kept),
        )

    after_any_death(prepare, step, state)


def test_a_raw_recording_that_vanishes_meanwhile_does_not_lose_the_upload(
    store: Store, recording_bytes: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    do(store, land(store, KEY, recording_bytes(seed=1), seconds_ago=10))
    landed = land(store, KEY, recording_bytes(seed=2))
    put = store.put

    def put_after_it_went_to_quarantine(bucket: str, *more: Any, **how: Any) -> str:
        monkeypatch.setattr(store, "put", put)
        store.delete(RAW, KEY)
        return put(bucket, *more, **how)

    monkeypatch.setattr(store, "put", put_after_it_went_to_quarantine)
    assert do(store, landed)["outcome"] == "stored"
    assert store.get(RAW, KEY)[0] == recording_bytes(seed=2)
    with pytest.raises(NotFoundError):
        store.head(LANDING, KEY)
