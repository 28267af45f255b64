"""The credential of the LocalStack that `p300 up` starts: created when it starts, readable only by its owner."""

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
    "If another checkout started it, export what `p300 env` prints there. If this one did, its key is lost or outdated: "
    "run `p300 down`, then start it again."
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
"""Error codes of a stack that does not accept the credential."""
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1", "localhost.localstack.cloud"}


@dataclass(frozen=True)
class Credential:
    """An access key ID and its secret."""

    access_key_id: str
    secret_access_key: str


def file_of(port: int) -> Path:
    """Return the file that holds the credential of the LocalStack on a port."""
    return STATE / "localstack" / str(port) / "credential.json"


def make(port: int) -> Path:
    """Write a new credential, or keep that of a LocalStack that `p300 down` did not stop; return the file."""
    path = file_of(port)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    if read(port) is None:
        # 20 characters, like AWS's; an ID with AWS's own prefix would name an account.
        made = Credential("P300" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30))
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(made), file)
        partial.rename(path)
    path.chmod(0o600)
    return path


def remove(port: int) -> None:
    """Delete the credential of a LocalStack that has stopped."""
    file_of(port).unlink(missing_ok=True)


def read(port: int) -> Credential | None:
    """Return the credential of the LocalStack on a port; None if this checkout has not started one there.

    Raises
    ------
    P300Error
        ``not_yours``: another user started it.
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
    """Return what to sign with at a local endpoint: the stack's own credential, else the exported one, else a dummy."""
    address = urlsplit(endpoint)
    own = read(address.port or 80) if address.hostname in _THIS_MACHINE else None
    exported = Credential(os.environ.get("AWS_ACCESS_KEY_ID", ""), os.environ.get("AWS_SECRET_ACCESS_KEY", ""))
    if own:
        return own
    return exported if exported.access_key_id and exported.secret_access_key else Credential("test", "test")


def mismatch(endpoint: str) -> str | None:
    """Return a warning if the exported keys are not this stack's; None if there is nothing to warn of."""
    exported = os.environ.get("AWS_ACCESS_KEY_ID")
    if not exported or os.environ.get("AWS_ENDPOINT_URL_S3"):  # then the keys belong to the other S3 server
        return None
    used = for_endpoint(endpoint)
    if exported == used.access_key_id:
        return None
    return (
        f"AWS_ACCESS_KEY_ID in this shell ({exported}) belongs to another or an earlier stack. This command uses the "
        f"stack's own key; for other programs, run again: export $(p300 env)"
    )
