"""Makes a model of other people fit this person, from flashes whose labels nobody knows.

In every trial exactly the groups of one symbol are targets. That structure stands in for labels: the symbols are decoded
with what other people's brains answer, the decoded symbols say which flashes were probably targets, their mean is what this
brain answers, and so on round: expectation maximisation (Kindermans et al. 2012, A Bayesian model for exploiting application
constraints to enable unsupervised training of a P300-based BCI, PLoS ONE 7:e33758) from a transferred prior (Kindermans et al.
2014, Integrating dynamic stopping, transfer learning and language models in an adaptive zero-training ERP speller, J. Neural
Eng. 11:035005). The noise is stationary in time, which few flashes suffice to estimate (Sosulski and Tangermann 2022,
Introducing block-Toeplitz covariance matrices to remaster linear discriminant analysis for event-related potential
brain-computer interfaces, J. Neural Eng. 19:066001).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
"""The model's response counts as much as this many of this person's target flashes."""
PRIOR_EPOCHS = 200.0
"""The model's noise counts as much as this many of this person's epochs."""
PRIOR_MEAN_EPOCHS = 12.0
"""The model's mean epoch counts as much as one repetition of a 6 x 6 grid: it matters for the first flashes only."""
N_ITERATIONS = 6
_JITTER = 1e-6
"""Of the mean variance, on the covariance's diagonal: baseline-corrected epochs have a direction without any."""


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
    """

    difference: Array
    mean: Array
    noise: Array
    prior_target: float
    n_times: int

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
        for recording in recordings:
            target = recording.y == TARGET
            if target.all() or not target.any():
                raise TrainingError(
                    "missing_class",
                    f"Recording {recording.recording} holds {int(target.sum())} Target of {len(target)} epochs; expected both.",
                )
            n_times = recording.n_times
            epochs = _binned(recording.X, recording.n_channels, max(1, round(BIN_S * sfreq)))
            mean_epochs.append(epochs.mean(axis=0))
            epochs -= mean_epochs[-1]
            epochs = _tamed(epochs, _lagged_covariance(epochs))
            means = [epochs[~target].mean(axis=0), epochs[target].mean(axis=0)]
            differences.append(means[1] - means[0])
            noises.append(_lagged_covariance(epochs - np.where(target[:, None, None], means[1], means[0])))
            n_epochs.append(len(target))
            n_targets += int(target.sum())
        if not differences:
            raise TrainingError(
                "no_recordings", "There are no recordings with features; land and preprocess some first."
            )
        noise = np.average(noises, axis=0, weights=n_epochs)
        return cls(
            np.mean(differences, axis=0), np.mean(mean_epochs, axis=0), noise, n_targets / sum(n_epochs), n_times
        )

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Export as plain arrays, a few kB, that can stand beside an estimator's in one ``model.npz``."""
        return {
            "response_difference": self.difference,
            "response_mean": self.mean,
            "response_noise": self.noise,
            "response_prior_target": np.array(self.prior_target),
            "response_n_times": np.array(self.n_times),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Response | None":
        """Load what `to_arrays` returned; None where a model was saved without.

        Raises
        ------
        ArtifactError
            ``bad_model`` where arrays are missing, do not fit each other or are not finite numbers.
        """
        names = tuple(f"response_{name}" for name in ("difference", "mean", "noise", "prior_target", "n_times"))
        found = [arrays[name] for name in names if name in arrays]
        if not found:
            return None
        problem = f"expected {', '.join(names)}" if len(found) < len(names) else ""
        if not problem and not all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in found):
            problem = "expected finite numbers"
        if not problem:
            difference, mean, noise, prior, n_times = (array.astype(np.float64) for array in found)
            shape = (*difference.shape[::-1], len(difference)) if difference.ndim == 2 else None
            fits = noise.shape == shape and mean.shape == difference.shape and prior.shape == n_times.shape == ()
            if fits and difference.size and 0 < prior < 1 and n_times >= difference.shape[1]:
                return cls(difference, mean, noise, float(prior), int(n_times))
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
    Epochs z are whitened with a blend of both noises and weighted (`_tamed`). With p_i the probability that flash i lit the
    symbol of its trial, and p their mean over the trial, the response to a target is the mean of a Gaussian posterior,

        m = (k m_0 + sum_i (p_i - p) z_i) / (k + sum_i p (1 - p)),    k = PRIOR_FLASHES

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
    m_0, z = _whitened(X[present], response)
    full = np.zeros((len(X), len(m_0)))
    full[present] = z
    rows = [np.arange(len(X))[trial][present[trial]] for trial in trials]
    response_of = [m_0] * len(rows)
    for iteration in range(N_ITERATIONS + 1):
        for trial, m in zip(rows, response_of, strict=True):
            ratio[trial] = EVIDENCE_WEIGHT * (full[trial] @ m - (0.5 - response.prior_target) * (m @ m))
        if rows and iteration < N_ITERATIONS:
            sums, weights = zip(*(_expected_sum(full[trial], lit[trial], ratio[trial]) for trial in rows), strict=True)
            total = PRIOR_FLASHES * m_0 + np.sum(sums, axis=0)
            weight = PRIOR_FLASHES + sum(weights)
            response_of = [(total - s) / (weight - w) for s, w in zip(sums, weights, strict=True)]
    return ratio


