"""Every S3 call that the project makes, with what it relies on; one test a promise, named as docs/storage.md names it."""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from p300_pipeline.storage import NoBucketError, NotFoundError, PreconditionError, Store, UnchangedError, sha256_base64

from tests.support.s3_servers import Server

PART_BYTES = 5 << 20  # the smallest part that S3 takes
WRITERS = 8
RACES = 5


def test_put_with_checksum_and_metadata(store: Store, plain: str) -> None:
    body = bytes(range(256)) * 10
    etag = store.put(
        plain, "put", body, content_type="text/x-test", metadata={"landing-modified": "1.5", "sha256": "ab"}
    )
    item = store.head(plain, "put")
    assert (item.etag, item.size) == (etag, len(body))
    assert item.metadata == {"landing-modified": "1.5", "sha256": "ab"}
    assert store.client.head_object(Bucket=plain, Key="put")["ContentType"] == "text/x-test"
    assert store.get(plain, "put")[0] == body


def test_etag_of_a_single_put_is_its_md5(store: Store, plain: str) -> None:
    assert store.put(plain, "md5", b"abc") == hashlib.md5(b"abc", usedforsecurity=False).hexdigest()


def test_put_refuses_bytes_that_miss_their_checksum(store: Store, plain: str) -> None:
    with pytest.raises(ClientError) as refused:
        store.client.put_object(Bucket=plain, Key="bad-sum", Body=b"sent", ChecksumSHA256=sha256_base64(b"meant"))
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    with pytest.raises(NotFoundError):
        store.head(plain, "bad-sum")


