"""Read the settings from the environment of the LocalStack process, and check the functions' interpreter."""

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from . import bootstrap
from .gateway.keyring import Credential

PYTHON_VARIABLE = "LAMBDA_PROCESS_PYTHON"
INIT_TIMEOUT_VARIABLE = "LAMBDA_PROCESS_INIT_TIMEOUT"
MAX_ENVIRONMENTS_VARIABLE = "LAMBDA_PROCESS_MAX_ENVIRONMENTS"
CONFINEMENT_VARIABLE = "LAMBDA_PROCESS_SANDBOX"
BACKGROUND_VARIABLE = "LAMBDA_PROCESS_BACKGROUND"
CREDENTIAL_VARIABLE = "GATEWAY_GUARD_CREDENTIAL"
OPEN_VARIABLE = "GATEWAY_GUARD_OPEN"
HINT_VARIABLE = "GATEWAY_GUARD_HINT"
_LAMBDA_INIT_TIMEOUT_S = 10.0
_PROBE = "import platform, awslambdaric; print(platform.python_version())"


class SettingsError(ValueError):
    """A setting is missing or cannot be used."""


@dataclass(frozen=True)
class Settings:
    """The executor's settings, besides LocalStack's own configuration."""

    python: Path
    python_version: str
    init_timeout_s: float
    max_environments: int
    background: frozenset[str]
    landlock: bool
    credential: Credential | None
    credential_hint: str

    @property
    def is_open(self) -> bool:
        """Whether the gateway accepts any key."""
        return self.credential is None


@cache
def settings() -> Settings:
    """Read the settings once.

    Raises
    ------
    SettingsError
        If one is missing or cannot be used.
    """
    python = Path(os.environ.get(PYTHON_VARIABLE) or _missing())
    return Settings(
        python,
        _python_version(python),
        init_timeout_s=float(os.environ.get(INIT_TIMEOUT_VARIABLE) or _LAMBDA_INIT_TIMEOUT_S),
        max_environments=int(os.environ.get(MAX_ENVIRONMENTS_VARIABLE) or 0),
        background=frozenset(os.environ.get(BACKGROUND_VARIABLE, "").split(",")) - {""},
        landlock=_landlock(),
        credential=_credential(),
        credential_hint=os.environ.get(HINT_VARIABLE, ""),
    )


def _missing() -> str:
    raise SettingsError(
        f"{PYTHON_VARIABLE} is not set. "
        "It must be the Python interpreter of an environment that holds awslambdaric and boto3."
    )


def _python_version(python: Path) -> str:
    try:
        # -I: the result must not depend on PYTHONPATH or the current directory.
        probe = subprocess.run([python, "-I", "-c", _PROBE], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().rpartition("\n")[2]
        raise SettingsError(
            f"{PYTHON_VARIABLE}={python} cannot run Lambda functions: {reason}. "
            "It must be the Python interpreter of an environment that holds awslambdaric and boto3."
        ) from error
    return probe.stdout.strip()


def _landlock() -> bool:
    chosen = os.environ.get(CONFINEMENT_VARIABLE) or "auto"
    if chosen not in {"auto", "landlock", "none"}:
        raise SettingsError(f"{CONFINEMENT_VARIABLE}={chosen}; expected landlock, none or auto.")
    offered = bootstrap.landlock_version() > 0
    if chosen == "landlock" and not offered:
        raise SettingsError(
            f"{CONFINEMENT_VARIABLE}=landlock, but this kernel does not offer Landlock. Set it to none."
        )
    return offered and chosen != "none"


def _credential() -> Credential | None:
    path = os.environ.get(CREDENTIAL_VARIABLE)
    if os.environ.get(OPEN_VARIABLE) == "1":
        return None
    if not path:
        raise SettingsError(
            f"{CREDENTIAL_VARIABLE} is not set. It must name a JSON file with access_key_id and secret_access_key, "
            f"which only you may read (mode 0600). {OPEN_VARIABLE}=1 instead takes any key."
        )
    try:
        return Credential.read(Path(path))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{CREDENTIAL_VARIABLE}={path} cannot be used: {error}") from error
