"""How well a model carries over to people it has not seen, and the figures that flatter it, told apart."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p300 import models
from p300.errors import TrainingError
from p300.models import RecordingEpochs, Recordings
from p300.models.data import Derived, blocks, require_rereadable
from p300.recording import TARGET

if TYPE_CHECKING:
    from p300.models.base import CrossValidation, Estimator

N_BLOCKS = 5
N_CALIBRATION_BINS = 10
N_CURVE_POINTS = 50
TEST_FRACTION = 0.2
SUMMARISED = ("roc_auc", "average_precision", "balanced_accuracy", "accuracy", "kappa", "brier")

Report = dict[str, Any]
Scored = dict[str, tuple[NDArray[np.integer], NDArray[np.float64]]]


def evaluate(recordings: Recordings, kind: str, seed: int = 0) -> Report:
    """Evaluate one kind of model on recordings; `train` does the same and returns a model too.

    Parameters
    ----------
    recordings : iterable of RecordingEpochs
        Read several times, one recording at a time: a list, or an object whose ``__iter__`` starts anew.
    kind : str
        One of ``p300.models.KINDS``.
    seed : int
        Of the model and of every random split.

    Returns
    -------
    report : dict
        Can be written as JSON. Parts over people hold ``mean`` and ``sd`` of the figures, and the figures of each.

        ``leave_one_subject_out``
            The figure to believe for new people: the model adapted to each recording without labels, where its kind
            adapts. With one subject alone it is None, ``within_subject_blocks`` takes its place and ``note`` says so.
        ``leave_one_subject_out_single_epochs``
            The same with each epoch on its own, as if it came alone, and so in all parts below. Equal where the kind
            does not adapt.
        ``roc_curve``, ``precision_recall_curve``, ``calibration_curve``
            Of the pooled probabilities of ``leave_one_subject_out`` (or of the blocks).
        ``train_first_test_rest``
            Per subject with several recordings: trained on the first, tested on the others. None without such, or
            where no first one has enough epochs of both classes.
        ``label_shuffled_control``
            Labels permuted within each recording; an AUC far from 0.5 means that labels leak.
        ``pooled_random_split_optimistic``
            Epochs of one subject on both sides: for comparison with figures of others only. None where recordings are
            too short to be split.

    Raises
    ------
    TrainingError
        Where there are no recordings, or a fold's training side lacks a class.
    """
    model, subjects, counts = _prepare(recordings, kind, seed)
    return _evaluate(model, recordings, subjects, counts)[0]


def train(recordings: Recordings, kind: str, seed: int = 0) -> tuple["Estimator", Report]:
    """Fit on all recordings, calibrate on left-out people, and evaluate.

    Parameters
    ----------
    recordings : iterable of RecordingEpochs
        Read several times, one recording at a time: a list, or an object whose ``__iter__`` starts anew.
    kind : str
        One of ``p300.models.KINDS``.
    seed : int
        Of the model and of every random split.

    Returns
    -------
    model : Estimator
        Its probabilities are calibrated on the scores of subjects left out (of blocks, with one subject).
    report : dict
        As `evaluate` returns.
    """
    model, subjects, counts = _prepare(recordings, kind, seed)
    report, left_out = _evaluate(model, recordings, subjects, counts)
    model._fit(recordings)
    return model.calibrate(left_out), report


def within_recording(recording: RecordingEpochs, kind: str = "lda", seed: int = 0) -> Report:
    """Evaluate a model on one recording alone: consecutive blocks of it are left out in turn.

    Parameters
    ----------
    recording : RecordingEpochs
        In the order of recording.
    kind : str
        One of ``p300.models.KINDS``.
    seed : int
        Of the model.

    Returns
    -------
    report : dict
        ``blocks`` with the figures of each, ``mean`` and ``sd`` over them. Tells how clear the response is in this recording,
        nothing about other people.

    Raises
    ------
    TrainingError
        Where too few epochs of a class are left to train on.
    """
    from p300.models.base import cross_validate

    model, _, _ = _prepare([recording], kind, seed)
    left_out = cross_validate(model, blocks([recording], N_BLOCKS), lambda block: block.subject)
    return _by_fold({fold: (p.y, p.within_recording) for fold, p in left_out.folds.items()}, "blocks")


def _evaluate(
    model: "Estimator", recordings: Recordings, subjects: list[str], counts: Report
) -> tuple[Report, "CrossValidation"]:
    from p300.models.base import cross_validate

    alone = len(subjects) == 1
    folds = blocks(recordings, N_BLOCKS) if alone else recordings
    left_out = cross_validate(model, folds, lambda recording: recording.subject)
    within = {fold: (p.y, p.within_recording) for fold, p in left_out.folds.items()}
    single = {fold: (p.y, p.alone) for fold, p in left_out.folds.items()}
    note = (
        f"One subject only ({subjects[0]}): figures are of {N_BLOCKS} blocks of time left out in turn, "
        "and say nothing about other people."
    )
    report: Report = {
        "kind": model.kind,
        "seed": model.seed,
        **counts,
        "note": note if alone else "",
        "leave_one_subject_out": None if alone else _by_fold(within, "subjects"),
        "leave_one_subject_out_single_epochs": None if alone else _by_fold(single, "subjects"),
        "within_subject_blocks": _by_fold(single, "blocks") if alone else None,
        **{f"{name}_curve": points for name, points in curves(*_pooled(single if alone else within)).items()},
        "train_first_test_rest": _train_first_test_rest(model, recordings),
        "label_shuffled_control": _label_shuffled(model, folds),
        "pooled_random_split_optimistic": _random_split(model, recordings),
    }
    return report, left_out


def classification_metrics(y: NDArray[np.integer], probability_target: NDArray[np.floating]) -> Report:
    """Return the figures for one set of predictions.

    Parameters
    ----------
    y : ndarray of int, shape (n_epochs,)
        1 (NonTarget) or 2 (Target).
    probability_target : ndarray, shape (n_epochs,)

    Returns
    -------
    metrics : dict
        ``roc_auc``, ``average_precision``, ``balanced_accuracy``, ``accuracy``, ``kappa`` (Cohen), ``brier``,
        ``confusion_matrix`` (rows true NonTarget, Target; columns predicted), ``n_epochs``, ``n_targets``. Labels are
        predicted at a probability of 0.5. A figure that needs both classes is None where one is absent. All are
        defined as in ``sklearn.metrics``.
    """
    truth = np.asarray(y) == TARGET
    probability = np.asarray(probability_target, dtype=np.float64)
    n, n_targets = len(truth), int(truth.sum())
    n_non_targets = n - n_targets
    predicted = probability >= 0.5
    confusion = np.zeros((2, 2), dtype=int)
    np.add.at(confusion, (truth.astype(int), predicted.astype(int)), 1)
    accuracy = float(np.trace(confusion)) / n
    chance = float(confusion.sum(axis=0) @ confusion.sum(axis=1)) / n**2
    both = n_targets > 0 and n_non_targets > 0
    return {
        "roc_auc": _roc_auc(truth, probability) if both else None,
        "average_precision": _average_precision(truth, probability) if both else None,
        "balanced_accuracy": float(np.mean(np.diag(confusion) / confusion.sum(axis=1))) if both else None,
        "accuracy": accuracy,
        "kappa": (accuracy - chance) / (1 - chance) if chance < 1 else None,
        "brier": float(np.mean((probability - truth) ** 2)),
        "confusion_matrix": confusion.tolist(),
        "n_epochs": n,
        "n_targets": n_targets,
    }


def _roc_auc(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    # Mann-Whitney U: ties share the mean of their ranks.
    _, inverse, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[inverse]
    n_targets = int(truth.sum())
    return float((rank[truth].sum() - n_targets * (n_targets + 1) / 2) / (n_targets * (len(truth) - n_targets)))


def _average_precision(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    hits, called = _thresholds(truth, score)
    return float(np.sum(np.diff(hits, prepend=0) * hits / called) / truth.sum())


def _thresholds(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, at each distinct score from the highest on, how many targets and how many epochs reach it."""
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    return np.cumsum(truth[order])[last_of_tie], last_of_tie + 1


