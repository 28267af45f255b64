"""Landing what is there already: the same bytes are unchanged, others under the key need to be asked for."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from p300.errors import P300Error
from p300_client.landing import find, land
from p300_pipeline.storage import Store

from tests.support.buckets import LANDING, RAW
from tests.support.readers import write_brainvision, write_parquet


@pytest.fixture
def target(store: Store) -> Any:
    return SimpleNamespace(client=lambda _: store.client, outputs={"LandingBucketName": LANDING, "RawBucketName": RAW})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "subject_07"
    folder.mkdir()
    write_brainvision(folder / "run_01.vhdr", [("Target", 100)])
    write_parquet(folder / "run_02.parquet")
    return folder


def ingested(store: Store, as_landed: Callable[[str], str] = str) -> None:
    """Move what landed to the raw data."""
    for item in list(store.list(LANDING)):
        store.put(RAW, as_landed(item.key), store.get(LANDING, item.key)[0])
        store.delete(LANDING, item.key)


def landed(store: Store) -> list[str]:
    return [item.key for item in store.list(LANDING)]


def test_the_same_bytes_are_not_uploaded_again(target: Any, store: Store, folder: Path) -> None:
    first = land(target, find([folder]))
    assert len(first.uploads) == 4
    assert first.unchanged == []
    assert all(upload.etag for upload in first.uploads)
    ingested(store)
    again = land(target, find([folder]))
    assert (again.uploads, len(again.unchanged)) == ([], 4)
    assert landed(store) == []


def test_other_bytes_are_refused_before_anything_lands(target: Any, store: Store, folder: Path) -> None:
    land(target, find([folder]))
    ingested(store)
    write_parquet(folder / "run_00.parquet")
    (folder / "run_02.parquet").write_bytes(b"another recording")
    with pytest.raises(P300Error, match=r"another recording, subject_07/run_02\.parquet, which") as refused:
        land(target, find([folder]))
    assert refused.value.code == "place_taken"
    assert "--replace" in refused.value.message
    assert landed(store) == []
    replaced = land(target, find([folder]), replace=True)
    assert [upload.key for upload in replaced.uploads] == ["subject_07/run_00.parquet", "subject_07/run_02.parquet"]
    assert len(replaced.unchanged) == 3


def test_of_a_recording_of_several_files_all_go_or_none(target: Any, store: Store, folder: Path) -> None:
    land(target, find([folder]))
    ingested(store)
    (folder / "run_01.eeg").write_bytes((folder / "run_01.eeg").read_bytes()[::-1])
    replaced = land(target, find([folder]), replace=True)
    assert [upload.key.rpartition(".")[2] for upload in replaced.uploads] == ["eeg", "vmrk", "vhdr"]


def test_another_spelling_of_the_subject_is_the_same_place(target: Any, store: Store, folder: Path) -> None:
    land(target, find([folder]))
    ingested(store, lambda key: key.replace("subject_07", "subject_7"))
    again = land(target, find([folder]))
    assert (again.uploads, len(again.unchanged)) == ([], 4)
    (folder / "run_02.parquet").write_bytes(b"another recording")
    with pytest.raises(P300Error, match=r"another recording, subject_7/run_02\.parquet"):
        land(target, find([folder]))


def test_bytes_are_compared_where_the_etag_is_no_digest(
    target: Any, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a key of KMS."""
    land(target, find([folder]))
    ingested(store)
    (folder / "run_02.parquet").write_bytes((folder / "run_02.parquet").read_bytes()[::-1])
    monkeypatch.setattr("p300_client.landing.hashlib.file_digest", lambda *_: SimpleNamespace(hexdigest=lambda: "-"))
    again = land(target, find([folder]), replace=True)
    assert [upload.key for upload in again.uploads] == ["subject_07/run_02.parquet"]
    assert len(again.unchanged) == 3


def test_who_may_only_upload_uploads_and_is_told(target: Any, folder: Path, store: Store) -> None:
    answer: Any = {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    denied = ClientError(answer, "ListObjectsV2")

    class Uploader:
        exceptions = store.client.exceptions

        def put_object(self, **call: Any) -> Any:
            return store.client.put_object(**call)

        def get_paginator(self, _: str) -> Any:
            raise denied

        def list_objects_v2(self, **_: Any) -> Any:
            raise denied

    notes: list[str] = []
    only = SimpleNamespace(client=lambda _: Uploader(), outputs=target.outputs)
    assert len(land(only, find([folder]), notify=notes.append).uploads) == 4  # type: ignore[arg-type]
    assert "cannot read the raw zone" in notes[0]


@pytest.mark.parametrize(
    ("name", "key"), [("sub-05", "subject_05"), ("subject_5", "subject_5"), ("sub-123", "subject_123")]
)
def test_a_subject_as_bids_spells_it_lands_under_a_key_that_is_taken(tmp_path: Path, name: str, key: str) -> None:
    (tmp_path / name).mkdir()
    write_parquet(tmp_path / name / "a.parquet")
    write_parquet(tmp_path / f"{name}_run.parquet")
    write_parquet(tmp_path / "b.parquet")
    assert [one.key for one in find([tmp_path / name])] == [f"{key}/a.parquet"]
    assert [one.key for one in find([tmp_path / f"{name}_run.parquet"])] == [f"{key}/{name}_run.parquet"]
    assert [one.key for one in find([tmp_path / "b.parquet"], name)] == [f"{key}/b.parquet"]
