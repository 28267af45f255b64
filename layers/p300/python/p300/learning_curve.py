"""How much more people would help: AUC on people left out, over the number of people trained on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from p300.errors import TrainingError
from p300.metrics import roc_auc
from p300.models.data import Held
from p300.models.prepared import Prepared

if TYPE_CHECKING:
    from p300.models import RecordingEpochs, Recordings
    from p300.models.base import Estimator

N_FOLDS = 5
MAX_SUBJECTS = 32
"""Up to so many people are trained on."""

Sizes = dict[int, list[dict[str, float]]]
"""Number of people trained on -> for each estimator, ROC AUC by person tested on."""


def learning_curve(
    estimators: Sequence["Estimator"], recordings: "Recordings", subjects: Sequence[str], only: int | None = None
) -> Sizes:
    """Train on 1, 2, 4, ... people and test on others; each person is tested on once at each size.

    People are left out in folds. Those trained on beside a fold are a growing part of one random order, so that sizes, and estimators, are
    compared on the same people. Each epoch is scored on its own, which needs no calibration.

    Parameters
    ----------
    estimators : sequence of Estimator
        Their kinds, parameters and seed are used; they are not changed.
    recordings : iterable of RecordingEpochs
        Read twice for each fold, and more often where they are too large to be held.
    subjects : sequence of str
        The people in them.
    only : int, optional
        One of `N_FOLDS` folds: people of the others are not tested on. `merged` puts folds together.

    Returns
    -------
    sizes : dict
        From number of people to a dict for each estimator: ROC AUC by person. Sizes stop short of leaving one person out.
    """
    from p300.models.xdawn import AlignedEstimator

    rng = np.random.default_rng(estimators[0].random_state)
    order = rng.permutation(list(subjects)).tolist()
    folds = [order[k::N_FOLDS] for k in range(min(N_FOLDS, len(order)))]
    most = min(len(order) - max(map(len, folds)), len(order) - 2, MAX_SUBJECTS)
    sizes = [size for size in (1, 2, 4, 8, 16, 32) if size <= most]
    found: Sizes = {size: [{} for _ in estimators] for size in sizes}
    if not sizes:
        return {}
    for number, fold in enumerate(folds):
        rest = rng.permutation([name for name in order if name not in fold]).tolist()
        if only not in (None, number):
            continue
        seen = Held(recordings, rest[: sizes[-1]])
        prepared = [one.prepare(seen) if isinstance(one, AlignedEstimator) else None for one in estimators]
        fitted = []
        for size in sizes:
            for estimator, drawn, aucs in zip(estimators, prepared, found[size], strict=True):
                if model := _fitted(estimator, drawn.of(rest[:size]) if drawn else seen.of(rest[:size])):
                    fitted.append((model, aucs))
        del seen, prepared
        for subject, own in _by_subject(recordings, fold):
            y = np.concatenate([recording.y for recording in own])
            for model, aucs in fitted:
                auc = roc_auc(y, np.concatenate([model.decision_function(recording.X) for recording in own]))
                if auc is not None:
                    aucs[subject] = auc
    return {size: aucs for size, aucs in found.items() if all(aucs)}


def merged(folds: Sequence[Sizes]) -> Sizes:
    """Return the curve of all folds.

    Parameters
    ----------
    folds : sequence of dict
        As `learning_curve` returns them for one fold each, in order.

    Returns
    -------
    sizes : dict
        As `learning_curve` returns without ``only``.
    """
    found: Sizes = {}
    for size in sorted({size for fold in folds for size in fold}):
        n_estimators = max(len(fold[size]) for fold in folds if size in fold)
        found[size] = [
            {name: auc for fold in folds if size in fold for name, auc in fold[size][k].items()}
            for k in range(n_estimators)
        ]
    return found


def points(sizes: Sizes, n_subjects: int, last: Sequence[Mapping[str, float | None]]) -> list[dict[str, float]]:
    """Return the points of a curve, leaving subjects out the last of them.

    Parameters
    ----------
    sizes : dict
        Of the model, or of the model and a reference, as `learning_curve` returns.
    n_subjects : int
        How many the model was trained on where subjects were left out.
    last : sequence of mapping
        ROC AUC by subject left out, of the same.

    Returns
    -------
    points : list of dict
        ``n_subjects``, ``roc_auc`` and ``sd`` over people, and ``reference_roc_auc``.
    """
    alone = [{name: auc for name, auc in aucs.items() if auc is not None} for aucs in last]
    every = {**sizes, n_subjects: alone}
    return [
        {
            "n_subjects": size,
            "roc_auc": float(np.mean(list(aucs[0].values()))),
            "sd": float(np.std(list(aucs[0].values()), ddof=1)) if len(aucs[0]) > 1 else 0.0,
            "reference_roc_auc": float(np.mean(list(aucs[-1].values()))),
        }
        for size, aucs in every.items()
        if all(aucs)
    ]


def _fitted(estimator: "Estimator", recordings: "Recordings | Prepared") -> "Estimator | None":
    from p300.models.xdawn import AlignedEstimator

    model = estimator.unfitted()
    try:
        if isinstance(model, AlignedEstimator) and isinstance(recordings, Prepared):
            model.fit_prepared(recordings)
        else:
            model._fit(recordings)
    except TrainingError:
        return None  # too few epochs of a class in these; a side figure must not stop a training
    return model


def _by_subject(recordings: "Recordings", subjects: Sequence[str]) -> Iterator[tuple[str, list["RecordingEpochs"]]]:
    """Yield each person's recordings, holding one person's where they come together, as they do."""
    name = ""
    own: list[RecordingEpochs] = []
    for recording in recordings:
        if recording.subject not in subjects:
            continue
        if own and recording.subject != name:
            yield name, own
            own = []
        name = recording.subject
        own.append(recording)
    if own:
        yield name, own
