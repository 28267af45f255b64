"""Raw epochs become the features that their recording would have, as far as the samples around them reach."""

import numpy as np
import pytest
from p300.errors import RecordingError
from p300.signals import Parameters, extract, features_of_epochs, fir
from p300.signals.epochs import reach_s

from tests.support.epochs import cut, recording

PARAMETERS = {
    "default": Parameters(),
    "notched": Parameters(h_freq=40.0, notch_freq=30.0),
    "float64, no baseline": Parameters(precision="float64", baseline=None, tmin=0.0),
}


@pytest.mark.parametrize("how", PARAMETERS)
@pytest.mark.parametrize("sfreq", [128.0, 256.0, 512.0])
def test_with_enough_around_them_epochs_are_those_of_the_recording(sfreq, how):
    parameters = PARAMETERS[how]
    rec, onsets = recording(sfreq)
    expected = extract(rec, parameters)
    padding_s = reach_s(sfreq, parameters)
    if how == "notched":  # it reaches further than this recording's ends
        onsets = onsets[10:20]
    epochs = cut(rec.data, onsets, sfreq, parameters, padding_s)
    found = features_of_epochs(epochs * 1e6, sfreq, parameters, tmin=parameters.tmin - padding_s)
    assert found.filter == "exact"
    kept = np.isin(onsets, expected.onset_sample)
    if how == "default":
        np.testing.assert_array_equal(~found.rejected, kept)
        assert 0 < found.rejected.sum() < 10
    wanted = expected.X[np.isin(expected.onset_sample, onsets)]
    np.testing.assert_allclose(found.X[kept], wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("sfreq", [128.0, 256.0])
def test_epochs_of_a_filtered_recording_are_not_filtered_again(sfreq):
    parameters = Parameters()
    rec, _ = recording(sfreq)
    expected = extract(rec, parameters)
    (h,) = fir.filters(sfreq, parameters)
    whole = np.concatenate([p.copy() for p in fir.filtered([rec.data], h, rec.data.shape[1])], axis=1)
    filtered = cut(whole, expected.onset_sample, sfreq, parameters, 0.0)
    found = features_of_epochs(filtered * 1e6, sfreq, parameters, filtered=True)
    assert found.filter == "none"
    np.testing.assert_allclose(found.X, expected.X, rtol=0, atol=1e-9)


def test_the_less_there_is_around_epochs_the_further_off_they_are():
    parameters, sfreq = Parameters(), 256.0
    rec, _ = recording(sfreq)
    expected = extract(rec, parameters)
    off = []
    for padding_s in (1.0, 0.5, 0.25, 0.0):
        epochs = cut(rec.data, expected.onset_sample, sfreq, parameters, padding_s)
        found = features_of_epochs(epochs * 1e6, sfreq, parameters, tmin=parameters.tmin - padding_s)
        assert found.filter == "approximate"
        off.append(np.sqrt(np.mean((found.X - expected.X) ** 2) / np.mean(expected.X**2)))
    assert off == sorted(off)
    assert off[0] < 0.06  # of noise that drifts more than an electrode does
    assert off[1] < 0.25
    assert off[-1] < 1


def test_an_epoch_does_not_depend_on_its_batch(monkeypatch):
    parameters, sfreq = Parameters(), 256.0
    rec, onsets = recording(sfreq)
    epochs = cut(rec.data, onsets, sfreq, parameters, 0.3) * 1e6
    together = features_of_epochs(epochs, sfreq, parameters, tmin=-0.4)
    monkeypatch.setattr("p300.signals.epochs._SAMPLES_AT_ONCE", 1)
    alone = features_of_epochs(epochs, sfreq, parameters, tmin=-0.4)
    np.testing.assert_allclose(alone.X, together.X, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("sfreq", "n_samples", "how", "code", "names"),
    [
        (40.0, 100, {}, "bad_sfreq", "more than 40 Hz"),
        (30_000.0, 100, {}, "bad_sfreq", "at most 20000 Hz"),
        (256.0, 180, {}, "too_short", "-0.1 to 0.6 s, both ends included: 181 samples, and better 1.65 s more"),
        (256.0, 0, {}, "too_short", "0 samples"),
        (256.0, 300, {"tmin": 0.0}, "too_short", "from 0 s on"),
        (256.0, 181, {"tmin": -0.5}, "too_short", "from -0.5 s on"),
    ],
)
def test_refusals(sfreq, n_samples, how, code, names):
    with pytest.raises(RecordingError) as refused:
        features_of_epochs(np.zeros((2, 3, n_samples)), sfreq, Parameters(), **how)
    assert refused.value.code == code
    assert names in refused.value.message
