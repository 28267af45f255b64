"""Sessions of use on real recordings: ten wrong ones in a row leave what a subject's model is worth, and ten right ones do not spoil it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from p300 import models
from p300.decoding import grid
from p300.decoding.layouts import SPELLER_6X6
from p300.features import FeatureSet
from p300.metrics import roc_auc
from p300.models import RecordingEpochs
from p300.models.learning_from_use import Spelling
from p300.models.personal import PersonalModel

from tests.support.real_data import recordings

pytestmark = pytest.mark.real_data
OWN = "subject_07"
WITHIN = 0.005
"""Of AUC: a tenth of its standard error on 900 flashes."""
Runs = dict[tuple[str, int], FeatureSet]


@pytest.fixture(scope="module")
def runs() -> Runs:
    from p300.readers import open_recording
    from p300.signals import Parameters, extract

    found = {}
    for path in recordings("bnci_2015_003"):
        number = int(path.stem.partition("run_")[2][:2])
        features = extract(open_recording(path), Parameters(reject_peak_to_peak_uv=None))
        found[path.parent.name, number] = features
    return found


@pytest.fixture(scope="module")
def population(runs: Runs) -> Any:
    people = [
        RecordingEpochs(f"{who}/{n}", who, one.X, one.label, 8, one.flash, one.onset_sample, one.ch_names)
        for (who, n), one in runs.items()
        if who != OWN
    ]
    return models.make("ensemble", n_channels=8, n_times=people[0].n_times).fit_recordings(people).to_arrays()


def swapped(one: FeatureSet, seed: int) -> np.ndarray:
    order = np.arange(8)
    a, b = np.random.default_rng(seed).choice(8, 2, replace=False)
    order[[a, b]] = b, a
    return np.asarray(one.epochs[:, order].reshape(one.X.shape))


def spelling(runs: Runs, kind: str, seed: int) -> Spelling:
    others = [key for key in runs if key[0] != OWN]
    one = runs[others[seed % len(others)] if kind == "another subject's" else (OWN, 1)]
    rng = np.random.default_rng(seed)
    made: dict[str, Callable[[], np.ndarray]] = {
        "noise": lambda: (rng.standard_normal(one.X.shape) * 1e-5).astype(np.float32),
        "shuffled groups": lambda: one.X[rng.permutation(len(one.X))],
        "swapped electrodes": lambda: swapped(one, seed),
    }
    good = Spelling.of(one, grid(SPELLER_6X6), kind)
    X = made[kind]() if kind in made else good.X
    return Spelling(X, good.lit, good.trials, good.confirmed, good.ch_names)


def worth(model: PersonalModel, runs: Runs) -> float:
    test = runs[OWN, 2]
    return float(roc_auc(test.label, model.decision_function(test.X)) or 0)


@pytest.mark.parametrize("kind", ["noise", "another subject's", "shuffled groups", "swapped electrodes"])
@pytest.mark.parametrize("n_symbols", [1, 5])
def test_ten_wrong_sessions_in_a_row_leave_the_model_as_it_was(
    runs: Runs, population: Any, kind: str, n_symbols: int
) -> None:
    calibration = runs[OWN, 1]
    rows = slice(0, 180 * n_symbols)
    model = PersonalModel(population).fit(calibration.X[rows], calibration.label[rows])
    before = worth(model, runs)
    for seed in range(10):
        spelling(runs, kind, seed).teach(model)
    assert abs(worth(model, runs) - before) < WITHIN


def test_right_sessions_make_a_model_of_nothing_better(runs: Runs, population: Any) -> None:
    model = PersonalModel(population)
    before = worth(model, runs)
    assert spelling(runs, "the subject's own", 0).teach(model).learnt
    assert worth(model, runs) > before + 0.02
