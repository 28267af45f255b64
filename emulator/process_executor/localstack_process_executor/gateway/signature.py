"""Verifies AWS signatures: version 4 in the Authorization header, versions 4 and 2 in the query of a presigned S3 URL.

botocore computes each signature again from the request as it was received.
"""

import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import BinaryIO
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import HmacV1Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from werkzeug.datastructures import Headers

from .keyring import Keyring, Secret
from .refusal import Reason, Refusal

MAX_SKEW_S = 15 * 60
_MAX_PRESIGNED_S = 7 * 24 * 3600
_BLOCK_BYTES = 1 << 20
_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_SCOPE = r"(?P<key>[^/,\s]{1,128})/(?P<date>\d{8})/(?P<region>[a-z0-9-]*)/(?P<service>[a-z0-9-]+)/aws4_request"
_AUTHORIZATION = re.compile(
    rf"AWS4-HMAC-SHA256 +Credential={_SCOPE},\s*SignedHeaders=(?P<headers>[a-z0-9;._-]+),\s*"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_CREDENTIAL = re.compile(_SCOPE)
_HASH = re.compile("[0-9a-f]{64}")
_VERSION_2_QUERY = {"AWSAccessKeyId", "Signature", "Expires", "content-md5", "content-type", *HmacV1Auth.QSAOfInterest}


@dataclass(frozen=True)
class Wire:
    """A request as the client sent it.

    Attributes
    ----------
    target
        Path and query of the request line, still encoded.
    body
        Read from its current position, to which it is then reset.
    """

    method: str
    target: str
    headers: Headers
    body: BinaryIO

    @cached_property
    def path(self) -> str:
        """The path, still encoded."""
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        """The decoded query; if a name occurs twice, its last value."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @cached_property
    def body_sha256(self) -> str:
        """The body's hash."""
        begin, digest = self.body.tell(), sha256()
        while block := self.body.read(_BLOCK_BYTES):
            digest.update(block)
        self.body.seek(begin)
        return digest.hexdigest()


@dataclass(frozen=True)
class _Claim:
    """What a version 4 signature claims about itself."""

    key: str
    date: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str
    timestamp: str


def is_presigned(wire: Wire) -> bool:
    """Return whether a request carries a signature in its query."""
    return "X-Amz-Signature" in wire.query or {"Signature", "AWSAccessKeyId"} <= wire.query.keys()


def verify_header(wire: Wire, keyring: Keyring) -> Secret:
    """Verify the signature in the Authorization header; return the secret with which it was made.

    Raises
    ------
    Refusal
        If it is not a valid signature of this request, or too old.
    """
    found = wire.headers.getlist("Authorization")
    match = _AUTHORIZATION.fullmatch(found[0]) if len(found) == 1 else None
    if match is None:
        raise Refusal(Reason.BAD_SIGNATURE, "The Authorization header is not an AWS signature of version 4.")
    parts = match.groupdict()
    names = tuple(parts.pop("headers").split(";"))
    claim = _Claim(headers=names, timestamp=wire.headers.get("X-Amz-Date", ""), **parts)
    age_s = time.time() - _seconds(claim)
    if abs(age_s) > MAX_SKEW_S:
        where = "behind" if age_s > 0 else "ahead of"
        raise Refusal(Reason.SKEWED, f"The request's X-Amz-Date is {abs(age_s):.0f} s {where} this machine's clock.")
    secret = _verify(wire, claim, keyring, wire.target, lambda: wire.body_sha256)
    # The signature covers this header, which may also say that the body was not signed (UNSIGNED-PAYLOAD).
    claimed = wire.headers.get("X-Amz-Content-SHA256", "")
    if _HASH.fullmatch(claimed) and claimed != wire.body_sha256:
        raise Refusal(Reason.BAD_SIGNATURE, "The body does not match the SHA-256 that the request has signed.")
    return secret


def verify_presigned(wire: Wire, keyring: Keyring) -> Secret:
    """Verify the signature of a presigned S3 URL; return the secret with which it was made.

    Raises
    ------
    Refusal
        If it is not a valid signature of this URL, or expired.
    """
    if "X-Amz-Signature" not in wire.query:
        return _verify_version_2(wire, keyring)
    query = wire.query
    match = _CREDENTIAL.fullmatch(query.get("X-Amz-Credential", ""))
    valid_s = query.get("X-Amz-Expires", "")
    if match is None or query.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" or not re.fullmatch(r"\d{1,6}", valid_s):
        raise Refusal(Reason.BAD_SIGNATURE, "The query is not an AWS signature of version 4.")
    claim = _Claim(
        headers=tuple(query.get("X-Amz-SignedHeaders", "").lower().split(";")),
        signature=query["X-Amz-Signature"],
        timestamp=query.get("X-Amz-Date", ""),
        **match.groupdict(),
    )
    if claim.service != "s3":
        raise Refusal(Reason.BAD_SIGNATURE, f"Only S3 URLs can be presigned here, not those of {claim.service}.")
    age_s = time.time() - _seconds(claim)
    if age_s < -MAX_SKEW_S or age_s > min(int(valid_s), _MAX_PRESIGNED_S):
        raise Refusal(Reason.EXPIRED, "The presigned URL has expired, or is not valid yet.")
    pairs = wire.target.partition("?")[2].split("&")
    signed = "&".join(pair for pair in pairs if not pair.startswith("X-Amz-Signature="))
    return _verify(wire, claim, keyring, f"{wire.path}?{signed}", lambda: "UNSIGNED-PAYLOAD")


def _verify(wire: Wire, claim: _Claim, keyring: Keyring, target: str, payload: Callable[[], str]) -> Secret:
    unsigned = {name.lower() for name in wire.headers.keys() if name.lower().startswith("x-amz-")} - {*claim.headers}  # noqa: SIM118
    if "host" not in claim.headers or unsigned:
        names = ", ".join(sorted(unsigned)) or "host"
        raise Refusal(Reason.BAD_SIGNATURE, f"The signature does not cover these headers: {names}.")
    request = AWSRequest(method=wire.method, url=f"http://localhost{target}")
    for name in claim.headers:
        for value in wire.headers.getlist(name):
            request.headers[name] = value
    request.context["timestamp"] = claim.timestamp
    string_to_sign = ""
    for secret in keyring.secrets(claim.key):
        signer = _Signer(Credentials(claim.key, secret.value), claim, payload)
        string_to_sign = string_to_sign or signer.string_to_sign(request, signer.canonical_request(request))
        if hmac.compare_digest(signer.signature(string_to_sign, request), claim.signature):
            return secret
    raise _mismatch(claim.key, keyring)


def _mismatch(access_key_id: str, keyring: Keyring) -> Refusal:
    if not keyring.is_owners(access_key_id):
        return Refusal(Reason.UNKNOWN_KEY, f"This stack does not know the access key {access_key_id[:24]}.")
    return Refusal(
        Reason.BAD_SIGNATURE,
        "The signature does not match: it was made with a different secret key or for a different request.",
    )


def _seconds(claim: _Claim) -> float:
    try:
        when = datetime.strptime(claim.timestamp, _TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        problem = "X-Amz-Date is missing or is not a time such as 20260131T235959Z."
        raise Refusal(Reason.BAD_SIGNATURE, problem) from None
    if claim.timestamp[:8] != claim.date:
        raise Refusal(Reason.BAD_SIGNATURE, "X-Amz-Date is not on the same day as the signature's credential.")
    return when.timestamp()


class _Signer(SigV4Auth):  # type: ignore[misc]
    """Computes the signature that a client with this claim would have computed."""

    def __init__(self, credentials: Credentials, claim: _Claim, payload: Callable[[], str]):
        super().__init__(credentials, claim.service, claim.region)
        self._claim = claim
        self._payload = payload

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        return request.headers

    def signed_headers(self, headers_to_sign: HTTPHeaders) -> str:
        return ";".join(self._claim.headers)

    def payload(self, request: AWSRequest) -> str:
        return self._payload()

    def _normalize_url_path(self, path: str) -> str:
        return path if self._claim.service == "s3" else str(super()._normalize_url_path(path))


class _Version2(HmacV1Auth):  # type: ignore[misc]
    def __init__(self, credentials: Credentials, expires: str):
        super().__init__(credentials)
        self._expires = expires

    def _get_date(self) -> str:
        return self._expires


def _verify_version_2(wire: Wire, keyring: Keyring) -> Secret:
    query = wire.query
    key, expires = query["AWSAccessKeyId"], query.get("Expires", "")
    if not re.fullmatch(r"\d{1,12}", expires) or int(expires) < time.time():
        raise Refusal(Reason.EXPIRED, "The presigned URL has expired, or has no Expires.")
    if unsigned := [name for name in query if name not in _VERSION_2_QUERY and not name.startswith("x-amz-")]:
        names = ", ".join(unsigned)[:100]
        raise Refusal(Reason.BAD_SIGNATURE, f"The signature does not cover these parameters: {names}.")
    headers = HTTPHeaders()
    for source in (wire.headers.items(), query.items()):  # the header that was signed is in the query
        for name, value in source:
            if name.lower().startswith("x-amz-") or name.lower() in {"content-md5", "content-type"}:
                headers[name.lower()] = value
    for secret in keyring.secrets(key):
        signer = _Version2(Credentials(key, secret.value), expires)
        text = signer.canonical_string(wire.method, urlsplit(f"http://localhost{wire.target}"), headers)
        if hmac.compare_digest(signer.sign_string(text).encode(), query["Signature"].encode()):
            return secret
    raise _mismatch(key, keyring)
