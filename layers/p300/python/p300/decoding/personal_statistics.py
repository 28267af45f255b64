"""What one person's flashes said about their response: sums that add up, so that every session is read once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from p300.errors import ArtifactError

Array = NDArray[np.float64]

_PREFIX = "own_"


@dataclass(frozen=True)
class PersonalStatistics:
    """Sufficient statistics of a person's flashes, labelled or believed, as `Response.project` sees their epochs.

    Attributes
    ----------
    contrast : ndarray, shape (n_filters, n_bins)
        Sum of the epochs, each times its probability of being a target less the mean probability.
    weight : float
        How many target flashes' worth that is: the sum of the squares of those factors.
    epoch_sum : ndarray, shape (n_filters, n_bins)
        Sum of all epochs.
    noise_sum : ndarray, shape (n_bins, n_filters, n_filters)
        Sum of their lagged covariances.
    channel_sum : ndarray, shape (n_channels, n_channels)
        Sum over the epochs of the channels' covariance in volts squared: who it is, and which electrode is where (`recognise`).
    n_epochs : int
    n_sessions : int
        Sessions or calibrations that it was learnt from.
    """

    contrast: Array
    weight: float
    epoch_sum: Array
    noise_sum: Array
    channel_sum: Array
    n_epochs: int
    n_sessions: int = 1

    def __add__(self, other: "PersonalStatistics") -> "PersonalStatistics":
        return PersonalStatistics(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Export as plain arrays."""
        return {_PREFIX + field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[np.generic]], noise_shape: tuple[int, ...], n_channels: int
    ) -> "PersonalStatistics | None":
        """Load what `to_arrays` returned; None where there is nothing of a person.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            What a ``model.npz`` holds.
        noise_shape : tuple of int
            That of the response's noise.
        n_channels : int
            Channels of an epoch.

        Raises
        ------
        ArtifactError
            ``bad_model`` where arrays are missing, do not fit the response or are not finite numbers.
        """
        names = [field.name for field in fields(cls)]
        found = [arrays[_PREFIX + name] for name in names if _PREFIX + name in arrays]
        if not found:
            return None
        n_bins, n_filters, _ = noise_shape
        shapes = [(n_filters, n_bins), (), (n_filters, n_bins), noise_shape, (n_channels, n_channels), (), ()]
        fits = [array.shape for array in found] == shapes
        if not fits or not all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in found):
            raise ArtifactError(
                "bad_model",
                f"The model's statistics of its subject cannot be used: found shapes "
                f"{', '.join(str(array.shape) for array in found)}; expected {shapes} of finite numbers. Train again.",
            )
        contrast, weight, epoch_sum, noise_sum, channel_sum, *counts = (array.astype(np.float64) for array in found)
        own = cls(contrast, float(weight), epoch_sum, noise_sum, channel_sum, *(int(count) for count in counts))
        if own.weight < 0 or own.n_epochs < 0:
            raise ArtifactError(
                "bad_model", f"A subject with {own.n_epochs} epochs of weight {own.weight:g}. Train again."
            )
        return own
