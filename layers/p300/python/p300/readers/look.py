"""A look at the first flashes' EEG: whether it moves as scalp EEG does in its unit, and which channels are something else.

Nothing a file says can be relied on for this: triggers are exported as one more channel, and units are lost on the way.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from p300.channels import plain
from p300.errors import RecordingError
from p300.recording import NON_TARGET, TARGET, RecordingStream
from p300.text import few_of

from .amplitudes import unusual
from .channels import EEG, is_electrode
from .declared import Declared
from .units import check_unit

FLASHES_OF_A_CLASS, SHORTEST_S = 30, 15.0
MOST_VALUES_LOOKED_AT = 1 << 22
SMOOTHING_S, LAG_S = 0.02, 0.1
FEW_VALUES, MOSTLY_STILL = 32, 0.8
"""Of a trigger: few different values, and most samples equal to the one before."""
FLASH_LOCKED = 2.0
"""Mean over standard deviation of the jump at a flash: scalp EEG has less than 0.8 in 60 flashes of the recordings at hand."""
ACROSS, FEWEST_ACROSS = 0.9, 10
"""Share of a channel's range, and how many steps of that size from one sample to the next no electrode has."""
COMPARED = 256
"""Samples by which two channels are told apart; where these are equal, all are compared."""
FEWEST_LOCKED = 20
"""Flashes; with fewer, chance can look like it."""
LEAST_AUC_ABOVE_CHANCE, MOST_AUC_ABOVE_CHANCE, STANDARD_ERRORS, FEWEST_OF_A_CLASS = 0.3, 0.47, 6.0, 8
"""Of the classes, told by the jump at a flash's first sample, when no brain has seen it yet."""
SMALLEST_SHARE_OF_MEDIAN = 0.01
"""A channel that moves less than this much of the median channel is no working electrode, or in another unit."""


@dataclasses.dataclass(frozen=True)
class Look:
    """What the looked-at EEG shows.

    Attributes
    ----------
    movement_v : ndarray, shape (n_channels,)
        Robust standard deviation of the change within `LAG_S` in volts, smoothed over `SMOOTHING_S`.
    deviation : ndarray, shape (n_channels,)
        Standard deviation in the file's unit.
    triggers : dict of int to str
        What about a channel is a trigger's, or no electrode's.
    copies : dict of int to int
        Channels whose samples are those of an earlier one.
    """

    movement_v: NDArray[np.float64]
    deviation: NDArray[np.float64]
    triggers: dict[int, str]
    copies: dict[int, int]


def looked_at(stream: RecordingStream, name: str, declared: Declared) -> RecordingStream:
    """Refuse EEG in an impossible unit; leave out channels that are triggers, by their signal.

    Parameters
    ----------
    stream : RecordingStream
        The recording, its flashes checked.
    name : str
        What to call it.
    declared : Declared
        Channels declared EEG are kept, with a note.

    Returns
    -------
    RecordingStream
        Without triggers; electrodes that only carry the trigger, or next to nothing, among its bad channels.

    Raises
    ------
    RecordingError
        ``wrong_unit``, ``doubtful_channels``; what the stream's blocks raise.
    """
    remembered = Remembered(stream.blocks)
    look = _look(stream, remembered)
    stream = dataclasses.replace(stream, blocks=remembered)
    if look is None:
        return stream
    doubtful = {
        number: reason
        for number, reason in look.triggers.items()
        if not _declared_eeg(stream.ch_names[number], declared)
    }
    _check_doubtful(stream, doubtful, name)
    eeg = np.setdiff1d(np.arange(len(stream.ch_names)), list(doubtful))
    check_unit(stream, look.movement_v[eeg], look.deviation[eeg], eeg, name)
    median = float(np.median(look.movement_v[eeg]))
    weak = {number for number in eeg.tolist() if 0 < look.movement_v[number] < SMALLEST_SHARE_OF_MEDIAN * median}
    strong = [number for number in eeg.tolist() if number not in weak]
    told = unusual(look.movement_v[strong], [stream.ch_names[number] for number in strong])
    return _without(stream, doubtful, weak, look, declared, told)


class Remembered:
    """A stream's blocks, of which those that were looked at need not be decoded a second time.

    Parameters
    ----------
    blocks : callable
        Returns a new iterator over the blocks.
    """

    def __init__(self, blocks: Callable[[], Iterator[NDArray[np.floating]]]) -> None:
        self._blocks = blocks
        self._rest: Iterator[NDArray[np.floating]] | None = None
        self._head: deque[NDArray[np.floating]] = deque()

    def look(self) -> Iterator[NDArray[np.floating]]:
        """Yield blocks from the first on; those that are taken are remembered for the first call."""
        self._rest = self._blocks()
        for block in self._rest:
            self._head.append(block)
            yield block

    def __call__(self) -> Iterator[NDArray[np.floating]]:
        """Return an iterator over all blocks."""
        head, rest = self._head, self._rest
        if rest is None:
            return self._blocks()
        self._head, self._rest = deque(), None
        return _joined(head, rest)


