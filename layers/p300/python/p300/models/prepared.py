"""What estimators that align are fitted on: aligned epochs, as many as a fit gains from, and statistics of whole recordings."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from p300.decoding.response_fit import RecordingSummary
from p300.models.alignment import spatial_covariance, whitener
from p300.models.data import HELD_BYTES, RecordingEpochs, Recordings
from p300.models.draw import MOST_FITTED_EPOCHS, drawn_rows, quotas
from p300.recording import TARGET

Array = NDArray[np.float64]
WINDOW_SAMPLES = 4
"""Some features are means over 40 ms at 100 Hz: below 20 Hz little is lost, and their covariance stays small."""
Look = Callable[[RecordingEpochs], RecordingSummary | None]


@dataclass(frozen=True)
class Sums:
    """Of a recording's drawn epochs, what XDAWN filters are made of: sums, which folds share.

    Attributes
    ----------
    second : ndarray, shape (n_channels, n_channels)
        Of the epochs' covariances about zero.
    first : ndarray, shape (n_channels,)
        Of the epochs' means over time.
    response : ndarray, shape (n_channels, n_times)
        Of the target epochs.
    n_targets : int
    """

    second: Array
    first: Array
    response: Array
    n_targets: int


class AlignedEpochs(RecordingEpochs):
    """Epochs that are aligned already, and what fits make of them one after another."""

    @cached_property
    def window_means(self) -> Array:
        """Means over short windows, shape (n_epochs, n_channels * n_windows)."""
        return window_means(self.X, self.n_channels)


@dataclass(frozen=True)
class PreparedRecording:
    """A recording as a fit takes it.

    Attributes
    ----------
    epochs : AlignedEpochs
        Those that were drawn of it, whitened by the covariance where the estimator aligns; in float32.
    covariance : ndarray, shape (n_channels, n_channels)
        Of the whole recording, in V^2.
    summary : RecordingSummary or None
        Of the whole recording, for the response; None where the kind has none.
    n_epochs : int
        Of the whole recording.
    """

    epochs: AlignedEpochs
    covariance: Array
    summary: RecordingSummary | None
    n_epochs: int

    @cached_property
    def sums(self) -> Sums:
        """Sums of the drawn epochs."""
        epochs, target = self.epochs.epochs, self.epochs.y == TARGET
        return Sums(
            len(epochs) * spatial_covariance(epochs),
            epochs.mean(axis=2, dtype=np.float64).sum(axis=0),
            epochs[target].sum(axis=0, dtype=np.float64),
            int(target.sum()),
        )


class Prepared:
    """Recordings as a fit takes them, in memory.

    Attributes
    ----------
    recordings : list of PreparedRecording
        In the order of reading.
    """

    def __init__(self, recordings: list[PreparedRecording]) -> None:
        self.recordings = recordings

    def __iter__(self) -> Iterator[RecordingEpochs]:
        return (one.epochs for one in self.recordings)

    @property
    def n_epochs(self) -> int:
        """Epochs that were drawn."""
        return sum(len(one.epochs.y) for one in self.recordings)

    def drawn(self, most: int, seed: int) -> Iterator[RecordingEpochs]:
        """Draw fewer of the epochs, recording by recording.

        Parameters
        ----------
        most : int
            In all.
        seed : int
            Of the draw.
        """
        own = [one.epochs for one in self.recordings]
        n_epochs = {one.recording: len(one.y) for one in own}
        quota = quotas(n_epochs, {one.recording: one.subject for one in own}, most)
        for one in own:
            if rows := quota[one.recording]:
                yield one if rows == len(one.y) else one.take(drawn_rows(one, rows, seed))

    def of(self, subjects: Collection[str]) -> "Prepared":
        """Return the recordings of some subjects."""
        return Prepared([one for one in self.recordings if one.epochs.subject in subjects])

    def but(self, names: set[str]) -> "Prepared":
        """Return the recordings without those of these names."""
        return Prepared([one for one in self.recordings if one.epochs.recording not in names])

    @property
    def reference(self) -> Array:
        """Mean covariance of the recordings."""
        mean: Array = np.mean([one.covariance for one in self.recordings], axis=0)
        return mean

    @property
    def summaries(self) -> list[RecordingSummary]:
        """The recordings' summaries."""
        return [one.summary for one in self.recordings if one.summary]


