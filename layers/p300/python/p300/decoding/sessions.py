"""A recorded session as a speller would have run it: its symbols, their repetitions, and how good the decoding was."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p300.decoding.rates import wilson_interval, wolpaw_bits
from p300.decoding.trials import attended, split_trials


@dataclass(frozen=True)
class Trial:
    """The flashes of one symbol.

    Attributes
    ----------
    flashes : slice
        Of the session.
    ends : tuple of int
        How many of them had come when each repetition, a flash of every group, was over.
    symbol : int or None
        What was looked at; None where the labels do not tell.
    """

    flashes: slice
    ends: tuple[int, ...]
    symbol: int | None

    def first(self, n_repetitions: int) -> slice:
        """Return the flashes of the first repetitions, of all where there are fewer."""
        return slice(self.flashes.start, self.flashes.start + self.ends[:n_repetitions][-1])


def find_trials(
    onset: NDArray[np.number], group: NDArray[np.integer], lit: NDArray[np.bool_], target: NDArray[np.bool_]
) -> list[Trial]:
    """Find the symbols of a labelled session.

    Parameters
    ----------
    onset : ndarray, shape (n_flashes,)
        When each flash began, ascending.
    group : ndarray of int, shape (n_flashes,)
        What each lit, as a code.
    lit : ndarray of bool, shape (n_flashes, n_symbols)
        The same as symbols: `Layout.lit`.
    target : ndarray of bool, shape (n_flashes,)
        Whether it was a target.

    Returns
    -------
    trials : list of Trial
        Parted by pauses (`split_trials`); pieces without one full repetition are left out. Some spellers pause after every
        repetition: single repetitions in a row with the same symbol are one trial.
    """
    trials: list[Trial] = []
    pieces = [0]  # that each trial is joined of
    groups = np.unique(group)
    for flashes in split_trials(onset):
        piece = Trial(flashes, repetition_ends(group[flashes], groups), attended(lit[flashes], target[flashes]))
        if not piece.ends:
            continue
        before = trials[-1] if trials else None
        single = len(piece.ends) == 1 and piece.symbol is not None
        if before and single and before.symbol == piece.symbol and len(before.ends) == pieces[-1]:
            end = flashes.start - before.flashes.start + piece.ends[0]
            trials[-1] = Trial(slice(before.flashes.start, flashes.stop), (*before.ends, end), before.symbol)
            pieces[-1] += 1
        else:
            trials.append(piece)
            pieces.append(1)
    return trials


def repetition_ends(group: NDArray[np.integer], groups: NDArray[np.integer]) -> tuple[int, ...]:
    """Return after how many flashes every group had come once, twice, ...

    Parameters
    ----------
    group : ndarray of int, shape (n_flashes,)
        Codes of one trial's flashes.
    groups : ndarray of int, shape (n_groups,)
        All codes of the session.
    """
    counts = np.cumsum(group[:, None] == groups, axis=0).min(axis=1, initial=len(group))
    return tuple((np.flatnonzero(np.diff(counts, prepend=0)) + 1).tolist())


@dataclass(frozen=True)
class Share:
    """How many of some symbols were right.

    Attributes
    ----------
    n_right, n : int
    """

    n_right: int
    n: int

    @classmethod
    def of(cls, right: Sequence[bool]) -> "Share":
        """Count."""
        return cls(sum(map(bool, right)), len(right))

    @property
    def accuracy(self) -> float | None:
        """Share of those right, None where there were none."""
        return self.n_right / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % Wilson interval."""
        return wilson_interval(self.n_right, self.n) if self.n else None


def by_repetitions(right: Sequence[Sequence[bool]]) -> list[Share]:
    """Count what was right after 1, 2, ... repetitions.

    Parameters
    ----------
    right : sequence of sequences of bool
        For each symbol, whether it was right after each of its repetitions.

    Returns
    -------
    shares : list of Share
        Each of the symbols that had so many repetitions.
    """
    longest = max(map(len, right), default=0)
    return [Share.of([symbol[n] for symbol in right if len(symbol) > n]) for n in range(longest)]


def bits_per_minute(accuracy: float, n_symbols: int, seconds_a_symbol: float) -> float:
    """Return the information transfer rate; parameters and source as in `wolpaw_bits`, and the time that a symbol takes."""
    return 60 * wolpaw_bits(accuracy, n_symbols) / seconds_a_symbol
