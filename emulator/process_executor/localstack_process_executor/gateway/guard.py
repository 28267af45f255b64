"""The first handler in LocalStack's chain: requests that it refuses never reach a service of LocalStack.

These need no signature: APIs of API Gateway under `/_aws/execute-api/` (which check their own keys), presigned S3 URLs,
and `GET /_localstack/health`. All other requests must be signed, including those to LocalStack's own paths and to other
addresses of an API. A web page from another site is refused, except when it calls an API with an API key.
"""

import logging
import re
from http import HTTPStatus
from typing import BinaryIO, cast

from localstack.aws.api import RequestContext
from localstack.aws.connect import INTERNAL_REQUEST_PARAMS_HEADER
from localstack.aws.spec import get_service_catalog
from rolo import Response
from rolo.gateway import HandlerChain
from werkzeug.wrappers import Request

from .keyring import Holder, Keyring
from .origin import host_name, is_cross_site, is_plain
from .refusal import CREDENTIAL_HELPS, Reason, Refusal, answer
from .signature import Wire, is_presigned, verify_header, verify_presigned

LOG = logging.getLogger(__name__)
type Chain = HandlerChain[RequestContext]
_TARGET = re.compile(r"/[!-\"$-~]*")
_API = "/_aws/execute-api/"
_HEALTH = "/_localstack/health"
_ONLY_API = "guard_only_api"
_NO_SERVICE = "/_"
"""Prefix of LocalStack's own paths; no bucket's name begins with it."""


class Guard:
    """Admits requests or refuses them.

    Parameters
    ----------
    keyring
        Whose signatures are accepted.
    is_open
        Any signature will do, as in LocalStack itself. There has to be one still: no page can add that to a request.
    hint
        What to add to the refusal when the credential is missing or wrong.
    """

    def __init__(self, keyring: Keyring, *, is_open: bool = False, hint: str = ""):
        self._keyring = keyring
        self._is_open = is_open
        self._hint = hint

    def __call__(self, chain: Chain, context: RequestContext, response: Response) -> None:
        """Check one request before anything else handles it."""
        request = context.request
        try:
            self._admit(request, context)
        except Refusal as refusal:
            hint = f" {self._hint}" if self._hint and refusal.reason in CREDENTIAL_HELPS else ""
            _refuse(chain, request, response, Refusal(refusal.reason, refusal.message + hint))
        except Exception:  # a request that breaks this code must not get in
            LOG.exception("A request could not be examined and is refused.")
            _refuse(chain, request, response, Refusal(Reason.BAD_SIGNATURE, "The request cannot be understood."))

    def stop_unserved_api_request(self, chain: Chain, context: RequestContext, response: Response) -> None:
        """Refuse a request that was admitted as one to an API but not served as one: services must not see it."""
        if context.get(_ONLY_API):
            _refuse(chain, context.request, response, Refusal(Reason.NOT_SIGNED, "There is no such API."))
            response.status_code = HTTPStatus.NOT_FOUND

    def _admit(self, request: Request, context: RequestContext) -> None:
        wire = _wire(request)
        name = host_name(wire.headers)
        if request.method == "WEBSOCKET" or "websocket" in wire.headers.get("Upgrade", "").lower():
            raise Refusal(Reason.FOREIGN, "WebSockets are not served.")
        holder = None
        cross_site = is_cross_site(wire.headers)
        if is_plain(name) and wire.path.startswith(_API) and request.path.startswith(_API):
            # For a page from another site, a browser sends this header only if the API has agreed to it.
            if cross_site and not (request.method == "OPTIONS" or "X-Api-Key" in wire.headers):
                raise Refusal(Reason.FOREIGN, "A web page from another site must send an API key.")
            setattr(context, _ONLY_API, True)
        elif cross_site:
            raise Refusal(Reason.FOREIGN, "A web page from another site must not use this stack.")
        elif not (wire.target == _HEALTH and request.method in {"GET", "HEAD"}):
            holder = self._holder(wire, name, context)
        if holder is not Holder.INTERNAL:
            request.headers.pop(INTERNAL_REQUEST_PARAMS_HEADER, None)

    def _holder(self, wire: Wire, name: str, context: RequestContext) -> Holder | None:
        """Return who signed the request; None if no signature is needed."""
        presigned = is_presigned(wire)
        if "Authorization" in wire.headers and not presigned:
            if self._is_open and INTERNAL_REQUEST_PARAMS_HEADER not in wire.headers:
                return None
            try:
                return verify_header(wire, self._keyring).holder
            except Refusal:
                if self._is_open:
                    return None
                raise
        if not presigned or "Authorization" in wire.headers:
            raise Refusal(Reason.NOT_SIGNED, "The request is not signed.")
        if wire.path.startswith(_NO_SERVICE) or not (is_plain(name) or ".s3." in f".{name}"):
            raise Refusal(Reason.NOT_SIGNED, "Only S3 URLs can be presigned.")
        if not self._is_open:
            verify_presigned(wire, self._keyring)
        # LocalStack infers the service from parts of the request that the signature of a presigned URL does not cover.
        context.service = get_service_catalog().get("s3")
        return None


def _wire(request: Request) -> Wire:
    target = request.environ.get("RAW_URI", "")
    if not _TARGET.fullmatch(target):
        raise Refusal(Reason.BAD_SIGNATURE, "The request's target must be a path in plain ASCII.")
    stream = request.environ["wsgi.input"]
    # Twisted hands out the whole body, in memory or in a file, behind an object that cannot go back to its beginning.
    body = cast(BinaryIO, getattr(stream, "_wrapped", stream))
    return Wire(request.method, target, request.headers, body)


def _refuse(chain: Chain, request: Request, response: Response, refusal: Refusal) -> None:
    LOG.info("Refused %r %.300r: %s", request.method, request.environ.get("RAW_URI"), refusal.message)
    response.status_code, headers, body = answer(request, refusal)
    response.headers.update(headers)
    response.data = b"" if request.method == "HEAD" else body
    chain.terminate()  # later handlers would allow pages from other sites to read the answer
