"""What a brain answers to a target: the prior that a session or a person's own model is learnt from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.decoding.noise import channel_sum
from p300.decoding.personal_statistics import PersonalStatistics
from p300.errors import ArtifactError, RequestError

if TYPE_CHECKING:
    from p300.models import RecordingEpochs

Array = NDArray[np.float64]
Arrays = Mapping[str, NDArray[np.generic]]

_PREFIX = "response_"


@dataclass(frozen=True)
class Response:
    """Other people's answer to a target, the noise around it, how people differ in it, and what is known of one person.

    A channel here is a spatial filter's output, a time a bin.

    Attributes
    ----------
    filters : ndarray, shape (n_filters, n_channels)
        From channels in volts to noise of variance 1.
    temporal : ndarray, shape (n_times, n_bins)
        From samples to bins.
    difference : ndarray, shape (n_filters, n_bins)
        Mean target minus mean non-target epoch.
    mean : ndarray, shape (n_filters, n_bins)
        Mean of all epochs.
    noise : ndarray, shape (n_bins, n_filters, n_filters)
        Covariance now with that 0, 1, 2 ... bins later.
    spatial_spread : ndarray, shape (n_filters, n_filters)
    temporal_spread : ndarray, shape (n_bins, n_bins)
        How people's differences vary about the mean one: their Kronecker product is its covariance, up to scale.
    channel_covariance : ndarray, shape (n_channels, n_channels)
        Of the channels, each recording's scaled to a mean variance of 1: which electrode is where.
    prior_target : float
        Fraction of targets among the flashes.
    prior_flashes : float
        How many of a new person's target flashes the difference is worth: one over the variance between people, in units of the noise
        of one flash.
    latency_sd_bins : float
        Standard deviation of a new person's latency about the model's, in bins; 0 in a model of one person.
    own : PersonalStatistics or None
        What this person's flashes said so far, where it is one person's response.
    """

    filters: Array
    temporal: Array
    difference: Array
    mean: Array
    noise: Array
    spatial_spread: Array
    temporal_spread: Array
    channel_covariance: Array
    prior_target: float
    prior_flashes: float
    latency_sd_bins: float
    own: PersonalStatistics | None = None

    @classmethod
    def fit(cls, recordings: "Iterable[RecordingEpochs]", sfreq: float) -> "Response":
        """Learn the response from labelled recordings, each with the same weight in the mean.

        Recordings that hold one class count only where all do: then they are taken as one recording.

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
            ``no_recordings`` where there are none, ``missing_class`` where all of them hold targets or non-targets only.
        """
        from p300.decoding.response_fit import response_of, summarise

        return response_of([summarise(recording, sfreq) for recording in recordings], sfreq)

    @property
    def n_channels(self) -> int:
        """Channels of an epoch."""
        return int(self.filters.shape[1])

    @property
    def n_times(self) -> int:
        """Samples of each."""
        return len(self.temporal)

    def project(self, X: NDArray[np.floating]) -> Array:
        """Filter epochs and average them over bins; each filter's mean over the epoch is taken away.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_channels * n_times)
            Features in volts, channel-major.

        Returns
        -------
        epochs : ndarray, shape (n_epochs, n_filters, n_bins)

        Raises
        ------
        RequestError
            ``wrong_length``.
        """
        n_features = self.n_channels * self.n_times
        if X.ndim != 2 or X.shape[1] != n_features:
            raise RequestError(
                "wrong_length",
                f"Epochs of shape {X.shape}; the model expects (n_epochs, {n_features}): {self.n_channels} channels x "
                f"{self.n_times} samples.",
            )
        return without_means(self.filters @ self._binned(X))

    def channel_sum(self, X: NDArray[np.floating]) -> Array:
        """Sum the channels' covariances over epochs (see `PersonalStatistics`); parameters as in `project`."""
        return channel_sum(without_means(self._binned(X)))

    def _binned(self, X: NDArray[np.floating]) -> Array:
        epochs = np.asarray(X, dtype=np.float64).reshape(len(X), self.n_channels, self.n_times)
        binned: Array = epochs @ self.temporal
        return binned

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Export as plain arrays, some ten kB, that can stand beside an estimator's in one ``model.npz``."""
        arrays: dict[str, NDArray[np.generic]] = {
            _PREFIX + field.name: np.asarray(getattr(self, field.name)) for field in fields(self) if field.name != "own"
        }
        return arrays | (self.own.to_arrays() if self.own else {})

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Response | None":
        """Load what `to_arrays` returned; None where a model was saved without, or by code of before there were filters.

        Raises
        ------
        ArtifactError
            ``bad_model`` where arrays are missing, do not fit each other or are not finite numbers.
        """
        names = [field.name for field in fields(cls) if field.name != "own"]
        if _PREFIX + "filters" not in arrays:
            return None
        missing = [name for name in names if _PREFIX + name not in arrays]
        if missing:
            raise _unusable(f"expected {', '.join(_PREFIX + name for name in missing)} too")
        found = {name: arrays[_PREFIX + name] for name in names}
        for name, array in found.items():
            if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
                raise _unusable(f"{_PREFIX}{name} holds text, NaN or infinity; expected finite numbers")
        if misfits := _misfits(found):
            raise _unusable(f"{', '.join(misfits)} do not fit each other")
        matrices = {name: array.astype(np.float64) for name, array in found.items() if array.ndim}
        scalars = {name: float(array) for name, array in found.items() if not array.ndim}
        in_range = 0 < scalars["prior_target"] < 1 and scalars["prior_flashes"] > 0 and scalars["latency_sd_bins"] >= 0
        if not in_range:
            raise _unusable(f"found {', '.join(f'{name} {value:g}' for name, value in scalars.items())}")
        own = PersonalStatistics.from_arrays(arrays, matrices["noise"].shape, matrices["filters"].shape[1])
        return cls(**matrices, **scalars, own=own)  # type: ignore[arg-type]


def without_means(epochs: Array) -> Array:
    """Take each channel's mean over the epoch away, where there is more than one bin."""
    return epochs - epochs.mean(axis=2, keepdims=True) if epochs.shape[2] > 1 else epochs


def _misfits(found: Arrays) -> list[str]:
    """Return what has another shape than the filters and bins say."""
    n_filters, n_channels = found["filters"].shape if found["filters"].ndim == 2 else (0, 0)
    n_times, n_bins = found["temporal"].shape if found["temporal"].ndim == 2 else (0, 0)
    expected: dict[str, tuple[int, ...]] = {
        "filters": (n_filters, n_channels),
        "temporal": (n_times, n_bins),
        "difference": (n_filters, n_bins),
        "mean": (n_filters, n_bins),
        "noise": (n_bins, n_filters, n_filters),
        "spatial_spread": (n_filters, n_filters),
        "temporal_spread": (n_bins, n_bins),
        "channel_covariance": (n_channels, n_channels),
        "prior_target": (),
        "prior_flashes": (),
        "latency_sd_bins": (),
    }
    return [
        f"{_PREFIX}{name} of shape {found[name].shape}"
        for name, shape in expected.items()
        if found[name].shape != shape or 0 in found[name].shape
    ]


def _unusable(problem: str) -> ArtifactError:
    return ArtifactError("bad_model", f"The model's response arrays cannot be used: {problem}. Train again.")
