"""Unlabelled spelling sessions for a personal model: their symbols, and whether what they taught is worth keeping."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p300.decoding.layouts import Layout
from p300.decoding.personal_statistics import PersonalStatistics
from p300.decoding.trials import split_trials
from p300.errors import TrainingError
from p300.features import FeatureSet
from p300.metrics import roc_auc
from p300.models.data import RecordingEpochs
from p300.models.personal import Arrays, Lesson, PersonalModel
from p300.models.personal_comparison import learnt_by_block, total
from p300.recording import TARGET
from p300.scoring import Scorer

ONSETS = "onset_samples"
"""In the survey of an unlabelled recording: the first samples of all flashes, those without an epoch too."""


@dataclass(frozen=True)
class Spelling:
    """An unlabelled session as `PersonalModel.learn` takes it.

    Attributes
    ----------
    X : ndarray, shape (n_epochs, n_channels * n_times)
        Features in volts.
    lit : ndarray of bool, shape (n_epochs, n_symbols)
        Which symbols each flash lit.
    trials : list of slice
        The epochs of each symbol that was spelled; some of them may have none.
    confirmed : list of int or None
        The symbol of each trial that the user confirmed.
    ch_names : tuple of str
    """

    X: NDArray[np.floating]
    lit: NDArray[np.bool_]
    trials: list[slice]
    confirmed: list[int | None]
    ch_names: tuple[str, ...]

    @classmethod
    def of(cls, features: FeatureSet, layout: Layout, name: str) -> "Spelling":
        """Make one of the features of an unlabelled recording.

        Parameters
        ----------
        features : FeatureSet
            With groups. Of a ``text`` in their sidecar, each symbol is one that the user confirmed.
        layout : Layout
            What each group lit.
        name : str
            What to call the recording in messages.

        Raises
        ------
        TrainingError
            ``bad_text`` where the text has more or fewer symbols than were spelled.
        RequestError
            ``unknown_group`` where the layout lacks a group that flashed.
        """
        assert features.flash is not None  # noqa: S101 - a feature file of unlabelled flashes has groups
        all_onsets = np.array(features.survey.get(ONSETS, features.onset_sample), np.int64)
        trials = []
        for trial in split_trials(all_onsets):
            first, last = all_onsets[[trial.start, trial.stop - 1]]
            start = int(np.searchsorted(features.onset_sample, first))
            trials.append(slice(start, int(np.searchsorted(features.onset_sample, last, side="right"))))
        text = features.sidecar.get("text")
        if text is not None and len(text) != len(trials):
            raise TrainingError(
                "bad_text",
                f"{name}: its sidecar's text has {len(text)} symbols, and pauses part the flashes into {len(trials)}. Expected the same "
                "number. Correct the text, or leave it out: the symbols are then inferred.",
            )
        confirmed: list[int | None] = [None] * len(trials)
        if text is not None:
            confirmed = [layout.symbols.index(symbol) for symbol in text]
        return cls(features.X, layout.lit(features.flash), trials, confirmed, features.ch_names)

    def teach(self, model: PersonalModel) -> Lesson:
        """Have a model learn from the session (`PersonalModel.learn`)."""
        return model.learn(self.X, self.lit, self.trials, self.confirmed, self.ch_names)


@dataclass(frozen=True)
class ComparedUse:
    """How a labelled recording of the subject is scored, each flash on its own, without and with what use taught.

    Attributes
    ----------
    recording : str
    n_flashes, n_targets : int
    auc_population : float
        By the population's model.
    auc_without : float
        By what the subject's other labelled recordings taught or, where there are none, other parts of this one.
    auc_personal : float
        By that and what all sessions of use taught.
    """

    recording: str
    n_flashes: int
    n_targets: int
    auc_population: float
    auc_without: float
    auc_personal: float


def compare_use(
    population: Arrays,
    recordings: Iterable[RecordingEpochs],
    statistics: Mapping[str, PersonalStatistics],
    use: PersonalStatistics,
    gap: float,
) -> list[ComparedUse]:
    """Test on each labelled recording what sessions of use add to what else was labelled.

    Parameters
    ----------
    population : mapping of str to ndarray
        The population's ``model.npz``.
    recordings : iterable of RecordingEpochs
        Of the subject.
    statistics : mapping of str to PersonalStatistics
        Of these recordings (`p300.models.personal_comparison.statistics_of`).
    use : PersonalStatistics
        Of all sessions of use together: compared with none of them, so that many small losses cannot add up.
    gap : float
        As in `compare_by_time`.

    Returns
    -------
    compared : list of ComparedUse
        Each recording with what the others taught; the only one in blocks of time, each with what the rest of it taught.
    """
    found = []
    scorer = Scorer.from_arrays(population)
    for recording in recordings:
        others = [one for name, one in statistics.items() if name != recording.recording]
        parts = (
            [(np.arange(len(recording.y)), total(others))] if others else learnt_by_block(population, recording, gap)
        )
        without, personal = np.zeros(len(recording.y)), np.zeros(len(recording.y))
        for rows, rest in parts:
            without[rows] = PersonalModel(population, rest).scorer.log_odds(recording.X[rows])
            personal[rows] = PersonalModel(population, rest + use).scorer.log_odds(recording.X[rows])
        if parts:
            scores = (scorer.log_odds(recording.X), without, personal)
            aucs = [float(roc_auc(recording.y, score) or 0) for score in scores]
            n_targets = int((recording.y == TARGET).sum())
            found.append(ComparedUse(recording.recording, len(recording.y), n_targets, *aucs))
    return found
