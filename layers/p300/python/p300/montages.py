"""Montages by channel name: which recordings belong together, and how features of one montage become those of another.

Channels are selected by name, in any order and among others. Up to a quarter of those that are wanted may be missing: they are interpolated
with spherical splines [1]_, where their positions are known. Splines are linear and the same at every sample, so interpolated features
are those of interpolated signals.

References
----------
.. [1] F. Perrin, J. Pernier, O. Bertrand and J. F. Echallier (1989). Spherical splines for scalp potential and current density
   mapping. Electroencephalography and Clinical Neurophysiology, 72, 184-187.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.channels import plain
from p300.electrodes import DIRECTIONS
from p300.errors import P300Error
from p300.text import few_of

if TYPE_CHECKING:
    from p300.features import FeatureSet

Channels = tuple[str, ...]
MOST_MISSING = 0.25
"""Of the wanted channels, this share may be interpolated."""
STIFFNESS, N_TERMS, REGULARISATION = 4, 50, 1e-5
"""Of the splines, as in MNE-Python."""
_DIGEST_LENGTH = 8


def key_of(channels: Iterable[str]) -> frozenset[str]:
    """Return what two recordings of the same montage have in common: the names of their channels, without order and spelling."""
    return frozenset(map(plain, channels))


def name_of(channels: Iterable[str]) -> str:
    """Return the name of a montage, such as ``16ch-1a2b3c4d``: the number of its channels and a digest of their sorted names.

    Parameters
    ----------
    channels : iterable of str
        In any order and spelling.

    Returns
    -------
    name : str
    """
    names = sorted(key_of(channels))
    return f"{len(names)}ch-{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:_DIGEST_LENGTH]}"


def missing(channels: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Return the wanted channels that are not among others."""
    present = key_of(channels)
    return [name for name in wanted if plain(name) not in present]


def are_close(one: Iterable[str], other: Iterable[str]) -> bool:
    """Say whether neither of two montages lacks more than a quarter of the other: recordings of the two are of one group."""
    ours, theirs = key_of(one), key_of(other)
    return len(ours & theirs) >= (1 - MOST_MISSING) * max(len(ours), len(theirs))


def leaders(montages: Iterable[Channels], groups: Sequence[Channels] = ()) -> list[Channels]:
    """Return the montages that stand for a group each, so that every montage is close to one of them.

    Parameters
    ----------
    montages : iterable of tuple of str
        Those of all recordings.
    groups : sequence of tuple of str
        Montages that stand for a group already: they keep it.

    Returns
    -------
    leaders : list of tuple of str
        `groups`, then others, those of most channels first.
    """
    found = list(groups)
    distinct: dict[frozenset[str], Channels] = {}
    for own in montages:
        distinct.setdefault(key_of(own), own)  # the first one's order
    for own in sorted(distinct.values(), key=lambda own: (-len(own), name_of(own))):
        if not any(are_close(own, leader) for leader in found):
            found.append(own)
    return found


def group_of(channels: Channels, among: Sequence[Channels]) -> Channels:
    """Return the montage that stands for the group of a recording: the same one, or the closest of those that are close.

    Parameters
    ----------
    channels : tuple of str
        The recording's.
    among : sequence of tuple of str
        As `leaders` returns them.

    Returns
    -------
    leader : tuple of str
        `channels` where none is close.
    """
    own = key_of(channels)
    close = [leader for leader in among if are_close(channels, leader)]
    return min(close, key=lambda leader: len(own ^ key_of(leader)), default=channels)


