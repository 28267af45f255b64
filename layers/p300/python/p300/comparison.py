"""How well a kind of model does on each left-out recording: enough to compare two ways to prepare the same recordings."""

from p300.evaluation_parts import SFREQ, look, make_model
from p300.metrics import roc_auc
from p300.models import Recordings


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
    from p300.models.cross_validation import cross_validate

    subjects = look(recordings)
    fold, folds = subjects.folds(), subjects.in_folds(recordings)
    model = make_model(subjects, kind, seed, sfreq)
    each = cross_validate(model, folds, lambda recording: fold[recording.subject]).by_recording()
    found = ((name, roc_auc(p.y, p.within_recording)) for name, p in each.items())
    return {name: float(auc) for name, auc in found if auc is not None}
