"""Learns the response from labelled recordings, from a summary of each: summaries are small, and folds of people share them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.decoding.components import spatial_filters, temporal_matrix
from p300.decoding.noise import channel_sum, clipped, lagged_covariance, whitening
from p300.decoding.response import Response, without_means
from p300.errors import TrainingError
from p300.recording import TARGET

if TYPE_CHECKING:
    from p300.models import RecordingEpochs

Array = NDArray[np.float64]

PRIOR_FLASHES = 200.0
"""The response of a model of one person counts as much as this many of this person's target flashes; that of a model of several
people at most so, and less the more they differ among each other."""
MIN_PRIOR_FLASHES = 25.0
LATENCY_SD_S = 0.03
"""How far people's latencies lie apart: standard deviations of 20 to 40 ms are what studies of the P300 report (van Dinteren et al.
2014, P300 development across the lifespan, PLoS ONE 9:e87347). A model of one person is taken to be this person's."""
SMOOTHNESS_S = 0.06
"""How far apart in time people's differences vary together."""
MEAN_SHARE = 0.25
"""How much the mean response's own scalp distribution counts in the one of people's differences."""
IDENTITY_SHARE = 0.2
"""How much any other distribution does."""


@dataclass(frozen=True)
class RecordingSummary:
    """What the fit needs of one recording.

    Attributes
    ----------
    subject : str
    temporal : ndarray, shape (n_times, n_bins)
    difference, mean : ndarray, shape (n_channels, n_bins)
        In volts: mean target minus mean non-target epoch, 0 where there is one class; mean epoch.
    noise : ndarray, shape (n_bins, n_channels, n_channels)
        Lagged covariance within class.
    channel_covariance : ndarray, shape (n_channels, n_channels)
        Of the channels, scaled to a mean variance of 1.
    n_epochs, n_targets : int
    """

    subject: str
    temporal: Array
    difference: Array
    mean: Array
    noise: Array
    channel_covariance: Array
    n_epochs: int
    n_targets: int

    @property
    def sampling(self) -> float:
        """Variance of a difference of class means, in units of the noise of one epoch."""
        return 1 / self.n_targets + 1 / (self.n_epochs - self.n_targets)


def summarise(recording: "RecordingEpochs", sfreq: float) -> RecordingSummary:
    """Summarise one labelled recording.

    Parameters
    ----------
    recording : RecordingEpochs
        With labels.
    sfreq : float
        Rate of the features in Hz.

    Returns
    -------
    summary : RecordingSummary
    """
    target = recording.y == TARGET
    temporal = temporal_matrix(recording.n_times, sfreq)
    epochs = np.asarray(recording.X, dtype=np.float64).reshape(len(target), recording.n_channels, -1)
    epochs = without_means(epochs @ temporal)
    mean = epochs.mean(axis=0)
    channels = _unit(channel_sum(epochs))
    epochs = clipped(epochs - mean)
    by_class = [epochs[member].mean(axis=0) if member.any() else np.zeros_like(mean) for member in (~target, target)]
    noise = lagged_covariance(epochs - np.where(target[:, None, None], by_class[1], by_class[0]))
    difference = by_class[1] - by_class[0]
    return RecordingSummary(
        recording.subject, temporal, difference, mean, noise, channels, len(target), int(target.sum())
    )


