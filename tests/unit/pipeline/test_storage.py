"""Conditional reads and writes: what a decision rests on, and what each refusal of S3 is called here."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError
from p300_pipeline.storage import NoBucketError, NotFoundError, PreconditionError, Store, UnchangedError

BUCKET, OTHER = "p300-models", "p300-raw-data"


def sent(store: Store, operation: str) -> list[dict[str, Any]]:
    """Return a list that receives the parameters of every such call."""
    calls: list[dict[str, Any]] = []
    store.client.meta.events.register(
        f"provide-client-params.s3.{operation}", lambda params, **_: calls.append(dict(params))
    )
    return calls


def test_what_was_put_is_read_back(store: Store, tmp_path: Path) -> None:
    etag = store.put(BUCKET, "a", b"1,2", content_type="text/csv", metadata={"raw-etag": "x"})
    body, item = store.get(BUCKET, "a")
    assert (body, item.etag, item.size, item.metadata) == (b"1,2", etag, 3, {"raw-etag": "x"})
    assert store.head(BUCKET, "a") == item
    assert store.download(BUCKET, "a", tmp_path / "a") == item
    assert (tmp_path / "a").read_bytes() == b"1,2"
    assert '"' not in etag


def test_puts_are_checked_against_their_sha256(store: Store) -> None:
    calls = sent(store, "PutObject")
    store.put(BUCKET, "a", b"abc")
    assert calls[0]["ChecksumSHA256"] == "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="


@pytest.mark.parametrize("read", ["head", "get", "download", "copy"])
def test_what_is_not_there_is_not_found(store: Store, tmp_path: Path, read: str) -> None:
    more: dict[str, list[Any]] = {"download": [tmp_path / "x"], "copy": [OTHER, "b"]}
    with pytest.raises(NotFoundError, match="s3://p300-models/absent does not exist"):
        getattr(store, read)(BUCKET, "absent", *more.get(read, []))


def test_a_bucket_that_is_not_there_is_a_fault_and_no_missing_object(store: Store) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: store.get("no-such-bucket", "a"),
        lambda: store.put("no-such-bucket", "a", b""),
        lambda: store.delete("no-such-bucket", "a"),
        lambda: list(store.list("no-such-bucket")),
        lambda: store.versions("no-such-bucket", "a"),
    ]
    for call in calls:
        with pytest.raises(NoBucketError, match=r"s3://no-such-bucket does not exist.*deleted bucket") as raised:
            call()
        assert isinstance(pickle.loads(pickle.dumps(raised.value)), NoBucketError)  # noqa: S301


def test_put_if_absent(store: Store) -> None:
    store.put(BUCKET, "a", b"first", if_absent=True)
    with pytest.raises(PreconditionError):
        store.put(BUCKET, "a", b"second", if_absent=True)
    assert store.get(BUCKET, "a")[0] == b"first"


def test_put_if_match(store: Store) -> None:
    etag = store.put(BUCKET, "a", b"first")
    newer = store.put(BUCKET, "a", b"second", if_match=etag)
    with pytest.raises(PreconditionError):
        store.put(BUCKET, "a", b"third", if_match=etag)
    assert store.get(BUCKET, "a", if_match=newer)[0] == b"second"


def test_put_if_match_of_an_object_that_is_gone(store: Store) -> None:
    # S3 answers 404: to the caller it is the same as any other change since it looked.
    etag = store.put(BUCKET, "a", b"first")
    store.delete(BUCKET, "a")
    with pytest.raises(PreconditionError):
        store.put(BUCKET, "a", b"second", if_match=etag)


def test_conditional_reads(store: Store, tmp_path: Path) -> None:
    etag = store.put(BUCKET, "a", b"first")
    with pytest.raises(UnchangedError):
        store.get(BUCKET, "a", unless=etag)
    assert store.get(BUCKET, "a", unless="0" * 32)[0] == b"first"
    for read in (
        lambda: store.get(BUCKET, "a", if_match="0" * 32),
        lambda: store.download(BUCKET, "a", tmp_path / "x", if_match="0" * 32),
    ):
        with pytest.raises(PreconditionError):
            read()


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (409, "ConditionalRequestConflict", PreconditionError),
        (412, "PreconditionFailed", PreconditionError),
        (403, "AccessDenied", ClientError),
        (503, "SlowDown", ClientError),
    ],
)
def test_refusals_of_s3(store: Store, monkeypatch: pytest.MonkeyPatch, status: int, code: str, expected: type) -> None:
    answer: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}

    def refuse(**_: Any) -> None:
        raise ClientError(answer, "PutObject")

    monkeypatch.setattr(store.client, "put_object", refuse)
    with pytest.raises(expected):
        store.put(BUCKET, "a", b"", if_absent=True)


def test_versions_are_told_apart(store: Store) -> None:
    store.put(BUCKET, "a", b"first")
    first = store.head(BUCKET, "a")
    store.put(BUCKET, "a", b"second!")
    assert store.get(BUCKET, "a", version_id=first.version_id)[0] == b"first"
    store.copy(BUCKET, "a", OTHER, "b", version_id=first.version_id)
    assert store.get(OTHER, "b")[0] == b"first"
    store.delete(BUCKET, "a", first.version_id)
    assert store.get(BUCKET, "a")[0] == b"second!"
    with pytest.raises(NotFoundError):
        store.head(BUCKET, "a", first.version_id)


def test_deleting_twice_is_no_error(store: Store) -> None:
    store.put(BUCKET, "a", b"")
    store.delete(BUCKET, "a")
    store.delete(BUCKET, "a")


def test_copies_are_conditional_and_checked(store: Store) -> None:
    # moto does not look at x-amz-copy-source-if-match: that it is sent is what can be seen here.
    etag = store.put(BUCKET, "a", b"abc")
    calls = sent(store, "CopyObject")
    store.copy(BUCKET, "a", OTHER, "quarantine/é +%41/a", if_match=etag)
    assert store.get(OTHER, "quarantine/é +%41/a")[0] == b"abc"
    assert (calls[0]["CopySourceIfMatch"], calls[0]["ChecksumAlgorithm"]) == (f'"{etag}"', "SHA256")


def test_what_one_call_cannot_copy_is_copied_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p300_pipeline.storage.store.LARGEST_COPY_BYTES", 6 << 20)
    monkeypatch.setattr("p300_pipeline.storage.store.COPY_PART_BYTES", 5 << 20)
    body = bytes(7 << 20)
    etag = store.put(BUCKET, "a", body)
    parts = sent(store, "UploadPartCopy")
    store.copy(BUCKET, "a", OTHER, "b", if_match=etag)
    assert store.get(OTHER, "b")[0] == body
    assert [part["CopySourceIfMatch"] for part in parts] == [f'"{etag}"'] * 2


def test_a_short_copy_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(BUCKET, "a", b"abc")
    monkeypatch.setattr(store.client, "copy", lambda *_, **__: store.put(OTHER, "b", b"ab"))
    with pytest.raises(RuntimeError, match=r"the copy s3://p300-raw-data/b has 2 bytes, its source 3"):
        store.copy(BUCKET, "a", OTHER, "b")


def test_lists_are_complete_and_in_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"subject_{number:02d}/a" for number in range(7)]
    for key in reversed(keys):
        store.put(BUCKET, key, b"1")
    store.put(BUCKET, "v1", b"1")
    paginator = store.client.get_paginator("list_objects_v2")
    monkeypatch.setattr(
        store.client,
        "get_paginator",
        lambda _: type(
            "Small", (), {"paginate": lambda _, **how: paginator.paginate(**how, PaginationConfig={"PageSize": 3})}
        )(),
    )
    assert [item.key for item in store.list(BUCKET, "subject_")] == keys
    assert not list(store.list(BUCKET, "nothing"))


@pytest.mark.parametrize("how", ["get", "download"])
def test_a_body_that_is_cut_off_is_read_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    from botocore.response import StreamingBody
    from urllib3.exceptions import ProtocolError

    store.put(BUCKET, "key", b"0123456789")
    get_object, n_cut = store.client.get_object, 0

    class Cut:
        def read(self, *_: object, **__: object) -> bytes:
            raise ProtocolError("Connection broken")

    def cut_off(n_times: int) -> None:
        def answer(**request: Any) -> Any:
            nonlocal n_cut
            found = get_object(**request)
            if n_cut < n_times:
                n_cut += 1
                found["Body"] = StreamingBody(Cut(), 10)  # type: ignore[arg-type]
            return found

        monkeypatch.setattr(store.client, "get_object", answer)

    def read() -> bytes:
        if how == "get":
            return store.get(BUCKET, "key")[0]
        store.download(BUCKET, "key", tmp_path / "file")
        return (tmp_path / "file").read_bytes()

    cut_off(4)
    assert read() == b"0123456789"
    assert n_cut == 4
    n_cut = 0
    cut_off(5)
    with pytest.raises(ResponseStreamingError):
        read()


def test_a_copy_whose_source_is_taken_away_behind_it_is_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was copied to quarantine would stand there without a reason, if whoever copied it gave up."""
    store.put("p300-landing-zone", "a", b"0123")
    copy = store.client.copy

    def copy_and_lose(source: Any, *args: Any, **named: Any) -> None:
        copy(source, *args, **named)
        store.delete(source["Bucket"], source["Key"])

    monkeypatch.setattr(store.client, "copy", copy_and_lose)
    store.copy("p300-landing-zone", "a", "p300-raw-data", "quarantine/a")
    assert store.get("p300-raw-data", "quarantine/a")[0] == b"0123"
