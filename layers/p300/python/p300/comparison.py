"""How well a kind of model does on each left-out recording: enough to compare two ways to prepare the same recordings."""

from p300 import models
from p300.evaluation import N_BLOCKS, SFREQ
from p300.metrics import roc_auc
from p300.models import Recordings
from p300.models.data import blocks


def left_out_auc(recordings: Recordings, kind: str, seed: int = 0, sfreq: float = SFREQ) -> dict[str, float]:
    """Return the ROC AUC of each recording by a model that has not seen the person; with one person, of each block of time.

    Parameters
    ----------
    recordings : iterable of RecordingEpochs
        Of one montage, read several times.
    kind : str
        One of ``p300.models.KINDS``.
    seed : int
        Of the model.
    sfreq : float
        Rate of the features in Hz.

    Returns
    -------
    auc : dict of str to float
        By recording, or ``<recording>#<block>``; without those that hold one class only.

    Raises
    ------
    TrainingError
        Where a fold's training side lacks a class.
    """
    from p300.models.base import cross_validate

    subjects: set[str] = set()
    for recording in recordings:
        subjects.add(recording.subject)
        shape = recording.n_channels, recording.n_times
    model = models.make(kind, seed=seed, n_channels=shape[0], n_times=shape[1], sfreq=sfreq)
    folds = blocks(recordings, N_BLOCKS) if len(subjects) == 1 else recordings
    each = cross_validate(model, folds, lambda recording: recording.subject).by_recording(folds)
    found = ((name, roc_auc(p.y[at], p.within_recording[at])) for name, p, at in each)
    return {name: float(auc) for name, auc in found if auc is not None}