@dataclass(frozen=True)
class Fit:
    """How features of one montage become those of another.

    Attributes
    ----------
    order : ndarray of int, shape (n_wanted,)
        Where each wanted channel is; -1 for one that is interpolated.
    weights : ndarray, shape (n_wanted, n_channels), or None
        Each wanted channel as a sum of those present; None where none is interpolated.
    n_channels : int
        Of the montage that is given.
    interpolated : tuple of str
        Wanted channels that are missing.
    """

    order: NDArray[np.intp]
    weights: NDArray[np.float64] | None
    n_channels: int
    interpolated: tuple[str, ...] = ()

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return self.weights is None and self.order.tolist() == list(range(self.n_channels))

    def __call__(self, epochs: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return epochs of shape (n_epochs, n_wanted, n_times) from those of shape (n_epochs, n_channels, n_times)."""
        if self.weights is None:
            return np.ascontiguousarray(epochs[:, self.order])
        return np.ascontiguousarray(np.matmul(self.weights, epochs), dtype=epochs.dtype)


def fit(channels: Sequence[str], wanted: Sequence[str], what: str = "The recording") -> Fit:
    """Return how epochs of some channels become those of the wanted ones.

    Parameters
    ----------
    channels : sequence of str
        Those present.
    wanted : sequence of str
        Those of a model, for instance.
    what : str
        Whose `channels` are, to begin a message with.

    Raises
    ------
    P300Error
        ``wrong_channels`` where a name occurs twice, or more are missing than can be interpolated.
    """
    return _fit(tuple(channels), tuple(wanted), what)


@lru_cache(256)
def _fit(channels: Channels, wanted: Channels, what: str) -> Fit:
    place = {plain(name): number for number, name in enumerate(channels)}
    if len(place) < len(channels) or len(key_of(wanted)) < len(wanted):
        raise P300Error("wrong_channels", f"{what} has a channel twice: {few_of(channels)}; expected different names.")
    order = np.array([place.get(plain(name), -1) for name in wanted], np.intp)
    lacking = tuple(missing(channels, wanted))
    if not lacking:
        return Fit(order, None, len(channels))
    if why := why_not_interpolated(channels, wanted):
        raise P300Error(
            "wrong_channels",
            f"{what} has channels {few_of(channels) or 'none'}; expected {few_of(wanted)}, in any order or among others: "
            f"{few_of(lacking)} missing, {why}.",
        )
    weights = np.zeros((len(wanted), len(channels)))
    weights[order >= 0, order[order >= 0]] = 1
    known = [number for number, name in enumerate(channels) if plain(name) in DIRECTIONS]
    sources = np.array([DIRECTIONS[plain(channels[number])] for number in known])
    targets = np.array([DIRECTIONS[plain(name)] for name in lacking])
    weights[np.ix_(np.flatnonzero(order < 0), known)] = splines(sources, targets)
    return Fit(order, weights, len(channels), lacking)


def why_not_interpolated(channels: Sequence[str], wanted: Sequence[str]) -> str:
    """Say why the wanted channels that are missing cannot be interpolated; an empty string where they can be."""
    lacking = missing(channels, wanted)
    if len(lacking) > MOST_MISSING * len(wanted):
        return f"more than the quarter of {len(wanted)} that can be interpolated"
    if unknown := [name for name in lacking if plain(name) not in DIRECTIONS]:
        return f"and the position of {few_of(unknown)} is unknown (not a name of the 10-05 system), so it cannot be interpolated"
    n_known = sum(plain(name) in DIRECTIONS for name in channels)
    if lacking and n_known < (1 - MOST_MISSING) * len(wanted):
        return f"and the positions of only {n_known} channels are known, too few to interpolate from"
    return ""


def splines(sources: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights by which channels are interpolated from others, as MNE-Python's ``interpolate_bads`` does.

    Parameters
    ----------
    sources : ndarray, shape (n_sources, 3)
        Directions of the channels that are there.
    targets : ndarray, shape (n_targets, 3)
        Directions of those that are not.

    Returns
    -------
    weights : ndarray, shape (n_targets, n_sources)
    """
    from numpy.polynomial.legendre import legval  # a cold start of the prediction API does not wait for it

    sources = sources / np.linalg.norm(sources, axis=1, keepdims=True)
    targets = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    n = np.arange(1, N_TERMS + 1, dtype=np.float64)
    factors = np.concatenate([[0.0], (2 * n + 1) / ((n * (n + 1)) ** STIFFNESS * 4 * np.pi)])
    n_sources = len(sources)
    system = np.ones((n_sources + 1, n_sources + 1))
    system[:-1, :-1] = legval(sources @ sources.T, factors) + REGULARISATION * np.eye(n_sources)
    system[-1, -1] = 0
    wanted = np.hstack([legval(targets @ sources.T, factors), np.ones((len(targets), 1))])
    weights: NDArray[np.float64] = wanted @ np.linalg.pinv(system)[:, :-1]
    return weights


def fitted(features: "FeatureSet", wanted: Sequence[str], what: str = "The recording") -> "FeatureSet":
    """Return features with the wanted channels: selected by name, and interpolated where a few are missing.

    Parameters
    ----------
    features : FeatureSet
        Of any montage.
    wanted : sequence of str
        A model's, for instance.
    what : str
        Whose features they are, to begin a message with.

    Returns
    -------
    features : FeatureSet
        The same object where nothing changes.

    Raises
    ------
    P300Error
        ``wrong_channels`` as `fit`.
    """
    if features.ch_names == tuple(wanted):
        return features
    epochs = fit(features.ch_names, wanted, what)(features.epochs)
    return dataclasses.replace(features, X=epochs.reshape(len(epochs), -1), ch_names=tuple(wanted))