def _prepare(recordings: Recordings, kind: str, seed: int) -> tuple["Estimator", list[str], Report]:
    require_rereadable(recordings)
    subjects: dict[str, None] = {}
    n_recordings = n_epochs = n_targets = 0
    shapes: dict[tuple[int, int], str] = {}
    for recording in recordings:
        subjects[recording.subject] = None
        n_recordings += 1
        n_epochs += len(recording.y)
        n_targets += int((recording.y == TARGET).sum())
        shapes.setdefault((recording.n_channels, recording.n_times), recording.recording)
    if not shapes:
        raise TrainingError("no_recordings", "There are no recordings with features; land and preprocess some first.")
    if len(shapes) > 1:
        found = "; ".join(f"{name}: {c} channels x {t} samples" for (c, t), name in shapes.items())
        raise TrainingError("mixed_shapes", f"Recordings differ in shape ({found}); train on those of one montage.")
    (n_channels, n_times), *_ = shapes
    model = models.make(kind, seed=seed, n_channels=n_channels, n_times=n_times)
    counts = {
        "n_subjects": len(subjects),
        "n_recordings": n_recordings,
        "n_epochs": n_epochs,
        "n_targets": n_targets,
    }
    return model, list(subjects), counts


def _by_fold(scored: Scored, name: str) -> Report:
    folds = {fold: classification_metrics(y, probability) for fold, (y, probability) in scored.items()}
    values = {key: np.array([m[key] for m in folds.values() if m[key] is not None], dtype=float) for key in SUMMARISED}
    return {
        name: folds,
        "mean": {key: float(found.mean()) if len(found) else None for key, found in values.items()},
        "sd": {key: float(found.std(ddof=1)) if len(found) > 1 else None for key, found in values.items()},
    }


