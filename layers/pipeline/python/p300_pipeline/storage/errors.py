"""S3's refusals as exceptions that callers can tell apart."""

from typing import Any

from p300.errors import P300Error


class NotFoundError(LookupError):
    """There is no such object (or version of it)."""


class NoBucketError(P300Error):
    """There is no such bucket: it was deleted, or another server is answering."""

    def __init__(self, bucket: str) -> None:
        super().__init__(
            "no_bucket",
            f"The bucket s3://{bucket} does not exist. If it was deleted, docs/operations.md (A deleted bucket) says how to bring it "
            "back; else look at AWS_ENDPOINT_URL and the region.",
        )
        self.bucket = bucket

    def __reduce__(self) -> tuple[type["NoBucketError"], tuple[str]]:  # type: ignore[override]
        return type(self), (self.bucket,)


class PreconditionError(RuntimeError):
    """The object is not what the conditional call expected, or no longer is."""


class UnchangedError(RuntimeError):
    """A conditional read found what the caller already has."""


class UnreadableError(RuntimeError):
    """The object exists, but the way it is stored keeps the pipeline from reading it; trying again does not help.

    Parameters
    ----------
    key : str
        Key of the object.
    reason : str
        Why it cannot be read, and what to do.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key} cannot be read: {reason}")
        self.key = key


def storage_errors() -> tuple[type[Exception], ...]:
    """Return what a failed call raises. Use it in an ``except`` clause: botocore is then imported only after a failure."""
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError, NoBucketError


def translate(error: Any, bucket: str, key: str) -> Exception:
    """Return the exception to raise in place of botocore's ``ClientError``; the same one where none here fits."""
    code = error.response["Error"]["Code"]
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if code == "NoSuchBucket":
        return NoBucketError(bucket)
    if code in {"NoSuchKey", "NoSuchVersion", "404", "NotFound"} or status == 404:
        return NotFoundError(f"s3://{bucket}/{key} does not exist")
    if reason := _unreadable(code, error.response["Error"].get("Message", "")):
        return UnreadableError(key, reason)
    # 409 ConditionalRequestConflict: another conditional write of the same key is under way and will win
    if status == 412 or code in {"PreconditionFailed", "ConditionalRequestConflict"}:
        return PreconditionError(f"s3://{bucket}/{key} changed or exists already")
    if status == 304:
        return UnchangedError(f"s3://{bucket}/{key} has not changed")
    return error  # type: ignore[no-any-return]


def _unreadable(code: str, message: str) -> str:
    """Return why an object cannot be read because of how it is stored; an empty string where that is not the reason."""
    if code in {"InvalidObjectState", "ObjectNotInActiveTierError"}:
        return "it is in an archive (GLACIER, DEEP_ARCHIVE). Restore it and run `p300 retry --unfinished`, or upload it as STANDARD."
    if "Server Side Encryption" in message:
        return (
            "it is encrypted with a key of its owner's (SSE-C), which only its owner has. Upload it again without "
            "--sse-c: the bucket encrypts what it keeps."
        )
    if code.startswith("KMS.") or (code == "AccessDenied" and ("kms:" in message or "ciphertext" in message)):
        return (
            "it is encrypted with a KMS key that the pipeline may not use. Upload it again without --sse-kms-key-id, or allow "
            "the pipeline's roles kms:Decrypt on that key."
        )
    return ""
