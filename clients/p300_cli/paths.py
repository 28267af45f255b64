"""Where things are in a checkout."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("P300_STATE_DIR") or PROJECT / ".local")
"""Everything that running locally leaves behind: LocalStack's state, logs, built layers. Safe to delete while nothing runs."""
ENVIRONMENTS = PROJECT / ".envs"


def home_is_writable() -> bool:
    """Return whether uv can keep its cache where it does by default, as `requirements/install.py` finds out too."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "uv"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(cache, os.W_OK)
