"""Makes a model of other people fit this person, from flashes whose labels nobody knows.

In every trial exactly the groups of one symbol are targets. That structure stands in for labels: the symbols are decoded
with what other people's brains answer, the decoded symbols say which flashes were probably targets, their mean is what this
brain answers, and so on round: expectation maximisation (Kindermans et al. 2012, A Bayesian model for exploiting application
constraints to enable unsupervised training of a P300-based BCI, PLoS ONE 7:e33758) from a transferred prior (Kindermans et al.
2014, Integrating dynamic stopping, transfer learning and language models in an adaptive zero-training ERP speller, J. Neural
Eng. 11:035005). The noise is stationary in time, which few flashes suffice to estimate (Sosulski and Tangermann 2022,
Introducing block-Toeplitz covariance matrices to remaster linear discriminant analysis for event-related potential
brain-computer interfaces, J. Neural Eng. 19:066001).

Before that the model's response is moved in time to where this person answers: people differ in the latency of their P300 more
than in anything else, and how late someone is shows in all flashes at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.decoding.bayes import EVIDENCE_WEIGHT, decode
from p300.errors import ArtifactError, RequestError, TrainingError
from p300.recording import TARGET

if TYPE_CHECKING:
    from p300.models import RecordingEpochs

Array = NDArray[np.float64]

BIN_S = 0.03
"""Features are averaged over this long: they are low-passed at 20 Hz or so, and fewer numbers are learnt sooner."""
PRIOR_FLASHES = 200.0
"""The response of a model of one person counts as much as this many of this person's target flashes; that of a model of several
people at most so, and less the more they differ among each other (`Response.prior_flashes`)."""
MIN_PRIOR_FLASHES = 25.0
LATENCY_SD_S = 0.03
"""How far people's latencies lie apart: standard deviations of 20 to 40 ms are what studies of the P300 report (van Dinteren et al.
2014, P300 development across the lifespan, PLoS ONE 9:e87347). A model of one person is taken to be this person's."""
LATENCY_STEP_S = 0.015
PRIOR_EPOCHS = 200.0
"""The model's noise counts as much as this many of this person's epochs."""
PRIOR_MEAN_EPOCHS = 12.0
"""The model's mean epoch counts as much as one repetition of a 6 x 6 grid: it matters for the first flashes only."""
N_ITERATIONS = 6
_JITTER = 1e-6
"""Of the mean variance, on the covariance's diagonal."""


