"""Labelled recordings as sessions: scored by what decodes symbols, where it is known which group each flash lit."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.decoding import Response, SessionDecoder, lit_sets, split_trials
from p300.errors import RequestError
from p300.recording import TARGET

if TYPE_CHECKING:
    from p300.models.data import RecordingEpochs

Array = NDArray[np.float64]
Structure = tuple[NDArray[np.bool_], list[slice]]


def structure_of(recording: "RecordingEpochs") -> Structure | None:
    """Return which sets of groups each flash belongs to, and the flashes of each trial.

    Parameters
    ----------
    recording : RecordingEpochs
        A labelled recording.

    Returns
    -------
    lit : ndarray of bool, shape (n_epochs, n_sets)
    trials : list of slice
        None for both where onsets or the group of any flash are not known, where there are too many sets, or where in some trial a
        group was a target and then was none: what flashed there was no speller.
    """
    if recording.flash is None or recording.onset is None or not len(recording.y):
        return None
    if (recording.flash == 0).any():  # flashes whose group is not known
        return None
    trials = split_trials(recording.onset)
    target = recording.y == TARGET
    n_targets = []
    for trial in trials:
        groups = set(recording.flash[trial][target[trial]].tolist())
        if groups & set(recording.flash[trial][~target[trial]].tolist()):
            return None
        n_targets.append(len(groups))
    try:
        lit = lit_sets(recording.flash, max(n_targets) / len(np.unique(recording.flash)))
    except RequestError:
        return None
    return lit, trials


def session_log_likelihood_ratio(recording: "RecordingEpochs", response: Response) -> Array | None:
    """Score a recording's flashes with the whole session known, without its labels but for how many groups are targets.

    Returns
    -------
    log_likelihood_ratio : ndarray, shape (n_epochs,), or None
        `SessionDecoder.log_likelihood_ratio_`; None where `structure_of` is.
    """
    found = structure_of(recording)
    return None if found is None else SessionDecoder(response).fit(recording.X, *found).log_likelihood_ratio_
