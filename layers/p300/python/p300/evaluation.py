"""How well a model carries over to people it has not seen, and the figures that flatter it, told apart."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p300 import models
from p300.chance import Scores, against_chance, chance_of, shuffled_interval
from p300.errors import ArtifactError, TrainingError
from p300.json_text import is_number
from p300.learning_curve import learning_curve, points
from p300.metrics import Report, Scored, calibration_by_subject, classification_metrics, curves, roc_auc
from p300.models import RecordingEpochs, Recordings
from p300.models.data import HELD_BYTES, Derived, blocks, one_montage
from p300.recording import TARGET

if TYPE_CHECKING:
    from p300.models.base import CrossValidation, Estimator

__all__ = ["classification_metrics", "curves", "evaluate", "train", "within_recording"]

N_BLOCKS = 5
REFERENCE_KIND = "lda"
TEST_FRACTION = 0.2
SFREQ = 100.0
"""Of the features that the pipeline makes, in Hz."""
SUMMARISED = ("roc_auc", "average_precision", "balanced_accuracy", "accuracy", "kappa", "brier")


def evaluate(recordings: Recordings, kind: str, seed: int = 0, sfreq: float = SFREQ) -> Report:
    """Evaluate one kind of model on recordings; `train` does the same and returns a model too.

    Parameters
    ----------
    recordings : iterable of RecordingEpochs
        Read several times, one recording at a time: a list, or an object whose ``__iter__`` starts anew.
    kind : str
        One of ``p300.models.KINDS``.
    seed : int
        Of the model and of every random split.
    sfreq : float
        Rate of the features in Hz.

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
        ``leave_one_subject_out_sessions``
            The same with the groups that flashed and the whole session known, by what decodes symbols: for revising a session, not for
            what could be said while it ran. None where a recording does not say what flashed, or with one subject.
        ``reference_lda``
            What the plain LDA gives on the same left-out people (or blocks), for comparison.
        ``learning_curve``
            Points ``n_subjects``, ``roc_auc`` and ``sd`` over people left out, and ``reference_roc_auc`` of the plain LDA, each epoch
            on its own: how much more people would help. Empty with one subject.
        ``roc_curve``, ``precision_recall_curve``, ``calibration_curve``
            Of the pooled probabilities of ``leave_one_subject_out`` (or of the blocks).
        ``left_out_recordings``
            ROC AUC of each recording of ``leave_one_subject_out``, None where it holds one class; models are compared on these.
        ``calibration_by_subject``
            Deciles of the same within each subject (or block), averaged (`p300.metrics.calibration_by_subject`).
        ``chance``
            The scores on left-out people (or blocks) against labels shuffled within each recording, as `p300.chance.against_chance`
            returns: whether the model can be told from one that knows nothing.
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
    recordings = one_montage(recordings)
    model, subjects, counts = _prepare(recordings, kind, seed, sfreq)
    return _evaluate(model, recordings, subjects, counts)[0]


