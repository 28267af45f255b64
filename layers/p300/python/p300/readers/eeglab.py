"""EEGLAB's structure, looked at before MNE-Python reads it: whether it has a signal beside it, and how much it claims."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from p300.errors import RecordingError
from p300.limits import MOST_ANNOTATIONS

from . import eeglab73
from .checks import check_in_memory, check_n_channels, check_n_samples
from .hdf5_files import is_hdf5
from .matlab_files import check_matlab
from .matlab_structure import DamagedError

_FIELDS = ("data", "nbchan", "pnts", "trials", "srate", "chanlocs", "chaninfo", "event")


def named_file(path: Path, name: str) -> tuple[str, ...]:
    """Return the name of the file that holds the signal, where that is not the structure itself.

    Raises
    ------
    RecordingError
        ``unreadable``, ``too_large``, ``too_many_channels``, ``too_many_annotations``.
    """
    fields = _fields(path, name)
    signal = fields.get("data")
    for field, check in (("nbchan", check_n_channels), ("pnts", check_n_samples)):
        check(_whole_number(fields.get(field, 1), field, name), name)
    if (trials := _whole_number(fields.get("trials", 1), "trials", name)) != 1:
        raise RecordingError(
            "not_continuous",
            f"{name}: trials is {trials:,}, so this is a data set of {trials:,} epochs. Expected the continuous recording: the filter "
            "needs what is around each epoch. Save the data set that EEGLAB had before 'Extract epochs', with all its events.",
        )
    _check_chaninfo(fields, name)
    _check_rate(fields.get("srate"), name)
    _check_events(fields.get("event"), name)
    check_n_channels(np.size(fields.get("chanlocs", ())), name)
    if (n_events := np.size(fields.get("event", ()))) > MOST_ANNOTATIONS:
        raise RecordingError(
            "too_many_annotations",
            f"{name}: {n_events:,} events; expected at most {MOST_ANNOTATIONS:,}. Split the recording into runs.",
        )
    if isinstance(signal, str):
        return (signal,) if signal else ()
    if isinstance(signal, np.ndarray) and signal.dtype.kind in "iuf":
        # MNE makes float64 of it, whatever it is.
        check_in_memory(signal.size * np.dtype(np.float32).itemsize, path.stat().st_size, name)
        return ()
    raise RecordingError(
        "unreadable", f"{name}: no signal in EEG.data, and no name of a file that has it. Save it again."
    )


def _fields(path: Path, name: str) -> dict[str, Any]:
    """Read the fields that matter, of the structure EEG or, as newer versions write them, each a variable of its own."""
    if is_hdf5(path):
        return eeglab73.fields(path, name)
    check_matlab(path, name)
    from scipy.io import loadmat, whosmat

    try:
        variables = [variable for variable, _, _ in whosmat(path)]
        # Of two variables with one name, SciPy takes the first or the last, whichever way it is asked.
        if len(set(variables)) < len(variables):
            raise DamagedError("two variables with one name")  # noqa: TRY301
        wanted = ["EEG"] if "EEG" in variables else [field for field in _FIELDS if field in variables]
        found = loadmat(path, variable_names=wanted, squeeze_me=True, struct_as_record=False)
        if "EEG" not in variables:
            return {field: found[field] for field in wanted}
        structure = vars(found["EEG"])
        if "EEG" in structure:
            raise DamagedError("a structure EEG in the structure EEG")  # noqa: TRY301
    except Exception as error:  # scipy raises whatever the bytes lead it into
        raise RecordingError(
            "unreadable", f"{name}: not a readable EEGLAB file ({error}). Save it again, and upload it."
        ) from error
    return {field: structure[field] for field in _FIELDS if field in structure}


def count_events(path: Path, name: str) -> Counter[str]:
    """Return how many events of each name a file states.

    Parameters
    ----------
    path : Path
        The .set file, which `named_file` has looked at.
    name : str
        What to call it.

    Returns
    -------
    events : Counter of str
    """
    events = _fields(path, name).get("event")
    return Counter(
        eeglab73.text_of(event, "type")
        for event in (np.atleast_1d(np.asarray(events, object)) if events is not None else ())
    )


def labels(path: Path, name: str) -> tuple[str, ...]:
    """Return the names of a file's channels, as it has them.

    Parameters
    ----------
    path : Path
        The .set file, which `named_file` has looked at.
    name : str
        What to call it.

    Returns
    -------
    labels : tuple of str
    """
    channels = _fields(path, name).get("chanlocs")
    found = np.atleast_1d(np.asarray(channels, object)) if channels is not None else ()
    return tuple(eeglab73.text_of(channel, "labels") for channel in found)


def _check_chaninfo(fields: Mapping[str, Any], name: str) -> None:
    """Refuse a chaninfo that is no structure, such as an empty list: MNE-Python looks for fields in it, and fails."""
    if not hasattr(fields.get("chaninfo", None), "_fieldnames") and "chaninfo" in fields:
        raise RecordingError(
            "unreadable",
            f"{name}: EEG.chaninfo is empty or no structure; expected a structure such as EEGLAB writes, or none. Correct it in EEGLAB, "
            "for instance with EEG.chaninfo = struct('nosedir', '+X'), and save it again.",
        )


def _check_rate(value: Any, name: str) -> None:
    if not _is_finite(value) or value <= 0:
        found = "missing" if value is None else f"{str(value)[:40]!r}"
        raise RecordingError(
            "missing_sfreq",
            f"{name}: srate is {found}; expected a positive number of Hz. Correct it in EEGLAB, and save it again.",
        )


def _check_events(events: Any, name: str) -> None:
    for number, event in enumerate(np.atleast_1d(np.asarray(events, object)) if events is not None else (), 1):
        for field, least in (("latency", None), ("duration", 0)):
            value = getattr(event, field, 1.0)
            if isinstance(value, np.ndarray) and value.size == 1:  # as version 7.3 holds a number
                value = value.item()
            if field == "duration" and (np.size(value) == 0 or (isinstance(value, float) and np.isnan(value))):
                continue  # as EEGLAB has it where events have none
            if not _is_finite(value) or (least is not None and value < least):
                expected = "a number" if least is None else f"a number of at least {least}, or none"
                raise RecordingError(
                    "unreadable",
                    f"{name}: event {number} has the {field} {str(value)[:40]!r}; expected {expected}, in samples. Correct the events in "
                    "EEGLAB, and save it again.",
                )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value))


def _whole_number(value: Any, field: str, name: str) -> int:
    if not _is_finite(value) or value != int(value) or value < 1:
        raise RecordingError(
            "unreadable",
            f"{name}: {field} is {str(value)[:40]!r}; expected a whole number of at least 1. Correct it in EEGLAB, and save it again.",
        )
    return int(value)
