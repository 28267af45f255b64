"""Which symbols each flash lights: grids of any size, Brain Invaders' groups, explicit sets."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

from p300.errors import RequestError
from p300.text import few_of

Group = int | Collection[str]
"""What one flash lit: a code of the layout, or the symbols themselves."""


@dataclass(frozen=True)
class Layout:
    """The symbols on the screen and the groups they flash in.

    Attributes
    ----------
    symbols : tuple of str
        All different, in the order of every array of posteriors.
    groups : mapping of int to frozenset of str
        What lights up with each flash code. May be empty where every flash names its symbols.
    """

    symbols: tuple[str, ...]
    groups: Mapping[int, frozenset[str]]

    def __post_init__(self) -> None:
        if len(self.symbols) < 2 or len(set(self.symbols)) < len(self.symbols):
            raise RequestError(
                "bad_layout", f"Layout has the symbols {few_of(self.symbols)}; expected at least two, all different."
            )
        for code, lit in self.groups.items():
            self._check(lit, f"group {code}")

    def lit(self, flashes: Iterable[Group]) -> NDArray[np.bool_]:
        """Return which symbols each flash lights.

        Parameters
        ----------
        flashes : iterable of int or collection of str
            Flash codes, or the symbols that a flash lit.

        Returns
        -------
        lit : ndarray of bool, shape (n_flashes, n_symbols)

        Raises
        ------
        RequestError
            ``unknown_group`` or ``unknown_symbol``, naming the flash.
        """
        rows = []
        known: dict[int, list[bool]] = {}
        for number, flash in enumerate(flashes):
            if isinstance(flash, int | np.integer):
                code = int(flash)
                if code not in self.groups:
                    raise RequestError(
                        "unknown_group",
                        f"Flash {number} lit group {code}; the layout has the groups {few_of(sorted(self.groups))}.",
                    )
                if code not in known:
                    known[code] = [symbol in self.groups[code] for symbol in self.symbols]
                rows.append(known[code])
            else:
                self._check(flash, f"Flash {number}")
                members = frozenset(flash)
                rows.append([symbol in members for symbol in self.symbols])
        return np.array(rows, dtype=bool).reshape(len(rows), len(self.symbols))

    def _check(self, lit: Collection[str], name: str) -> None:
        # A string is a collection of its letters: "AB" for ["A", "B"] is more often a slip than a wish.
        unknown = [lit] if isinstance(lit, str) else sorted(map(str, set(lit) - set(self.symbols)))
        if unknown or not lit:
            raise RequestError(
                "unknown_symbol",
                f"{name} lights {few_of(unknown) if unknown else 'no symbol'}; expected a list of symbols of the layout "
                f"({few_of(self.symbols)}).",
            )


def grid(rows: Sequence[Sequence[str]], *, rows_first: bool = False) -> Layout:
    """Make a row / column speller.

    Parameters
    ----------
    rows : sequence of sequences of str
        The symbols as they stand on the screen, such as ``["ABCDEF", "GHIJKL"]``; `SPELLER_6X6` is the usual one.
    rows_first : bool
        Whether codes number the rows before the columns. BNCI Horizon 2020 003-2015 (the default) has the columns from
        left to right as 1..n_columns and the rows from the top as the codes after them; Brain Invaders has rows first.

    Returns
    -------
    layout : Layout

    Raises
    ------
    RequestError
        ``bad_layout`` where rows differ in length or a symbol occurs twice.
    """
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1:
        raise RequestError("bad_layout", f"The grid's rows have {lengths} symbols; expected equally many in each.")
    lines = [frozenset(column) for column in zip(*rows, strict=True)]
    if rows_first:
        lines = [frozenset(row) for row in rows] + lines
    else:
        lines += [frozenset(row) for row in rows]
    return Layout(tuple(symbol for row in rows for symbol in row), dict(enumerate(lines, start=1)))


SPELLER_6X6 = ("ABCDEF", "GHIJKL", "MNOPQR", "STUVWX", "YZ1234", "567890")


def brain_invaders() -> Layout:
    """Return Brain Invaders' 36 aliens ``A1`` to ``F6`` in 12 groups of 6.

    Each alien is in one of the groups 1..6 and in one of 7..12, and every such pair of groups has one alien in common: a
    6 x 6 grid of its own, whose rows and columns lie scattered over the screen (Congedo et al. 2011, "Brain Invaders": a
    prototype of an open-source P300-based video game working with the OpenViBE platform, 5th International BCI
    Conference, 280-283). Letters stand for groups 1..6, digits for groups 7..12.
    """
    return grid([[f"{letter}{digit}" for digit in range(1, 7)] for letter in ascii_uppercase[:6]], rows_first=True)


MAX_SETS = 4096


def lit_sets(group: NDArray[np.integer], prior_target: float) -> NDArray[np.bool_]:
    """Stand in for a layout that nobody knows: any set of groups may be a symbol's.

    Parameters
    ----------
    group : ndarray of int, shape (n_flashes,)
        Which group each flash lit, as a number.
    prior_target : float
        Fraction of targets among flashes. With equally many flashes of every group it says how many groups a symbol is in: two of twelve
        in a 6 x 6 grid.

    Returns
    -------
    lit : ndarray of bool, shape (n_flashes, n_sets)
        For `SessionDecoder.fit`: which of the sets, in the order of `itertools.combinations` of the sorted groups, each flash belongs to.

    Raises
    ------
    RequestError
        ``too_many_sets`` where there are more than `MAX_SETS`.
    """
    groups, number = np.unique(group, return_inverse=True)
    n_targets = min(max(1, round(prior_target * len(groups))), max(1, len(groups) - 1))
    n_sets = comb(len(groups), n_targets)
    if n_sets > MAX_SETS:
        raise RequestError(
            "too_many_sets",
            f"{len(groups)} groups have {n_sets} sets of {n_targets}; expected at most {MAX_SETS}. Say which symbols each group lights.",
        )
    member = np.zeros((len(groups), n_sets), dtype=bool)
    for column, members in enumerate(combinations(range(len(groups)), n_targets)):
        member[list(members), column] = True
    return member[number]
