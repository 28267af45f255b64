"""Small made-up features."""

from collections.abc import Sequence
from typing import Any

import numpy as np

MADE_WITH: dict[str, Any] = {"tmin": 0.0, "tmax": 0.1, "baseline": None}
"""Preprocessing of the features that `make_features` makes."""


def make_features(
    *,
    channels: Sequence[str] = ("Fz", "Cz", "Pz"),
    seed: int = 0,
    n_epochs: int = 60,
    effect_uv: float = 8.0,
    n_times: int = 10,
    labels: Sequence[int] = (1, 2),
    **parameters: Any,
) -> Any:
    """Noise of 5 uV with a bump after targets, as a FeatureSet of one recording."""
    from p300.features import FeatureSet, Rejection
    from p300.signals import Parameters

    made_with = Parameters.from_dict(MADE_WITH | {"tmax": n_times / 100} | parameters)
    rng = np.random.default_rng(seed)
    X = rng.normal(0, 5e-6, (n_epochs, len(channels), n_times))
    label = np.where(np.arange(n_epochs) % 6 == 5, labels[-1], labels[0]).astype(np.int8)
    X[label == 2, :, 3:7] += effect_uv * 1e-6
    return FeatureSet(
        X=X.reshape(n_epochs, -1).astype(np.float32),
        label=label,
        onset_sample=np.arange(n_epochs, dtype=np.int64) * 20,
        flash=None,
        repetition=None,
        ch_names=tuple(channels),
        sfreq=100.0,
        tmin=made_with.tmin,
        tmax=made_with.tmax,
        parameters=made_with,
        rejection=Rejection(n_epochs, 0, n_epochs, dict.fromkeys(channels, 0)),
    )
