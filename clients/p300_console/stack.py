"""The stack as the console sees it: found again after it was down; a missing stack never stops the console."""

import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from p300_client import credential
from p300_client.api import Api
from p300_client.target import STACK, NoStackError, Target
from p300_pipeline.registry import Registry
from p300_pipeline.storage import NoBucketError, Store

# A user is waiting for the page: a banner after two seconds is better than an answer after a minute.
PATIENCE = {
    "connect_timeout": 2,
    "read_timeout": 20,
    "retries": {"mode": "standard", "total_max_attempts": 2},
    "max_pool_connections": 32,
}
# Error codes of a service that runs without the stack, such as LocalStack after a restart.
_GONE = {"StateMachineDoesNotExist", "ResourceNotFoundException", "503", "ServiceUnavailable"}
_REFUSED = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "UnrecognizedClientException",
}


class Stack:
    """Clients and names of the stack on one target.

    Parameters
    ----------
    target : Target
        Where it runs.
    """

    def __init__(self, target: Target) -> None:
        self._endpoint = target.endpoint
        self._lock = threading.Lock()
        self._target = self._fresh()

    def _fresh(self) -> Target:
        return Target(self._endpoint, dict(PATIENCE))

    def __str__(self) -> str:
        return str(self._target)

    @property
    def name(self) -> str:
        """Name of the stack."""
        return STACK

    @property
    def is_local(self) -> bool:
        """Whether it is on LocalStack."""
        return self._target.is_local

    @property
    def target(self) -> Target:
        """The target; its outputs are those of the current stack."""
        return self._target

    def forget(self) -> None:
        """Look for the stack again on the next access: names and addresses may have changed while it was down."""
        with self._lock:
            self._target = self._fresh()

    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        with self._lock:  # creating clients is not thread-safe
            return self._target.client(service)

    def output(self, name: str) -> str:
        """Return one of the stack's outputs.

        Raises
        ------
        NoStackError
            If there is no stack, or it is being deployed and has no outputs yet.
        """
        target = self._target
        if "outputs" not in target.__dict__:
            self.client("cloudformation")
        try:
            return target.outputs[name]
        except KeyError:
            self.forget()
            raise NoStackError(
                "incomplete", f"The stack {STACK!r} on {self} is being deployed, or is not a P300 pipeline."
            ) from None

    @property
    def machines(self) -> dict[str, str]:
        """ARNs of the state machines, by their names in the console."""
        return {"pipeline": self.output("StateMachineArn"), "backfill": self.output("BackfillStateMachineArn")}

    @property
    def store(self) -> Store:
        """S3 access."""
        return Store(self.client("s3"))

    @property
    def registry(self) -> Registry:
        """The model registry."""
        return Registry(self.store, self.output("ModelsBucketName"))

    @property
    def api(self) -> Api:
        """The prediction API."""
        self.client("apigateway")
        return Api(self._target)


def outage(error: BaseException, stack: Stack) -> str | None:
    """Return a message for an error that means that the stack is unavailable; None for any other error."""
    if isinstance(error, NoStackError | NoBucketError):
        return error.message
    if isinstance(error, ClientError):
        return _answered(error, stack)
    if isinstance(error, BotoCoreError):
        advice = " `p300 up` starts it." if stack.is_local else ""
        return f"{stack} does not answer.{advice}"
    return None


def _answered(error: ClientError, stack: Stack) -> str | None:
    code = error.response["Error"]["Code"]
    if stack.is_local and code in credential.REFUSALS:
        return f"{stack} no longer accepts the console's key. It was restarted, or another LocalStack runs there."
    if code in _REFUSED:
        return f"{stack} refused: {error}. The console uses your credentials (AWS_PROFILE or AWS_ACCESS_KEY_ID)."
    if "Throttl" in code or code == "TooManyRequestsException":
        return f"{stack} is throttling requests ({code})."
    if code in _GONE or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 503:
        return f"{stack} answers, but the stack {stack.name!r} is gone or has changed ({error}). `p300 deploy` restores it."
    return None
