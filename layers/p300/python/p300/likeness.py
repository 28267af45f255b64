"""Which recordings hold the same epochs, whatever they are called: the same bytes, or the same signal exported once more.

Compared is the shape of single epochs. Found are copies that differ in gain, sign, reference, unit, rounding, sampling rate, filters below
and above the pass band, the trigger's position by up to 15 ms, or some added noise (a tenth of the signal's amplitude), and parts of a
recording down to half of the shorter one. Not found are copies whose channels have changed places, mixtures of several recordings, and
another recording of the same person, which the signal does not tell.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_DIMENSIONS = 64
N_PROBES = 8
SHIFTS = (0, 1, 2)
"""Samples by which a probe may lie aside, from its middle position, 1."""
MANY = 500
"""Recordings from which on fewer probes, and none of them shifted, keep the time within what a training has."""
SURPRISE = 1e-5
"""How often the epochs of unrelated recordings may be as alike as those of a copy."""
LEAST_CORRELATION = 0.8
SAME_SHARE = 0.5

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Sketch:
    """What is left of a recording to compare it by.

    Attributes
    ----------
    epochs : ndarray of float16, shape (n_epochs, N_DIMENSIONS)
        Of norm 1.
    probes : ndarray of float32, shape (n_shifts, n_probes, N_DIMENSIONS)
        A few of them, in each position.
    """

    epochs: NDArray[np.float16]
    probes: Array


def sketch(epochs: NDArray[np.floating]) -> Sketch:
    """Reduce a recording's epochs to what they are compared by.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_times)
        Of one montage and window, for all that are to be compared.
    """
    middle = _reduced(epochs, SHIFTS[1], epochs.mean(axis=0))
    at = np.linspace(0, len(epochs) - 1, N_PROBES).round().astype(int)
    probes = [_reduced(epochs[at], shift, epochs.mean(axis=0)) for shift in SHIFTS]
    return Sketch(middle.astype(np.float16), np.stack(probes))


def _reduced(epochs: NDArray[np.floating], shift: int, mean: NDArray[np.floating]) -> Array:
    """Return epochs seen through a window that begins `shift` samples late, less the recording's mean, as unit vectors."""
    shapes = (epochs - mean).astype(np.float32)
    if shapes.shape[1] > 2:
        shapes -= shapes.mean(axis=1, keepdims=True)  # whatever the reference was
    # Differences weigh the pass band evenly: slow waves alone are alike in everybody.
    changes = np.diff(shapes, axis=2)
    length = max(changes.shape[2] - len(SHIFTS) + 1, 1)
    window = changes[:, :, shift : shift + length] if changes.shape[2] >= len(SHIFTS) else changes
    flat = window.reshape(len(window), -1)
    reduced = flat @ np.random.default_rng(0).standard_normal((flat.shape[1], N_DIMENSIONS)).astype(np.float32)
    norm = np.linalg.norm(reduced, axis=1, keepdims=True)
    unit: Array = np.divide(reduced, norm, out=np.zeros_like(reduced), where=norm > 0)
    return unit


def alike(sketches: Mapping[str, Sketch]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of recordings of which one holds at least half of the other's epochs.

    Parameters
    ----------
    sketches : mapping of str to Sketch
        By recording.
    """
    names = list(sketches)
    if len(names) < 2:
        return
    which = np.s_[1:2, ::2] if len(names) > MANY else np.s_[:]
    probes = np.stack([one.probes[which] for one in sketches.values()])  # recording, shift, probe, dimension
    columns = probes.reshape(-1, N_DIMENSIONS)
    least = _least_correlation(columns)
    held = np.empty((len(names), len(names)), np.float32)  # the share of one's probes that the epochs of another hold
    for row, one in enumerate(sketches.values()):
        nearest = _nearest(one.epochs, columns).reshape(probes.shape[:3]).max(axis=1)
        held[row] = (nearest >= least).mean(axis=1)
    for row, column in np.argwhere(np.triu(np.maximum(held, held.T) >= SAME_SHARE, 1)).tolist():
        yield names[row], names[column]


def _nearest(epochs: NDArray[np.float16], columns: Array) -> Array:
    """Return the largest absolute correlation that each column has with any epoch, a few thousand products at a time."""
    nearest = np.zeros(len(columns), np.float32)
    for start in range(0, len(epochs), 1024):
        part = epochs[start : start + 1024].astype(np.float32)
        for first in range(0, len(columns), 8192):
            products = part @ columns[first : first + 8192].T
            largest = np.maximum(products.max(axis=0), -products.min(axis=0))
            np.maximum(nearest[first : first + 8192], largest, out=nearest[first : first + 8192])
    return nearest


def _least_correlation(columns: Array) -> float:
    """Return how alike two epochs must be, which is the more the fewer dimensions they vary in."""
    covariance = columns.T @ columns
    dimensions = float(np.trace(covariance) ** 2 / max(np.sum(covariance**2), 1e-30))
    return max(LEAST_CORRELATION, float(np.sqrt(1 - SURPRISE ** (2 / max(dimensions - 1, 1)))))
