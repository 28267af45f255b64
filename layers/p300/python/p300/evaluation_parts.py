"""The parts of an evaluation, each of which can be computed by itself: the figures beside leaving subjects out, and the report of all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p300 import models
from p300.chance import against_chance
from p300.errors import TrainingError
from p300.learning_curve import N_FOLDS, learning_curve, merged, points
from p300.metrics import Report, Scored, calibration_by_subject, classification_metrics, curves, roc_auc
from p300.models import RecordingEpochs, Recordings
from p300.models.data import HELD_BYTES, Derived, blocks
from p300.models.draw import MOST_FOLDS, drawn_rows, neighbours, quotas, some_subjects
from p300.recording import TARGET

if TYPE_CHECKING:
    from p300.models.base import Estimator
    from p300.models.cross_validation import CrossValidation

N_BLOCKS = 5
MOST_SUBJECTS_OF_A_PART = 64
"""The figures beside leaving subjects out are on so many subjects at most, drawn with the seed."""
REFERENCE_KIND = "lda"
MOST_REFERENCE_EPOCHS = 50_000
"""The reference is fitted on so many epochs where subjects are left out in groups."""
TEST_FRACTION = 0.2
SFREQ = 100.0
"""Of the features that the pipeline makes, in Hz."""
SUMMARISED = ("roc_auc", "average_precision", "balanced_accuracy", "accuracy", "kappa", "brier")
LEARNING_CURVE = tuple(f"learning_curve_{number}" for number in range(N_FOLDS))
PARTS = ("reference", *LEARNING_CURVE, "train_first_test_rest", "label_shuffled", "random_split")


@dataclass(frozen=True)
class Subjects:
    """What an evaluation knows of its recordings before it reads their epochs.

    Attributes
    ----------
    recordings : tuple of (str, str, int)
        Name, subject and number of epochs of each, in the order of reading.
    n_targets : int
        Among all epochs.
    n_channels, n_times : int
        Shape of an epoch.
    """

    recordings: tuple[tuple[str, str, int], ...]
    n_targets: int
    n_channels: int
    n_times: int

    @property
    def names(self) -> list[str]:
        """The subjects, in the order of reading."""
        return list(dict.fromkeys(subject for _, subject, _ in self.recordings))

    @property
    def n_epochs(self) -> int:
        """Epochs in all."""
        return sum(n for _, _, n in self.recordings)

    @property
    def alone(self) -> bool:
        """Whether there is one subject, of whom only blocks of time can be left out."""
        return len(self.names) == 1

    def folds(self) -> dict[str, str]:
        """Return with which fold each subject is left out (each block, of a subject alone)."""
        if self.alone:
            return {f"block_{number + 1}": f"block_{number + 1}" for number in range(N_BLOCKS)}
        if len(self.names) <= MOST_FOLDS:
            return {name: name for name in self.names}
        return {name: f"group_{int(fold) + 1:02d}" for name, fold in neighbours(self._sizes(), MOST_FOLDS).items()}

    def in_folds(self, recordings: Recordings) -> Recordings:
        """Return recordings as they are left out: cut into blocks, of a subject alone."""
        return blocks(recordings, N_BLOCKS) if self.alone else recordings

    def of_parts(self, seed: int) -> list[str]:
        """Return the subjects that the parts of an evaluation are on, the reference excepted."""
        return some_subjects(self.names, MOST_SUBJECTS_OF_A_PART, seed)

    def _sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for _, subject, n in self.recordings:
            sizes[subject] = sizes.get(subject, 0) + n
        return sizes


def look(recordings: Recordings) -> Subjects:
    """Read recordings once, to see what there is to evaluate.

    Parameters
    ----------
    recordings : iterable of RecordingEpochs
        Of one montage.

    Returns
    -------
    subjects : Subjects

    Raises
    ------
    TrainingError
        ``no_recordings``, or ``mixed_shapes`` where their epochs are of several shapes.
    """
    places: list[tuple[str, str, int]] = []
    n_targets = 0
    shapes: dict[tuple[int, int], str] = {}
    for recording in recordings:
        places.append((recording.recording, recording.subject, len(recording.y)))
        n_targets += int((recording.y == TARGET).sum())
        shapes.setdefault((recording.n_channels, recording.n_times), recording.recording)
    if not shapes:
        raise TrainingError("no_recordings", "There are no recordings with features; land and preprocess some first.")
    if len(shapes) > 1:
        found = "; ".join(f"{name}: {c} channels x {t} samples" for (c, t), name in shapes.items())
        raise TrainingError("mixed_shapes", f"Recordings differ in shape ({found}); train on those of one montage.")
    (n_channels, n_times), *_ = shapes
    return Subjects(tuple(places), n_targets, n_channels, n_times)


def make_model(subjects: Subjects, kind: str, seed: int, sfreq: float) -> "Estimator":
    """Return an unfitted model for these subjects' epochs."""
    return models.make(kind, seed=seed, n_channels=subjects.n_channels, n_times=subjects.n_times, sfreq=sfreq)


