"""Units of EEG: what a file or a person says, and how much scalp EEG moves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import RecordingStream

from .seen import suggest

if TYPE_CHECKING:
    from .declared import Declared

VOLTS_PER = {"nv": 1e-9, "uv": 1e-6, "mv": 1e-3, "v": 1.0}
SPELLED = {1e-9: "nV", 1e-6: "uV", 1e-3: "mV", 1.0: "V"}
_LONG = {"nanovolt": "nv", "microvolt": "uv", "millivolt": "mv", "volt": "v"}
SMALLEST_MOVEMENT_V, LARGEST_MOVEMENT_V = 3e-7, 3e-4
"""Of the median EEG channel within a tenth of a second, below some 20 Hz, as a standard deviation. Scalp EEG has 3 to 12 uV in the
recordings at hand: a unit wrong by a factor of 1,000 lies outside on either side."""
_OF_EEG_IN_UV = 0.02
"""Numbers of EEG in a unit or a thousandth of it begin with 0.0015 to 0.02, or 1.5 to 20; of normalised EEG, beyond that."""


def volts_per(unit: str) -> float | None:
    """Return the factor from a unit to volts, however it is spelled.

    Parameters
    ----------
    unit : str
        Such as ``uV``, ``µV`` (either mu), ``microvolts``.

    Returns
    -------
    factor : float or None
        None for what is no unit of voltage.
    """
    # Shift-JIS's mu, in files of Japanese amplifiers, becomes two characters in Latin-1.
    words = unit.strip().replace("\x83\xca", "u").lower().replace("µ", "u").replace("μ", "u")
    return VOLTS_PER.get(_LONG.get(words.removesuffix("s"), words))


def declared_volts_per(unit: str, name: str) -> float:
    """Return the factor of a unit that somebody declares for EEG.

    Parameters
    ----------
    unit : str
        As declared.
    name : str
        What to call the recording in messages.

    Returns
    -------
    factor : float

    Raises
    ------
    RecordingError
        ``bad_metadata`` for anything but a unit of voltage.
    """
    factor = volts_per(unit)
    if factor is None:
        raise RecordingError("bad_metadata", f"{name}: unit {unit[:80]!r}; expected one of 'uV', 'mV', 'V', 'nV'.")
    return factor


def declared_note(declared: str, stated: Sequence[str | None]) -> str:
    """Say that a unit is declared, and whether the file states another.

    Parameters
    ----------
    declared : str
        The unit.
    stated : sequence of str or None
        What the file states, empty or None where it states none.

    Returns
    -------
    note : str
    """
    other = any(unit and volts_per(unit) != volts_per(declared) for unit in stated)
    return f"unit declared: {declared}" + (", other than the file's" if other else "")


def microvolts_per(
    units: Sequence[str | None], declared: "Declared", name: str
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the factor from each channel's numbers to microvolts, and notes.

    Parameters
    ----------
    units : sequence of str or None
        As the file states them; empty where it states none.
    declared : Declared
        Whose unit wins.
    name : str
        What to call the recording in messages.

    Returns
    -------
    factors : ndarray, shape (n_channels,)
    notes : tuple of str

    Raises
    ------
    RecordingError
        ``bad_metadata`` where the declared unit is none of voltage.
    """
    if declared.unit is not None:
        factor = declared_volts_per(declared.unit, name) * 1e6
        return np.full(len(units), factor), (declared_note(declared.unit, units),)
    factors = np.array([(volts_per(unit) or 1e-6) * 1e6 if unit else 1.0 for unit in units])
    return factors, () if all(units) else ("unit not in the file: taken as microvolts",)