def train(recordings: Recordings, kind: str, seed: int = 0, sfreq: float = SFREQ) -> tuple["Estimator", Report]:
    """Fit on all recordings, calibrate on left-out people, and evaluate.

    Parameters
    ----------
    recordings : iterable of RecordingEpochs
        As in `evaluate`.
    kind : str
        As in `evaluate`.
    seed : int
        As in `evaluate`.
    sfreq : float
        As in `evaluate`.

    Returns
    -------
    model : Estimator
        Its probabilities are calibrated on the scores of subjects left out (of blocks, with one subject).
    report : dict
        As `evaluate` returns.

    Raises
    ------
    TrainingError
        As `evaluate` raises it, and ``cannot_fit`` where recordings are too few or too much alike for this kind of model.
    """
    recordings = one_montage(recordings)
    model, subjects, counts = _prepare(recordings, kind, seed, sfreq)
    try:
        report, left_out = _evaluate(model, recordings, subjects, counts)
        model._fit(recordings)
        return model.calibrate(left_out), report
    except (np.linalg.LinAlgError, ArtifactError) as error:  # the model that was fitted cannot score
        raise TrainingError(
            "cannot_fit",
            f"{kind} cannot be fitted on these {counts['n_recordings']} recordings with {counts['n_epochs']} epochs: {error}. They are too "
            "few or too much alike; land more, or train lda.",
        ) from error


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
        ``blocks`` with the figures of each, ``mean`` and ``sd`` over them, ``chance`` as `p300.chance.against_chance` returns, and
        ``shuffled`` as `p300.chance.shuffled_interval` does. Tells how clear the response is in this recording, nothing about other people.

    Raises
    ------
    TrainingError
        Where too few epochs of a class are left to train on.
    """
    from p300.models.base import cross_validate

    model, _, _ = _prepare([recording], kind, seed, SFREQ)
    left_out = cross_validate(model, blocks([recording], N_BLOCKS), _block)
    figures = _by_fold({fold: (p.y, p.within_recording) for fold, p in left_out.folds.items()}, "blocks")
    scores: list[Scores] = [(p.y, p.score) for p in left_out.folds.values()]
    interval = shuffled_interval(scores)
    return {**figures, "chance": against_chance(scores), "shuffled": interval and list(interval)}


def chance_within_recording(recording: RecordingEpochs, kind: str = "lda", seed: int = 0) -> Report:
    """Return the ``chance`` of `within_recording` alone, which needs no calibration and so takes a fraction of the time.

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
    chance : dict
        As `p300.chance.against_chance` returns it.

    Raises
    ------
    TrainingError
        Where too few epochs of a class are left to train on.
    """
    from p300.models.base import left_out_scores

    model, _, _ = _prepare([recording], kind, seed, SFREQ)
    return against_chance(left_out_scores(model, blocks([recording], N_BLOCKS), _block))


def _block(block: RecordingEpochs) -> str:
    return block.subject


def headline(metrics: Mapping[str, Any]) -> Report:
    """Return the figures of an evaluation that a person looks at first.

    Parameters
    ----------
    metrics : mapping
        What `evaluate` returned.

    Returns
    -------
    dict
        ``scheme`` (what was left out), ``auc_mean``, ``auc_sd``, ``auc_by_fold``, ``auc_single_epochs`` (each epoch on its own),
        ``auc_reference_lda`` (the plain LDA's), ``auc_label_shuffled`` and, named so, the optimistic random split's AUC; ``at_chance`` and
        ``p_chance`` as `p300.chance.chance_of` returns them, None where the evaluation tested nothing.

    Raises
    ------
    ArtifactError
        ``bad_manifest`` where these are no such metrics.
    """
    try:
        scheme = "leave_one_subject_out" if metrics["leave_one_subject_out"] else "within_subject_blocks"
        folds = metrics[scheme]
        by_fold = folds.get("subjects") or folds["blocks"]
        figures = {
            "scheme": scheme,
            "auc_mean": folds["mean"]["roc_auc"],
            "auc_sd": folds["sd"]["roc_auc"],
            "auc_by_fold": {name: figures["roc_auc"] for name, figures in by_fold.items()},
            "auc_single_epochs": (metrics.get(f"{scheme}_single_epochs") or folds)["mean"]["roc_auc"],
            "auc_reference_lda": ((metrics.get("reference_lda") or {}).get("mean") or {}).get("roc_auc"),
            "auc_label_shuffled": (metrics.get("label_shuffled_control") or {}).get("roc_auc"),
            "auc_pooled_random_split_optimistic": (metrics["pooled_random_split_optimistic"] or {}).get("roc_auc"),
        }
    except (LookupError, TypeError, AttributeError) as error:
        raise ArtifactError("bad_manifest", f"Metrics that no evaluation wrote: {error!r}. Train again.") from error
    numbers = [
        *figures["auc_by_fold"].values(),
        *(value for name, value in figures.items() if name not in {"scheme", "auc_by_fold"}),
    ]
    if not all(number is None or is_number(number) for number in numbers):
        raise ArtifactError("bad_manifest", "Metrics that are no numbers. Train again.")
    chance = chance_of(metrics)
    return {
        **figures,
        "at_chance": chance and chance["at_chance"],
        "p_chance": chance and chance["p_value"],
    }


def left_out_recordings(metrics: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the AUC of each recording whose person was left out; None where an evaluation was made before there were such figures.

    Raises
    ------
    ArtifactError
        ``bad_manifest`` where they are no numbers.
    """
    found = metrics.get("left_out_recordings")
    if found is None:
        return None
    if not isinstance(found, dict) or not all(auc is None or is_number(auc) for auc in found.values()):
        raise ArtifactError("bad_manifest", "Metrics of recordings that are no numbers. Train again.")
    return {name: float(auc) for name, auc in found.items() if auc is not None}


def _evaluate(
    model: "Estimator", recordings: Recordings, subjects: list[str], counts: Report
) -> tuple[Report, "CrossValidation"]:
    from p300.models.base import cross_validate

    alone = len(subjects) == 1
    folds = blocks(recordings, N_BLOCKS) if alone else recordings
    left_out = cross_validate(model, folds, lambda recording: recording.subject)
    within = {fold: (p.y, p.within_recording) for fold, p in left_out.folds.items()}
    each = left_out.by_recording(folds)
    single = _alone(left_out)
    compared, scored = [model], [single]
    if model.kind != REFERENCE_KIND:
        compared.append(
            models.make(REFERENCE_KIND, seed=model.random_state, n_channels=model.n_channels, n_times=model.n_times)
        )
        scored.append(_alone(cross_validate(compared[1], folds, lambda recording: recording.subject)))
    note = (
        f"One subject only ({subjects[0]}): figures are of {N_BLOCKS} blocks of time left out in turn, "
        "and say nothing about other people."
    )
    report: Report = {
        "kind": model.kind,
        "seed": model.random_state,
        **counts,
        "note": note if alone else "",
        "leave_one_subject_out": None if alone else _by_fold(within, "subjects"),
        "leave_one_subject_out_single_epochs": None if alone else _by_fold(single, "subjects"),
        "left_out_recordings": {}
        if alone
        else {name: roc_auc(p.y[at], p.within_recording[at]) for name, p, at in each},
        "leave_one_subject_out_sessions": None if alone else _sessions(left_out),
        "chance": against_chance(((p.y[at], p.score[at]) for _, p, at in each), model.random_state),
        "within_subject_blocks": _by_fold(single, "blocks") if alone else None,
        "reference_lda": _by_fold(scored[-1], "blocks" if alone else "subjects"),
        "learning_curve": [] if alone else points(learning_curve(compared, recordings, subjects), scored),
        **{f"{name}_curve": points for name, points in curves(*_pooled(single if alone else within)).items()},
        "calibration_by_subject": calibration_by_subject(single if alone else within),
        "train_first_test_rest": _train_first_test_rest(model, recordings),
        "label_shuffled_control": _label_shuffled(model, folds),
        "pooled_random_split_optimistic": _random_split(model, recordings),
    }
    return report, left_out


def _prepare(recordings: Recordings, kind: str, seed: int, sfreq: float) -> tuple["Estimator", list[str], Report]:
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
    model = models.make(kind, seed=seed, n_channels=n_channels, n_times=n_times, sfreq=sfreq)
    counts = {"n_subjects": len(subjects), "n_recordings": n_recordings, "n_epochs": n_epochs, "n_targets": n_targets}
    return model, list(subjects), counts


def _by_fold(scored: Scored, name: str) -> Report:
    folds = {fold: classification_metrics(y, probability) for fold, (y, probability) in scored.items()}
    values = {key: np.array([m[key] for m in folds.values() if m[key] is not None], dtype=float) for key in SUMMARISED}
    return {
        name: folds,
        "mean": {key: float(found.mean()) if len(found) else None for key, found in values.items()},
        "sd": {key: float(found.std(ddof=1)) if len(found) > 1 else None for key, found in values.items()},
    }


def _pooled(scored: Scored) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    return np.concatenate([y for y, _ in scored.values()]), np.concatenate([p for _, p in scored.values()])


def _alone(left_out: "CrossValidation") -> Scored:
    return {fold: (p.y, p.alone) for fold, p in left_out.folds.items()}


def _sessions(left_out: "CrossValidation") -> Report | None:
    scored = {fold: (p.y, p.session) for fold, p in left_out.folds.items() if p.session is not None}
    return _by_fold(scored, "subjects") if len(scored) == len(left_out.folds) else None


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
    """Leave out about a fifth of the people in turn, all labels permuted within their recordings."""
    from p300.models.base import cross_validate

    def shuffle(recording: RecordingEpochs) -> Iterator[RecordingEpochs]:
        yield replace(recording, y=_rng(model.random_state, recording).permutation(recording.y))

    sizes: dict[str, int] = {}
    for recording in recordings:
        sizes[recording.subject] = sizes.get(recording.subject, 0) + recording.X.nbytes
    fold = _neighbours(sizes)
    shuffled = cross_validate(model, Derived(recordings, shuffle), lambda recording: fold[recording.subject])
    y, probability = _pooled({name: (p.y, p.alone) for name, p in shuffled.folds.items()})
    return classification_metrics(y, probability)


def _neighbours(sizes: Mapping[str, int]) -> dict[str, str]:
    """Put people who are read one after another into one fold, about `N_BLOCKS` folds of equal size: memory holds one of them.

    Where people have so much that a fifth of it is too much, folds are smaller.
    """
    total = sum(sizes.values())
    n_folds = min(len(sizes), max(N_BLOCKS, 4 * total // HELD_BYTES))
    fold, held, folds = 0, 0, {}
    for subject, size in sizes.items():
        if held and (held + size) * n_folds > total:
            fold, held = fold + 1, 0
        held += size
        folds[subject] = str(fold)
    return folds


def _random_split(model: "Estimator", recordings: Recordings) -> Report | None:
    """Train on four fifths of the pooled epochs, chosen at random class by class, and test on the rest."""

    def split(recording: RecordingEpochs, *, test: bool) -> Iterator[RecordingEpochs]:
        in_test = np.zeros(len(recording.y), dtype=bool)
        rng = _rng(model.random_state, recording)
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
