"""Where things are in a checkout, and where state is kept if there is no checkout."""

import os
from pathlib import Path

from p300.errors import P300Error

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout. If `p300` is installed without one, this is some other folder, which `require_checkout` refuses."""
IN_CHECKOUT = (PROJECT / "template.yaml").is_file()
STATE = Path(
    os.environ.get("P300_STATE_DIR")
    or (PROJECT / ".local" if IN_CHECKOUT else Path.home() / ".local" / "state" / "p300")
)
"""Everything that running locally leaves behind: LocalStack's state, logs, built layers. Safe to delete while nothing is running."""
ENVIRONMENTS = PROJECT / ".envs"


def home_is_writable() -> bool:
    """Return whether uv can write to its default cache folder; `requirements/install.py` checks the same."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "uv"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(cache, os.W_OK)


def require_checkout() -> None:
    """Refuse to continue if there is no checkout to deploy from.

    Raises
    ------
    P300Error
        ``no_checkout``.
    """
    if not IN_CHECKOUT:
        raise P300Error(
            "no_checkout",
            "This command needs a checkout of the project, which holds the template, the functions and LocalStack's environment; "
            "this `p300` is installed without one. Run `make setup` in a checkout and use its `.venv/bin/p300`.",
        )
