"""How well a model carries over to people it has not seen, and the figures that flatter it, told apart."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from p300.chance import Scores, against_chance, chance_of, shuffled_interval
from p300.errors import ArtifactError, TrainingError
from p300.evaluation_parts import N_BLOCKS, PARTS, SFREQ, Subjects, assemble, by_fold, compute, look, make_model
from p300.json_text import is_number
from p300.metrics import Report, classification_metrics, curves
from p300.models import RecordingEpochs, Recordings
from p300.models.data import blocks, one_montage

if TYPE_CHECKING:
    from p300.models.base import Estimator
    from p300.models.cross_validation import CrossValidation

__all__ = ["classification_metrics", "curves", "evaluate", "train", "within_recording"]


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

        ``folds``
            ``n`` folds that were left out in turn, and how many subjects the ``largest`` of them holds: 1 up to
            `p300.models.draw.MOST_FOLDS` subjects, which is leave-one-subject-out; beyond, a few are left out together.
        ``fit``
            ``n_epochs`` that the model was fitted on, out of the ``n_epochs`` of the report: of more than it gains from, as many are drawn
            of each subject (`p300.models.draw`). ``subjects_of_parts``: on how many subjects the side figures are.
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
    subjects = look(recordings)
    return _evaluate(make_model(subjects, kind, seed, sfreq), recordings, subjects)[0]


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
    subjects = look(recordings)
    model = make_model(subjects, kind, seed, sfreq)
    try:
        report, left_out = _evaluate(model, recordings, subjects)
        model._fit(recordings)
        return model.calibrate(left_out), report
    except (np.linalg.LinAlgError, ArtifactError) as error:  # the model that was fitted cannot score
        raise cannot_fit(kind, subjects, error) from error


def cannot_fit(kind: str, subjects: Subjects, error: Exception) -> TrainingError:
    """Return what says that a model cannot be fitted, and what to do."""
    return TrainingError(
        "cannot_fit",
        f"{kind} cannot be fitted on these {len(subjects.recordings)} recordings with {subjects.n_epochs} epochs: {error}. They are too "
        "few or too much alike; land more, or train lda.",
    )


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
    from p300.models.cross_validation import cross_validate

    model = make_model(look([recording]), kind, seed, SFREQ)
    left_out = cross_validate(model, blocks([recording], N_BLOCKS), _block)
    figures = by_fold({fold: (p.y, p.within_recording) for fold, p in left_out.folds.items()}, "blocks")
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
    from p300.models.cross_validation import left_out_scores

    model = make_model(look([recording]), kind, seed, SFREQ)
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


def _evaluate(model: "Estimator", recordings: Recordings, subjects: Subjects) -> tuple[Report, "CrossValidation"]:
    from p300.models.cross_validation import cross_validate

    fold = subjects.folds()
    left_out = cross_validate(model, subjects.in_folds(recordings), lambda recording: fold[recording.subject])
    parts = {name: compute(name, model, recordings, subjects) for name in PARTS}
    return assemble(model, subjects, left_out, parts), left_out