def calibration_curve(y: NDArray[np.integer], probability_target: NDArray[np.floating]) -> list[dict[str, float]]:
    """Compare predicted with observed frequencies of Target.

    Parameters
    ----------
    y : ndarray of int, shape (n_epochs,)
        1 (NonTarget) or 2 (Target).
    probability_target : ndarray, shape (n_epochs,)

    Returns
    -------
    bins : list of dict
        Of equal count, from low to high probability: ``predicted`` (mean probability), ``observed`` (fraction of
        targets), ``n_epochs``.
    """
    order = np.argsort(probability_target, kind="stable")
    return [
        {
            "predicted": float(np.mean(probability_target[rows])),
            "observed": float(np.mean(y[rows] == TARGET)),
            "n_epochs": len(rows),
        }
        for rows in np.array_split(order, N_CALIBRATION_BINS)
        if len(rows)
    ]


def curves(y: NDArray[np.integer], probability_target: NDArray[np.floating]) -> dict[str, list[dict[str, float]]]:
    """Return the curves behind the figures of one set of predictions.

    Parameters
    ----------
    y : ndarray of int, shape (n_epochs,)
        1 (NonTarget) or 2 (Target).
    probability_target : ndarray, shape (n_epochs,)

    Returns
    -------
    curves : dict
        ``roc`` (``false_positive_rate``, ``true_positive_rate``) and ``precision_recall`` (``recall``, ``precision``), empty where a
        class is absent, of at most `N_CURVE_POINTS` + 1 thresholds; ``calibration`` as `calibration_curve` returns.
    """
    truth = np.asarray(y) == TARGET
    probability = np.asarray(probability_target, dtype=np.float64)
    found: dict[str, list[dict[str, float]]] = {
        "roc": [],
        "precision_recall": [],
        "calibration": calibration_curve(y, probability),
    }
    n_targets = int(truth.sum())
    n_non_targets = len(truth) - n_targets
    if not (n_targets and n_non_targets):
        return found
    hits, called = _thresholds(truth, probability)
    false_alarms = called - hits
    # At equal steps of the x axis, where a curve has several points, the best of them.
    last = np.searchsorted(false_alarms, np.linspace(0, n_non_targets, N_CURVE_POINTS), side="right") - 1
    first = np.searchsorted(hits, np.linspace(1, n_targets, N_CURVE_POINTS), side="left")
    found["roc"] = [{"false_positive_rate": 0.0, "true_positive_rate": 0.0}] + [
        {
            "false_positive_rate": round(float(false_alarms[row]) / n_non_targets, 5),
            "true_positive_rate": round(float(hits[row]) / n_targets, 5),
        }
        for row in np.unique(last[last >= 0])
    ]
    found["precision_recall"] = [
        {
            "recall": round(float(hits[row]) / n_targets, 5),
            "precision": round(float(hits[row]) / float(called[row]), 5),
        }
        for row in np.unique(first)
    ]
    return found


