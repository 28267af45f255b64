"""Reads and writes of S3 objects, with no call that MinIO does not offer too."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .client import default_client
from .digests import sha256_base64
from .errors import NotFoundError, PreconditionError, translate

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

LARGEST_COPY_BYTES = 5 << 30  # of one CopyObject call
COPY_PART_BYTES = 256 << 20
_MAX_READS = 5


@dataclass(frozen=True)
class Item:
    """An object's name and state.

    Attributes
    ----------
    key : str
        Object key.
    etag : str
        Entity tag without quotes.
    size : int
        Bytes.
    metadata : dict of str to str
        User metadata; empty in listings.
    version_id : str or None
        Version where the bucket keeps versions.
    modified : float
        POSIX time of the last write.
    """

    key: str
    etag: str
    size: int
    metadata: dict[str, str]
    version_id: str | None
    modified: float


class Store:
    """Conditional reads and writes on S3.

    Parameters
    ----------
    client : S3Client, optional
        By default the process's own (see `default_client`).
    """

    def __init__(self, client: "S3Client | None" = None) -> None:
        self.client = client or default_client()

    def head(self, bucket: str, key: str, version_id: str | None = None) -> Item:
        """Return an object's state.

        Raises
        ------
        NotFoundError
            If there is no such object or version.
        UnreadableError
            If it is encrypted with its owner's own key.
        """
        try:
            answer = self.client.head_object(Bucket=bucket, Key=key, **_version(version_id))
        except self.client.exceptions.ClientError as error:
            if (
                error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
            ):  # an answer to HEAD has no body: GET says why
                self._read(bucket, key, _version(version_id), lambda body: body.close())
            raise translate(error, bucket, key) from error
        return _item(key, answer)

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        if_match: str | None = None,
        unless: str | None = None,
        most: int | None = None,
    ) -> tuple[bytes, Item]:
        """Return an object's bytes, or the first `most` of them, and its state.

        Raises
        ------
        NotFoundError
            If there is no such object or version.
        PreconditionError
            If its ETag is not `if_match`.
        UnchangedError
            If its ETag is `unless`.
        UnreadableError
            If it is archived, or encrypted with a key that is not at hand.
        """
        if not (version_id or if_match or most) and (found := self._read_whole(bucket, key, unless)):
            return found
        return self._read(bucket, key, _condition(version_id, if_match, unless), lambda body: bytes(body.read(most)))

    def _read_whole(self, bucket: str, key: str, unless: str | None) -> tuple[bytes, Item] | None:
        """Read the newest version of an object without boto3, where a subclass can; None leaves it to boto3."""
        return None

    def download(
        self, bucket: str, key: str, path: Path, *, version_id: str | None = None, if_match: str | None = None
    ) -> Item:
        """Write an object to the file `path` in pieces and return its state; raises as `get` does."""

        def write(body: "StreamingBody") -> None:
            with path.open("wb") as file:
                for chunk in body.iter_chunks(1 << 20):
                    file.write(chunk)

        return self._read(bucket, key, _condition(version_id, if_match), write)[1]

    def _read[T](
        self, bucket: str, key: str, condition: dict[str, Any], take: "Callable[[StreamingBody], T]"
    ) -> tuple[T, Item]:
        """Return what `take` makes of an object's body; boto3 repeats requests, but not the reading of an answer that is cut off."""
        from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

        for attempt in range(1, _MAX_READS + 1):
            try:
                answer = self.client.get_object(Bucket=bucket, Key=key, **condition)
            except self.client.exceptions.ClientError as error:
                raise translate(error, bucket, key) from error
            try:
                return take(answer["Body"]), _item(key, answer)
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                if attempt == _MAX_READS:
                    raise
        raise AssertionError  # the last attempt returned or raised

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes | Path,
        *,
        content_type: str = "application/octet-stream",
        metadata: dict[str, str] | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> str:
        """Write an object, bytes or a file's content, checked by the server against its SHA-256, and return its ETag.

        Raises
        ------
        PreconditionError
            If `if_absent` and the object exists, or its ETag is not `if_match`.
        """
        condition: dict[str, Any] = {}
        if if_absent:
            condition["IfNoneMatch"] = "*"
        if if_match:
            condition["IfMatch"] = _quoted(if_match)
        try:
            with nullcontext(body) if isinstance(body, bytes) else body.open("rb") as content:
                answer = self.client.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=content,
                    ContentType=content_type,
                    Metadata=metadata or {},
                    ChecksumSHA256=sha256_base64(body),
                    **condition,
                )
        except self.client.exceptions.ClientError as error:
            translated = translate(error, bucket, key)
            if if_match and isinstance(translated, NotFoundError):  # S3's answer where the object is gone
                translated = PreconditionError(f"s3://{bucket}/{key} changed: it is gone")
            raise translated from error
        return answer["ETag"].strip('"')

    def copy(
        self,
        bucket: str,
        key: str,
        to_bucket: str,
        to_key: str,
        *,
        version_id: str | None = None,
        if_match: str | None = None,
    ) -> None:
        """Copy an object's bytes, however many, inside S3 and check that the copy has their number.

        Nothing else comes along: metadata, tags, type and encoding of the source are whatever its uploader said.

        Raises
        ------
        NotFoundError
            If there is no such object or version.
        PreconditionError
            If its ETag is not `if_match`.
        UnreadableError
            If it is archived, or encrypted with a key that is not at hand.
        """
        from boto3.s3.transfer import TransferConfig

        extra: dict[str, Any] = {
            "ChecksumAlgorithm": "SHA256",
            "MetadataDirective": "REPLACE",
            "Metadata": {},
            "ContentType": "application/octet-stream",
            "TaggingDirective": "REPLACE",
            **({"CopySourceIfMatch": _quoted(if_match)} if if_match else {}),
        }
        source: Any = {"Bucket": bucket, "Key": key, **_version(version_id)}
        in_parts = TransferConfig(multipart_threshold=LARGEST_COPY_BYTES, multipart_chunksize=COPY_PART_BYTES)
        size = self.head(bucket, key, version_id).size  # before: another execution may take the source away meanwhile
        try:
            self.client.copy(source, to_bucket, to_key, ExtraArgs=extra, Config=in_parts)
        except self.client.exceptions.ClientError as error:
            raise translate(error, bucket, key) from error
        copied = self.head(to_bucket, to_key).size
        if copied != size:
            raise RuntimeError(f"the copy s3://{to_bucket}/{to_key} has {copied} bytes, its source {size}")

    def delete(self, bucket: str, key: str, version_id: str | None = None) -> None:
        """Delete an object, or just one version of it; no error if it is gone already."""
        try:
            self.client.delete_object(Bucket=bucket, Key=key, **_version(version_id))
        except self.client.exceptions.ClientError as error:
            # LocalStack's answer for a version that is gone while the key has others; AWS and MinIO call that done.
            if error.response["Error"]["Code"] != "InvalidArgument" or not version_id:
                raise translate(error, bucket, key) from error

    def list(self, bucket: str, prefix: str = "") -> Iterator[Item]:
        """Yield the objects whose keys start with `prefix`, in the order of their keys, page by page."""
        for page in self._pages("list_objects_v2", bucket, prefix):
            yield from _listed(page)

    def folder(self, bucket: str, prefix: str) -> Iterator[Item]:
        """Yield the objects in a folder, without those in folders below it; as `list`, of a prefix that is empty or ends in ``/``."""
        for page in self._pages("list_objects_v2", bucket, prefix, Delimiter="/"):
            yield from _listed(page)

    def versions(self, bucket: str, key: str) -> tuple[Item, ...]:
        """Return the versions of one object that there are, the newest first: two of one second too, which their times do not tell."""
        found = []
        for page in self._pages("list_object_versions", bucket, key):
            entries = page.get("Versions", [])
            for entry in entries:
                if entry["Key"] == key:
                    etag, modified = entry["ETag"].strip('"'), entry["LastModified"].timestamp()
                    found.append(Item(key, etag, entry["Size"], {}, entry["VersionId"], modified))
            if (
                entries and entries[-1]["Key"] != key
            ):  # keys come in order, and `key` is the first that starts with itself
                break
        return tuple(found)

    def _pages(self, operation: Any, bucket: str, prefix: str, **how: str) -> Iterator[Any]:
        try:
            yield from self.client.get_paginator(operation).paginate(Bucket=bucket, Prefix=prefix, **how)
        except self.client.exceptions.ClientError as error:
            raise translate(error, bucket, prefix) from error


def _listed(page: Any) -> Iterator[Item]:
    for entry in page.get("Contents", []):
        modified = entry["LastModified"].timestamp()
        yield Item(entry["Key"], entry["ETag"].strip('"'), entry["Size"], {}, None, modified)


def find(store: Store, bucket: str, key: str, version_id: str | None = None) -> Item | None:
    """Return an object's state, or None where there is no such object or version."""
    try:
        return store.head(bucket, key, version_id)
    except NotFoundError:
        return None


def _condition(version_id: str | None, if_match: str | None, unless: str | None = None) -> dict[str, Any]:
    condition = _version(version_id)
    if if_match:
        condition["IfMatch"] = _quoted(if_match)
    if unless:
        condition["IfNoneMatch"] = _quoted(unless)
    return condition


def _version(version_id: str | None) -> dict[str, Any]:
    return {"VersionId": version_id} if version_id else {}


def _quoted(etag: str) -> str:
    return f'"{etag}"'


def _item(key: str, answer: Any) -> Item:
    return Item(
        key,
        answer["ETag"].strip('"'),
        answer["ContentLength"],
        answer.get("Metadata", {}),
        answer.get("VersionId"),
        answer["LastModified"].timestamp(),
    )
