"""Writes HDF5 files as g.tec's g.Recorder does."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray


def write_gtec(
    path: Path,
    uv: NDArray[np.number],
    onsets: Iterable[int],
    names: Sequence[str],
    *,
    channels: Sequence[str] = ("Fz", "Cz", "Pz"),
    sfreq: float = 256.0,
    low: bool = True,
) -> Path:
    """Write EEG of shape (n_channels, n_samples) and named events, each followed by one that says the trigger is low again."""
    properties = "".join(
        f"<ChannelProperties><ChannelName>{channel}</ChannelName></ChannelProperties>" for channel in channels
    )
    kinds = list(dict.fromkeys(names))
    described = "".join(
        f"<AsynchronSignalDescription><ID>{1000 + i}</ID><Name>{kind}</Name></AsynchronSignalDescription>"
        for i, kind in enumerate(kinds)
    )
    time = [at for onset in onsets for at in ((onset, onset + 5) if low else (onset,))]
    kind = [1000 + kinds.index(name) for name in names for _ in range(2 if low else 1)]
    path.unlink(missing_ok=True)  # the library does not write over a file that a stream still reads
    with h5py.File(path, "w") as file:
        file["RawData/Samples"] = np.ascontiguousarray(uv.T)
        file["RawData/AcquisitionTaskDescription"] = [
            f"<?xml version='1.0'?><AcquisitionTaskDescription><SamplingFrequency>{sfreq:g}</SamplingFrequency>"
            f"<ChannelProperties>{properties}</ChannelProperties></AcquisitionTaskDescription>"
        ]
        file["AsynchronData/Time"] = np.array(time, np.int64).reshape(-1, 1)
        file["AsynchronData/TypeID"] = np.array(kind, np.int64).reshape(-1, 1)
        file["AsynchronData/Value"] = np.resize([1.0, 0.0] if low else [1.0], len(time)).reshape(-1, 1)
        file["AsynchronData/AsynchronSignalTypes"] = [
            f"<ArrayOfAsynchronSignalDescription>{described}</ArrayOfAsynchronSignalDescription>"
        ]
    return path
