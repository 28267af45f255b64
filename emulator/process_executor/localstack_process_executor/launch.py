"""The command that starts a function's process with only the rights that it needs."""

import json
from collections.abc import Sequence
from pathlib import Path

from . import bootstrap


def command(python: Path, handler: str) -> list[str]:
    """Return the command that runs AWS's runtime client for one handler."""
    # -P: the current directory is already on the path, as the task root.
    return [str(python), "-P", bootstrap.__file__, handler]


def confinement(
    read: Sequence[Path], write: Sequence[Path], *, max_file_mb: int, landlock: bool, background: bool = False
) -> dict[str, str]:
    """Return the environment variable that tells `bootstrap` which rights the function keeps."""
    options = {
        "read": [str(path) for path in read],
        "write": [str(path) for path in write],
        "max_file_bytes": max_file_mb << 20,
        "landlock": landlock,
        "background": background,
    }
    return {bootstrap.CONFINEMENT_VARIABLE: json.dumps(options)}
