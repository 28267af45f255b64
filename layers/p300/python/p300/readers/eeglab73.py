"""EEGLAB's data sets in files of version 7.3, which MNE-Python does not read by itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError

from .hdf5_files import member, opened
from .matlab73 import load

if TYPE_CHECKING:
    import mne

UNIT_V = 1e-6
FIELDS = (
    "data",
    "nbchan",
    "pnts",
    "trials",
    "srate",
    "chanlocs.labels",
    "chanlocs.type",
    "event.type",
    "event.latency",
    "event.duration",
)
_KINDS = {"eeg", "eog", "ecg", "emg", "misc", "stim", "bio", "resp", "temperature", "gsr"}


def fields(path: Path, name: str) -> dict[str, Any]:
    """Return the fields that matter, of the structure EEG or, as newer versions write them, each a variable of its own.

    Raises
    ------
    RecordingError
        ``unreadable``, ``too_large``.
    """
    with opened(path, name) as file:
        group = "EEG" if member(file, "EEG") is not None else None
    found = load(path, name, FIELDS, group)
    return {
        key: value[0, 0] if isinstance(value, np.ndarray) and value.shape == (1, 1) and key != "data" else value
        for key, value in found.items()
    }


def raw_of(path: Path, name: str, beside: list[Path]) -> "mne.io.RawArray":
    """Return a data set as MNE-Python returns those of older versions.

    Parameters
    ----------
    path : Path
        The file, whose sizes have been looked at.
    name : str
        What to call it in messages.
    beside : list of Path
        The file that holds the signal, where that is not this one.

    Raises
    ------
    RecordingError
        ``unreadable``, ``missing_sfreq``.
    """
    import mne

    found = fields(path, name)
    n_channels, n_samples, sfreq = (_number(found, key, name) for key in ("nbchan", "pnts", "srate"))
    if not 0 < sfreq < np.inf:
        raise RecordingError("missing_sfreq", f"{name}: sampling rate {sfreq:g}; expected a positive number of Hz.")
    data: NDArray[np.floating] = (
        np.fromfile(beside[0], "<f4").reshape(-1, int(n_channels)).T if beside else np.asarray(found["data"])
    )
    if data.shape != (n_channels, n_samples):
        raise RecordingError(
            "unreadable",
            f"{name}: a signal of {data.shape}; expected nbchan x pnts, {n_channels:g} x {n_samples:g}. Save it again.",
        )
    locations = found.get("chanlocs") or []
    names = [text_of(one, "labels") or f"EEG {i:03d}" for i, one in enumerate(locations)]
    names = names if len(names) == n_channels else [f"EEG {i:03d}" for i in range(int(n_channels))]
    kinds = [text_of(one, "type").lower() for one in locations]
    kinds = (
        [kind if kind in _KINDS else "eeg" for kind in kinds] if len(kinds) == n_channels else ["eeg"] * int(n_channels)
    )
    if len(set(names)) < len(names):
        raise RecordingError("duplicate_channels", f"{name}: channel names occur twice. Rename them.")
    raw = mne.io.RawArray(
        data.astype(np.float64) * UNIT_V, mne.create_info(names, float(sfreq), kinds), verbose="error"
    )
    happened = [
        (_at(one, "latency") - 1, _at(one, "duration"), text_of(one, "type")) for one in found.get("event") or []
    ]
    known = [
        (onset, max(0.0, np.nan_to_num(duration)), what) for onset, duration, what in happened if np.isfinite(onset)
    ]
    if known:
        onset, duration, what = zip(*known, strict=True)
        annotations = mne.Annotations(np.array(onset) / sfreq, np.array(duration) / sfreq, list(what))
        raw.set_annotations(annotations, verbose="error")
    return raw


def _number(found: dict[str, Any], key: str, name: str) -> float:
    value = found.get(key)
    if not np.isscalar(value) or isinstance(value, str):
        raise RecordingError("unreadable", f"{name}: {key} is not a number. Save it again.")
    return float(value)  # type: ignore[arg-type]


def text_of(one: Any, field: str) -> str:
    """Return a field of an event or a channel as text; what version 7.3 holds as an array of one number, as that number."""
    value = getattr(one, field, "")
    if isinstance(value, np.ndarray):
        return f"{value.flat[0]:g}" if value.size == 1 else ""
    return str(value).strip()


def _at(one: SimpleNamespace, field: str) -> float:
    value = getattr(one, field, None)
    return float(value.flat[0]) if isinstance(value, np.ndarray) and value.size == 1 else np.nan
