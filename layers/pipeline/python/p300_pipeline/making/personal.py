"""Makes a subject's personal model of a population's, and has it learn from sessions of use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from p300.decoding import Response
from p300.decoding.personal_statistics import PersonalStatistics
from p300.models import RecordingEpochs
from p300.models.learning_from_use import ComparedUse, Spelling, compare_use
from p300.models.personal import Arrays, Lesson, PersonalModel
from p300.models.personal_comparison import Compared, compare_by_recording, compare_by_time, statistics_of, total
from p300.scoring import read_arrays

from p300_pipeline.making.model import npz
from p300_pipeline.making.threads import one_thread

USE_MARGIN_AUC = 0.01
"""What use taught is served unless the subject's labelled recordings have a mean AUC further than this below that without it."""


@dataclass(frozen=True)
class MadePersonal:
    """A personal model's ``model.npz``, and how it compares with the population's.

    Attributes
    ----------
    npz : bytes
    scheme : str
        What each score was learnt without: ``other_recordings`` or ``other_blocks_of_time``.
    compared : list of Compared
        Empty where there are too few flashes to compare on.
    use_npz : bytes or None
        What sessions of use taught; None where nothing did.
    lessons : dict of str to Lesson
        What became of each session of use, by recording.
    with_use : list of ComparedUse
        What use adds on the labelled recordings.
    """

    npz: bytes
    scheme: str
    compared: list[Compared]
    use_npz: bytes | None
    lessons: dict[str, Lesson]
    with_use: list[ComparedUse]


@dataclass(frozen=True)
class Learned:
    """What became of a session of use.

    Attributes
    ----------
    lesson : Lesson
    npz, use_npz : bytes
        The model, and what all sessions of use taught; those of before where nothing was learnt.
    compared : list of ComparedUse
        On the subject's labelled recordings; empty where there are none, or nothing was learnt.
    """

    lesson: Lesson
    npz: bytes
    use_npz: bytes
    compared: list[ComparedUse]


def make_personal_model(
    population: Arrays,
    recordings: Iterable[RecordingEpochs],
    gap: float,
    sessions: Mapping[str, Spelling] | None = None,
) -> MadePersonal:
    """Make a personal model of labelled recordings, and compare it with the population's on what it did not learn from.

    Parameters
    ----------
    population : mapping of str to ndarray
        The population's ``model.npz``.
    recordings : iterable of RecordingEpochs
        Of one subject and of the model's channels; read one at a time, twice.
    gap : float
        See `compare_by_time`.
    sessions : mapping of str to Spelling, optional
        Sessions of use to learn from once more, in order. None of them counts where together they make the model worse.
    """
    with one_thread():
        statistics: dict[str, Any] = {}
        for recording in recordings:
            statistics[recording.recording] = statistics_of(population, recording)
        labelled = total(statistics.values())
        if len(statistics) > 1:
            scheme, compared = "other_recordings", compare_by_recording(population, recordings, statistics)
        else:
            scheme, compared = "other_blocks_of_time", compare_by_time(population, next(iter(recordings)), gap)
        model = PersonalModel(population, labelled)
        lessons = {name: session.teach(model) for name, session in (sessions or {}).items()}
        taught = [lesson.taught for lesson in lessons.values() if lesson.taught]
        with_use = compare_use(population, recordings, statistics, total(taught), gap) if taught else []
        if taught and use_loses(with_use):
            model, taught = PersonalModel(population, labelled), []
    use_npz = npz(total(taught).to_arrays()) if taught else None
    return MadePersonal(npz(model.to_arrays()), scheme, compared, use_npz, lessons, with_use)


def learn_from_session(
    before: Arrays, use_npz: bytes | None, session: Spelling, recordings: Iterable[RecordingEpochs], gap: float
) -> Learned:
    """Have a model learn from a session of use, and test what it learnt on the subject's labelled recordings.

    Parameters
    ----------
    before : mapping of str to ndarray
        The ``model.npz`` that serves the subject: a personal one, or the population's.
    use_npz : bytes or None
        What use taught that model before.
    session : Spelling
        The session.
    recordings : iterable of RecordingEpochs
        The labelled recordings that the model learnt from; read one at a time.
    gap : float
        See `compare_by_time`.
    """
    with one_thread():
        model = PersonalModel(before)
        lesson = session.teach(model)
        use = _use(use_npz, model.response)
        compared: list[ComparedUse] = []
        if lesson.taught:
            use = use + lesson.taught if use else lesson.taught
            statistics = {one.recording: statistics_of(model.population, one) for one in recordings}
            compared = compare_use(model.population, recordings, statistics, use, gap)
        arrays = {} if use is None else use.to_arrays()
        return Learned(lesson, npz(model.to_arrays()), npz(arrays), compared)


def use_loses(compared: Sequence[ComparedUse]) -> bool:
    """Say whether what use taught makes a model worse on the subject's labelled recordings."""
    return bool(compared) and float(np.mean([one.auc_personal - one.auc_without for one in compared])) < -USE_MARGIN_AUC


def _use(content: bytes | None, response: Response) -> PersonalStatistics | None:
    if content is None:
        return None
    return PersonalStatistics.from_arrays(read_arrays(content), response.noise.shape, len(response.channel_covariance))
