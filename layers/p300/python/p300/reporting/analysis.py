"""What a report shows beside averages: when and where single flashes differ, and every epoch of one channel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p300.errors import TrainingError
from p300.evaluation import chance_within_recording
from p300.features import VOLTS_TO_UV, FeatureSet
from p300.models import RecordingEpochs
from p300.recording import TARGET
from p300.reporting.verdict import referenced, times_s

WINDOW_S = 0.05
"""Of the AUC over time."""
MOST_CHANNELS = 64
"""More are not given an AUC each: it would take longer than all else."""
IMAGE_ROWS = 120
"""Of an ERP image: with more epochs, neighbouring ones are averaged."""


@dataclass(frozen=True)
class Band:
    """AUC of single flashes, and what shuffled labels give.

    Attributes
    ----------
    auc : float or None
        Mean over blocks of time left out in turn.
    p_value : float or None
        Against shuffled labels.
    """

    auc: float | None
    p_value: float | None


def auc_over_time(feature_set: FeatureSet) -> list[tuple[float, float, Band]]:
    """Return how well single flashes are told apart by all channels within each short window.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording, in the order of recording.

    Returns
    -------
    windows : list of (float, float, Band)
        Start and end in seconds from the flash, and the AUC; empty where there are too few epochs.
    """
    step = max(1, round(WINDOW_S * feature_set.sfreq))
    edges = np.append(times_s(feature_set), feature_set.tmin + feature_set.n_times / feature_set.sfreq)
    found = []
    for first in range(0, feature_set.n_times - step + 1, step):
        band = _auc(feature_set, feature_set.epochs[:, :, first : first + step])
        if band.auc is None:
            return []
        found.append((float(edges[first]), float(edges[first + step]), band))
    return found


def auc_by_channel(feature_set: FeatureSet) -> dict[str, Band]:
    """Return how well single flashes are told apart by each channel alone.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording, in the order of recording.

    Returns
    -------
    channels : dict of str to Band
        Empty with more than `MOST_CHANNELS` channels, or too few epochs.
    """
    if len(feature_set.ch_names) > MOST_CHANNELS:
        return {}
    found = {
        name: _auc(feature_set, feature_set.epochs[:, [channel]]) for channel, name in enumerate(feature_set.ch_names)
    }
    return {} if any(band.auc is None for band in found.values()) else found


def erp_image(feature_set: FeatureSet, channel: int) -> tuple[NDArray[np.float64], int]:
    """Return the target epochs of a channel in order of time, one below the other.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording.
    channel : int
        Which.

    Returns
    -------
    image : ndarray, shape (n_rows, n_times)
        In microvolts, in the reference of the test; each row is the mean of consecutive epochs.
    n_averaged : int
        How many at most.
    """
    epochs = referenced(feature_set)[feature_set.label == TARGET, channel].astype(np.float64) * VOLTS_TO_UV
    n_rows = min(len(epochs), IMAGE_ROWS)
    parts = np.array_split(epochs, n_rows)
    return np.array([part.mean(axis=0) for part in parts]), max(len(part) for part in parts)


def _auc(feature_set: FeatureSet, epochs: NDArray[np.floating]) -> Band:
    X = np.ascontiguousarray(epochs).reshape(len(epochs), -1)
    recording = RecordingEpochs("recording", "subject", X, feature_set.label, epochs.shape[1])
    try:
        chance = chance_within_recording(recording)
    except TrainingError:
        return Band(None, None)
    return Band(chance["roc_auc"], chance["p_value"])
