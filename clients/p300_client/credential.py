"""The credential of the LocalStack that `p300 up` starts: made at its start, kept where only its owner can read it."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from p300.errors import P300Error

from p300_client.paths import STATE

HINT = "First run: export $(p300 env)"
ADVICE = (
    "If another checkout started it, export what `p300 env` prints there. If this one did, the key that it made is lost or old: "
    "`p300 down`, then start it again."
)
REFUSALS = {
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
"""Codes with which a stack answers that does not accept the credential."""
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1", "localhost.localstack.cloud"}


@dataclass(frozen=True)
class Credential:
    """An access key ID and its secret."""

    access_key_id: str
    secret_access_key: str


def file_of(port: int) -> Path:
    """Return where the credential of the LocalStack on a port is kept."""
    return STATE / "localstack" / str(port) / "credential.json"


def make(port: int) -> Path:
    """Write a new credential, or keep the one of a LocalStack that did not end by `p300 down`; return the file."""
    path = file_of(port)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    if read(port) is None:
        # 20 characters, as AWS's; an ID that began as AWS's do would name an account.
        made = Credential("P300" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30))
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(made), file)
        partial.rename(path)
    path.chmod(0o600)
    return path


def remove(port: int) -> None:
    """Forget the credential of a LocalStack that has ended."""
    file_of(port).unlink(missing_ok=True)


def read(port: int) -> Credential | None:
    """Return the credential of the LocalStack on a port; None if this checkout has started none there.

    Raises
    ------
    P300Error
        ``not_yours``: another user has started it.
    """
    path = file_of(port)
    try:
        return Credential(**json.loads(path.read_text()))
    except PermissionError as error:
        raise P300Error(
            "not_yours", f"{path} belongs to another user, and so does the stack on port {port}."
        ) from error
    except (FileNotFoundError, ValueError, TypeError):
        return None


def for_endpoint(endpoint: str) -> Credential:
    """Return what to sign with at a local endpoint: the stack's own credential, else the exported one, else anything."""
    address = urlsplit(endpoint)
    own = read(address.port or 80) if address.hostname in _THIS_MACHINE else None
    exported = Credential(os.environ.get("AWS_ACCESS_KEY_ID", ""), os.environ.get("AWS_SECRET_ACCESS_KEY", ""))
    if own:
        return own
    return exported if exported.access_key_id and exported.secret_access_key else Credential("test", "test")


def mismatch(endpoint: str) -> str | None:
    """Return what to tell about exported keys that are not this stack's; None where there is nothing to tell."""
    exported = os.environ.get("AWS_ACCESS_KEY_ID")
    if not exported or os.environ.get("AWS_ENDPOINT_URL_S3"):  # then the keys are the other storage's
        return None
    used = for_endpoint(endpoint)
    if exported == used.access_key_id:
        return None
    return (
        f"AWS_ACCESS_KEY_ID in this shell ({exported}) belongs to another or an earlier stack; this command uses the "
        f"stack's own key. For other programs, run again: export $(p300 env)"
    )
