"""A cluster permutation test of target minus non-target epochs, all permutations at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05
"""Two-sided, for a single sample to belong to a cluster."""
N_PERMUTATIONS = 1000
"""The labels as they are count as one of them."""
SEED = 0
_VALUES_AT_ONCE = 1 << 21
"""Of t maps, in memory: permutations are worked on in batches of so many values."""


@dataclass(frozen=True)
class Cluster:
    """Neighbouring channels and samples at which the classes differ in one direction.

    Attributes
    ----------
    mask : ndarray of bool, shape (n_channels, n_times)
        What belongs to it.
    mass : float
        Sum of its t values: positive where targets are larger.
    p_value : float
        Two-sided: twice the share of permutations whose largest cluster of the same sign has at least this mass, and at most 1.
    """

    mask: NDArray[np.bool_]
    mass: float
    p_value: float


def cluster_test(
    epochs: NDArray[np.floating],
    is_target: NDArray[np.bool_],
    neighbours: Iterable[tuple[int, int]] = (),
    *,
    block: NDArray[np.integer] | None = None,
    n_permutations: int = N_PERMUTATIONS,
    alpha: float = ALPHA,
    seed: int = SEED,
) -> tuple[NDArray[np.float64], list[Cluster]]:
    """Find where target and non-target epochs differ by more than chance, with one error rate for all channels and samples.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_times)
        In any unit.
    is_target : ndarray of bool, shape (n_epochs,)
        Their class.
    neighbours : iterable of (int, int)
        Pairs of neighbouring channels. A sample is next to those before and after it in its channel, and to the same sample of
        neighbouring channels.
    block : ndarray of int, shape (n_epochs,), optional
        Labels are shuffled within blocks, so that a difference between blocks, as of a slow drift, is not taken for one between classes.
        By default all epochs are one block.
    n_permutations : int
        How many, the labels as they are included.
    alpha : float
        A sample is in a cluster where the two-sided p-value of its t is below this.
    seed : int
        Of the permutations.

    Returns
    -------
    t : ndarray, shape (n_channels, n_times)
        Student's t of two independent samples with one variance.
    clusters : list of Cluster
        By p-value, then by mass; empty where no sample exceeds the threshold.

    Raises
    ------
    ValueError
        Where a class has no epoch, or there are fewer than three.

    Notes
    -----
    The test of Maris & Oostenveld (2007), J. Neurosci. Methods 164:177-190, doi:10.1016/j.jneumeth.2007.03.024, with the sum of t as the
    cluster's statistic. ``mne.stats.spatio_temporal_cluster_test`` with ``stat_fun=ttest_ind_no_p`` finds the same clusters and, with
    ``tail`` 1 or -1, half of these p-values but for the draw of permutations.
    """
    from scipy.special import stdtrit

    n_epochs, n_channels, n_times = epochs.shape
    n_targets = int(is_target.sum())
    if not 0 < n_targets < n_epochs or n_epochs < 3:
        raise ValueError(f"{n_targets} of {n_epochs} epochs are targets; expected both classes, and three epochs")
    threshold = float(stdtrit(n_epochs - 2, 1 - alpha / 2))  # a quantile of Student's t
    pairs = list(neighbours)
    order = np.zeros(n_epochs, np.int64) if block is None else np.asarray(block)
    rng = np.random.default_rng(seed)
    largest = np.zeros((2, n_permutations))  # of either sign
    at_once = max(1, _VALUES_AT_ONCE // max(n_channels * n_times, n_epochs))
    t_map, found = np.zeros((n_channels, n_times)), _Labelled.none()
    for start in range(0, n_permutations, at_once):
        drawn = _shuffled(is_target, order, min(at_once, n_permutations - start), rng)
        if start == 0:
            drawn[0] = is_target
        t = np.stack([_t_of(drawn, epochs[:, channel]) for channel in range(n_channels)], axis=1)
        labelled = _clusters(t, threshold, pairs)
        np.maximum.at(largest, ((labelled.mass < 0).astype(int), start + labelled.permutation), np.abs(labelled.mass))
        if start == 0:
            t_map, found = t[0].copy(), labelled.of_first()
    clusters = [
        Cluster(mask, mass, min(1.0, 2 * float(np.mean(largest[int(mass < 0)] >= abs(mass) * (1 - 1e-12)))))
        for mask, mass in found.masks(n_channels, n_times)
    ]
    return t_map, sorted(clusters, key=lambda one: (one.p_value, -abs(one.mass)))


def _shuffled(
    is_target: NDArray[np.bool_], block: NDArray[np.integer], n: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return labels shuffled within each block, shape (n, n_epochs): those of the smallest random numbers of a block are targets."""
    drawn = np.empty((n, len(is_target)))
    for name in np.unique(block):
        rows = np.flatnonzero(block == name)
        ranks = rng.random((n, len(rows))).argsort(axis=1)
        drawn[:, rows] = is_target[rows][ranks]
    return drawn