def _joined(head: deque[NDArray[np.floating]], rest: Iterator[NDArray[np.floating]]) -> Iterator[NDArray[np.floating]]:
    while head:
        yield head.popleft()
    yield from rest


def _look(stream: RecordingStream, remembered: Remembered) -> Look | None:
    """Read from the first flash on; None where nothing moves."""
    flashes = stream.flashes
    width = max(1, round(SMOOTHING_S * stream.sfreq))
    begin = max(int(flashes.onset_sample[0]) - round(stream.sfreq), 0) if len(flashes) else 0
    enough = [np.flatnonzero(flashes.label == code)[:FLASHES_OF_A_CLASS][-1:] for code in (TARGET, NON_TARGET)]
    last = max((int(flashes.onset_sample[row[0]]) for row in enough if len(row)), default=0)
    end = min(max(last + 2 * width, begin + round(SHORTEST_S * stream.sfreq)), stream.n_samples)
    end = min(end, begin + MOST_VALUES_LOOKED_AT // len(stream.ch_names))
    eeg = _read(remembered.look(), begin, end)
    if not np.isfinite(eeg.sum()):  # one pass; an overflow would only cost the look below
        eeg = np.where(np.isfinite(eeg), eeg, 0)
    if not (eeg[:, 1:2] != eeg[:, :1]).any() and not (eeg[:, 1:] != eeg[:, :-1]).any():
        return None
    some = eeg[:, : round(SHORTEST_S * stream.sfreq)]
    onsets = flashes.onset_sample - begin
    inside = (onsets > width) & (onsets + width < eeg.shape[1])
    return Look(
        movement(some, stream.sfreq) * stream.volts_per_unit,
        some[:, :: max(1, width // 2)].std(axis=1, dtype=np.float64),
        dict(_triggers(eeg, some, onsets[inside], flashes.label[inside], width)),
        _copies(some),
    )


def _copies(some: NDArray[np.floating]) -> dict[int, int]:
    """Find channels that hold the samples of an earlier one: exported twice, or bridged by the amplifier's settings."""
    first: dict[bytes, int] = {}
    copies = {}
    for number, row in enumerate(some):
        of = first.setdefault(row[:COMPARED].tobytes(), number)
        if of != number and np.ptp(row) and np.array_equal(row, some[of]):
            copies[number] = of
    return copies


def movement(eeg: NDArray[np.floating], sfreq: float) -> NDArray[np.float64]:
    """Return how much each channel moves within a tenth of a second, of shape (n_channels,), in the unit of ``eeg``.

    Parameters
    ----------
    eeg : ndarray, shape (n_channels, n_samples)
        Finite.
    sfreq : float
        In Hz.

    Returns
    -------
    movement : ndarray, shape (n_channels,)
        A median, scaled to the standard deviation of a normal distribution; mains at 50 Hz averages out. Of the moving samples: a
        channel that is dead for most of the time is measured by the rest.
    """
    width = max(1, round(SMOOTHING_S * sfreq))
    n_means = eeg.shape[1] // width
    pieces = np.ascontiguousarray(eeg[:, : n_means * width]).reshape(-1, width)
    means = (pieces @ np.full(width, 1 / width, eeg.dtype)).reshape(len(eeg), n_means)
    lag = min(max(1, round(LAG_S * sfreq / width)), n_means - 1)
    changes = np.abs(means[:, lag:] - means[:, :-lag]) if lag > 0 else np.zeros((len(eeg), 1))
    if changes.all():
        medians = np.median(changes, axis=1)
    else:
        moving = [row[row > 0] for row in changes]
        medians = np.array([np.median(row) if len(row) else 0.0 for row in moving])
    scaled: NDArray[np.float64] = medians / 0.6745 / np.sqrt(2)
    return scaled


def _read(blocks: Iterator[NDArray[np.floating]], begin: int, end: int) -> NDArray[np.floating]:
    parts: list[NDArray[np.floating]] = []
    position = 0
    for block in blocks:
        if position + block.shape[1] > begin:
            parts.append(block[:, max(begin - position, 0) : end - position])
        position += block.shape[1]
        if position >= end:
            break
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts, axis=1) if parts else np.zeros((0, 0))


def _triggers(
    eeg: NDArray[np.floating],
    some: NDArray[np.floating],
    onsets: NDArray[np.int64],
    label: NDArray[np.int8],
    width: int,
) -> Iterator[tuple[int, str]]:
    steps = np.arange(width)
    jumps = (eeg[:, onsets[:, np.newaxis] + steps] - eeg[:, onsets[:, np.newaxis] - 1 - steps]).mean(
        axis=2, dtype=np.float64
    )
    classes = [jumps[:, label == code] for code in (TARGET, NON_TARGET)]
    n_targets, n_non_targets = (group.shape[1] for group in classes)
    chance = np.inf
    if min(n_targets, n_non_targets) >= FEWEST_OF_A_CLASS:
        error = np.sqrt((n_targets + n_non_targets + 1) / (12 * n_targets * n_non_targets))
        chance = max(LEAST_AUC_ABOVE_CHANCE, min(STANDARD_ERRORS * error, MOST_AUC_ABOVE_CHANCE))
    locked = np.zeros(len(eeg), bool)
    for group in (*classes, jumps):
        if group.shape[1] >= FEWEST_LOCKED:
            locked |= np.abs(group.mean(axis=1)) > FLASH_LOCKED * group.std(axis=1)
    steps_of = np.abs(np.diff(some, axis=1))
    changed = np.count_nonzero(steps_of, axis=1) / max(some.shape[1] - 1, 1)
    across = np.count_nonzero(steps_of > ACROSS * np.ptp(some, axis=1, keepdims=True), axis=1)
    auc = _auc(*classes) if chance < np.inf else np.full(len(eeg), 0.5)
    for number, row in enumerate(eeg):
        if changed[number] < 1 - MOSTLY_STILL and 1 < len(values := np.unique(row)) <= FEW_VALUES:
            yield number, f"takes {len(values)} values and is constant in between"
        elif abs(auc[number] - 0.5) > chance:
            yield number, "tells targets from non-targets at the flash's first sample"
        elif locked[number]:
            yield number, "jumps with each flash's first sample"
        elif across[number] >= FEWEST_ACROSS and _varies_at_both_ends(some[number]):
            yield number, f"wraps around: {across[number]:,} steps across its whole range"


def _varies_at_both_ends(row: NDArray[np.floating]) -> bool:
    """Tell numbers that wrapped around from a signal that falls to one value where samples are lost."""
    low, high = float(row.min()), float(row.max())
    margin = (1 - ACROSS) * (high - low)
    return min(len(np.unique(row[row < low + margin])), len(np.unique(row[row > high - margin]))) >= FEWEST_ACROSS


def _auc(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of pairs in which the first is larger, by channel; equal ones count half."""
    pairs = first[:, :, np.newaxis] - second[:, np.newaxis]
    larger = np.count_nonzero(pairs > 0, axis=(1, 2)) + np.count_nonzero(pairs >= 0, axis=(1, 2))
    share: NDArray[np.float64] = larger / (2 * first.shape[1] * second.shape[1])
    return share


def _check_doubtful(stream: RecordingStream, doubtful: dict[int, str], name: str) -> None:
    if 2 * len(doubtful) < len(stream.ch_names) or not doubtful:
        return
    described = [f"{stream.ch_names[number]} {reason}" for number, reason in doubtful.items()]
    first = stream.ch_names[next(iter(doubtful))]
    raise RecordingError(
        "doubtful_channels",
        f"{name}: {len(doubtful)} of {len(stream.ch_names)} EEG channels hold no EEG by their signal: {few_of(described)}. Expected "
        f'EEG in most channels. Export the EEG; or, if these are EEG, declare them: {{"channel_kinds": {{"{first}": "eeg"}}}}.',
    )


def _without(
    stream: RecordingStream,
    doubtful: dict[int, str],
    weak: set[int],
    look: Look,
    declared: Declared,
    told: list[str],
) -> RecordingStream:
    names = stream.ch_names
    kept_anyway = [f"{names[n]} {why}" for n, why in look.triggers.items() if n not in doubtful]
    notes = [f"declared EEG, though its signal is no EEG: {text}" for text in kept_anyway]
    if look.copies:
        notes.append(
            f"channels with the same samples as another: {few_of([f'{names[n]} as {names[of]}' for n, of in look.copies.items()])}"
        )
    electrodes = {n for n in doubtful if is_electrode(names[n])}
    if electrodes:
        notes.append(
            f"electrodes without EEG by their signal: {few_of([f'{names[n]} {doubtful[n]}' for n in sorted(electrodes)])}"
        )
    if weak:
        notes.append(
            f"channels that move less than a hundredth as much as the others: {few_of([names[n] for n in sorted(weak)])}"
        )
    notes += told
    left_out = sorted(doubtful.keys() - electrodes)
    bad = {*stream.bad_channels, *(names[n] for n in electrodes | weak)}
    if left_out:
        notes.append(
            f"channels left out, not EEG by their signal: {few_of([f'{names[n]} {doubtful[n]}' for n in left_out])}"
        )
    kept = [n for n in range(len(names)) if n not in left_out]
    stream = dataclasses.replace(
        stream,
        ch_names=tuple(names[n] for n in kept),
        notes=(*stream.notes, *notes),
        bad_channels=tuple(names[n] for n in kept if names[n] in bad),
    )
    if left_out:
        blocks = stream.blocks
        stream = dataclasses.replace(stream, blocks=lambda: (block[kept] for block in blocks()))
    return stream


def _declared_eeg(channel: str, declared: Declared) -> bool:
    return any(plain(named) == plain(channel) and kind == EEG for named, kind in declared.channel_kinds.items())