def compute(name: str, model: "Estimator", recordings: Recordings, subjects: Subjects) -> Any:
    """Compute one part of an evaluation.

    Parameters
    ----------
    name : str
        One of ``PARTS``.
    model : Estimator
        Its kind, parameters and seed are used; it is not changed.
    recordings : iterable of RecordingEpochs
        All; or those of ``subjects.of_parts(seed)`` alone, where the part is not the reference.
    subjects : Subjects
        All of the evaluation.

    Returns
    -------
    part
        Can be written as JSON: what `assemble` takes.
    """
    if name == "reference":
        return None if model.kind == REFERENCE_KIND else _reference(model, recordings, subjects)
    chosen = subjects.of_parts(model.random_state)
    some: Recordings = recordings
    if len(chosen) < len(subjects.names):
        some = Derived(recordings, lambda recording: [recording] if recording.subject in chosen else [])
    if name in LEARNING_CURVE:
        if subjects.alone:
            return {}
        compared = [model] if model.kind == REFERENCE_KIND else [model, _plain(model)]
        return {
            str(size): aucs for size, aucs in learning_curve(compared, some, chosen, LEARNING_CURVE.index(name)).items()
        }
    if name == "train_first_test_rest":
        return _train_first_test_rest(model, some)
    if name == "label_shuffled":
        return _label_shuffled(model, subjects.in_folds(some))
    return _random_split(model, some)


def assemble(model: "Estimator", subjects: Subjects, left_out: "CrossValidation", parts: Mapping[str, Any]) -> Report:
    """Return the report of an evaluation.

    Parameters
    ----------
    model : Estimator
        As `compute` took it.
    subjects : Subjects
        All of the evaluation.
    left_out : CrossValidation
        Folds of ``subjects.folds()``.
    parts : mapping
        What `compute` returned for each of ``PARTS``.

    Returns
    -------
    report : dict
        As `p300.evaluation.evaluate` returns.
    """
    alone = subjects.alone
    people, recordings = left_out.by_subject(), left_out.by_recording()
    within = {name: (p.y, p.within_recording) for name, p in people.items()}
    single = {name: (p.y, p.alone) for name, p in people.items()}
    what = "blocks" if alone else "subjects"
    on_single = by_fold(single, what)
    reference = parts["reference"] or on_single
    sizes = [len({subject for _, subject, _ in fold.recordings}) for fold in left_out.folds.values()]
    scored = [on_single] if model.kind == REFERENCE_KIND else [on_single, reference]
    curve = (
        []
        if alone
        else points(
            merged([{int(size): aucs for size, aucs in parts[name].items()} for name in LEARNING_CURVE]),
            len(people) - max(sizes),
            [{name: one["roc_auc"] for name, one in figures[what].items()} for figures in scored],
        )
    )
    return {
        "kind": model.kind,
        "seed": model.random_state,
        "n_subjects": len(subjects.names),
        "n_recordings": len(subjects.recordings),
        "n_epochs": subjects.n_epochs,
        "n_targets": subjects.n_targets,
        "folds": {"n": len(left_out.folds), "largest": max(sizes)},
        "fit": {
            "n_epochs": model.n_fitted(subjects.n_epochs),
            "subjects_of_parts": len(subjects.of_parts(model.random_state)),
        },
        "note": _note(model, subjects, left_out, max(sizes)),
        "leave_one_subject_out": None if alone else by_fold(within, "subjects"),
        "leave_one_subject_out_single_epochs": None if alone else on_single,
        "left_out_recordings": {}
        if alone
        else {name: roc_auc(p.y, p.within_recording) for name, p in recordings.items()},
        "leave_one_subject_out_sessions": None if alone else _sessions(left_out),
        "chance": against_chance(((p.y, p.score) for p in recordings.values()), model.random_state),
        "within_subject_blocks": on_single if alone else None,
        "reference_lda": reference,
        "learning_curve": curve,
        **{f"{name}_curve": points for name, points in curves(*_pooled(single if alone else within)).items()},
        "calibration_by_subject": calibration_by_subject(single if alone else within),
        "train_first_test_rest": parts["train_first_test_rest"],
        "label_shuffled_control": parts["label_shuffled"],
        "pooled_random_split_optimistic": parts["random_split"],
    }


