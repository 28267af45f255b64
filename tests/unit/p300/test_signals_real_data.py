"""Real recordings: MNE's numbers, few epochs lost, and the P300 that others find in them."""

from pathlib import Path

import numpy as np
import pytest
from p300.features import FeatureSet
from p300.readers import open_recording, read_recording
from p300.recording_report import report
from p300.signals import Parameters, extract, features_of_epochs
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.by_mne import assert_equal
from tests.support.epochs import cut
from tests.support.real_data import recordings

INVADERS, SPELLER = recordings("brain_invaders_2012"), recordings("bnci_2015_003")
pytestmark = pytest.mark.real_data


def shrinkage_lda() -> Pipeline:
    return make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))


def auc_within(features: FeatureSet) -> float:
    scores = cross_val_score(shrinkage_lda(), features.X * 1e6, features.label, cv=5, scoring="roc_auc")
    return float(np.mean(scores))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("path", [*INVADERS, *SPELLER[::5]], ids=lambda path: path.stem)
def test_mnes_numbers(path: Path, precision: str) -> None:
    assert_equal(read_recording(path), Parameters(precision=precision))  # type: ignore[arg-type]


def test_brain_invaders_noisy_channel_is_replaced() -> None:
    features = extract(open_recording(INVADERS[0]))
    assert features.rejection.bad_channels == ("Cz",)
    assert features.rejection.n_kept > 0.95 * features.rejection.n_flashes
    assert auc_within(features) > 0.85


def test_speller_keeps_nearly_all_epochs_in_spite_of_offsets() -> None:
    for path in SPELLER:
        rejection = extract(open_recording(path)).rejection
        assert rejection.bad_channels == ()
        assert rejection.n_kept > 0.95 * rejection.n_flashes


def test_speller_p300_is_where_it_should_be() -> None:
    runs = [extract(open_recording(path)) for path in SPELLER if "subject_08" in path.stem]
    assert all(0.2 <= report(run)["erp_peak"]["latency_s"] <= 0.6 for run in runs)
    assert all(auc_within(run) > 0.8 for run in runs)
    assert all(int(run.repetition.max()) == 74 for run in runs if run.repetition is not None)  # 5 symbols x 15


@pytest.mark.parametrize("path", [INVADERS[0], *SPELLER[2:3]], ids=lambda path: path.stem)
def test_bare_epochs_are_close_to_those_of_the_recording(path: Path) -> None:
    """The figures that docs/api.md states."""
    recording, parameters = read_recording(path), Parameters(reject_peak_to_peak_uv=None)
    wanted = extract(recording, parameters)
    for padding_s, at_most in ((1.0, 0.006), (0.5, 0.05), (0.25, 0.1), (0.0, 0.13)):
        inside = wanted.onset_sample + (0.6 + padding_s) * recording.sfreq < recording.data.shape[1]
        epochs = cut(recording.data, wanted.onset_sample[inside], recording.sfreq, parameters, padding_s) * 1e6
        found = features_of_epochs(epochs, recording.sfreq, parameters, tmin=-0.1 - padding_s)
        off = np.sqrt(np.mean((found.X - wanted.X[inside]) ** 2) / np.mean(wanted.X[inside] ** 2))
        assert off < at_most, padding_s
