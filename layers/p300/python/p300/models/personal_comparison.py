"""Whether a personal model is worth serving: tested against the population's model on flashes of the subject that it did not learn from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from p300.decoding.personal_statistics import PersonalStatistics
from p300.errors import TrainingError
from p300.metrics import roc_auc
from p300.models.data import RecordingEpochs
from p300.models.personal import Arrays, PersonalModel
from p300.recording import TARGET
from p300.scoring import Scorer

Array = NDArray[np.float64]

N_BLOCKS = 5
"""Blocks of time that the only recording of a subject is tested in, one after the other."""


@dataclass(frozen=True)
class Compared:
    """How both models score the single flashes of a recording that the personal one did not learn from.

    Attributes
    ----------
    recording : str
    n_flashes, n_targets : int
        That were tested.
    auc_population, auc_personal : float
        ROC AUC, each flash on its own.
    """

    recording: str
    n_flashes: int
    n_targets: int
    auc_population: float
    auc_personal: float


def statistics_of(population: Arrays, recording: RecordingEpochs) -> PersonalStatistics:
    """Return what a labelled recording says of its subject; those of several recordings add up, in any order.

    Raises
    ------
    TrainingError
        ``missing_class`` where it lacks one.
    """
    found = PersonalModel(population).fit(recording.X, recording.y).statistics
    assert found is not None  # noqa: S101 - `fit` learns or raises
    return found


def total(statistics: Iterable[PersonalStatistics]) -> PersonalStatistics:
    """Add up statistics of at least one recording."""
    return reduce(add, statistics)


def compare_by_recording(
    population: Arrays, recordings: Iterable[RecordingEpochs], statistics: Mapping[str, PersonalStatistics]
) -> list[Compared]:
    """Test on each recording what the others taught.

    Parameters
    ----------
    population : mapping of str to ndarray
        The population's ``model.npz``.
    recordings : iterable of RecordingEpochs
        At least two of one subject, of which none holds epochs of another; read one at a time.
    statistics : mapping of str to PersonalStatistics
        By recording (`statistics_of`).
    """
    scorer, found = Scorer.from_arrays(population), []
    for recording in recordings:
        others = total(one for name, one in statistics.items() if name != recording.recording)
        personal = PersonalModel(population, others).scorer.log_odds(recording.X)
        found.append(_compared(recording, scorer.log_odds(recording.X), personal))
    return found


def compare_by_time(population: Arrays, recording: RecordingEpochs, gap: float) -> list[Compared]:
    """Test on each of `N_BLOCKS` blocks of time what the rest of a recording taught.

    Parameters
    ----------
    population : mapping of str to ndarray
        The population's ``model.npz``.
    recording : RecordingEpochs
        With onsets, ascending.
    gap : float
        What is learnt from begins at least so far from the block's flashes, in the unit of the onsets: an epoch's length, so that no epoch
        overlaps one that is tested.

    Returns
    -------
    compared : list of Compared
        One entry; empty where some part of the recording has too few flashes of a class to learn from.
    """
    personal = np.zeros(len(recording.y))
    blocks = learnt_by_block(population, recording, gap)
    if not blocks:
        return []
    for block, rest in blocks:
        personal[block] = PersonalModel(population, rest).scorer.log_odds(recording.X[block])
    return [_compared(recording, Scorer.from_arrays(population).log_odds(recording.X), personal)]


def learnt_by_block(
    population: Arrays, recording: RecordingEpochs, gap: float
) -> list[tuple[NDArray[np.intp], PersonalStatistics]]:
    """Return the flashes of each of `N_BLOCKS` blocks of time, and what the rest of the recording taught.

    Parameters
    ----------
    population : mapping of str to ndarray
        The population's ``model.npz``.
    recording : RecordingEpochs
        With onsets, ascending.
    gap : float
        As in `compare_by_time`.

    Returns
    -------
    blocks : list of (ndarray of int, PersonalStatistics)
        Empty where some part of the recording has too few flashes of a class to learn from.
    """
    assert recording.onset is not None  # noqa: S101 - the caller gives them
    onset, found = recording.onset, []
    for block in np.array_split(np.arange(len(recording.y)), N_BLOCKS):
        if not len(block):
            return []
        apart = (onset < onset[block[0]] - gap) | (onset > onset[block[-1]] + gap)
        try:
            found.append((block, statistics_of(population, recording.take(np.flatnonzero(apart)))))
        except TrainingError:
            return []
    return found


def _compared(recording: RecordingEpochs, population: Array, personal: Array) -> Compared:
    aucs = [roc_auc(recording.y, score) for score in (population, personal)]
    if None in aucs:
        raise TrainingError("missing_class", f"{recording.recording} holds one class only; expected both.")
    n_targets = int((recording.y == TARGET).sum())
    return Compared(recording.recording, len(recording.y), n_targets, *(float(auc or 0) for auc in aucs))