def _whitened(X: NDArray[np.floating], response: Response) -> tuple[Array, Array]:
    """Return the model's response and the epochs where the noise of both together is white."""
    n_channels, n_bins = response.difference.shape
    epochs = _binned(X, n_channels, response.n_times // n_bins)
    epochs -= (PRIOR_MEAN_EPOCHS * response.mean + epochs.sum(axis=0)) / (PRIOR_MEAN_EPOCHS + len(epochs))
    share = len(epochs) / (len(epochs) + PRIOR_EPOCHS)
    epochs = _tamed(epochs, _blend(response.noise, epochs, share))
    columns = [response.difference.ravel(), epochs.reshape(len(epochs), -1).T]
    whitened = np.linalg.solve(_cholesky(_blend(response.noise, epochs, share)), np.column_stack(columns)).T
    return whitened[0], whitened[1:]


def _blend(noise: Array, epochs: Array, share: float) -> Array:
    return (1 - share) * noise + share * _lagged_covariance(epochs) if share > 0 else noise


def _expected_sum(z: Array, lit: NDArray[np.bool_], ratio: Array) -> tuple[Array, float]:
    """Return what a trial says about the response to a target, and how many flashes' worth that is."""
    if not len(z):
        return np.zeros(z.shape[1]), 0.0
    p = lit @ decode(lit, ratio).posterior
    return (p - p.mean()) @ z, float(len(p) * p.mean() * (1 - p.mean()))


def _binned(X: NDArray[np.floating], n_channels: int, width: int) -> Array:
    """Average features over ``width`` samples; shape (n_epochs, n_channels, n_bins). A last bin that is not full is cut off."""
    epochs = np.asarray(X, dtype=np.float64).reshape(len(X), n_channels, -1)
    n_bins = epochs.shape[2] // width
    binned: Array = epochs[:, :, : n_bins * width].reshape(len(X), n_channels, n_bins, width).mean(axis=3)
    return binned


def _tamed(epochs: Array, noise: Array) -> Array:
    """Divide each centred epoch by its squared Mahalanobis length, relative to its expectation.

    That is its weight under a heavy-tailed (multivariate Cauchy-like) noise: bursts and blinks lose their say without a limit
    in microvolts (Tyler 1987, A distribution-free M-estimator of multivariate scatter, Annals of Statistics 15:234-251).
    """
    white = np.linalg.solve(_cholesky(noise), epochs.reshape(len(epochs), -1).T)
    length = (white**2).mean(axis=0)
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


def _cholesky(lagged: Array) -> Array:
    """Return the lower factor of the block-Toeplitz covariance of whole epochs, channel-major."""
    n_bins, n_channels, _ = lagged.shape
    both = np.concatenate([lagged[:0:-1].transpose(0, 2, 1), lagged])
    bins = np.arange(n_bins)
    blocks = both[bins[None, :] - bins[:, None] + n_bins - 1]
    covariance = blocks.transpose(2, 0, 3, 1).reshape(n_channels * n_bins, -1)
    mean_variance = float(np.trace(lagged[0])) / n_channels
    covariance.flat[:: len(covariance) + 1] += _JITTER * mean_variance if mean_variance > 0 else 1.0
    return np.linalg.cholesky(covariance)
