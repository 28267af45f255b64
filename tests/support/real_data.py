"""Real recordings: the environment variable `P300_DATA` names the folder that holds their data sets.

A test that needs them has the marker `real_data`. Without the variable it is skipped, all of them in one line of pytest's summary; with a
folder that does not hold what a test asks for, it fails.
"""

import os
from pathlib import Path

DATA = Path(os.environ["P300_DATA"]) if os.environ.get("P300_DATA") else None


def recordings(data_set: str) -> list[Path]:
    """Return a data set's recordings; a placeholder for each test to be skipped where `P300_DATA` is not set.

    Raises
    ------
    FileNotFoundError
        The folder holds none of that data set.
    """
    if DATA is None:
        return [Path("P300_DATA is not set") / data_set]
    if found := sorted(DATA.glob(f"{data_set}/*/*.parquet")):
        return found
    raise FileNotFoundError(f"P300_DATA is {DATA}, which holds no recordings {data_set}/<subject>/<recording>.parquet")


def file(name: str) -> Path:
    """Return the path of one file below the folder; a placeholder where `P300_DATA` is not set."""
    return (DATA or Path("P300_DATA is not set")) / name
