"""The flashes of a recording scored as a session, where it is known which group each lit: by what decodes symbols, all flashes known."""

import base64
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from p300.errors import P300Error
from p300.features import FeatureSet
from p300.models import RecordingEpochs
from p300.models.flash_groups import structure_of
from p300_pipeline.serving.symbols import MAX_FLASHES, MAX_SYMBOLS

from p300_client.api import Api
from p300_client.decoding import MAX_BYTES


class SessionScores(NamedTuple):
    """Probability of Target for each epoch with the whole session known, or why there is none."""

    probability: NDArray[np.float64] | None
    why_not: str = ""


def session_scores(
    api: Api, features: FeatureSet, alias: str | None = None, subject: str | None = None
) -> SessionScores:
    """Ask POST /decode for the probabilities of a recording's flashes.

    Parameters
    ----------
    api : Api
        Of the target.
    features : FeatureSet
        With labels: they say how many groups are targets in each trial, and nothing else of them is used.
    alias, subject : str, optional
        As in `Api.predict`.
    """
    epochs = RecordingEpochs(
        "", "", features.X, features.label, len(features.ch_names), features.flash, features.onset_sample
    )
    found = structure_of(epochs)
    if found is None or features.flash is None:
        return SessionScores(None, "the recording does not say which group each flash lit")
    lit, trials = found
    if lit.shape[1] > MAX_SYMBOLS or len(lit) > MAX_FLASHES or features.X.nbytes > MAX_BYTES:
        return SessionScores(None, "the session is larger than a request to /decode may be")
    names = [str(number) for number in range(lit.shape[1])]
    groups = {
        str(code): [name for name, on in zip(names, lit[row], strict=True) if on]
        for code, row in zip(*np.unique(features.flash, return_index=True), strict=True)
    }
    body = {
        "layout": {"type": "sets", "symbols": names, "groups": groups},
        "groups": features.flash.tolist(),
        "epochs_b64": base64.b64encode(np.ascontiguousarray(features.X, "<f4").tobytes()).decode(),
        "channels": list(features.ch_names),
        "trials": [trial.stop - trial.start for trial in trials],
        "flash_scores": "session",
    }
    try:
        answer = api.decode(body, alias, subject)
    except P300Error as error:
        return SessionScores(None, error.message)
    return SessionScores(np.array(answer["flashes"]["probability_target"], dtype=np.float64))