@dataclass(frozen=True)
class Response:
    """What other people's brains answer to a target, and the noise it stands in.

    Attributes
    ----------
    difference : ndarray, shape (n_channels, n_bins)
        Mean target minus mean non-target epoch in volts.
    mean : ndarray, shape (n_channels, n_bins)
        Mean of all epochs in volts.
    noise : ndarray, shape (n_bins, n_channels, n_channels)
        Covariance of the channels now with the channels 0, 1, 2 ... bins later, in volts squared.
    prior_target : float
        Fraction of targets among the flashes.
    n_times : int
        Samples of an epoch's features before they are averaged into bins.
    prior_flashes : float
        How many of a new person's target flashes the difference is worth: one over the variance between people, in units of the
        noise of one flash.
    latency_sd_bins : float
        Standard deviation of a new person's latency about the model's, in bins; 0 in a model of one person.

    Notes
    -----
    All are of epochs whose channels have mean 0. A baseline takes from every sample of a channel the same number; taking the mean
    again undoes it and loses nothing more, and only then is the noise stationary.
    """

    difference: Array
    mean: Array
    noise: Array
    prior_target: float
    n_times: int
    prior_flashes: float = PRIOR_FLASHES
    latency_sd_bins: float = 0.0

    @classmethod
    def fit(cls, recordings: "Iterable[RecordingEpochs]", sfreq: float) -> "Response":
        """Learn the response from labelled recordings, each with the same weight in the mean.

        Parameters
        ----------
        recordings : iterable of RecordingEpochs
            Read once, one at a time.
        sfreq : float
            Rate of the features in Hz.

        Returns
        -------
        response : Response

        Raises
        ------
        TrainingError
            ``no_recordings`` where there are none, ``missing_class`` where one holds targets or non-targets only.
        """
        differences, mean_epochs, noises, n_epochs, n_targets, n_times = [], [], [], [], 0, 0
        people: dict[str, list[tuple[Array, float]]] = {}
        for recording in recordings:
            target = recording.y == TARGET
            if target.all() or not target.any():
                raise TrainingError(
                    "missing_class",
                    f"Recording {recording.recording} holds {int(target.sum())} Target of {len(target)} epochs; expected both.",
                )
            n_times = recording.n_times
            n_bins = n_times // max(1, min(round(BIN_S * sfreq), n_times // 2))
            width = (
                n_times // n_bins
            )  # what `_whitened` makes of both: where there are few bins, more than was asked for
            epochs = _binned(recording.X, recording.n_channels, width)
            mean_epochs.append(epochs.mean(axis=0))
            epochs -= mean_epochs[-1]
            epochs = _tamed(epochs, _lagged_covariance(epochs))
            means = [epochs[~target].mean(axis=0), epochs[target].mean(axis=0)]
            differences.append(means[1] - means[0])
            noises.append(_lagged_covariance(epochs - np.where(target[:, None, None], means[1], means[0])))
            n_epochs.append(len(target))
            n_targets += int(target.sum())
            sampling = 1 / target.sum() + 1 / (~target).sum()
            people.setdefault(recording.subject, []).append((differences[-1], float(sampling)))
        if not differences:
            raise TrainingError(
                "no_recordings", "There are no recordings with features; land and preprocess some first."
            )
        noise = np.average(noises, axis=0, weights=n_epochs)
        return cls(
            np.mean(differences, axis=0),
            np.mean(mean_epochs, axis=0),
            noise,
            n_targets / sum(n_epochs),
            n_times,
            prior_flashes=_prior_flashes(people.values(), _whitening(noise)),
            latency_sd_bins=LATENCY_SD_S * sfreq / width if len(people) > 1 else 0.0,
        )

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Export as plain arrays, a few kB, that can stand beside an estimator's in one ``model.npz``."""
        return {
            "response_difference": self.difference,
            "response_mean": self.mean,
            "response_noise": self.noise,
            "response_prior_target": np.array(self.prior_target),
            "response_n_times": np.array(self.n_times),
            "response_prior_flashes": np.array(self.prior_flashes),
            "response_latency_sd_bins": np.array(self.latency_sd_bins),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Response | None":
        """Load what `to_arrays` returned; None where a model was saved without.

        Raises
        ------
        ArtifactError
            ``bad_model`` where arrays are missing, do not fit each other or are not finite numbers.
        """
        names = tuple(f"response_{field.name}" for field in fields(cls))
        found = [arrays[name] for name in names if name in arrays]
        if not found:
            return None
        problem = f"expected {', '.join(names)}" if len(found) < len(names) else ""
        if not problem and not all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in found):
            problem = "expected finite numbers"
        if not problem:
            difference, mean, noise, *scalars = (array.astype(np.float64) for array in found)
            shape = (*difference.shape[::-1], len(difference)) if difference.ndim == 2 else None
            fits = noise.shape == shape and mean.shape == difference.shape and difference.size > 0
            if fits and all(scalar.shape == () for scalar in scalars):
                prior, n_times, flashes, latency_sd = (float(scalar) for scalar in scalars)
                if 0 < prior < 1 and n_times >= difference.shape[1] and flashes > 0 and latency_sd >= 0:
                    return cls(difference, mean, noise, prior, int(n_times), flashes, latency_sd)
            problem = f"found shapes {', '.join(str(array.shape) for array in found)}"
        raise ArtifactError("bad_model", f"The model's response arrays cannot be used: {problem}. Train again.")


