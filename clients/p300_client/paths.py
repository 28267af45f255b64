"""Where things are in a checkout, and where state is kept without one."""

import os
from pathlib import Path

from p300_cli.terminal import fail

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout; some other folder where `p300` is installed without one, which `require_checkout` refuses."""
IN_CHECKOUT = (PROJECT / "template.yaml").is_file()
STATE = Path(
    os.environ.get("P300_STATE_DIR")
    or (PROJECT / ".local" if IN_CHECKOUT else Path.home() / ".local" / "state" / "p300")
)
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


def require_checkout() -> None:
    """End the command where there is no checkout to deploy from."""
    if not IN_CHECKOUT:
        fail(
            "This command needs a checkout of the project, which holds the template, the functions and LocalStack's environment; "
            "this `p300` is installed without one. Run `make setup` in a checkout and use its `.venv/bin/p300`."
        )