def response_of(summaries: Sequence[RecordingSummary], sfreq: float) -> Response:
    """Learn the response from summaries of recordings; parameters and errors as in `Response.fit`."""
    if not summaries:
        raise TrainingError("no_recordings", "There are no recordings with features; land and preprocess some first.")
    summaries = [one for one in summaries if 0 < one.n_targets < one.n_epochs] or [_pooled(summaries)]
    n_epochs = sum(summary.n_epochs for summary in summaries)
    temporal = summaries[0].temporal
    people: dict[str, list[RecordingSummary]] = {}
    for summary in summaries:
        people.setdefault(summary.subject, []).append(summary)
    of_people = np.array([np.mean([one.difference for one in own], axis=0) for own in people.values()])
    noise = np.average([one.noise for one in summaries], axis=0, weights=[one.n_epochs for one in summaries])
    filters = spatial_filters(of_people, noise[0])
    of_people = filters @ of_people
    difference = filters @ np.mean([summary.difference for summary in summaries], axis=0)
    noise = filters @ noise @ filters.T
    sampling = [sum(one.sampling for one in own) / len(own) ** 2 for own in people.values()]
    several = len(people) > 1
    return Response(
        filters,
        temporal,
        difference,
        filters @ np.mean([one.mean for one in summaries], axis=0),
        noise,
        _spatial_spread(difference, of_people),
        _temporal_spread(of_people, len(temporal) / len(difference.T) / sfreq),
        np.mean([one.channel_covariance for one in summaries], axis=0),
        sum(one.n_targets for one in summaries) / n_epochs,
        _prior_flashes(of_people, sampling, whitening(noise)) if several else PRIOR_FLASHES,
        LATENCY_SD_S * sfreq / (len(temporal) // len(difference.T)) if several else 0.0,
    )


def _pooled(summaries: Sequence[RecordingSummary]) -> RecordingSummary:
    """Summarise recordings of one class each as if they were one recording."""
    n_epochs, n_targets = (sum(getattr(one, name) for one in summaries) for name in ("n_epochs", "n_targets"))
    if n_targets in {0, n_epochs}:
        raise TrainingError("missing_class", f"{n_targets} of {n_epochs} epochs are Target; expected both classes.")

    def mean_of(name: str, chosen: Sequence[RecordingSummary]) -> Array:
        mean: Array = np.average(
            [getattr(one, name) for one in chosen], axis=0, weights=[one.n_epochs for one in chosen]
        )
        return mean

    target, rest = ([one for one in summaries if bool(one.n_targets) is which] for which in (True, False))
    return replace(
        summaries[0],
        difference=mean_of("mean", target) - mean_of("mean", rest),
        mean=mean_of("mean", summaries),
        noise=mean_of("noise", summaries),
        channel_covariance=mean_of("channel_covariance", summaries),
        n_epochs=n_epochs,
        n_targets=n_targets,
    )


def _prior_flashes(of_people: Array, sampling: Sequence[float], white: Array) -> float:
    """Return how many flashes a model is worth to a person it does not know, from how its own people differ.

    Empirical Bayes: the variance of their whitened responses, less what so many flashes leave to chance, plus the error of their mean.
    """
    n_people = len(of_people)
    means = of_people.reshape(n_people, -1) @ white.T
    between = float(np.var(means, axis=0, ddof=1).mean() - np.mean(sampling))
    return max(MIN_PRIOR_FLASHES, 1 / max(between * (1 + 1 / n_people), 1 / PRIOR_FLASHES))


def _spatial_spread(difference: Array, of_people: Array) -> Array:
    """Return how people's differences spread over the filters: their own covariance, the mean's, and a little of any."""
    n_filters = len(difference)
    spread = of_people - of_people.mean(axis=0)
    shape = _unit(np.einsum("pct,pdt->cd", spread, spread)) + MEAN_SHARE * _unit(difference @ difference.T)
    return (1 - IDENTITY_SHARE) * _unit(shape) + IDENTITY_SHARE * np.eye(n_filters)


def _temporal_spread(of_people: Array, bin_s: float) -> Array:
    """Return how they spread over time: smoothly, and where there is a response."""
    times = bin_s * np.arange(of_people.shape[2])
    smooth = np.exp(-((times[:, None] - times) ** 2) / (2 * SMOOTHNESS_S**2))
    envelope = smooth @ np.sqrt((of_people**2).mean(axis=(0, 1))) / smooth.sum(axis=1)
    return _unit(smooth * np.outer(envelope, envelope))


def _unit(covariance: Array) -> Array:
    """Scale to a mean variance of 1; where there is none, return the identity."""
    scale = float(np.trace(covariance)) / len(covariance)
    return covariance / scale if scale > 0 else np.eye(len(covariance))