def prepare(recordings: Recordings, *, align: bool, seed: int, look: Look) -> Prepared:
    """Align recordings, and draw epochs where there are more than `MOST_FITTED_EPOCHS`, or than memory holds.

    Parameters
    ----------
    recordings : iterable of RecordingEpochs
        Read once, and once more where epochs are drawn.
    align : bool
        Whether to whiten each recording by its own covariance.
    seed : int
        Of the draw.
    look : callable
        Called once with each recording, before it is aligned; returns its summary.

    Returns
    -------
    prepared : Prepared
    """
    found: list[PreparedRecording] = []
    most = MOST_FITTED_EPOCHS
    n_epochs = 0
    for recording in recordings:
        most = most_fitted(recording.X.shape[1])
        covariance = spatial_covariance(recording.epochs)
        n_epochs += len(recording.y)
        held = _aligned(recording, covariance, align) if n_epochs <= most else _none_of(recording)
        found.append(PreparedRecording(held, covariance, look(recording), len(recording.y)))
        if n_epochs > most and len(found[0].epochs.y):
            found = [replace(one, epochs=_none_of(one.epochs)) for one in found]
    if n_epochs <= most:
        return Prepared(found)
    quota = quotas(
        {one.epochs.recording: one.n_epochs for one in found},
        {one.epochs.recording: one.epochs.subject for one in found},
        most,
    )
    drawn = [
        replace(
            one,
            epochs=_aligned(
                recording.take(drawn_rows(recording, quota[recording.recording], seed)), one.covariance, align
            ),
        )
        for one, recording in zip(found, recordings, strict=True)
    ]
    return Prepared([one for one in drawn if len(one.epochs.y)])


def most_fitted(n_features: int) -> int:
    """Return how many epochs of so many features a fit takes."""
    return min(MOST_FITTED_EPOCHS, HELD_BYTES // (4 * max(1, n_features)))


def window_means(X: NDArray[np.floating], n_channels: int) -> Array:
    """Return means over short windows.

    Parameters
    ----------
    X : ndarray, shape (n_epochs, n_channels * n_times)
        Channel-major.
    n_channels : int
        Of an epoch.

    Returns
    -------
    means : ndarray, shape (n_epochs, n_channels * n_windows)
    """
    epochs = np.asarray(X, dtype=np.float64).reshape(len(X), n_channels, -1)
    return (epochs @ window_matrix(epochs.shape[2])).reshape(len(X), -1)


def window_matrix(n_times: int) -> Array:
    """Return the matrix that averages over windows.

    Parameters
    ----------
    n_times : int
        Samples of an epoch.

    Returns
    -------
    averaging : ndarray, shape (n_times, n_windows)
        Multiply epochs of shape (..., n_times) by it from the right. The last window may be shorter.
    """
    window = np.arange(n_times) // WINDOW_SAMPLES
    member = window[:, None] == np.arange(window[-1] + 1)
    averaging: Array = member / member.sum(axis=0)
    return averaging


def _none_of(recording: RecordingEpochs) -> AlignedEpochs:
    return _made_of(recording.take(np.arange(0)), np.empty((0, recording.X.shape[1]), np.float32))


def _aligned(recording: RecordingEpochs, covariance: Array, align: bool) -> AlignedEpochs:
    if not align:
        return _made_of(recording, recording.X)
    whitened = (whitener(covariance) @ recording.epochs).astype(np.float32)
    return _made_of(recording, whitened.reshape(recording.X.shape))


def _made_of(recording: RecordingEpochs, X: NDArray[np.floating]) -> AlignedEpochs:
    return AlignedEpochs(recording.recording, recording.subject, X, recording.y, recording.n_channels)
