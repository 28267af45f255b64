"""Which epochs a fit takes where there are more than it can gain from, and which subjects are left out together."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from p300.models.data import RecordingEpochs

MOST_FITTED_EPOCHS = 40_000
"""More do not make the default model better on subjects that it was not fitted on (the curve is in docs/scaling.md)."""
MOST_FOLDS = 64
"""Up to so many subjects are left out one by one; more are left out in so many groups."""
MOST_TANGENT_EPOCHS = 10_000
"""Of them, for a regression on 36 tangent features, which gains from fewer and takes the longest."""


def quotas(n_epochs: Mapping[str, int], subject_of: Mapping[str, str], most: int) -> dict[str, int]:
    """Return how many epochs of each recording are drawn.

    Every subject gives as many as any other; those who have fewer give all they have, and the others fill up.

    Parameters
    ----------
    n_epochs : mapping of str to int
        Epochs by recording.
    subject_of : mapping of str to str
        The subject of each recording.
    most : int
        Epochs in all.

    Returns
    -------
    quotas : dict of str to int
        By recording; in all as many as `most` allows, up to rounding down.
    """
    of_subject: dict[str, int] = {}
    for recording, n in n_epochs.items():
        of_subject[subject_of[recording]] = of_subject.get(subject_of[recording], 0) + n
    left, share = most, {}
    by_size = sorted(of_subject.items(), key=lambda entry: (entry[1], entry[0]))
    for position, (subject, n) in enumerate(by_size):
        share[subject] = min(n, left // (len(by_size) - position))
        left -= share[subject]
    return {name: n and n * share[subject_of[name]] // of_subject[subject_of[name]] for name, n in n_epochs.items()}


def drawn_rows(recording: RecordingEpochs, quota: int, seed: int) -> NDArray[np.intp]:
    """Draw epochs of a recording, of each class in proportion.

    Parameters
    ----------
    recording : RecordingEpochs
        Where they are drawn from.
    quota : int
        How many.
    seed : int
        The recording's name counts too, so that a draw does not depend on which other recordings there are.

    Returns
    -------
    rows : ndarray of int
        In the order of recording; all, where the quota is not less.
    """
    n = len(recording.y)
    if quota >= n:
        return np.arange(n)
    rng = np.random.default_rng([seed, *recording.recording.encode()])
    rows = [
        rng.permutation(members)[: round(quota * len(members) / n)]
        for members in (np.flatnonzero(recording.y == label) for label in np.unique(recording.y))
    ]
    return np.sort(np.concatenate(rows))


def some_subjects(subjects: Sequence[str], most: int, seed: int) -> list[str]:
    """Draw subjects.

    Parameters
    ----------
    subjects : sequence of str
        To draw from.
    most : int
        How many at most.
    seed : int
        Of the draw.

    Returns
    -------
    drawn : list of str
        In the given order; all of them where there are not more.
    """
    if len(subjects) <= most:
        return list(subjects)
    chosen = set(np.random.default_rng(seed).permutation(len(subjects))[:most].tolist())
    return [subject for position, subject in enumerate(subjects) if position in chosen]


def neighbours(sizes: Mapping[str, int], n_folds: int) -> dict[str, str]:
    """Put people who are read one after another into one fold, folds of about equal size: memory holds one of them.

    Parameters
    ----------
    sizes : mapping of str to int
        How much each has, in the order of reading.
    n_folds : int
        How many folds at most; people are the most there can be.

    Returns
    -------
    folds : dict of str to str
        By person, the fold's number.
    """
    total, n_folds = sum(sizes.values()), min(len(sizes), n_folds)
    fold, held, folds = 0, 0, {}
    for left, (subject, size) in zip(range(len(sizes), 0, -1), sizes.items(), strict=True):
        # A new fold where this one has its share, or where each of those left needs a fold of its own.
        if held and fold < n_folds - 1 and (2 * held + size > 2 * total / n_folds or left < n_folds - fold):
            fold, held = fold + 1, 0
        held += size
        folds[subject] = str(fold)
    return folds
