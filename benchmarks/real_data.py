"""Real recordings for the benchmarks: the environment variable `P300_DATA` names the folder that holds their data sets."""

import os
from pathlib import Path


def data_set(name: str) -> Path | None:
    """Return the folder of a data set; None where `P300_DATA` is not set.

    Raises
    ------
    SystemExit
        `P300_DATA` is set, and its folder does not hold the data set.
    """
    if not (root := os.environ.get("P300_DATA")):
        return None
    if not (folder := Path(root) / name).is_dir():
        raise SystemExit(f"P300_DATA is {root}, which has no folder {name}: unset it, or name a folder that has one.")
    return folder


def needed(name: str) -> Path:
    """Return the folder of a data set that a benchmark cannot do without.

    Raises
    ------
    SystemExit
        `P300_DATA` is not set, or its folder does not hold the data set.
    """
    if (folder := data_set(name)) is None:
        raise SystemExit(f"This benchmark needs real recordings: set P300_DATA to the folder that holds {name}.")
    return folder