def _pooled(scored: Scored) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    return np.concatenate([y for y, _ in scored.values()]), np.concatenate([p for _, p in scored.values()])


def _predict(model: "Estimator", recordings: Recordings) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """Return labels and probabilities; the model knows the person, so it has nothing to adapt to."""
    y, probability = [], []
    for recording in recordings:
        y.append(recording.y)
        probability.append(model.predict_proba(recording.X)[:, 1])
    return np.concatenate(y), np.concatenate(probability)


def _train_first_test_rest(model: "Estimator", recordings: Recordings) -> Report | None:
    scored: Scored = {}
    first: dict[str, str] = {}
    several: dict[str, None] = {}
    for recording in recordings:
        if first.setdefault(recording.subject, recording.recording) != recording.recording:
            several[recording.subject] = None
    for subject in several:
        own = [recording for recording in recordings if recording.subject == subject]
        try:
            fitted = model.unfitted().fit_recordings([r for r in own if r.recording == first[subject]])
        except TrainingError:
            continue  # too few epochs of a class in that one; a side figure must not stop a training
        scored[subject] = _predict(fitted, [r for r in own if r.recording != first[subject]])
    return _by_fold(scored, "subjects") if scored else None


def _label_shuffled(model: "Estimator", recordings: Recordings) -> Report:
    """Leave out a fifth of the people in turn, all labels permuted within their recordings."""
    from p300.models.base import cross_validate

    def shuffle(recording: RecordingEpochs) -> Iterator[RecordingEpochs]:
        yield replace(recording, y=_rng(model.seed, recording).permutation(recording.y))

    subjects = list(dict.fromkeys(recording.subject for recording in recordings))
    fold = {subject: str(k % N_BLOCKS) for k, subject in enumerate(subjects)}
    shuffled = cross_validate(model, Derived(recordings, shuffle), lambda recording: fold[recording.subject])
    y, probability = _pooled({name: (p.y, p.alone) for name, p in shuffled.folds.items()})
    return classification_metrics(y, probability)


def _random_split(model: "Estimator", recordings: Recordings) -> Report | None:
    """Train on four fifths of the pooled epochs, chosen at random class by class, and test on the rest."""

    def split(recording: RecordingEpochs, *, test: bool) -> Iterator[RecordingEpochs]:
        in_test = np.zeros(len(recording.y), dtype=bool)
        rng = _rng(model.seed, recording)
        for label in np.unique(recording.y):
            rows = rng.permutation(np.flatnonzero(recording.y == label))
            in_test[rows[: round(TEST_FRACTION * len(rows))]] = True
        yield recording.take(in_test == test)

    test = Derived(recordings, lambda r: split(r, test=True))
    if not any(True for _ in test):
        return None
    fitted = model.unfitted().fit_recordings(Derived(recordings, lambda r: split(r, test=False)))
    return classification_metrics(*_predict(fitted, test))


def _rng(seed: int, recording: RecordingEpochs) -> np.random.Generator:
    # Seeded by name too, so that a recording's draw does not depend on which others there are.
    return np.random.default_rng([seed, *recording.recording.encode()])
