"""Refuses Lambda requests that are larger than AWS allows, which LocalStack itself accepts.

Limits: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from localstack.aws import handlers
from localstack.aws.api import RequestContext
from localstack.services.lambda_.invocation.lambda_models import RequestEntityTooLargeException

from . import repairs

_MAX_REQUEST_BYTES = 6 * 1024 * 1024
_MAX_EVENT_BYTES = 1024 * 1024


def install() -> None:
    """Check every Invoke request, including those from other LocalStack services."""
    repairs.original(handlers, "serve_custom_service_request_handlers").append(refuse_large_payloads)


def refuse_large_payloads(chain: object, context: RequestContext, response: object) -> None:
    """Check one request, as a handler of LocalStack's request chain.

    Raises
    ------
    RequestEntityTooLargeException
        If an Invoke request's payload is too large for its kind of invocation.
    """
    if context.service_operation != ("lambda", "Invoke"):
        return
    size = context.request.content_length or 0
    if size > _MAX_REQUEST_BYTES:
        raise RequestEntityTooLargeException(
            f"Request must be smaller than {_MAX_REQUEST_BYTES} bytes for the InvokeFunction operation"
        )
    if size > _MAX_EVENT_BYTES and context.request.headers.get("X-Amz-Invocation-Type") == "Event":
        raise RequestEntityTooLargeException(
            f"{size} byte payload is too large for the Event invocation type (limit {_MAX_EVENT_BYTES} bytes)"
        )
