"""The response: what is learnt of people, and how it is kept."""

import numpy as np
import pytest
from p300.decoding import Response
from p300.decoding.components import N_FILTERS, N_FILTERS_OF_ONE, spatial_filters, temporal_matrix
from p300.errors import ArtifactError, TrainingError
from p300.models import RecordingEpochs

from tests.support.spellers import N_CHANNELS, N_TIMES, SFREQ, TRIALS, person, recordings, scores


@pytest.fixture(scope="module")
def response():
    return Response.fit(recordings(range(6)), SFREQ)


def test_response_is_the_difference_of_the_class_means(response):
    assert response.difference.shape == response.mean.shape == (4, 20)
    assert response.noise.shape == (20, 4, 4)
    assert response.prior_target == pytest.approx(1 / 6)
    in_volts = np.linalg.pinv(response.filters) @ response.difference
    assert np.argmax(in_volts[0]) in (11, 12)  # 360 ms in bins of 30 ms
    assert np.ptp(in_volts[0]) * 1e6 == pytest.approx(3.0, rel=0.3)
    assert np.ptp(in_volts[3]) * 1e6 < 1.0


def test_people_who_differ_are_a_weaker_prior(response):
    alike = response.prior_flashes
    late = [0.30, 0.34, 0.36, 0.38, 0.42, 0.46]
    differing = Response.fit(
        (recording for seed, latency in enumerate(late) for recording in recordings([seed], latency=latency)), SFREQ
    )
    assert 25 <= differing.prior_flashes < 0.7 * alike <= 200
    assert response.latency_sd_bins == pytest.approx(1.0)


def test_a_model_of_one_person_is_taken_to_be_this_person_s():
    one = Response.fit(recordings([0]), SFREQ)
    assert (one.prior_flashes, one.latency_sd_bins) == (200.0, 0.0)


def test_a_response_survives_its_arrays(response):
    arrays = response.to_arrays()
    assert sum(array.nbytes for array in arrays.values()) < 30_000
    again = Response.from_arrays({**arrays, "weights": np.zeros(3)})
    X, lit, _, _ = person(1)
    np.testing.assert_array_equal(scores(X, lit, TRIALS, again), scores(X, lit, TRIALS, response))
    assert Response.from_arrays({"weights": np.zeros(3)}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("response_noise"), "expected response_noise"),
        (lambda a: a.update(response_noise=a["response_noise"][:-1]), "do not fit each other"),
        (lambda a: a.update(response_mean=a["response_mean"][:, :-1]), "do not fit each other"),
        (lambda a: a.update(response_difference=a["response_difference"] * np.nan), "finite"),
        (lambda a: a.update(response_difference=np.array("x")), "finite"),
        (lambda a: a.update(response_difference=np.zeros(3)), "do not fit each other"),
        (lambda a: a.update(response_prior_target=np.array(1.0)), "found prior_target 1"),
        (lambda a: a.update(own_weight=np.array(3.0)), "statistics of its subject"),
        (lambda a: a.update(response_filters=np.zeros(4)), "do not fit each other"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(response, change, message):
    arrays = response.to_arrays()
    change(arrays)
    with pytest.raises(ArtifactError, match=message):
        Response.from_arrays(arrays)


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(TrainingError, match="no recordings"):
        Response.fit([], SFREQ)
    X, _, y, _ = person(0)
    with pytest.raises(TrainingError, match="0 of 720 epochs are Target; expected both"):
        Response.fit([RecordingEpochs("subject_00/a", "subject_00", X, np.ones_like(y), N_CHANNELS)], SFREQ)


def test_filters_make_noise_white_and_keep_what_tells_targets():
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((9, 9))
    differences = rng.standard_normal((4, 9, 1)) * 0.01 + mixing[:, :1] @ rng.standard_normal((1, 20))
    covariance = mixing @ mixing.T
    filters = spatial_filters(differences, covariance)
    assert filters.shape == (N_FILTERS, 9)
    np.testing.assert_allclose(filters @ covariance @ filters.T, np.eye(N_FILTERS), atol=1e-9)
    assert spatial_filters(differences[:1], covariance).shape == (N_FILTERS_OF_ONE, 9)
    best = np.linalg.solve(covariance, mixing[:, 0])
    assert abs(np.corrcoef(filters[0], best)[0, 1]) > 0.99


def test_an_average_reference_leaves_one_filter_less():
    referenced = []
    for recording in recordings(range(3)):
        epochs = recording.X.reshape(len(recording.y), N_CHANNELS, N_TIMES)
        X = (epochs - epochs.mean(axis=1, keepdims=True)).reshape(recording.X.shape)
        referenced.append(RecordingEpochs(recording.recording, recording.subject, X, recording.y, N_CHANNELS))
    response = Response.fit(referenced, SFREQ)
    assert response.filters.shape == (3, 4)
    _, lit, _, _ = person(0)
    assert np.isfinite(scores(referenced[0].X, lit, TRIALS, response)).all()


@pytest.mark.parametrize(("n_times", "sfreq"), [(70, 100.0), (1, 100.0), (8, 100.0), (154, 256.0), (20, 25.0)])
def test_bins_are_weighted_means_of_low_passed_samples(n_times, sfreq):
    matrix = temporal_matrix(n_times, sfreq)
    np.testing.assert_allclose(matrix.sum(axis=0), 1)
    times = np.arange(n_times) / sfreq
    if n_times >= 70:
        middle = slice(4, -4)
        kept = (np.sin(2 * np.pi * 5 * times) @ matrix)[middle]
        lost = (np.sin(2 * np.pi * 22 * times) @ matrix)[middle]
        assert np.abs(kept).max() > 0.9
        assert np.abs(lost).max() < 0.1


def test_recordings_of_one_class_each_are_taken_as_one():
    def split(recording, which):
        rows = recording.y == which
        return RecordingEpochs(
            f"{recording.recording}/{which}", recording.subject, recording.X[rows], recording.y[rows], N_CHANNELS
        )

    (whole,) = recordings([1])
    expected = Response.fit([whole], SFREQ)
    response = Response.fit([split(whole, 1), split(whole, 2)], SFREQ)
    assert response.prior_target == expected.prior_target
    np.testing.assert_allclose(
        response.filters.T @ response.difference, expected.filters.T @ expected.difference, rtol=0.1, atol=1e-2
    )
    with_another = Response.fit([whole, split(whole, 2)], SFREQ)
    np.testing.assert_array_equal(with_another.difference, expected.difference)
    with pytest.raises(TrainingError, match="120 of 120 epochs are Target"):
        Response.fit([split(whole, 2)], SFREQ)
