"""Where ingestion puts a recording: under its subject's one name, and over another recording only with a note."""

from collections.abc import Callable

import pytest
from p300_pipeline.steps.raw_data import replacement_notes
from p300_pipeline.storage import Store

from tests.support.buckets import LANDING, RAW, content
from tests.support.ingest import do, land

KEY = "subject_11/run_01.parquet"


@pytest.mark.parametrize("key", ["subject_5/run.parquet", "sub-05/run.parquet", "sub-5/run.parquet"])
def test_a_recording_is_stored_under_its_subjects_one_name(
    store: Store, recording_bytes: Callable[..., bytes], key: str
) -> None:
    answer = do(store, land(store, key, recording_bytes()))
    assert (answer["outcome"], answer["key"], answer["subject"]) == ("stored", "subject_05/run.parquet", "subject_05")
    assert (
        f"stored as subject_05/run.parquet: {key.partition('/')[0]} and subject_05 are one subject" in answer["notes"]
    )
    assert list(content(store, RAW)) == ["subject_05/run.parquet"]
    assert content(store, LANDING) == {}
    again = do(store, land(store, "subject_05/run.parquet", recording_bytes()))
    assert again["outcome"] == "unchanged"


def test_a_recording_that_an_older_bucket_holds_under_another_spelling_keeps_its_key(
    store: Store, recording_bytes: Callable[..., bytes]
) -> None:
    store.put(RAW, "subject_5/run.parquet", recording_bytes(), metadata={"sha256": "0" * 64})
    answer = do(store, land(store, "sub-05/run.parquet", recording_bytes(seed=2)))
    assert (answer["outcome"], answer["key"]) == ("stored", "subject_5/run.parquet")
    assert list(content(store, RAW)) == ["subject_5/run.parquet"]


def test_a_recording_that_takes_anothers_place_says_which_and_how_to_get_it_back(
    store: Store, recording_bytes: Callable[..., bytes]
) -> None:
    do(store, land(store, KEY, recording_bytes(), seconds_ago=120))
    earlier = store.head(RAW, KEY)
    assert replacement_notes(RAW, earlier) == []
    do(store, land(store, KEY, recording_bytes(seed=2), seconds_ago=60))
    (note,) = replacement_notes(RAW, store.head(RAW, KEY))
    assert KEY in note
    assert earlier.metadata["sha256"] in note
    assert f"--bucket {RAW} --key '{KEY}' --version-id {earlier.version_id} 'run_01.parquet'" in note
    do(store, land(store, KEY, recording_bytes(seed=2)))
    assert replacement_notes(RAW, store.head(RAW, KEY)) == []  # the same bytes again took no place
