"""The secrets whose signatures the gateway accepts."""

import hmac
import json
import secrets
import stat
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

_SHORTEST_SECRET = 20


class Holder(Enum):
    """Who signs with a secret."""

    OWNER = auto()
    """Anyone who can read the stack's credential."""
    SESSION = auto()
    """A caller that has assumed a role, such as a function."""
    INTERNAL = auto()
    """LocalStack itself: its services call each other through the gateway, under any access key ID."""


@dataclass(frozen=True)
class Secret:
    """A secret access key, and who holds it."""

    holder: Holder
    value: str


@dataclass(frozen=True)
class Credential:
    """The stack's own credential."""

    access_key_id: str
    secret_access_key: str

    @classmethod
    def read(cls, path: Path) -> "Credential":
        """Read a credential from a JSON file that only its owner may read.

        Raises
        ------
        ValueError
            If other users may read the file, or it is not a credential.
        OSError
            If it cannot be read.
        """
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ValueError(f"Other users can read or change {path}; expected mode 0600. Create a new credential.")
        found = json.loads(path.read_text())
        pair = (found.get("access_key_id"), found.get("secret_access_key")) if isinstance(found, dict) else ("", "")
        key_id, secret = (part if isinstance(part, str) else "" for part in pair)
        if not key_id or len(secret) < _SHORTEST_SECRET:
            raise ValueError(f"{path} holds no access_key_id with a secret_access_key of 20 characters or more.")
        return cls(key_id, secret)


class Keyring:
    """All secrets of one LocalStack.

    Attributes
    ----------
    internal_secret : str
        What LocalStack's own clients sign with; it never leaves the process.
    """

    def __init__(self, owner: Credential | None):
        self._owner = owner
        self.internal_secret = secrets.token_urlsafe(32)
        self._session_master = secrets.token_bytes(32)
        self._ended: set[str] = set()

    def session_secret(self, access_key_id: str) -> str:
        """Return the secret of a session, which STS issues with its access key ID.

        Sessions do not expire: LocalStack's services keep the clients of roles that they have assumed. The secret is
        derived from the ID, so that it need not be stored.
        """
        return hmac.digest(self._session_master, access_key_id.encode(), "sha256").hex()

    def end_session(self, access_key_id: str) -> None:
        """Stop accepting this session's signatures."""
        self._ended.add(access_key_id)

    def secrets(self, access_key_id: str) -> list[Secret]:
        """Return the secrets with which a signature under this access key ID may have been made."""
        found = [Secret(Holder.INTERNAL, self.internal_secret)]
        if access_key_id not in self._ended:
            found.insert(0, Secret(Holder.SESSION, self.session_secret(access_key_id)))
        if self._owner and self._owner.access_key_id == access_key_id:
            found.insert(0, Secret(Holder.OWNER, self._owner.secret_access_key))
        return found

    def is_owners(self, access_key_id: str) -> bool:
        """Return whether this is the access key ID of the stack's own credential."""
        return self._owner is not None and self._owner.access_key_id == access_key_id
