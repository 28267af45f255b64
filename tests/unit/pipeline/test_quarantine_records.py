"""The quarantine's records: only our own are believed, any content is survived, and nothing is done because a record says so."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from p300.errors import ArtifactError
from p300_pipeline.contracts import IngestResult
from p300_pipeline.keys import quarantine_key, record_key
from p300_pipeline.steps.ingest import Landed, ingest
from p300_pipeline.steps.quarantine_records import Record, find_quarantined, parse_record, read_record
from p300_pipeline.storage import Store, find

from tests.support.buckets import LANDING, RAW

KEY = "subject_01/run_01.parquet"


def landed(store: Store, key: str, body: bytes, **how: Any) -> Landed:
    store.client.put_object(Bucket=LANDING, Key=key, Body=body, **how)
    item = store.head(LANDING, key)
    return Landed(key, item.etag, item.version_id)


def do(store: Store, event: Landed) -> IngestResult:
    return ingest(store, LANDING, RAW, event)


def keys(store: Store, bucket: str) -> set[str]:
    return {item.key for item in store.list(bucket)}


RECORD = Record("unreadable", "No.", KEY, "0" * 32, "v1", 3, 1.7e9, LANDING, quarantine_key(KEY, "0" * 32), ())
NAME = record_key(RECORD.quarantine_key) or ""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda one: st.lists(one) | st.dictionaries(st.text(), one),
)


def test_a_record_is_read_as_it_was_written() -> None:
    assert parse_record(json.dumps(RECORD.to_dict()).encode(), NAME) == RECORD


@given(st.sampled_from([field.name for field in dataclasses.fields(Record)]), VALUES)
def test_a_field_of_another_kind_is_refused_or_harmless(field: str, value: Any) -> None:
    try:
        read = parse_record(json.dumps(RECORD.to_dict() | {field: value}).encode(), NAME)
    except ArtifactError as error:
        assert error.code == "bad_record"
        return
    assert (read.landing_key, read.etag, read.quarantine_key) == (KEY, RECORD.etag, RECORD.quarantine_key)
    assert type(getattr(read, field)) is type(getattr(RECORD, field)) or field in {"version_id", "uploaded"}


@pytest.mark.parametrize(
    "changed",
    [
        {"landing_key": "subject_02/run_01.parquet"},
        {"etag": "1" * 32},
        {"quarantine_key": "subject_02/run_01.parquet"},
        {"files": ["quarantine/" + "0" * 32 + "/x"]},
        {"files": ["subject_02/x"]},
        {"uploaded": 1e300},
        {"code": "\x1b[2J"},
    ],
)
def test_a_record_speaks_of_its_own_object_only(changed: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError):
        parse_record(json.dumps(RECORD.to_dict() | changed).encode(), NAME)


def test_an_upload_named_like_a_record_is_an_upload(store: Store) -> None:
    """As an uploader without other rights would hide a file, or forge what is said of another."""
    bad = do(store, landed(store, KEY, b"no parquet"))
    forged = json.dumps({**bad["reason"], "message": "All is well."}).encode()
    for key in (f"{KEY}.reason.json", NAME, bad["quarantine_key"] + ".reason.json"):
        do(store, landed(store, key, forged))
    listed = {one.landing_key: one for one in find_quarantined(store, RAW)}
    assert set(listed) == {KEY, f"{KEY}.reason.json", NAME, bad["quarantine_key"] + ".reason.json"}
    assert listed[KEY].message == bad["reason"]["message"]
    assert {one.code for key, one in listed.items() if key != KEY} == {"wrong_key"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff", b'{"a":' * 90_000, b"x" * 100_000])
def test_any_content_is_survived(store: Store, body: bytes) -> None:
    event = landed(store, KEY, b"no parquet")
    answer = do(store, event)
    store.put(RAW, record_key(answer["quarantine_key"]) or "", body)
    (one,) = find_quarantined(store, RAW)
    assert (one.landing_key, one.code, one.message) == (KEY, "", "Its record is missing or damaged.")
    assert do(store, event)["outcome"] == "gone"
    again = landed(store, KEY, b"no parquet")
    assert do(store, again)["outcome"] == "quarantined", "and the record is written again"
    assert find_quarantined(store, RAW)[0].code == "unreadable"


def test_the_versions_that_a_record_names_are_not_deleted_for_that(store: Store) -> None:
    """Even one in our own place: whoever may write to the raw data may not make ingestion delete from the landing zone."""
    other = "subject_01/precious.parquet"
    kept = landed(store, other, b"precious")
    event = landed(store, KEY, b"no parquet")
    answer = do(store, event)
    mine = read_record(store, RAW, answer["quarantine_key"])
    assert mine is not None
    theirs = quarantine_key(other, kept.etag)
    forged = Record("x", "x", other, kept.etag, kept.version_id, 8, 0.0, LANDING, theirs)
    for record in (dataclasses.replace(mine, files=(mine.quarantine_key, theirs)), forged):
        store.put(RAW, record_key(record.quarantine_key) or "", json.dumps(record.to_dict()).encode())
    assert do(store, event)["outcome"] == "quarantined"
    assert find(store, LANDING, other, kept.version_id), "quarantine has no copy of it"


# ---- what an earlier version noted
OLD = f"quarantine/0123456789ab/{KEY}"


def test_what_an_earlier_version_noted_is_shown_and_not_obeyed(store: Store) -> None:
    other = landed(store, "subject_01/other.parquet", b"x")
    said = {
        "code": "unreadable", "message": "Not a \x1b[2Jparquet.", "landing_key": "subject_09/other.parquet", "uploaded": 1.7e9,
        "quarantine_key": OLD, "files": [OLD, "subject_09/x"], "moved_from": {"bucket": LANDING, "versions": {other.key: other.version_id}},
    }  # fmt: skip
    store.put(RAW, OLD, b"no parquet")
    store.put(RAW, f"{OLD}.reason.json", json.dumps(said).encode())
    (one,) = find_quarantined(store, RAW)
    assert (one.key, one.landing_key, one.code, one.files) == (OLD, KEY, "unreadable", ())
    assert one.message == "Not a \\x1b[2Jparquet."
    assert one.uploaded.startswith("2023-")
    assert do(store, Landed(KEY, "0123456789ab" + "0" * 20, None))["outcome"] == "gone"
    assert find(store, LANDING, other.key, other.version_id)


def test_anything_beside_an_old_object_is_survived(store: Store) -> None:
    @given(VALUES | st.fixed_dictionaries({"code": VALUES, "message": VALUES, "uploaded": VALUES}))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def any_content(value: Any) -> None:
        store.put(RAW, OLD, b"no parquet")
        store.put(RAW, f"{OLD}.reason.json", json.dumps(value).encode())
        (one,) = find_quarantined(store, RAW)
        assert one.landing_key == KEY
        assert one.message.isprintable()

    any_content()


def test_an_old_record_without_its_object_is_an_upload(store: Store) -> None:
    store.put(RAW, f"{OLD}.reason.json", b"{}")
    assert [one.key for one in find_quarantined(store, RAW)] == [f"{OLD}.reason.json"]
