"""One type for every recording, whatever file it came from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from p300.signals.flashes import Flashes

NON_TARGET = 1
TARGET = 2
UNLABELLED = 3
"""A flash of which nobody says whether it was a target: all of a recording's, or none."""
CLASS_NAMES = {NON_TARGET: "NonTarget", TARGET: "Target"}
SYNTHETIC = "synthetic recording: simulated, not measured"
"""Note of a recording whose file says so; features keep it."""


@dataclass(frozen=True)
class Speller:
    """What was on the screen of a row / column speller, whose ``flash`` numbers the columns from the left, then the rows from the top.

    Attributes
    ----------
    rows : tuple of tuple of str
        The symbols as they stand on the screen.
    text : str
        What was to be spelled; empty where that is not known.
    """

    rows: tuple[tuple[str, ...], ...]
    text: str = ""


@dataclass(frozen=True)
class Recording:
    """A continuous EEG recording with its stimulation.

    Attributes
    ----------
    ch_names : tuple of str
        EEG channel names in the order of ``data``.
    sfreq : float
        Sampling rate in Hz.
    data : ndarray, shape (n_channels, n_samples)
        EEG in volts, float32 or float64.
    stim : ndarray of int32, shape (n_samples,)
        0 where nothing flashed, 1 (NonTarget) or 2 (Target) from a flash's first sample on; 3 at every flash of an unlabelled recording.
    flash : ndarray of int32, shape (n_samples,), optional
        Which stimulus group (row, column, set of symbols) flashed; 0 where none did.
    notes : tuple of str
        What the reader had to assume or convert, in words for a person.
    gaps : tuple of int
        Sample at which each discontinuity ends: what is at it did not follow what is before it. No epoch spans one.
    bad_spans : tuple of (int, int)
        First sample of each span that the file marks as bad, and the first after it. No epoch touches one.
    bad_channels : tuple of str
        EEG channels that the file marks as bad.
    speller : Speller, optional
        What was on the screen, where the file says it.
    sidecar : mapping
        What the recording's sidecar says (see `p300.readers.sidecar`); empty without one.
    bids : mapping
        Facts of a recording from a BIDS data set: subject, session, run, participant, ... (see `p300.readers.bids`); empty of any other.
    facts : mapping of str to str
        What the file says about itself and nothing depends on: ``recorded`` (date and time), ``software``, ``device``, ``reference``.
    """

    ch_names: tuple[str, ...]
    sfreq: float
    data: NDArray[np.floating]
    stim: NDArray[np.int32]
    flash: NDArray[np.int32] | None = None
    notes: tuple[str, ...] = field(default=())
    gaps: tuple[int, ...] = ()
    bad_spans: tuple[tuple[int, int], ...] = ()
    bad_channels: tuple[str, ...] = ()
    speller: Speller | None = None
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    bids: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def stream(self) -> "RecordingStream":
        """Return the same recording as a stream of one block.

        Returns
        -------
        stream : RecordingStream
        """
        return RecordingStream(
            self.ch_names,
            self.sfreq,
            self.data.shape[1],
            self.stim,
            self.flash,
            lambda: iter([self.data]),
            notes=self.notes,
            gaps=self.gaps,
            bad_spans=self.bad_spans,
            bad_channels=self.bad_channels,
            speller=self.speller,
            sidecar=self.sidecar,
            bids=self.bids,
            facts=self.facts,
        )


@dataclass(frozen=True)
class RecordingStream:
    """A recording whose signal is read block by block, so that its length does not matter.

    Attributes
    ----------
    ch_names, sfreq, stim, flash, notes, gaps, bad_spans, bad_channels, speller, sidecar, bids, facts
        As in :class:`Recording`.
    n_samples : int
        Length of the recording.
    blocks : callable
        Returns a new iterator over consecutive blocks of the signal, each an ndarray of shape (n_channels, n_block),
        in the file's own unit.
    volts_per_unit : float
        Factor from the blocks' unit to volts.
    read_as_v : tuple of float
        What each channel's numbers in the file were taken for, in volts per number, where blocks are converted; not a number where another
        unit cannot take its place.
    """

    ch_names: tuple[str, ...]
    sfreq: float
    n_samples: int
    stim: NDArray[np.int32]
    flash: NDArray[np.int32] | None
    blocks: Callable[[], Iterator[NDArray[np.floating]]]
    volts_per_unit: float = 1.0
    notes: tuple[str, ...] = field(default=())
    gaps: tuple[int, ...] = ()
    bad_spans: tuple[tuple[int, int], ...] = ()
    bad_channels: tuple[str, ...] = ()
    speller: Speller | None = None
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    bids: Mapping[str, Any] = field(default_factory=dict)
    read_as_v: tuple[float, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def flashes(self) -> "Flashes":
        """Where ``stim`` rises, and what flashed there; looked for once."""
        from p300.signals.flashes import find_flashes  # signals imports this module

        return find_flashes(self.stim, self.flash)

    def load(self) -> Recording:
        """Read the whole signal into memory.

        Returns
        -------
        recording : Recording
            In volts.
        """
        data: NDArray[np.floating] | None = None
        position = 0
        for block in self.blocks():
            if data is None:
                data = np.empty((len(block), self.n_samples), block.dtype)
            target = data[:, position : position + block.shape[1]]
            np.multiply(block, self.volts_per_unit, out=target, casting="same_kind")
            position += block.shape[1]
        if data is None:
            data = np.empty((len(self.ch_names), 0))
        return Recording(
            self.ch_names,
            self.sfreq,
            data,
            self.stim,
            self.flash,
            self.notes,
            self.gaps,
            self.bad_spans,
            self.bad_channels,
            self.speller,
            self.sidecar,
            self.bids,
            self.facts,
        )