def _note(model: "Estimator", subjects: Subjects, left_out: "CrossValidation", largest: int) -> str:
    notes = []
    if subjects.alone:
        notes.append(
            f"One subject only ({subjects.names[0]}): figures are of {N_BLOCKS} blocks of time left out in turn, "
            "and say nothing about other people."
        )
    elif largest > 1:
        notes.append(
            f"{len(subjects.names)} subjects were left out in {len(left_out.folds)} groups of up to {largest}; up to {MOST_FOLDS} "
            f"subjects are left out one by one. Learning curve, controls and random split are of {MOST_SUBJECTS_OF_A_PART} subjects."
        )
    if (n_fitted := model.n_fitted(subjects.n_epochs)) < subjects.n_epochs:
        notes.append(
            f"The model is fitted on {n_fitted:,} of {subjects.n_epochs:,} epochs, as many of each subject, drawn with seed "
            f"{model.random_state}."
        )
    return " ".join(notes)


def _plain(model: "Estimator") -> "Estimator":
    return models.make(REFERENCE_KIND, seed=model.random_state, n_channels=model.n_channels, n_times=model.n_times)


def _reference(model: "Estimator", recordings: Recordings, subjects: Subjects) -> Report:
    """Leave subjects out of the plain LDA; each epoch on its own."""
    from p300.models.cross_validation import calibrations, fit_folds, rescored

    fold = subjects.folds()
    in_folds = subjects.in_folds(recordings)
    plain = _plain(model)
    if subjects.alone or len(subjects.names) <= MOST_FOLDS:
        fits = fit_folds(plain.leave_out(in_folds, lambda recording: fold[recording.subject]))
    else:
        drawn = _drawn(recordings, subjects, model.random_state)
        fits = rescored(plain.leave_out(drawn, lambda recording: fold[recording.subject]), recordings, fold)
    curves_by_fold = calibrations(fits)
    scored: Scored = {}
    for name, fit in fits.items():
        for subject, (y, alone) in fit.by_subject().items():
            scored[subject] = y, curves_by_fold[name].probability(alone)
    return by_fold(scored, "blocks" if subjects.alone else "subjects")


def _drawn(recordings: Recordings, subjects: Subjects, seed: int) -> list[RecordingEpochs]:
    quota = quotas(
        {name: n for name, _, n in subjects.recordings},
        {name: subject for name, subject, _ in subjects.recordings},
        min(MOST_REFERENCE_EPOCHS, HELD_BYTES // (4 * subjects.n_channels * subjects.n_times)),
    )
    taken = (recording.take(drawn_rows(recording, quota[recording.recording], seed)) for recording in recordings)
    return [recording for recording in taken if len(recording.y)]


def by_fold(scored: Scored, name: str) -> Report:
    """Return the figures of each fold, and their mean and standard deviation."""
    folds = {fold: classification_metrics(y, probability) for fold, (y, probability) in scored.items()}
    values = {key: np.array([m[key] for m in folds.values() if m[key] is not None], dtype=float) for key in SUMMARISED}
    return {
        name: folds,
        "mean": {key: float(found.mean()) if len(found) else None for key, found in values.items()},
        "sd": {key: float(found.std(ddof=1)) if len(found) > 1 else None for key, found in values.items()},
    }


def _pooled(scored: Scored) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    return np.concatenate([y for y, _ in scored.values()]), np.concatenate([p for _, p in scored.values()])


def _sessions(left_out: "CrossValidation") -> Report | None:
    people = left_out.by_subject()
    scored = {name: (p.y, p.session) for name, p in people.items() if p.session is not None}
    return by_fold(scored, "subjects") if len(scored) == len(people) else None


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
    return by_fold(scored, "subjects") if scored else None


def _label_shuffled(model: "Estimator", recordings: Recordings) -> Report:
    """Leave out about a fifth of the people in turn, all labels permuted within their recordings."""
    from p300.models.cross_validation import calibrations, fit_folds

    def shuffle(recording: RecordingEpochs) -> Iterator[RecordingEpochs]:
        yield replace(recording, y=_rng(model.random_state, recording).permutation(recording.y))

    sizes: dict[str, int] = {}
    for recording in recordings:
        sizes[recording.subject] = sizes.get(recording.subject, 0) + recording.X.nbytes
    # Where people have so much that a fifth of it is too much to be held, folds are smaller.
    fold = neighbours(sizes, max(N_BLOCKS, 4 * sum(sizes.values()) // HELD_BYTES))
    fits = fit_folds(model.leave_out(Derived(recordings, shuffle), lambda recording: fold[recording.subject]))
    curve = calibrations(fits)
    y, probability = _pooled({name: (fit.y, curve[name].probability(fit.alone)) for name, fit in fits.items()})
    return classification_metrics(y, probability)


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
