"""What MNE-Python's formats say of channels: type, unit, and what people marked as bad."""

import math
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.channels import plain
from p300.errors import RecordingError

from .channels import EEG, TRIGGER, Chosen, FileChannel, choose, other_kind, present
from .declared import Declared
from .edf_header import read_header
from .seen import add_channel
from .units import declared_volts_per, volts_per

if TYPE_CHECKING:
    import mne

_EEGLAB_UNIT = 1e-6
_BY_MNE_IN_EDF = {"μV": 1e-6, "µV": 1e-6, "\x83\xcaV": 1e-6, "uV": 1e-6, "mV": 1e-3}
"""Dimensions that MNE converts to volts; it takes any other for volts."""
LEAST_CODE = 0.5
"""Between the largest code in volts, of 16 bits in microvolts, and the smallest code, 1."""
LARGEST_STEP = 0.05
"""Between a code and the nearest number that a file of 16 bits can hold, where the range of its signals is that of EEG."""
_ROUNDING = 6  # decimals of a sample, beyond which an onset is that sample


def choose_eeg(
    raw: "mne.io.BaseRaw", path: Path, name: str, declared: Declared
) -> tuple[list[int], Chosen, list[float], tuple[float, ...]]:
    """Return the EEG channels of a file that MNE-Python has opened.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The opened file.
    path : Path
        Where it is.
    name : str
        What to call it, and where its extension stands.
    declared : Declared
        Kinds of channels and the unit, where somebody declares them.

    Returns
    -------
    picks : list of int
        Their numbers in `raw`.
    chosen : Chosen
        Their names, and notes.
    factors : list of float
        From what MNE takes for volts to volts, for each of them.
    read_as_v : tuple of float
        As in :class:`p300.recording.RecordingStream`.
    """
    extension = PurePosixPath(name).suffix.lower()
    kinds = raw.get_channel_types()
    numbers = [number for number, kind in enumerate(kinds) if kind != "stim"]
    for channel, kind in zip(raw.ch_names, kinds, strict=True):
        if kind == "stim":
            add_channel(channel, kind)
    stated = stated_units(raw, numbers, path, name)
    # A BrainVision channel in another unit is misc to MNE, and its unit says more.
    plain_kinds = [
        kinds[number] if kinds[number] != "misc" or not unit else None
        for number, unit in zip(numbers, stated, strict=True)
    ]
    channels = [
        FileChannel(raw.ch_names[number], kind, unit if extension != ".set" else None)
        for number, kind, unit in zip(numbers, plain_kinds, stated, strict=True)
    ]
    stim = {plain(channel) for channel, kind in zip(raw.ch_names, kinds, strict=True) if kind == "stim"}
    absent = {plain(channel) for channel in declared.listed} - {plain(channel) for channel in raw.ch_names}
    declared_kinds = {
        channel: kind
        for channel, kind in declared.channel_kinds.items()
        if (kind == EEG or plain(channel) not in stim) and plain(channel) not in absent
    }
    chosen = choose(channels, declared_kinds, name)
    # Of BrainVision's units MNE takes any that it does not know for volts, also those that it then spells as it does the others.
    by_mne = [
        raw.info["chs"][numbers[pick]]["range"] if extension == ".vhdr" else _by_mne(extension, stated[pick])
        for pick in chosen.picks
    ]
    factors = [
        _factor(extension, stated[pick], declared.unit, one, name)
        for pick, one in zip(chosen.picks, by_mne, strict=True)
    ]
    # One declared unit for channels that MNE converted by different factors is refused by `same_factor`.
    whole = 1.0 if len(set(by_mne)) == 1 else math.nan
    read_as_v = tuple(factor * one * whole for factor, one in zip(factors, by_mne, strict=True))
    return [numbers[pick] for pick in chosen.picks], chosen, factors, read_as_v


def stated_units(raw: "mne.io.BaseRaw", numbers: list[int], path: Path, name: str) -> list[str | None]:
    """Return the unit that a file states for each of some channels; None where it states none.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The opened file.
    numbers : list of int
        The channels.
    path : Path
        Where it is.
    name : str
        What to call it, and where its extension stands.

    Returns
    -------
    units : list of str or None
    """
    is_edf = PurePosixPath(name).suffix.lower() in (".edf", ".bdf")
    units = read_header(path).dimensions if is_edf else raw._orig_units or {}
    return [units.get(raw.ch_names[number]) for number in numbers]


