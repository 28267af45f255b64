"""What estimators are fitted on: labelled epochs, one recording at a time, read as often as a fit needs."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from p300.channels import match
from p300.errors import P300Error, TrainingError
from p300.recording import NON_TARGET, TARGET

HELD_BYTES = 800_000_000
"""Epochs of so many bytes are held where a fit reads them often; more are read, and prepared, again each time."""


@dataclass(frozen=True)
class RecordingEpochs:
    """The epochs of one recording.

    Attributes
    ----------
    recording : str
        Unique name, such as ``subject_01/run_01``.
    subject : str
        Whose it is; several recordings may share it.
    X : ndarray of float32, shape (n_epochs, n_channels * n_times)
        Features in volts, channel-major, in the order of recording.
    y : ndarray of int, shape (n_epochs,)
        1 (NonTarget) or 2 (Target).
    n_channels : int
        So that an epoch can be unflattened.
    flash, onset : ndarray of int, shape (n_epochs,), optional
        Which group each flash lit, and its first sample: a session whose symbols can be decoded, where both are known.
    ch_names : tuple of str
        Their names in order, by which recordings are matched; empty where nobody knows them.
    """

    recording: str
    subject: str
    X: NDArray[np.floating]
    y: NDArray[np.integer]
    n_channels: int
    flash: NDArray[np.integer] | None = None
    onset: NDArray[np.integer] | None = None
    ch_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.X.ndim != 2 or len(self.X) != len(self.y) or self.X.shape[1] % self.n_channels:
            raise TrainingError(
                "bad_features",
                f"Recording {self.recording}: features of shape {self.X.shape} with {len(self.y)} labels and "
                f"{self.n_channels} channels; expected (n_epochs, n_channels * n_times) and one label an epoch.",
            )
        for name in ("flash", "onset"):
            column = getattr(self, name)
            if column is not None and column.shape != self.y.shape:
                raise TrainingError(
                    "bad_features",
                    f"Recording {self.recording}: {name} of shape {column.shape} for {len(self.y)} epochs; expected one each.",
                )
        if not ((self.y == NON_TARGET) | (self.y == TARGET)).all():
            found = sorted({int(label) for label in self.y})
            raise TrainingError(
                "bad_labels", f"Recording {self.recording}: labels {found}; expected 1 (NonTarget) and 2 (Target) only."
            )
        if not np.isfinite(self.X).all():
            raise TrainingError(
                "not_finite", f"Recording {self.recording}: features hold NaN or infinity; preprocess it again."
            )

    @property
    def n_times(self) -> int:
        """Samples per channel and epoch."""
        return int(self.X.shape[1]) // self.n_channels

    @property
    def epochs(self) -> NDArray[np.floating]:
        """The epochs in three dimensions, shape (n_epochs, n_channels, n_times), in volts."""
        return self.X.reshape(len(self.X), self.n_channels, self.n_times)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "RecordingEpochs":
        """Keep only some epochs.

        Parameters
        ----------
        rows : ndarray of int or of bool
            Which to keep.

        Returns
        -------
        recording : RecordingEpochs
        """
        flash, onset = (None if column is None else column[rows] for column in (self.flash, self.onset))
        return replace(self, X=self.X[rows], y=self.y[rows], flash=flash, onset=onset)


Recordings = Iterable[RecordingEpochs]
"""Read several times over, so a list, or an object whose ``__iter__`` reads anew each time; never a generator."""


class Derived:
    """Recordings made from others one at a time, so that memory holds one of them.

    Parameters
    ----------
    source : iterable of RecordingEpochs
        May be iterated several times.
    make : callable
        One recording in, those derived from it out.
    """

    def __init__(self, source: Recordings, make: Callable[[RecordingEpochs], Iterable[RecordingEpochs]]) -> None:
        self._source = source
        self._make = make

    def __iter__(self) -> Iterator[RecordingEpochs]:
        for recording in self._source:
            for derived in self._make(recording):
                if len(derived.y):
                    yield derived


class Held:
    """Recordings of some people, held in memory as far as `HELD_BYTES` goes; more of them are read again each time.

    Parameters
    ----------
    source : iterable of RecordingEpochs
        May be iterated several times.
    subjects : collection of str
        Whose.
    """

    def __init__(self, source: Recordings, subjects: Collection[str]) -> None:
        self._source = source
        self._subjects = subjects
        self._held: list[RecordingEpochs] | None = None
        n_bytes = 0
        held = []
        for recording in self._read():
            n_bytes += recording.X.nbytes
            if n_bytes > HELD_BYTES:
                return
            held.append(recording)
        self._held = held

    def __iter__(self) -> Iterator[RecordingEpochs]:
        return iter(self._held) if self._held is not None else self._read()

    def of(self, subjects: Collection[str]) -> "Derived":
        """Return the recordings of fewer people."""
        return Derived(self, lambda recording: [recording] if recording.subject in subjects else [])

    def _read(self) -> Iterator[RecordingEpochs]:
        return (recording for recording in self._source if recording.subject in self._subjects)


def one_montage(recordings: Recordings) -> Recordings:
    """Match recordings by the names of their channels: all get the order of the first.

    Parameters
    ----------
    recordings : iterable of RecordingEpochs
        Of the same channels.

    Returns
    -------
    recordings : iterable of RecordingEpochs
        The same object where the first recording has no names; else what refuses others with ``mixed_channels`` as it is read.
    """
    require_rereadable(recordings)
    first = next(iter(recordings), None)
    wanted = first.ch_names if first else ()
    if not wanted:
        return recordings

    def matched(recording: RecordingEpochs) -> list[RecordingEpochs]:
        if recording.ch_names in ((), wanted):
            return [recording]
        try:
            order = match(recording.ch_names, wanted, f"Recording {recording.recording}")
        except P300Error as error:
            raise TrainingError("mixed_channels", f"{error.message} Train on recordings of one montage.") from error
        X = np.ascontiguousarray(recording.epochs[:, order]).reshape(recording.X.shape)
        return [replace(recording, X=X, ch_names=wanted)]

    return Derived(recordings, matched)


def require_rereadable(recordings: Recordings) -> None:
    """Refuse what can be read only once.

    Parameters
    ----------
    recordings : iterable of RecordingEpochs
        A list, or an object whose ``__iter__`` starts anew.

    Raises
    ------
    TypeError
        Where ``recordings`` is a generator or another one-shot iterator.
    """
    if iter(recordings) is recordings:
        raise TypeError(
            "recordings are read several times, but this is a one-shot iterator; "
            "pass a list, or an object whose __iter__ starts anew"
        )


def from_arrays(
    X: NDArray[np.floating], y: NDArray[np.integer], groups: NDArray[np.generic] | None, n_channels: int
) -> list[RecordingEpochs]:
    """Split arrays by recording.

    Parameters
    ----------
    X : ndarray, shape (n_epochs, n_channels * n_times)
        Features in volts, channel-major.
    y : ndarray of int, shape (n_epochs,)
        1 (NonTarget) or 2 (Target).
    groups : ndarray, shape (n_epochs,), or None
        Recording that each epoch comes from; without it all are of one.
    n_channels : int
        Number of channels in a row of `X`.

    Returns
    -------
    recordings : list of RecordingEpochs
        In the order in which they first appear; each is a subject of its own.

    Raises
    ------
    TrainingError
        ``bad_groups`` where there are more or fewer groups than epochs, and what `RecordingEpochs` refuses.
    """
    if groups is None:
        return [RecordingEpochs("recording", "subject", X, y, n_channels)]
    if len(groups) != len(X):
        raise TrainingError("bad_groups", f"{len(groups)} groups for {len(X)} epochs; expected one recording id each.")
    # First appearance, not alphabetical order: the fit must not depend on how recordings are named.
    names, first = np.unique(groups, return_index=True)
    return [
        RecordingEpochs(str(name), str(name), X[groups == name], y[groups == name], n_channels)
        for name in names[np.argsort(first)]
    ]


def blocks(recordings: Recordings, n_blocks: int) -> Derived:
    """Cut each recording into consecutive blocks; ``subject`` becomes the block's number.

    Overlapping epochs of one recording are not independent: what may be left out is blocks of time, not random rows.

    Parameters
    ----------
    recordings : iterable of RecordingEpochs
        In the order of recording.
    n_blocks : int
        Of each recording.

    Returns
    -------
    blocks : Derived
        Of equal length up to one epoch.
    """

    def cut(recording: RecordingEpochs) -> Iterator[RecordingEpochs]:
        edges = np.linspace(0, len(recording.y), n_blocks + 1).astype(int)
        for number, (start, stop) in enumerate(pairwise(edges)):
            part = recording.take(np.arange(start, stop))
            yield replace(part, recording=f"{recording.recording}#{number}", subject=f"block_{number + 1}")

    return Derived(recordings, cut)