def adapt(X: NDArray[np.floating], lit: NDArray[np.bool_], trials: Sequence[slice], response: Response) -> Array:
    """Weigh the evidence of every flash with a response learnt from all of them.

    Parameters
    ----------
    X : ndarray, shape (n_flashes, n_channels * n_times)
        Features in volts, channel-major, of the person's flashes so far in order of time. A row of NaN stands for a flash
        without a usable epoch.
    lit : ndarray of bool, shape (n_flashes, n_symbols)
        Which symbols each flash lit: `Layout.lit`.
    trials : sequence of slice
        The flashes of each symbol: `split_trials`.
    response : Response
        Of other people, or of the person's own calibration.

    Returns
    -------
    log_likelihood_ratio : ndarray, shape (n_flashes,)
        For `decode`; 0 where there is no epoch.

    Raises
    ------
    RequestError
        ``wrong_length``, ``bad_flashes`` or ``not_finite``.

    Notes
    -----
    Epochs z are whitened with a blend of both noises and weighted (`_tamed`). The model's response m_0 is the mean over latencies,
    each weighted with its prior and with the likelihood of all flashes, the symbols being unknown (`_at_its_latency`). With p_i
    the probability that flash i lit the symbol of its trial, and p their mean over the trial, the response to a target is the mean
    of a Gaussian posterior,

        m = (k m_0 + sum_i (p_i - p) z_i) / (k + sum_i p (1 - p)),    k = prior_flashes

    and a flash's evidence ``z_i m - (1/2 - prior_target) m m``, linear discriminant analysis with both classes about the
    common mean, times `EVIDENCE_WEIGHT`. Bayes' rule as in `decode` turns it into p_i, and so on `N_ITERATIONS` times from
    m_0 on. The sums that decode a trial leave out its own flashes: a symbol once believed would teach the response to believe
    it, and confidence would no longer mean anything.
    """
    n_channels = len(response.difference)
    n_features = n_channels * response.n_times
    if X.ndim != 2 or X.shape[1] != n_features:
        raise RequestError(
            "wrong_length",
            f"Epochs of shape {X.shape}; the model expects (n_flashes, {n_features}): {n_channels} channels x "
            f"{response.n_times} samples.",
        )
    if len(lit) != len(X):
        raise RequestError("bad_flashes", f"{len(X)} epochs for {len(lit)} flashes; expected one each.")
    present = ~np.isnan(X).all(axis=1)
    if not np.isfinite(X[present]).all():
        raise RequestError("not_finite", "Epochs hold NaN or infinity; a flash without an epoch is a row of NaN only.")
    ratio = np.zeros(len(X))
    if not present.any():
        return ratio
    shifted, z = _whitened(X[present], response)
    full = np.zeros((len(X), z.shape[1]))
    full[present] = z
    rows = [np.arange(len(X))[trial][present[trial]] for trial in trials]
    m_0 = _at_its_latency(shifted, [(full[trial], lit[trial]) for trial in rows], response)
    response_of = [m_0] * len(rows)
    for iteration in range(N_ITERATIONS + 1):
        for trial, m in zip(rows, response_of, strict=True):
            ratio[trial] = EVIDENCE_WEIGHT * (full[trial] @ m - (0.5 - response.prior_target) * (m @ m))
        if rows and iteration < N_ITERATIONS:
            sums, weights = zip(*(_expected_sum(full[trial], lit[trial], ratio[trial]) for trial in rows), strict=True)
            total = response.prior_flashes * m_0 + np.sum(sums, axis=0)
            weight = response.prior_flashes + sum(weights)
            response_of = [(total - s) / (weight - w) for s, w in zip(sums, weights, strict=True)]
    return ratio


