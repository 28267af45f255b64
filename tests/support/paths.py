"""Where the checkout is, and the command that its environment holds."""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
P300 = Path(sys.executable).with_name("p300")
