"""Makes a subject's personal model of a population's."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from p300.models import RecordingEpochs
from p300.models.personal import Arrays, PersonalModel
from p300.models.personal_comparison import Compared, compare_by_recording, compare_by_time, statistics_of, total

from p300_pipeline.making.model import npz
from p300_pipeline.making.threads import one_thread


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
    """

    npz: bytes
    scheme: str
    compared: list[Compared]


def make_personal_model(population: Arrays, recordings: Iterable[RecordingEpochs], gap: float) -> MadePersonal:
    """Make a personal model of labelled recordings, and compare it with the population's on what it did not learn from.

    Parameters
    ----------
    population : mapping of str to ndarray
        The population's ``model.npz``.
    recordings : iterable of RecordingEpochs
        Of one subject and of the model's channels; read one at a time, twice.
    gap : float
        See `compare_by_time`.
    """
    with one_thread():
        statistics: dict[str, Any] = {}
        for recording in recordings:
            statistics[recording.recording] = statistics_of(population, recording)
        model = PersonalModel(population, total(statistics.values()))
        if len(statistics) > 1:
            scheme, compared = "other_recordings", compare_by_recording(population, recordings, statistics)
        else:
            scheme, compared = "other_blocks_of_time", compare_by_time(population, next(iter(recordings)), gap)
    return MadePersonal(npz(model.to_arrays()), scheme, compared)
