"""A refused request, and the answer to it in a form that the AWS client at the other end understands."""

import json
import re
from enum import Enum
from http import HTTPStatus
from xml.sax.saxutils import escape  # nosec B406

import cbor2
from werkzeug.wrappers import Request

_SCOPE_SERVICE = re.compile(r"Credential=[^/,\s]*/\d*/[^/,\s]*/([a-z0-9-]+)/aws4_request")
_JSON_PATHS = ("/2015-03-31/", "/restapis", "/_localstack/", "/_aws/")
_S3_SERVICES = {"", "s3", "s3-object-lambda"}
_XML_SERVICES = {"route53", "cloudfront"}


class Reason(Enum):
    """Why a request is refused: AWS's error codes for S3, for JSON services, and for the Query protocol."""

    NOT_SIGNED = ("AccessDenied", "MissingAuthenticationTokenException", "MissingAuthenticationToken")
    UNKNOWN_KEY = ("InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId")
    BAD_SIGNATURE = ("SignatureDoesNotMatch", "InvalidSignatureException", "SignatureDoesNotMatch")
    SKEWED = ("RequestTimeTooSkewed", "InvalidSignatureException", "SignatureDoesNotMatch")
    EXPIRED = ("AccessDenied", "ExpiredTokenException", "RequestExpired")
    FOREIGN = ("AccessDenied", "AccessDeniedException", "AccessDenied")


CREDENTIAL_HELPS = {Reason.NOT_SIGNED, Reason.UNKNOWN_KEY, Reason.BAD_SIGNATURE}


class Refusal(Exception):  # noqa: N818 -- an answer, not an error of ours
    """A request that must not reach LocalStack."""

    def __init__(self, reason: Reason, message: str):
        super().__init__(message)
        self.reason = reason
        self.message = message


def answer(request: Request, refusal: Refusal) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a refusal, based only on the request's headers and address."""
    s3_code, json_code, query_code = refusal.reason.value
    message = refusal.message
    form, headers, body = _form(request), {}, b""
    if form == "s3":
        headers["Content-Type"] = "application/xml"
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{_xml(s3_code, message)}</Error>'.encode()
    elif form == "query":
        headers["Content-Type"] = "text/xml"
        body = (
            f"<ErrorResponse><Error><Type>Sender</Type>{_xml(query_code, message)}</Error>"
            "<RequestId>refused-by-gateway</RequestId></ErrorResponse>"
        ).encode()
    elif form == "cbor":
        headers |= {"Content-Type": "application/cbor", "Smithy-Protocol": "rpc-v2-cbor"}
        body = cbor2.dumps({"__type": json_code, "message": message})
    else:
        headers |= {"Content-Type": "application/json", "x-amzn-ErrorType": json_code}
        body = json.dumps({"__type": json_code, "message": message}).encode()
    return HTTPStatus.FORBIDDEN, headers, body


def _xml(code: str, message: str) -> str:
    return f"<Code>{code}</Code><Message>{escape(message)}</Message>"


def _form(request: Request) -> str:
    headers = request.headers
    if headers.get("Smithy-Protocol") == "rpc-v2-cbor":
        return "cbor"
    media_type = headers.get("Content-Type", "").lower()
    if "X-Amz-Target" in headers or media_type.startswith("application/x-amz-json"):
        return "json"
    if media_type.startswith("application/x-www-form-urlencoded") or "Action" in request.args:
        return "query"
    scope = _SCOPE_SERVICE.search(headers.get("Authorization", ""))
    service = scope[1] if scope else ""
    if service in _XML_SERVICES:
        return "query"
    if service in _S3_SERVICES and not request.path.startswith(_JSON_PATHS):
        return "s3"
    return "json"
