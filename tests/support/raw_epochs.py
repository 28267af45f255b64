"""A model that takes raw epochs."""

from typing import Any

import numpy as np
from p300 import models
from p300.scoring import Scorer
from p300.signals import Parameters
from p300_pipeline.serving import Served

from tests.support.epochs import NAMES

PARAMETERS = Parameters(tmax=0.4)
SFREQ = 128.0


def served(**changes: Any) -> Served:
    n_times = PARAMETERS.n_times
    rng = np.random.default_rng(0)
    X, y = rng.normal(0, 1e-5, (60, len(NAMES) * n_times)), np.tile([1, 1, 2], 20)
    arrays = models.make("lda", n_channels=len(NAMES), n_times=n_times).fit(X, y).to_arrays()
    manifest = {
        "channels": list(NAMES),
        "n_times": n_times,
        "sfreq": 100.0,
        "tmin": -0.1,
        "preprocessing": PARAMETERS.to_dict(),
    }
    return Served("v20260101000001", Scorer.from_arrays(arrays), manifest | changes)


MODEL = served()
