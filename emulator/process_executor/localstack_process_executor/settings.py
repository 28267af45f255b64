"""The settings, read from the environment of the LocalStack process, and the check of the functions' interpreter."""

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PYTHON_VARIABLE = "LAMBDA_PROCESS_PYTHON"
INIT_TIMEOUT_VARIABLE = "LAMBDA_PROCESS_INIT_TIMEOUT"
MAX_ENVIRONMENTS_VARIABLE = "LAMBDA_PROCESS_MAX_ENVIRONMENTS"
_LAMBDA_INIT_TIMEOUT_S = 10.0
_PROBE = "import platform, awslambdaric; print(platform.python_version())"


class SettingsError(ValueError):
    """A setting is missing or cannot be used."""


@dataclass(frozen=True)
class Settings:
    """What the executor needs to know besides LocalStack's own configuration."""

    python: Path
    python_version: str
    init_timeout_s: float
    max_environments: int = 0


@cache
def settings() -> Settings:
    """Read the settings once.

    Raises
    ------
    SettingsError
        If the interpreter for the functions is missing or lacks AWS's runtime client.
    """
    python = Path(os.environ.get(PYTHON_VARIABLE) or _missing())
    init_timeout_s = float(os.environ.get(INIT_TIMEOUT_VARIABLE) or _LAMBDA_INIT_TIMEOUT_S)
    max_environments = int(os.environ.get(MAX_ENVIRONMENTS_VARIABLE) or 0)
    return Settings(python, _python_version(python), init_timeout_s, max_environments)


def _missing() -> str:
    raise SettingsError(
        f"{PYTHON_VARIABLE} is not set. "
        "It must be the Python interpreter of an environment that holds awslambdaric and boto3."
    )


def _python_version(python: Path) -> str:
    try:
        # -I: the answer must not depend on PYTHONPATH or the current directory.
        probe = subprocess.run([python, "-I", "-c", _PROBE], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().rpartition("\n")[2]
        raise SettingsError(
            f"{PYTHON_VARIABLE}={python} cannot run Lambda functions: {reason}. "
            "It must be the Python interpreter of an environment that holds awslambdaric and boto3."
        ) from error
    return probe.stdout.strip()