def _whitened(X: NDArray[np.floating], response: Response) -> tuple[Array, Array]:
    """Return the model's response at each of its latencies, and the epochs, where the noise of both together is white."""
    n_channels, n_bins = response.difference.shape
    epochs = _binned(X, n_channels, response.n_times // n_bins)
    epochs -= (PRIOR_MEAN_EPOCHS * response.mean + epochs.sum(axis=0)) / (PRIOR_MEAN_EPOCHS + len(epochs))
    share = len(epochs) / (len(epochs) + PRIOR_EPOCHS)
    epochs = _tamed(epochs, _blend(response.noise, epochs, share))
    whitening = _whitening(_blend(response.noise, epochs, share))
    bins = np.arange(n_bins, dtype=np.float64)
    latencies = _latencies(response)[0]
    shifted = np.empty((len(latencies), n_channels, n_bins))
    for k, later in enumerate(latencies):
        moved = [np.interp(bins - later, bins, channel, left=0.0, right=0.0) for channel in response.difference]
        shifted[k] = moved
    at_latencies: Array = shifted.reshape(len(shifted), -1) @ whitening.T
    white: Array = epochs.reshape(len(epochs), -1) @ whitening.T
    return at_latencies, white


def _latencies(response: Response) -> tuple[Array, Array]:
    """Return how many bins later than the model a person may answer, and the logarithm of how likely that is."""
    sd = response.latency_sd_bins
    n_steps = round(2 * LATENCY_SD_S / LATENCY_STEP_S) if sd else 0
    steps: Array = np.arange(-n_steps, n_steps + 1, dtype=np.float64) * (LATENCY_STEP_S / LATENCY_SD_S)
    log_prior: Array = np.square(steps) / -2
    return sd * steps, log_prior


def _at_its_latency(shifted: Array, trials: Sequence[tuple[Array, NDArray[np.bool_]]], response: Response) -> Array:
    """Average the response over latencies by what the flashes say of them.

    With c_i = 1 - prior_target for a target and -prior_target else, an epoch is distributed about c_i m, so that a trial's log
    likelihood is that of the sum over its symbols of ``sum_i c_i z_i m - c_i^2 m m / 2``, tempered as all evidence.
    """
    log_likelihood = _latencies(response)[1]
    for z, lit in trials:
        c = lit - response.prior_target
        energy = (shifted**2).sum(axis=1)
        by_symbol = EVIDENCE_WEIGHT * ((z @ shifted.T).T @ c - 0.5 * np.outer(energy, (c**2).sum(axis=0)))
        log_likelihood = log_likelihood + np.logaddexp.reduce(by_symbol, axis=1)
    weight = np.exp(log_likelihood - log_likelihood.max())
    averaged: Array = weight @ shifted / weight.sum()
    return averaged


def _prior_flashes(people: Iterable[Sequence[tuple[Array, float]]], whitening: Array) -> float:
    """Return how many flashes a model is worth to a person it does not know, from how its own people differ.

    Empirical Bayes: the variance of their whitened responses, less what so many flashes leave to chance, plus the error of their mean.
    """
    means, sampling = [], []
    for recordings in people:
        means.append(whitening @ np.mean([difference for difference, _ in recordings], axis=0).ravel())
        sampling.append(sum(variance for _, variance in recordings) / len(recordings) ** 2)
    n_people = len(means)
    if n_people < 2:
        return PRIOR_FLASHES
    between = float(np.var(means, axis=0, ddof=1).mean() - np.mean(sampling))
    least = 1 / PRIOR_FLASHES
    return max(MIN_PRIOR_FLASHES, 1 / max(between * (1 + 1 / n_people), least))


def _blend(noise: Array, epochs: Array, share: float) -> Array:
    return (1 - share) * noise + share * _lagged_covariance(epochs) if share > 0 else noise


def _expected_sum(z: Array, lit: NDArray[np.bool_], ratio: Array) -> tuple[Array, float]:
    """Return what a trial says about the response to a target, and how many flashes' worth that is."""
    if not len(z):
        return np.zeros(z.shape[1]), 0.0
    p = lit @ decode(lit, ratio).posterior
    return (p - p.mean()) @ z, float(len(p) * p.mean() * (1 - p.mean()))


def _binned(X: NDArray[np.floating], n_channels: int, width: int) -> Array:
    """Average features over ``width`` samples and take each channel's mean away; shape (n_epochs, n_channels, n_bins).

    A last bin that is not full is cut off.
    """
    epochs = np.asarray(X, dtype=np.float64).reshape(len(X), n_channels, -1)
    n_bins = epochs.shape[2] // width
    binned: Array = epochs[:, :, : n_bins * width].reshape(len(X), n_channels, n_bins, width).mean(axis=3)
    if n_bins > 1:
        binned -= binned.mean(axis=2, keepdims=True)
    return binned


def _tamed(epochs: Array, noise: Array) -> Array:
    """Divide each centred epoch by its squared Mahalanobis length, relative to its expectation.

    That is its weight under a heavy-tailed (multivariate Cauchy-like) noise: bursts and blinks lose their say without a limit
    in microvolts (Tyler 1987, A distribution-free M-estimator of multivariate scatter, Annals of Statistics 15:234-251).
    """
    length = ((epochs.reshape(len(epochs), -1) @ _whitening(noise).T) ** 2).mean(axis=1)
    tamed: Array = epochs / np.where(length > 0, length, 1.0)[:, None, None]
    return tamed


def _lagged_covariance(epochs: Array) -> Array:
    """Return the channels' covariance at each lag, shape (n_bins, n_channels, n_channels).

    Mean over all pairs of bins that far apart, tapered linearly to 0, which keeps the block-Toeplitz matrix of them positive.
    """
    n_epochs, n_channels, n_bins = epochs.shape
    lagged = np.empty((n_bins, n_channels, n_channels))
    by_channel = np.ascontiguousarray(epochs.transpose(1, 2, 0))
    for lag in range(n_bins):
        now = by_channel[:, : n_bins - lag].reshape(n_channels, -1)
        later = by_channel[:, lag:].reshape(n_channels, -1)
        lagged[lag] = now @ later.T / (n_epochs * n_bins)
    return lagged


def _whitening(lagged: Array) -> Array:
    """Return what whitens whole epochs, channel-major, whose channels have mean 0.

    Its shape is (n_channels * (n_bins - 1), n_channels * n_bins).
    """
    n_bins, n_channels, _ = lagged.shape
    contrasts = _contrasts(n_bins)
    n_contrasts = len(contrasts)
    covariance = contrasts @ _toeplitz(lagged) @ contrasts.T
    covariance = covariance.transpose(0, 2, 1, 3).reshape(n_channels * n_contrasts, -1)
    mean_variance = float(np.trace(covariance)) / len(covariance)
    covariance.flat[:: len(covariance) + 1] += _JITTER * mean_variance if mean_variance > 0 else 1.0
    whitening: Array = np.linalg.solve(np.linalg.cholesky(covariance), np.kron(np.eye(n_channels), contrasts))
    return whitening


def _toeplitz(lagged: Array) -> Array:
    """Return the covariance of whole epochs, shape (n_channels, n_channels, n_bins, n_bins)."""
    n_bins = len(lagged)
    both = np.concatenate([lagged[:0:-1].transpose(0, 2, 1), lagged])
    bins = np.arange(n_bins)
    covariance: Array = both[bins[None, :] - bins[:, None] + n_bins - 1].transpose(2, 3, 0, 1)
    return covariance


def _contrasts(n_bins: int) -> Array:
    """Return orthonormal rows that see all of a channel but its mean (Helmert's)."""
    if n_bins == 1:
        return np.eye(1)
    rows = np.tril(np.ones((n_bins - 1, n_bins)))
    rows[np.arange(n_bins - 1), np.arange(1, n_bins)] = -np.arange(1.0, n_bins)
    contrasts: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return contrasts
