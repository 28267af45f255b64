"""Epochs and the response where the noise is white and the prior of the response independent: all inference happens there."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from p300.decoding.bayes import EVIDENCE_WEIGHT
from p300.decoding.noise import clipped, lagged_covariance, whitening
from p300.decoding.personal_statistics import PersonalStatistics
from p300.decoding.response import Response
from p300.decoding.response_fit import LATENCY_SD_S
from p300.errors import RequestError

Array = NDArray[np.float64]

PRIOR_EPOCHS = 200.0
"""The model's noise counts as much as this many of this person's epochs."""
PRIOR_MEAN_EPOCHS = 12.0
"""The model's mean epoch counts as much as one repetition of a 6 x 6 grid: it matters for the first flashes only."""
SPREAD_SHARE = 0.7
"""How much of the prior's variance people's known spread is; the rest is alike in all directions."""
LATENCY_STEP_S = 0.015


@dataclass(frozen=True)
class Whitened:
    """A session's epochs beside the prior of the response, in coordinates of unit noise.

    Attributes
    ----------
    epochs : ndarray, shape (n_epochs, n_filters, n_bins)
        Centred, each scaled to the length that noise has on average: bursts and blinks lose their say without a limit in microvolts
        (Tyler 1987, A distribution-free M-estimator of multivariate scatter, Annals of Statistics 15:234-251).
    z : ndarray, shape (n_epochs, n_white)
        The same, whitened and turned to the prior's axes.
    at_latencies : ndarray, shape (n_latencies, n_white)
        The model's response as early and as late as a person may answer.
    log_prior : ndarray, shape (n_latencies,)
    precision : ndarray, shape (n_white,)
        Of the response about the model's, along each axis, in flashes.
    own_contrast : ndarray, shape (n_white,)
    own_weight : float
        What is known of this person (`PersonalStatistics`); zero without.
    matrix : ndarray, shape (n_filters * n_bins, n_white)
        From epochs to z, but for their length.
    centre : ndarray, shape (n_filters, n_bins)
        What was taken from the epochs.
    noise_sum : ndarray, shape (n_bins, n_filters, n_filters)
        Sum of the epochs' lagged covariances.
    prior_target : float
    """

    epochs: Array
    z: Array
    at_latencies: Array
    log_prior: Array
    precision: Array
    own_contrast: Array
    own_weight: float
    matrix: Array
    centre: Array
    noise_sum: Array
    prior_target: float

    @classmethod
    def of(cls, X: NDArray[np.floating], response: Response) -> "Whitened":
        """Whiten epochs with a blend of the model's, this person's and their own noise.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_channels * n_times)
            Features in volts. May be empty: then the response is what was known before.
        response : Response
            Of other people, or of this person.

        Raises
        ------
        RequestError
            ``wrong_length``, or ``not_decodable`` where the features have no covariance to whiten by.
        """
        raw = response.project(X)
        own, n = response.own, len(raw)
        n_own = own.n_epochs if own else 0
        known = PRIOR_MEAN_EPOCHS * response.mean
        if own and not n:
            centre = (known + own.epoch_sum) / (PRIOR_MEAN_EPOCHS + n_own)
        else:
            centre = (known + raw.sum(axis=0)) / (PRIOR_MEAN_EPOCHS + n)
        centred = raw - centre
        noise_sum = n * lagged_covariance(clipped(centred)) if n else np.zeros_like(response.noise)
        total = PRIOR_EPOCHS * response.noise + noise_sum + (own.noise_sum if own else 0.0)
        try:
            white = whitening(total / (PRIOR_EPOCHS + n_own + n))
            axes, precision = _axes(white, response)
        except np.linalg.LinAlgError as error:
            raise RequestError(
                "not_decodable", "The features' covariance cannot be used: they are none of an EEG. Expected volts."
            ) from error
        matrix = white.T @ axes
        z = centred.reshape(n, len(matrix)) @ matrix
        length = np.sqrt((z**2).mean(axis=1))
        scale = np.divide(1.0, length, out=np.zeros(n), where=length > 0)
        latencies, log_prior = _latencies(response)
        return cls(
            centred * scale[:, None, None],
            z * scale[:, None],
            _moved(response.difference, latencies) @ matrix,
            log_prior,
            precision,
            own.contrast.ravel() @ matrix if own else np.zeros(len(precision)),
            own.weight if own else 0.0,
            matrix,
            centre,
            noise_sum,
            response.prior_target,
        )

    def start(self, log_likelihood: Array | None = None) -> "Belief":
        """Return what is believed of the response before the session's symbols are.

        Parameters
        ----------
        log_likelihood : ndarray, shape (n_latencies,), optional
            Of the session's flashes, were the response at each latency.

        Returns
        -------
        belief : Belief
            The mean over latencies, each weighted with its prior and its likelihood, and what is known of this person.
        """
        at, weight = self.at_latencies, self.own_weight
        score = self.log_prior + EVIDENCE_WEIGHT * (at @ self.own_contrast - 0.5 * weight * self.energy)
        score = score if log_likelihood is None else score + log_likelihood
        share = np.exp(score - score.max())
        expected = share @ at / share.sum()
        return Belief(self.precision * expected + self.own_contrast, self.precision + weight)

    @cached_property
    def energy(self) -> Array:
        """Squared length of the response at each latency, shape (n_latencies,)."""
        energy: Array = (self.at_latencies**2).sum(axis=1)
        return energy

    def ratio(self, z: Array, mean: Array) -> Array:
        """Return the log likelihood ratio of epochs, whose response to a target is believed to be ``mean``, of all or of each.

        Linear discriminant analysis with both classes about the common mean: ``z mean - (1/2 - prior_target) mean mean``.
        """
        ratio: Array = (z * mean).sum(axis=-1) - (0.5 - self.prior_target) * np.square(mean).sum(axis=-1)
        return ratio

    def statistics(self, factor: Array, weight: float, channel_sum: Array) -> PersonalStatistics:
        """Sum up what the epochs say of the response, each with its factor (see `PersonalStatistics`)."""
        n = len(self.epochs)
        epoch_sum = self.epochs.sum(axis=0) + n * self.centre
        return PersonalStatistics(
            np.tensordot(factor, self.epochs, axes=1), weight, epoch_sum, self.noise_sum, channel_sum, n
        )


