"""Reads models without boto3, whose import and client take longer than the rest of a cold start together."""

import hashlib
import hmac
import http.client
import os
import threading
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from p300_pipeline.storage import Item, NotFoundError, Store, UnchangedError, default_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TIMEOUT_S = 3.0
_EMPTY = hashlib.sha256(b"").hexdigest()
_ATTEMPTS = 2


class ModelStore(Store):
    """A `Store` that reads whole objects without boto3 inside Lambda; a read that does not succeed is repeated with boto3.

    Outside Lambda, boto3 does everything, because only boto3 knows where to find credentials and addresses. It also handles refused and
    failed reads and all other calls, so that retries and errors are handled in one place.
    """

    def __init__(self) -> None:
        self._reader = Reader.from_environment()

    @cached_property
    def client(self) -> "S3Client":  # type: ignore[override]
        """The process's boto3 client, made when something first needs it."""
        return default_client()

    def _read_whole(self, bucket: str, key: str, unless: str | None) -> tuple[bytes, Item] | None:
        return self._reader.get(bucket, key, unless) if self._reader else None


class Reader:
    """Signed GET requests for whole objects, with one connection for each thread.

    Parameters
    ----------
    endpoint : str
        Address of the S3 server.
    region, access_key, secret_key : str
    token : str or None
        Of temporary credentials, as Lambda's are.
    """

    def __init__(self, endpoint: str, region: str, access_key: str, secret_key: str, token: str | None = None) -> None:
        self.endpoint = urlsplit(endpoint)
        self.region, self.access_key, self.secret_key, self.token = region, access_key, secret_key, token
        self._of_thread = threading.local()

    @classmethod
    def from_environment(cls) -> "Reader | None":
        """Return one for what Lambda's environment tells, or None where it does not tell all."""
        env = os.environ
        if "AWS_LAMBDA_RUNTIME_API" not in env or env.get("P300_S3_KEY_PARAMETER"):
            return None
        region, access_key, secret_key = (
            env.get(name) for name in ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        )
        if not (region and access_key and secret_key):
            return None
        endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
        if not endpoint and region.startswith(("cn-", "us-iso", "eu-isoe", "eusc-")):
            return None  # partitions with other domains
        endpoint = endpoint or f"https://s3.{region}.amazonaws.com"
        return cls(endpoint, region, access_key, secret_key, env.get("AWS_SESSION_TOKEN"))

    def get(self, bucket: str, key: str, unless: str | None = None) -> tuple[bytes, Item] | None:
        """Return an object's bytes and state, or None if the request did not succeed.

        Raises
        ------
        UnchangedError
            If its ETag is `unless`.
        NotFoundError
            If the bucket has no such object.
        """
        path = quote(f"{self.endpoint.path.rstrip('/')}/{bucket}/{key}", safe="/~")
        headers = self.signed(path, datetime.now(UTC)) | ({"If-None-Match": f'"{unless}"'} if unless else {})
        for _ in range(_ATTEMPTS):  # the other side may have closed a kept connection
            try:
                connection = self._connection()
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                self._forget_connection()
                continue
            if answer.status == 304:
                raise UnchangedError(f"s3://{bucket}/{key} has not changed")
            if answer.status == 404 and b"<Code>NoSuchKey</Code>" in body:  # of the object, not of the bucket
                raise NotFoundError(f"s3://{bucket}/{key} does not exist")
            return (body, _item(key, answer, len(body))) if answer.status == 200 else None
        return None

    def signed(self, path: str, now: datetime) -> dict[str, str]:
        """Return the headers of a GET request for `path`, which is percent-encoded already.

        Signature Version 4 as AWS describes it ("Create a signed AWS API request", IAM User Guide); tests hold it against botocore's.
        """
        moment = now.strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": self.endpoint.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": moment}
        if self.token:
            headers["x-amz-security-token"] = self.token
        names = ";".join(headers)  # in alphabetical order, as they must be
        request = "\n".join(
            ["GET", path, "", *(f"{name}:{value}" for name, value in headers.items()), "", names, _EMPTY]
        )
        scope = f"{moment[:8]}/{self.region}/s3/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key = f"AWS4{self.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}".encode(), "sha256").hex()
        credential = f"Credential={self.access_key}/{scope}"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
        return headers

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            if self.endpoint.scheme == "https":
                import ssl

                context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
                connection = http.client.HTTPSConnection(self.endpoint.netloc, timeout=TIMEOUT_S, context=context)
            else:
                connection = http.client.HTTPConnection(self.endpoint.netloc, timeout=TIMEOUT_S)
            self._of_thread.connection = connection
        return connection

    def _forget_connection(self) -> None:
        connection = getattr(self._of_thread, "connection", None)
        if connection is not None:
            connection.close()
        self._of_thread.connection = None


def _item(key: str, answer: http.client.HTTPResponse, size: int) -> Item:
    modified = answer.headers["Last-Modified"]
    return Item(
        key,
        (answer.headers["ETag"] or "").strip('"'),
        size,
        {},
        answer.headers["x-amz-version-id"],
        parsedate_to_datetime(modified).timestamp() if modified else 0.0,
    )