def check_unit(
    stream: RecordingStream,
    movement_v: NDArray[np.floating],
    deviation: NDArray[np.floating],
    eeg: NDArray[np.integer],
    name: str,
) -> None:
    """Refuse EEG that moves as no scalp's does in the unit it was read in, and numbers that have no unit.

    Parameters
    ----------
    stream : RecordingStream
        The recording; it is read as a whole only where the look at its first flashes leaves a doubt.
    movement_v : ndarray, shape (n_eeg,)
        How much each channel moves within a tenth of a second, in volts.
    deviation : ndarray, shape (n_eeg,)
        Standard deviation in the stream's unit.
    eeg : ndarray of int, shape (n_eeg,)
        Which channels of the stream they are.
    name : str
        What to call the recording in messages.

    Raises
    ------
    RecordingError
        ``wrong_unit``.
    """
    moving = movement_v > 0
    if not moving.any():
        return
    typical_v = float(np.median(movement_v[moving]))
    plausible = SMALLEST_MOVEMENT_V <= typical_v <= LARGEST_MOVEMENT_V
    number = typical_v / stream.volts_per_unit
    doubtful = _mantissa(number) > _OF_EEG_IN_UV or 0.3 <= _mantissa(float(np.median(deviation[moving])), 20) <= 2
    if (not plausible or doubtful) and (how := _normalised(stream, eeg[moving])):
        raise RecordingError(
            "wrong_unit",
            f"{name}: {how}: numbers without a unit. Expected EEG in volts, or a part of them. Export it as it was measured, without "
            "normalising it.",
        )
    if plausible:
        return
    read_as_v = np.array(stream.read_as_v or [stream.volts_per_unit] * len(stream.ch_names))[eeg[moving]]
    of_file = float(np.median(movement_v[moving] / read_as_v))
    meant = [SPELLED[factor] for factor in VOLTS_PER.values() if 1e-6 <= of_file * factor <= 1e-4]
    remedy = (
        f'If the numbers, as the file scales them, are {meant[0]}, correct the unit in the file, or declare it: {{"unit": "{meant[0]}"}}. '
        "If they were normalised, export the EEG as it was measured."
        if meant
        else "The numbers are EEG in no unit from nV to V: export the EEG as it was measured, without normalising it."
    )
    if meant:
        suggest(unit=meant[0])
    spelled = read_as(stream)
    said = f"read as {spelled}, " if spelled else ""
    raise RecordingError(
        "wrong_unit",
        f"{name}: {said}the median EEG channel changes by {typical_v * 1e6:.2g} uV within a tenth of a second; expected "
        f"{SMALLEST_MOVEMENT_V * 1e6:g} to {LARGEST_MOVEMENT_V * 1e6:g} uV. {remedy}",
    )


def read_as(stream: RecordingStream) -> str | None:
    """Return the unit that a file's numbers were read as; None where it is not one, or not the same for all channels.

    Parameters
    ----------
    stream : RecordingStream
        The recording.

    Returns
    -------
    unit : str or None
        Such as ``uV``.
    """
    units = {float(f"{factor:.6g}") for factor in stream.read_as_v or (stream.volts_per_unit,)}
    return SPELLED.get(units.pop()) if len(units) == 1 else None


def _mantissa(number: float, largest: float = 1.5) -> float:
    """Return a number divided by the power of 1,000 that makes it at most ``largest``."""
    return number / 1000.0 ** np.ceil(np.log10(number / largest) / 3) if number > 0 else 0.0


def _normalised(stream: RecordingStream, channels: NDArray[np.integer]) -> str | None:
    """Say how channels were made dimensionless, each or all in the same way; None where they were not."""
    n_samples, total, squares = 0, np.zeros(len(channels)), np.zeros(len(channels))
    largest, offset = np.zeros(len(channels)), None
    for block in stream.blocks():
        eeg = np.nan_to_num(block[channels].astype(np.float64), posinf=0, neginf=0)
        offset = eeg[:, :1] if offset is None else offset  # else an electrode's offset eats the digits of the deviation
        total += (eeg - offset).sum(axis=1)
        squares += ((eeg - offset) ** 2).sum(axis=1)
        largest = np.maximum(largest, np.abs(eeg).max(axis=1, initial=0))
        n_samples += eeg.shape[1]
    if offset is None or not n_samples:
        return None
    deviation = np.sqrt(np.maximum(squares / n_samples - (total / n_samples) ** 2, 0))
    for values, what, tolerance in (
        (deviation, "a standard deviation of 1", 0.02),
        (largest, "a largest value of 1", 1e-4),
    ):
        # Of microvolts that were taken for volts, a thousandth or a millionth.
        ones = [abs(_mantissa(float(value)) - 1) < tolerance for value in values]
        if sum(ones) >= max(0.9 * len(ones), 1):
            return f"{sum(ones)} of {len(ones)} channels have {what}"
    return None
