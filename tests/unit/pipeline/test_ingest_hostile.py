"""Uploads of somebody who may do nothing else, and means harm: metadata, keys, storage classes, litter."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from p300.signals import Parameters
from p300_pipeline.contracts import IngestResult
from p300_pipeline.keys import quarantine_key
from p300_pipeline.steps import waiting
from p300_pipeline.steps.ingest import Landed, ingest
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.steps.raw_data import RawFacts
from p300_pipeline.steps.waiting import MOST_BYTES_LOOKED_INTO, MOST_HEADERS_LOOKED_INTO
from p300_pipeline.storage import Item, NotFoundError, Store, UnreadableError

from tests.support.buckets import FEATURES, LANDING, RAW

KEY = "subject_11/run_01.parquet"
Make = Callable[..., bytes]


def land(store: Store, key: str, body: bytes, **how: Any) -> Landed:
    store.client.put_object(Bucket=LANDING, Key=key, Body=body, **how)
    item = store.head(LANDING, key)
    return Landed(key, item.etag, item.version_id)


def do(store: Store, landed: Landed, **how: Any) -> IngestResult:
    return ingest(store, LANDING, RAW, landed, **how)


def keys(store: Store, bucket: str) -> list[str]:
    return [item.key for item in store.list(bucket)]


# ---- what an uploader says beside the bytes
SAID: dict[str, Any] = {
    "Metadata": {
        "landing-etag": "x", "landing-version": "y", "landing-modified": "9999999999", "sha256": "z", "header": "subject_1/x.vhdr",
        "companions": '{"../../x": "y"}', "raw-etag": "x", "a": "=?UTF-8?B?8J+Rvg==?=",
    },
    "ContentType": "text/html", "ContentEncoding": "gzip", "ContentDisposition": 'attachment; filename="x.exe"', "CacheControl": "no-store",
    "ContentLanguage": "x", "Tagging": "a=b", "WebsiteRedirectLocation": "https://example.org/", "StorageClass": "STANDARD_IA",
    "Expires": "2030-01-01T00:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["recording", "not a recording"])
def test_nothing_that_an_uploader_says_comes_along(store: Store, recording_bytes: Make, kind: str) -> None:
    body = recording_bytes() if kind == "recording" else b"no parquet"
    answer = do(store, land(store, KEY, body, **SAID))
    assert answer["outcome"] == ("stored" if kind == "recording" else "quarantined")
    for key in keys(store, RAW):
        head = store.client.head_object(Bucket=RAW, Key=key)
        said = set(head["Metadata"])
        assert said == ({"sha256", "landing-etag", "landing-version", "landing-modified"} if key == KEY else set())
        assert head["ContentType"] in {"application/octet-stream", "application/json"}
        found = set(head) & {
            "ContentEncoding",
            "ContentDisposition",
            "CacheControl",
            "ContentLanguage",
            "Expires",
            "StorageClass",
        }
        assert found == set(), key
        assert "WebsiteRedirectLocation" not in head
        assert store.client.get_object_tagging(Bucket=RAW, Key=key)["TagSet"] == []
    assert keys(store, LANDING) == []


def test_a_large_upload_that_is_copied_in_parts_brings_nothing_along(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p300_pipeline.storage.store.LARGEST_COPY_BYTES", 1)
    answer = do(store, land(store, "notes.txt", b"x" * (6 << 20), **SAID))
    head = store.client.head_object(Bucket=RAW, Key=answer["quarantine_key"])
    assert (head["Metadata"], head["ContentType"]) == ({}, "application/octet-stream")
    assert "ContentEncoding" not in head


def test_an_upload_named_like_one_in_quarantine_is_not_taken_for_raw_data(store: Store) -> None:
    """Its metadata said that it was ingested: the look at it ended every execution of the key with a traceback."""
    first = land(store, "x.txt", b"one")
    kept = do(store, first)["quarantine_key"]
    event = land(store, kept, b"two")
    said = {"landing-etag": event.etag, "landing-version": event.version_id or "", "landing-modified": "9999999999"}
    store.put(RAW, kept, b"one", metadata=said)  # as a version before this one copied it, with what its uploader said
    answer = do(store, event)
    assert (answer["outcome"], answer["reason"]["landing_key"]) == ("quarantined", kept)
    assert do(store, event) == answer


@pytest.mark.parametrize(
    "said",
    [
        {"landing-modified": "nan"}, {"landing-modified": "x"}, {"landing-modified": "-1"}, {"companions": "["}, {"companions": "[1]"},
        {"companions": '{"../x.eeg": "a"}'}, {"companions": '{"x.eeg": 3}'}, {"companions": "[" * 100_000}, {"header": "../x.vhdr"},
        {"header": "quarantine/x.vhdr"},
    ],
)  # fmt: skip
def test_damaged_metadata_of_the_raw_data_counts_as_none(said: dict[str, str]) -> None:
    assert RawFacts.of(Item(KEY, "e", 1, said, None, 0.0)) == RawFacts()


# ---- what S3 keeps from us
@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
@pytest.mark.parametrize("key", [KEY, "notes.txt"])
def test_an_archived_object_is_named_and_left(
    store: Store, recording_bytes: Make, storage_class: str, key: str
) -> None:
    event = land(store, key, recording_bytes(), StorageClass=storage_class)
    answers = [do(store, event) for _ in range(2)]
    assert answers[0] == answers[1]
    assert (answers[0]["outcome"], answers[0]["key"]) == ("unreadable", key)
    assert all(word in answers[0]["detail"] for word in (key, "Restore", "STANDARD", "stays"))
    assert (keys(store, LANDING), keys(store, RAW)) == ([key], [])


def test_an_archived_companion_is_named(store: Store) -> None:
    header = (
        b"Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=run.eeg\nNumberOfChannels=1\n"
    )
    event = land(store, "subject_01/run.vhdr", header)
    land(store, "subject_01/run.eeg", b"1234", StorageClass="GLACIER")
    answer = do(store, event)
    assert (answer["outcome"], answer["key"]) == ("unreadable", "subject_01/run.eeg")


ANSWERS = {  # what S3 answers to HEAD and GET of an object, and what is said of it
    "SSE-C": (("400", "Bad Request", 400), ("InvalidRequest", "It was stored using a form of Server Side Encryption.", 400), "SSE-C"),
    "KMS": (None, ("AccessDenied", "User: x is not authorized to perform: kms:Decrypt on the resource", 403), "KMS"),
    "KMS of another": (None, ("AccessDenied", "The ciphertext refers to a customer master key that does not exist", 403), "KMS"),
    "KMS disabled": (None, ("KMS.DisabledException", "key is disabled", 400), "KMS"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_object_whose_key_is_not_at_hand_is_named(kind: str) -> None:
    to_head, to_get, word = ANSWERS[kind]
    client = boto3.client("s3")
    with Stubber(client) as stubber:
        store = Store(client)
        if to_head:
            stubber.add_client_error("head_object", to_head[0], to_head[1], to_head[2])
        stubber.add_client_error("get_object", to_get[0], to_get[1], to_get[2])
        with pytest.raises(UnreadableError, match=word) as raised:
            (store.head if to_head else store.get)(LANDING, KEY)
    assert raised.value.key == KEY


@pytest.mark.parametrize(
    "answer", [("AccessDenied", "Access Denied", 403), ("ExpiredToken", "The token has expired", 400)]
)
def test_our_own_rights_are_no_matter_of_the_object(answer: tuple[str, str, int]) -> None:
    client = boto3.client("s3")
    with Stubber(client) as stubber:
        if answer[2] == 400:
            stubber.add_client_error("head_object", "400", "Bad Request", 400)
        else:
            stubber.add_client_error("head_object", "403", "Forbidden", 403)
        stubber.add_client_error("get_object", *answer)
        with pytest.raises(client.exceptions.ClientError):
            Store(client).head(LANDING, KEY)


# ---- litter
@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("subject_01/", b""),
        ("subject_01/.DS_Store", b"Bud1"),
        ("subject_01/._run_01.parquet", b"\0\5\x16\7"),
        ("run.edf.part", b"x"),
    ],
)
def test_litter_is_left_alone(store: Store, key: str, body: bytes) -> None:
    answer = do(store, land(store, key, body))
    assert (answer["outcome"], answer["key"]) == ("ignored", key)
    assert (keys(store, LANDING), keys(store, RAW)) == ([key], [])


def test_bytes_under_a_folders_name_are_not_hidden(store: Store) -> None:
    assert do(store, land(store, "subject_01/", b"hidden"))["outcome"] == "quarantined"


# ---- names
def test_two_names_that_differ_in_capitals_are_one_recording(store: Store, recording_bytes: Make) -> None:
    assert do(store, land(store, KEY, recording_bytes()))["outcome"] == "stored"
    answer = do(store, land(store, "subject_11/RUN_01.parquet", recording_bytes(seed=1)))
    assert answer["reason"]["code"] == "name_taken"
    assert KEY in answer["reason"]["message"]
    assert do(store, land(store, KEY, recording_bytes(seed=2)))["outcome"] == "stored"


@pytest.mark.parametrize(
    "key",
    ["subject_11/run\u200b.csv", "subject_11/re\u0301c.csv", "subject_11/r\u00e9c.csv", "subject_11/\x1b[2J.csv", "subject_11/%2e%2e/x.csv",
     "subject_11/%252e%252e%252fx.csv", "subject_11/a\\..\\b.csv", "subject_11/run.csv.exe", "subject_11/run.csv.gz",
     "subject_11/" + "a/" * 400],
)  # fmt: skip
def test_odd_names_are_refused_in_words_that_can_be_shown(store: Store, key: str) -> None:
    answer = do(store, land(store, key, b"x"))
    assert answer["reason"]["code"] == "wrong_key"
    assert answer["reason"]["message"].isprintable()
    assert answer["quarantine_key"] == quarantine_key(key, answer["reason"]["etag"])


def test_a_lone_companion_looks_into_so_many_headers_and_into_each_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_remembered", {})
    for number in range(MOST_HEADERS_LOOKED_INTO + 20):
        store.put(LANDING, f"subject_01/other{number}.vhdr", b"DataFile=x.eeg")
    looked_into: list[str] = []
    download = Store.download

    def count(self: Store, bucket: str, key: str, *more: Any, **how: Any) -> Item:
        looked_into.append(key)
        return download(self, bucket, key, *more, **how)

    monkeypatch.setattr(Store, "download", count)
    landed = land(store, "subject_01/run.eeg", b"1234")
    assert do(store, landed)["outcome"] == "waiting"
    assert len(looked_into) == MOST_HEADERS_LOOKED_INTO
    assert MOST_BYTES_LOOKED_INTO <= 256 << 20
    for _ in range(3):  # it is looked for again and again
        assert do(store, landed)["outcome"] == "waiting"
    assert len(looked_into) == len(set(looked_into)) == MOST_HEADERS_LOOKED_INTO + 20
    store.put(LANDING, "subject_01/other7.vhdr", b"DataFile=run.eeg")  # other bytes may name it
    looked_into.clear()
    do(store, landed)
    assert looked_into[0] == "subject_01/other7.vhdr"


# ---- more than a recording can have
def toggling(make: Make) -> bytes:
    """A recording of a few kilobytes whose trigger rises at every other sample."""
    import io

    import numpy as np
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(make(n_flashes=200)))
    stim = (np.arange(table.num_rows) % 2 * (1 + (np.arange(table.num_rows) % 12 == 1))).astype(np.int32)
    place = table.column_names.index("stim")
    buffer = io.BytesIO()
    pq.write_table(table.set_column(place, "stim", [stim]), buffer)
    return buffer.getvalue()


def test_a_trigger_of_noise_is_refused_with_counts_and_limits(store: Store, recording_bytes: Make) -> None:
    answer = do(store, land(store, KEY, toggling(recording_bytes)))
    assert answer["reason"]["code"] == "too_many_flashes"
    assert all(word in answer["reason"]["message"] for word in (KEY, "6,528 flashes", "102.0 s", "50 a second"))


def test_a_recording_that_is_in_the_raw_data_is_refused_as_well(store: Store, recording_bytes: Make) -> None:
    etag = store.put(RAW, KEY, toggling(recording_bytes))
    answer = preprocess(store, RAW, FEATURES, KEY, etag, Parameters())
    assert (answer["outcome"], answer["reason"]["code"]) == ("quarantined", "too_many_flashes")
    with pytest.raises(NotFoundError):
        store.head(RAW, KEY)


def test_features_are_bounded_by_the_preprocessing_that_follows(
    store: Store, recording_bytes: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p300.signals.bounds.LARGEST_FEATURES_BYTES", 24 * 3 * 100 * 4)
    body = recording_bytes()
    long = Parameters(tmin=-0.2, tmax=1.0)
    assert do(store, land(store, KEY, body), parameters=long)["reason"]["code"] == "too_large"
    assert do(store, land(store, KEY, body))["outcome"] == "stored"