def _t_of(drawn: NDArray[np.float64], of_channel: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return t of one channel for each assignment of labels, shape (n, n_times).

    The epochs' mean is taken off, so that the sums of one class give those of the other, and the squares are the same for all.
    """
    X = of_channel.astype(np.float64)
    means = X.mean(axis=0)
    X -= means
    squares = np.einsum("ij,ij->j", X, X)
    squares[squares <= len(X) * (1e-12 * means) ** 2] = 0  # a constant, but for rounding
    n_epochs, n_targets = drawn.shape[1], drawn[0].sum()
    n_others = n_epochs - n_targets
    sums = drawn @ X
    between = sums**2 * (1 / n_targets + 1 / n_others)
    variance = np.maximum(squares - between, 0) / (n_epochs - 2)
    difference = sums * (1 / n_targets + 1 / n_others)
    error = np.sqrt(variance * (1 / n_targets + 1 / n_others))
    t: NDArray[np.float64] = np.divide(difference, error, out=np.zeros_like(error), where=error > 0)
    return t


@dataclass(frozen=True)
class _Labelled:
    """The clusters of many maps."""

    permutation: NDArray[np.int64]
    mass: NDArray[np.float64]
    position: NDArray[np.int64]
    cluster: NDArray[np.int64]

    @classmethod
    def none(cls) -> "_Labelled":
        nothing = np.zeros(0, np.int64)
        return cls(nothing, np.zeros(0), nothing, nothing)

    def of_first(self) -> "_Labelled":
        """Keep those of the first map."""
        kept = np.flatnonzero(self.permutation == 0)
        inside = np.isin(self.cluster, kept)
        return _Labelled(
            self.permutation[kept], self.mass[kept], self.position[inside], np.searchsorted(kept, self.cluster[inside])
        )

    def masks(self, n_channels: int, n_times: int) -> list[tuple[NDArray[np.bool_], float]]:
        """Return each cluster of the first map as a mask, with its mass."""
        found = []
        for number, mass in enumerate(self.mass.tolist()):
            mask = np.zeros(n_channels * n_times, bool)
            mask[self.position[self.cluster == number]] = True
            found.append((mask.reshape(n_channels, n_times), mass))
        return found


def _clusters(t: NDArray[np.float64], threshold: float, neighbours: Sequence[tuple[int, int]]) -> _Labelled:
    """Label the clusters of all maps at once: they are the components of one graph, in which maps are not connected."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    sign = np.sign(t).astype(np.int8) * (np.abs(t) > threshold)
    nodes = np.flatnonzero(sign)
    if not len(nodes):
        return _Labelled.none()
    number: NDArray[np.int64] = np.full(t.shape, -1, np.int64)
    number.reshape(-1)[nodes] = np.arange(len(nodes))
    joined = (sign[:, :, 1:] != 0) & (sign[:, :, 1:] == sign[:, :, :-1])
    first, second = [number[:, :, :-1][joined]], [number[:, :, 1:][joined]]
    for one, other in neighbours:
        both = (sign[:, one] != 0) & (sign[:, one] == sign[:, other])
        first.append(number[:, one][both])
        second.append(number[:, other][both])
    edges = np.concatenate(first), np.concatenate(second)
    graph = coo_array((np.ones(len(edges[0]), np.int8), edges), shape=(len(nodes), len(nodes)))
    n_clusters, cluster = connected_components(graph, directed=False)
    mass = np.bincount(cluster, weights=t.reshape(-1)[nodes], minlength=n_clusters)
    permutation = np.zeros(n_clusters, np.int64)
    permutation[cluster] = nodes // (t.shape[1] * t.shape[2])
    return _Labelled(permutation, mass, nodes, cluster.astype(np.int64))