def test_checksum_is_kept(store: Store, plain: str) -> None:
    store.put(plain, "sum", b"abc")
    head = store.client.head_object(Bucket=plain, Key="sum", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == sha256_base64(b"abc")


def test_plain_put_of_a_file(store: Store, plain: str, tmp_path: Path) -> None:
    """As `p300 land` does: boto3's own checksum."""
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    with (tmp_path / "file").open("rb") as body:
        store.client.put_object(Bucket=plain, Key="file", Body=body)
    assert store.get(plain, "file")[0] == b"x" * 100_000


def test_put_if_absent(store: Store, plain: str) -> None:
    store.put(plain, "absent", b"first", if_absent=True)
    with pytest.raises(PreconditionError):
        store.put(plain, "absent", b"second", if_absent=True)
    assert store.get(plain, "absent")[0] == b"first"


def test_put_if_absent_after_a_delete(store: Store, plain: str) -> None:
    store.put(plain, "again", b"first", if_absent=True)
    store.delete(plain, "again")
    store.put(plain, "again", b"second", if_absent=True)
    assert store.get(plain, "again")[0] == b"second"


def test_put_if_match(store: Store, plain: str) -> None:
    first = store.put(plain, "match", b"first")
    second = store.put(plain, "match", b"second", if_match=first)
    with pytest.raises(PreconditionError):
        store.put(plain, "match", b"third", if_match=first)
    assert store.get(plain, "match")[1].etag == second


def test_put_if_match_of_what_is_gone(store: Store, plain: str) -> None:
    etag = store.put(plain, "match-gone", b"first")
    store.delete(plain, "match-gone")
    with pytest.raises(PreconditionError):
        store.put(plain, "match-gone", b"second", if_match=etag)
    with pytest.raises(NotFoundError):
        store.head(plain, "match-gone")


def _race(write: Callable[[bytes], str]) -> list[bytes]:
    """Let writers start at once; return the bodies of those that were told they had written."""
    barrier = Barrier(WRITERS)

    def run(number: int) -> bytes | None:
        body = b"writer %d" % number
        barrier.wait()
        try:
            write(body)
        except PreconditionError:
            return None
        return body

    with ThreadPoolExecutor(WRITERS) as pool:
        return [body for body in pool.map(run, range(WRITERS)) if body]


def test_of_writers_racing_if_absent_one_wins(store: Store, plain: str) -> None:
    for race in range(RACES):
        key = f"race-absent-{race}"
        won = _race(partial(store.put, plain, key, if_absent=True))
        assert won == [store.get(plain, key)[0]]


def test_of_writers_racing_if_match_one_wins(store: Store, plain: str) -> None:
    for race in range(RACES):
        key = f"race-match-{race}"
        etag = store.put(plain, key, b"held")
        won = _race(partial(store.put, plain, key, if_match=etag))
        assert won == [store.get(plain, key)[0]]


def test_get_of_what_is_not_there(store: Store, plain: str) -> None:
    with pytest.raises(NotFoundError, match="nothing"):
        store.get(plain, "nothing")
    with pytest.raises(NotFoundError, match="nothing"):
        store.head(plain, "nothing")


def test_missing_bucket_is_not_a_missing_object(store: Store) -> None:
    """A wrong bucket name must not look like an empty store."""
    with pytest.raises(NoBucketError):
        store.get("p300-no-such-bucket", "key")
    with pytest.raises(NoBucketError):
        list(store.list("p300-no-such-bucket"))
    with pytest.raises(ClientError, match="404"):
        store.client.head_bucket(Bucket="p300-no-such-bucket")


def test_get_if_match(store: Store, plain: str, tmp_path: Path) -> None:
    old = store.put(plain, "read", b"old")
    assert store.get(plain, "read", if_match=old)[0] == b"old"
    store.put(plain, "read", b"new")
    with pytest.raises(PreconditionError):
        store.get(plain, "read", if_match=old)
    with pytest.raises(PreconditionError):
        store.download(plain, "read", tmp_path / "read", if_match=old)


def test_get_unless_unchanged(store: Store, plain: str) -> None:
    etag = store.put(plain, "cached", b"old")
    with pytest.raises(UnchangedError):
        store.get(plain, "cached", unless=etag)
    store.put(plain, "cached", b"new")
    assert store.get(plain, "cached", unless=etag)[0] == b"new"


def test_get_a_range(store: Store, plain: str) -> None:
    store.put(plain, "range", b"0123456789")
    answer = store.client.get_object(Bucket=plain, Key="range", Range="bytes=2-4")
    assert (answer["Body"].read(), answer["ContentRange"]) == (b"234", "bytes 2-4/10")


def test_download_in_pieces(store: Store, plain: str, tmp_path: Path) -> None:
    body = bytes(range(256)) * 12_000
    store.put(plain, "large", body)
    assert store.download(plain, "large", tmp_path / "large").size == len(body)
    assert (tmp_path / "large").read_bytes() == body


@pytest.fixture
def short_pages(store: Store) -> Iterator[list[int]]:
    """Pages of two keys, so that five take three requests; the list counts them."""
    pages: list[int] = []

    def shorten(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 2
        pages.append(2)

    store.client.meta.events.register("provide-client-params.s3.ListObjectsV2", shorten)
    yield pages
    store.client.meta.events.unregister("provide-client-params.s3.ListObjectsV2", shorten)


def test_list_pages(store: Store, plain: str, short_pages: list[int]) -> None:
    for name in ("c", "a", "b/1", "b-", "B"):
        store.put(plain, f"list/{name}", name.encode())
    items = list(store.list(plain, "list/"))
    assert [item.key for item in items] == ["list/B", "list/a", "list/b-", "list/b/1", "list/c"]
    assert len(short_pages) == 3
    assert items[0].size == 1
    assert items[0].etag == store.head(plain, "list/B").etag
    assert list(store.list(plain, "list/nothing")) == []


@pytest.mark.parametrize("name", ["with space", "plus+sign", "per%20cent", "Zoë-脳波", "quote'&=;,@!()"])
def test_keys_of_any_letters(store: Store, plain: str, name: str) -> None:
    key = f"subject_01/{name}.parquet"
    etag = store.put(plain, key, name.encode())
    assert store.get(plain, key, if_match=etag)[0] == name.encode()
    assert [item.key for item in store.list(plain, key)] == [key]
    store.copy(plain, key, plain, f"copy/{key}", if_match=etag)
    assert store.get(plain, f"copy/{key}")[0] == name.encode()
    store.delete(plain, key)
    assert list(store.list(plain, key)) == []


def test_copy_leaves_metadata_behind_and_adds_a_checksum(store: Store, plain: str, server: Server) -> None:
    other = server.bucket(versions=False)
    etag = store.put(plain, "source", b"abc", content_type="text/x-test", metadata={"who": "me"})
    store.copy(plain, "source", other, "sub/target", if_match=etag)
    head = store.client.head_object(Bucket=other, Key="sub/target", ChecksumMode="ENABLED")
    assert (head["Metadata"], head["ContentType"]) == ({}, "application/octet-stream")
    assert head["ChecksumSHA256"] == sha256_base64(b"abc")


def test_copy_of_what_changed_is_refused(store: Store, plain: str) -> None:
    old = store.put(plain, "moving", b"old")
    store.put(plain, "moving", b"new")
    with pytest.raises(PreconditionError):
        store.copy(plain, "moving", plain, "moved", if_match=old)
    with pytest.raises(NotFoundError):
        store.head(plain, "moved")


def test_copy_of_what_is_gone(store: Store, plain: str) -> None:
    with pytest.raises(NotFoundError):
        store.copy(plain, "nothing", plain, "moved")


def test_delete_twice(store: Store, plain: str) -> None:
    store.put(plain, "deleted", b"x")
    store.delete(plain, "deleted")
    store.delete(plain, "deleted")
    with pytest.raises(NotFoundError):
        store.get(plain, "deleted")


def test_versions_are_read_and_copied_by_name(store: Store, versioned: str, tmp_path: Path) -> None:
    for body in (b"old", b"new"):
        store.put(versioned, "key", body)
    store.put(versioned, "key of another", b"x")
    newest, oldest = (
        item.version_id for item in store.versions(versioned, "key")
    )  # of one second: by their order alone
    assert store.head(versioned, "key").version_id == newest
    assert store.get(versioned, "key", version_id=oldest)[0] == b"old"
    assert store.head(versioned, "key", oldest).version_id == oldest
    etag = store.head(versioned, "key", oldest).etag
    store.download(versioned, "key", tmp_path / "old", version_id=oldest, if_match=etag)
    assert (tmp_path / "old").read_bytes() == b"old"
    store.copy(versioned, "key", versioned, "copy", version_id=oldest, if_match=etag)
    assert store.get(versioned, "copy")[0] == b"old"


def test_delete_of_one_version_leaves_the_others(store: Store, versioned: str) -> None:
    old = store.client.put_object(Bucket=versioned, Key="two", Body=b"old")["VersionId"]
    new = store.client.put_object(Bucket=versioned, Key="two", Body=b"new")["VersionId"]
    store.delete(versioned, "two", old)
    assert store.get(versioned, "two")[1].version_id == new
    with pytest.raises(NotFoundError):
        store.head(versioned, "two", old)
    with pytest.raises(NotFoundError):
        store.get(versioned, "two", version_id=old)


def test_delete_of_one_version_twice(store: Store, versioned: str) -> None:
    """As two executions of one upload do while a newer one lies there."""
    version = store.client.put_object(Bucket=versioned, Key="twice", Body=b"old")["VersionId"]
    store.put(versioned, "twice", b"new")
    store.delete(versioned, "twice", version)
    store.delete(versioned, "twice", version)


def test_delete_of_a_versioned_key_hides_it(store: Store, versioned: str) -> None:
    version = store.client.put_object(Bucket=versioned, Key="hidden", Body=b"kept")["VersionId"]
    store.delete(versioned, "hidden")
    with pytest.raises(NotFoundError):
        store.head(versioned, "hidden")
    assert list(store.list(versioned, "hidden")) == []
    assert store.get(versioned, "hidden", version_id=version)[0] == b"kept"


def test_put_if_absent_over_a_delete_marker(store: Store, versioned: str) -> None:
    store.put(versioned, "marked", b"first", if_absent=True)
    store.delete(versioned, "marked")
    store.put(versioned, "marked", b"second", if_absent=True)
    with pytest.raises(PreconditionError):
        store.put(versioned, "marked", b"third", if_absent=True)
    assert store.get(versioned, "marked")[0] == b"second"


def test_multipart_upload(store: Store, plain: str, tmp_path: Path) -> None:
    """As `aws s3 cp` sends a large recording: its ETag is no MD5, and conditions hold on it all the same."""
    body = bytes(range(256)) * (6 << 12)
    (tmp_path / "file").write_bytes(body)
    config = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)
    store.client.upload_file(str(tmp_path / "file"), plain, "parts", Config=config)
    item = store.head(plain, "parts")
    assert item.etag.endswith("-2")
    assert store.get(plain, "parts", if_match=item.etag)[0] == body
    store.copy(plain, "parts", plain, "parts-copied", if_match=item.etag)
    assert store.get(plain, "parts-copied")[0] == body


def test_copy_in_parts(store: Store, plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of what is too large for one call, with parts and limit made smaller."""
    monkeypatch.setattr("p300_pipeline.storage.store.LARGEST_COPY_BYTES", PART_BYTES)
    monkeypatch.setattr("p300_pipeline.storage.store.COPY_PART_BYTES", PART_BYTES)
    body = bytes(range(256)) * (6 << 12)
    etag = store.put(plain, "huge", body)
    store.copy(plain, "huge", plain, "huge-copied", if_match=etag)
    assert store.get(plain, "huge-copied")[0] == body
    assert store.head(plain, "huge-copied").etag.endswith("-2")
    with pytest.raises(PreconditionError):
        store.copy(plain, "huge", plain, "huge-refused", if_match="0" * 32)


def test_copy_in_parts_leaves_metadata_behind(store: Store, plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p300_pipeline.storage.store.LARGEST_COPY_BYTES", PART_BYTES)
    monkeypatch.setattr("p300_pipeline.storage.store.COPY_PART_BYTES", PART_BYTES)
    store.put(plain, "huge-said", bytes(6 << 20), metadata={"who": "me"})
    store.copy(plain, "huge-said", plain, "huge-said-copied")
    assert store.head(plain, "huge-said-copied").metadata == {}


def test_requests_are_path_style(store: Store, plain: str) -> None:
    seen: list[str] = []
    store.client.meta.events.register_first("before-send.s3", lambda request, **_: seen.append(request.url))
    store.put(plain, "path", b"x")
    store.get(plain, "path")
    assert len(seen) == 2
    for url in seen:
        assert urlsplit(url).path == f"/{plain}/path"
        assert plain not in urlsplit(url).netloc


@pytest.fixture(scope="package")
def event(server: Server, store: Store) -> dict[str, Any]:
    """The event of one upload, as a rule like the template's passes it on, and what the upload was."""
    if server.name == "endpoint":
        pytest.skip("EventBridge is AWS's own; other servers need a bridge")
    bucket, key = server.bucket(versions=True), "subject_01/run 1+2.parquet"
    store.client.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    sqs, events = server.other("sqs"), server.other("events")
    queue = sqs.create_queue(QueueName=f"{bucket}-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": [bucket]}}}
    events.put_rule(Name=f"{bucket}-rule", EventPattern=json.dumps(pattern))
    events.put_targets(Rule=f"{bucket}-rule", Targets=[{"Id": "queue", "Arn": arn}])
    store.put(bucket, key, b"abc")
    messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10).get("Messages", [])
    assert messages, "no event came"
    return {"detail": json.loads(messages[0]["Body"])["detail"], "bucket": bucket, "item": store.head(bucket, key)}


def test_put_tells_eventbridge(event: dict[str, Any]) -> None:
    assert event["detail"]["bucket"]["name"] == event["bucket"]
    assert unquote(event["detail"]["object"]["key"]) == event["item"].key


def test_event_has_the_key_as_it_is(event: dict[str, Any]) -> None:
    assert event["detail"]["object"]["key"] == event["item"].key


def test_event_has_version_etag_and_size(event: dict[str, Any]) -> None:
    told, item = event["detail"]["object"], event["item"]
    assert (told.get("version-id"), told.get("etag"), told.get("size")) == (item.version_id, item.etag, item.size)
