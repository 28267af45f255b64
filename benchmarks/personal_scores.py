"""Models of one subject, and every way to score that subject's flashes with them."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from p300 import models
from p300.decoding import causal_log_likelihood_ratio
from p300.metrics import roc_auc
from p300.models import RecordingEpochs
from p300.models.personal import PersonalModel
from spellers import Run

Arrays = Mapping[str, np.ndarray]
Calibration = int | str
UNLABELLED = "unlabelled"


def fitted(recordings: list[RecordingEpochs]) -> Arrays:
    """Return the arrays of a population model."""
    model = models.make("ensemble", n_channels=recordings[0].n_channels, n_times=recordings[0].n_times)
    return model.fit_recordings(recordings).to_arrays()


def personal(population: Arrays, calibration: Run, k: Calibration) -> PersonalModel:
    """Return a subject's model after the first k symbols of a run, or after all of it without labels."""
    model = PersonalModel(population)
    if k == UNLABELLED:
        model.statistics = model.session(calibration.X, calibration.lit, calibration.trials).statistics()
    elif k:
        part = calibration.part(0, int(k))
        model.fit(part.X, part.y)
    return model


def own_alone(calibration: RecordingEpochs, test: RecordingEpochs) -> float:
    """Return the AUC of the subject's own epochs alone: that of the LDA or of the ensemble, whichever is better on the test."""
    n_channels, n_times = calibration.n_channels, calibration.n_times
    fits = [
        models.make(kind, n_channels=n_channels, n_times=n_times).fit(calibration.X, calibration.y)
        for kind in ("lda", "ensemble")
    ]
    return auc(test.y, max((fit.decision_function(test.X) for fit in fits), key=lambda score: auc(test.y, score)))


def auc(y: np.ndarray, score: np.ndarray) -> float:
    """Return the AUC of a run that holds both classes."""
    found = roc_auc(y, score)
    assert found is not None  # noqa: S101
    return found


# ---- scores of single flashes
def session(model: PersonalModel, run: Run) -> np.ndarray:
    return model.session(run.X, run.lit, run.trials).log_likelihood_ratio_


def end_of_symbol(model: PersonalModel, run: Run) -> np.ndarray:
    ratio = np.zeros(len(run.y))
    for k, trial in enumerate(run.trials):
        so_far = model.session(run.X[: trial.stop], run.lit[: trial.stop], run.trials[: k + 1])
        ratio[trial] = so_far.log_likelihood_ratio_[trial]
    return ratio


def causal(model: PersonalModel, run: Run) -> np.ndarray:
    return causal_log_likelihood_ratio(run.X, model.response, run.lit, run.trials)


def recording(model: PersonalModel, run: Run) -> np.ndarray:
    return model.scorer.log_odds(run.X, adapt=True)


def single(model: PersonalModel, run: Run) -> np.ndarray:
    return model.scorer.log_odds(run.X)


SCORES: dict[str, Callable[[PersonalModel, Run], np.ndarray]] = {
    "session": session,
    "end of symbol": end_of_symbol,
    "causal": causal,
    "recording": recording,
    "single epochs": single,
}


def listed(values: Iterable[float]) -> str:
    """Return numbers below 1 in a row, without their zeros."""
    return " ".join(f"{value:.3f}"[1:] for value in values)
