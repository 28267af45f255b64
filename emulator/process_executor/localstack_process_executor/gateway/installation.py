"""Installs the guard while LocalStack starts."""

import functools
import sys

from localstack import constants
from localstack.aws import handlers
from localstack.runtime import get_current_runtime

from .. import repairs
from ..settings import settings
from .guard import Guard
from .keyring import Keyring

keyring: Keyring
"""The secrets of this LocalStack, once installed."""


def install() -> None:
    """Guard the gateway, before it listens."""
    from . import listening  # Twisted's server, which is loaded only when LocalStack runs

    global keyring  # noqa: PLW0603 -- there is one LocalStack in a process
    options = settings()
    keyring = Keyring(options.credential)
    _sign_internal_calls_with(keyring.internal_secret)
    guard = Guard(keyring, is_open=options.is_open, hint=options.credential_hint)
    chain = get_current_runtime().components.gateway.request_handlers
    chain.insert(0, guard)
    rules = repairs.original(handlers, "serve_edge_router_rules")
    if rules not in chain:
        raise repairs.RepairError("the gateway's handlers do not include serve_edge_router_rules")
    chain.insert(chain.index(rules) + 1, guard.stop_unserved_api_request)
    _give_sessions_secrets_of(keyring)
    listening.install()


def _sign_internal_calls_with(secret: str) -> None:
    """Replace the publicly known secret with which LocalStack's services sign their calls to each other."""
    published = repairs.original(constants, "INTERNAL_AWS_SECRET_ACCESS_KEY")
    for name, module in list(sys.modules.items()):
        if name.startswith("localstack.") and getattr(module, "INTERNAL_AWS_SECRET_ACCESS_KEY", None) == published:
            module.INTERNAL_AWS_SECRET_ACCESS_KEY = secret  # type: ignore[attr-defined]


def _give_sessions_secrets_of(keys: Keyring) -> None:
    """Let STS issue secrets that the keyring knows."""
    from moto.sts.models import AssumedRole

    parameters = (
        "self", "account_id", "region_name", "access_key", "role_session_name", "role_arn", "policy", "duration",
        "external_id",
    )  # fmt: skip
    make = repairs.original(AssumedRole, "__init__", parameters=parameters)

    @functools.wraps(make)
    def make_with_secret(role: AssumedRole, *args: object, **named: object) -> None:
        make(role, *args, **named)
        role.secret_access_key = role.access_key.secret_access_key = keys.session_secret(role.access_key_id)

    repairs.replace(AssumedRole, "__init__", lambda _usual: make_with_secret)
