"""Where things stand in a checkout."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("P300_STATE_DIR") or PROJECT / ".local")
"""Everything that running locally leaves behind: LocalStack's state, logs, built layers. Safe to delete while nothing runs."""
ENVIRONMENTS = PROJECT / ".envs"