def trigger_channels(raw: "mne.io.BaseRaw", picks: list[int], declared: Declared) -> list[int]:
    """Return the channels that only their name, or what is declared, says hold triggers.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The opened file.
    picks : list of int
        Its EEG channels.
    declared : Declared
        What is said about the file.

    Returns
    -------
    numbers : list of int
    """
    declared_triggers = {plain(channel) for channel, kind in declared.channel_kinds.items() if kind == TRIGGER}
    return [
        number
        for number, (channel, kind) in enumerate(zip(raw.ch_names, raw.get_channel_types(), strict=True))
        if kind != "stim"
        and number not in picks
        and (plain(channel) in declared_triggers or other_kind(FileChannel(channel)) == TRIGGER)
    ]


def as_written(codes: NDArray[np.float64], extension: str, stated: str | None) -> NDArray[np.float64]:
    """Return the codes of a channel that MNE-Python takes for a signal: as the file has them, which is not in volts.

    Parameters
    ----------
    codes : ndarray, shape (n_samples,)
        As MNE-Python returns them.
    extension : str
        Of the file.
    stated : str or None
        The unit that the file states for the channel.

    Returns
    -------
    codes : ndarray, shape (n_samples,)
        Whole numbers, where they differ from these only by the steps of the file's numbers.
    """
    largest = float(np.nanmax(np.abs(codes), initial=0.0))
    per_unit = _by_mne(extension, stated)
    if extension in (".fif", ".set", ".cnt"):  # which say nothing of the unit of such a channel
        per_unit = 1.0 if largest >= LEAST_CODE else _EEGLAB_UNIT
    written = codes / per_unit
    whole = np.round(written)
    return whole if (np.abs(written - whole) <= LARGEST_STEP).all() else written


def _by_mne(extension: str, stated: str | None) -> float:
    """Return the factor by which MNE-Python has made volts of a file's numbers."""
    if extension == ".set":
        return _EEGLAB_UNIT
    if extension in (".edf", ".bdf"):
        return _BY_MNE_IN_EDF.get(stated or "", 1.0)
    return volts_per(stated or "") or 1.0 if extension == ".vhdr" else 1.0


def _factor(extension: str, stated: str | None, declared: str | None, by_mne: float, name: str) -> float:
    if declared is not None:
        return declared_volts_per(declared, name) / by_mne
    return (volts_per(stated) or 1.0) / by_mne if stated and extension != ".set" else 1.0


def marked(
    raw: "mne.io.BaseRaw", ch_names: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Return what people, or the software that joined runs, marked in a file, as ``mne.Epochs`` and ``raw.filter`` honour it.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The opened file.
    ch_names : tuple of str
        The recording's EEG channels.

    Returns
    -------
    bad_channels : tuple of str
        Those in ``raw.info["bads"]``.
    bad_spans : tuple of (int, int)
        Of annotations that begin with ``bad``: first sample, and the first after.
    gaps : tuple of int
        First samples after a boundary: of annotations that begin with ``edge``, and of bad ones without a duration.
    """
    spans, gaps = [], []
    onsets = raw.annotations.onset - raw.first_time
    for onset, duration, text in zip(onsets, raw.annotations.duration, raw.annotations.description, strict=True):
        is_bad, is_edge = text.lower().startswith("bad"), text.lower().startswith("edge")
        if not (is_bad or is_edge) or not math.isfinite(onset + duration):
            continue
        begin, end = (round(seconds * raw.info["sfreq"], _ROUNDING) for seconds in (onset, onset + duration))
        first, after = max(math.floor(begin), 0), min(math.ceil(end), raw.n_times)
        if is_bad and first < after:
            spans.append((first, after))
        elif 0 < first < raw.n_times and first >= after:
            gaps.append(first)
    return present(raw.info["bads"], ch_names), tuple(sorted(spans)), tuple(sorted(set(gaps)))


def unit_notes(declared: Declared, factors: list[float]) -> tuple[str, ...]:
    """Return what to tell of a declared unit.

    Parameters
    ----------
    declared : Declared
        What was declared.
    factors : list of float
        As `choose_eeg` returns them.

    Returns
    -------
    notes : tuple of str
    """
    if declared.unit is None:
        return ()
    other = any(not math.isclose(factor, 1.0) for factor in factors)
    return (f"unit declared: {declared.unit}" + (", other than the file's" if other else ""),)


def same_factor(factors: list[float], name: str) -> float:
    """Return the factor of all channels.

    Raises
    ------
    RecordingError
        ``wrong_unit`` where it is not the same for all.
    """
    if max(factors) > min(factors) * (1 + 1e-9):
        raise RecordingError(
            "wrong_unit",
            f"{name}: EEG channels in different units that MNE-Python does not convert. Expected one unit. Export them in uV.",
        )
    return factors[0]
