"""Requests for the tests of the gateway's guard: made and signed as clients do, and given to a guard alone."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import quote, unquote_to_bytes, urlsplit

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import settings
from hypothesis import strategies as st
from localstack.aws.api import RequestContext
from localstack.http import Response
from rolo.gateway import HandlerChain
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request

from localstack_process_executor.gateway.guard import Guard
from localstack_process_executor.gateway.keyring import Credential, Keyring

OWNER = Credential("P300OWNERSKEY", "o" * 40)
HOST = "localhost:4566"
MARK = "x-localstack-data"
API = "/_aws/execute-api/abc123/v1/predict"
many = settings(max_examples=300, deadline=None)


@dataclass(frozen=True)
class Sent:
    """A request as it is received."""

    method: str = "GET"
    target: str = "/"
    headers: tuple[tuple[str, str], ...] = (("Host", HOST),)
    body: bytes = b""

    def having(self, **headers: str) -> "Sent":
        """Return the request with other headers, whose names are written with underscores."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = [(name, value) for name, value in self.headers if name.lower() not in {n.lower() for n in names}]
        return replace(self, headers=(*kept, *names.items()))


@dataclass
class Seen:
    """The guard's decision on a request."""

    response: Response
    context: RequestContext
    admitted: bool
    message: str = field(init=False)

    def __post_init__(self) -> None:
        self.message = self.response.data.decode("utf-8", "replace")


def show(sent: Sent, keyring: Keyring | None = None, *, is_open: bool = False) -> Seen:
    """Pass a request to a guard, as LocalStack's server would."""
    path, _, query = sent.target.partition("?")
    environ = {
        "REQUEST_METHOD": sent.method,
        "RAW_URI": sent.target,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "4566",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(sent.body),
    }
    request = Request(environ)
    request.headers = Headers(list(sent.headers))
    passed: list[object] = []
    checked = Guard(keyring or Keyring(OWNER), is_open=is_open, hint="Do this first.")
    chain: HandlerChain[RequestContext] = HandlerChain([checked, lambda *_: passed.append(True)])
    context, response = RequestContext(request), Response()  # type: ignore[arg-type]
    chain.handle(context, response)
    assert environ["wsgi.input"].tell() == 0  # type: ignore[attr-defined]  # the service reads the body from its start
    return Seen(response, context, bool(passed))


def sign(
    sent: Sent,
    key: Credential = OWNER,
    *,
    service: str = "sqs",
    when: datetime | None = None,
    headers: Mapping[str, str] | None = None,
) -> Sent:
    """Sign a request with botocore's own client code."""
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    request = AWSRequest(sent.method, f"http://{HOST}{sent.target}", dict(headers or {}), sent.body)
    request.context["signing"] = {}
    with pytest.MonkeyPatch.context() as patch:
        if when:
            patch.setattr("botocore.auth.get_current_datetime", lambda: when)
        signer(Credentials(key.access_key_id, key.secret_access_key), service, "us-east-1").add_auth(request)
    return replace(sent, headers=(("Host", HOST), *request.headers.items()))


def presign(sent: Sent, signer: type = S3SigV4QueryAuth, *, service: str = "s3", expires: int = 60) -> Sent:
    """Sign a URL with botocore's own client code."""
    request = AWSRequest(sent.method, f"http://{HOST}{sent.target}")
    credentials = Credentials(OWNER.access_key_id, OWNER.secret_access_key)
    if signer is HmacV1QueryAuth:
        signer(credentials, expires=expires).add_auth(request)
    else:
        signer(credentials, service, "us-east-1", expires=expires).add_auth(request)
    url = urlsplit(request.url)
    return replace(sent, target=f"{url.path}?{url.query}")


segments = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
paths = st.lists(segments, min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(quote(part, safe="~") for part in parts)
)
queries = st.dictionaries(segments, segments, max_size=3).map(
    lambda pairs: "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs.items())
)
requests = st.builds(
    lambda method, path, query, body: Sent(method, path + ("?" + query if query else ""), body=body),
    st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS"]),
    paths,
    queries,
    st.binary(max_size=200),
)