@dataclass(frozen=True)
class Belief:
    """A Gaussian over the response, independent along each axis.

    Attributes
    ----------
    weighted : ndarray, shape (n_white,)
        Its mean times its precision.
    precision : ndarray, shape (n_white,)
    """

    weighted: Array
    precision: Array

    @property
    def mean(self) -> Array:
        """Most likely response."""
        return self.weighted / self.precision

    def updated(self, contrast: Array, weight: float) -> "Belief":
        """Return the posterior after flashes of this contrast and weight."""
        return Belief(self.weighted + contrast, self.precision + weight)

    def mean_without(self, z: Array, factor: Array, weight: float) -> Array:
        """Return the mean that is left when each of some epochs is taken out of what was learnt, shape (n_epochs, n_white).

        Parameters
        ----------
        z : ndarray, shape (n_epochs, n_white)
            Whitened epochs.
        factor : ndarray, shape (n_epochs,)
            With which each was added to the contrast.
        weight : float
            What all of them added to the weight.
        """
        mean: Array = (self.weighted - factor[:, None] * z) / (self.precision - weight / max(1, len(z)))
        return mean

    def log_evidence(self, contrast: Array, weight: Array) -> Array:
        """Return how well sets of flashes agree with the belief, the response itself integrated out.

        Parameters
        ----------
        contrast : ndarray, shape (n_sets, n_white)
            Sum of each set's epochs, times their factors.
        weight : ndarray, shape (n_sets,)
            Sum of the factors' squares.

        Returns
        -------
        log_evidence : ndarray, shape (n_sets,)
            Logarithm of the marginal likelihood, less that of noise alone, up to a constant.
        """
        posterior = self.precision + weight[:, None]
        gain = (self.weighted + contrast) ** 2 / posterior + np.log(self.precision / posterior)
        evidence: Array = 0.5 * gain.sum(axis=1)
        return evidence


def _axes(white: Array, response: Response) -> tuple[Array, Array]:
    """Return orthonormal axes along which people's responses vary independently, and the precision along each."""
    by_filter = white.reshape(len(white), len(response.difference), -1)
    spread = np.einsum(
        "wft,fg,vgt->wv", by_filter @ response.temporal_spread, response.spatial_spread, by_filter, optimize=True
    )
    variance = float(np.trace(spread)) / len(spread)
    values, axes = np.linalg.eigh(spread)
    shares = SPREAD_SHARE * np.maximum(values, 0) / variance if variance > 0 else np.full(len(values), SPREAD_SHARE)
    return axes, response.prior_flashes / (shares + 1 - SPREAD_SHARE)


def _latencies(response: Response) -> tuple[Array, Array]:
    """Return how many bins later than the model a person may answer, and the logarithm of how likely that is."""
    sd = response.latency_sd_bins
    n_steps = round(2 * LATENCY_SD_S / LATENCY_STEP_S) if sd else 0
    steps: Array = np.arange(-n_steps, n_steps + 1, dtype=np.float64) * (LATENCY_STEP_S / LATENCY_SD_S)
    log_prior: Array = np.square(steps) / -2
    return sd * steps, log_prior


def _moved(difference: Array, latencies: Array) -> Array:
    bins = np.arange(difference.shape[1], dtype=np.float64)
    return np.array(
        [[np.interp(bins - later, bins, one, left=0.0, right=0.0) for one in difference] for later in latencies]
    ).reshape(len(latencies), -1)
