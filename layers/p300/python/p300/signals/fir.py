"""Zero-phase FIR filters designed as MNE-Python designs them, applied block by block.

The design is that of ``mne.filter.create_filter`` (firwin, Hamming window, automatic transition bands); it is computed
here because importing scipy.signal costs more than filtering a recording.

References
----------
.. [1] E. C. Ifeachor and B. W. Jervis (2002). Digital Signal Processing: A Practical Approach. Pearson Education, p. 356.
"""

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .parameters import Parameters

HAMMING_LENGTH_FACTOR = 3.3  # filter length times transition bandwidth over sfreq [1]
NOTCH_TRANSITION_HZ = 0.5  # half of MNE's trans_bandwidth=1
LARGEST_SINGLE_PRECISION_V = 5e-3  # beyond it, rounding inside a float32 FFT can exceed a nanovolt


@lru_cache(maxsize=8)
def filters(sfreq: float, parameters: Parameters) -> tuple[NDArray[np.float64], ...]:
    """Return what a signal of this rate goes through.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    parameters : Parameters
        Pass band and line frequency.

    Returns
    -------
    filters : tuple of ndarray, shape (n_taps,)
        In order: the band-pass, and the notch where the line frequency lies in the band.
    """
    band = (band_pass(sfreq, parameters.l_freq, parameters.h_freq),)
    line = parameters.notch_freq
    if line is None or line >= parameters.h_freq:
        return band
    return (*band, notch(sfreq, np.arange(line, parameters.h_freq, line)))


def band_pass(sfreq: float, l_freq: float, h_freq: float) -> NDArray[np.float64]:
    """Design the band-pass of ``mne.filter.create_filter(None, sfreq, l_freq, h_freq)``.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz, more than twice ``h_freq``.
    l_freq, h_freq : float
        Edges of the pass band in Hz.

    Returns
    -------
    h : ndarray, shape (n_taps,)
        Symmetric, odd in length.
    """
    nyquist = sfreq / 2
    l_trans = min(max(0.25 * l_freq, 2.0), l_freq)
    h_trans = min(max(0.25 * h_freq, 2.0), nyquist - h_freq)
    n_taps = _odd(math.ceil(HAMMING_LENGTH_FACTOR / min(l_trans, h_trans) * sfreq))
    edges = [(0.0, 0), (l_freq - l_trans, 0), (l_freq, 1), (h_freq, 1), (h_freq + h_trans, 0), (nyquist, 0)]
    return _from_gains(n_taps, edges, nyquist)


def notch(sfreq: float, freqs: Iterable[float]) -> NDArray[np.float64]:
    """Design the band-stop of ``mne.filter.notch_filter(x, sfreq, freqs)``.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    freqs : iterable of float
        Frequencies to remove in Hz, each a 200th of itself wide.

    Returns
    -------
    h : ndarray, shape (n_taps,)
        Symmetric, odd in length.
    """
    nyquist = sfreq / 2
    edges = [(0.0, 1)]
    for freq in sorted(freqs):
        low, high = freq - freq / 400 - NOTCH_TRANSITION_HZ, freq + freq / 400 + NOTCH_TRANSITION_HZ
        edges += [(low, 1), (low + NOTCH_TRANSITION_HZ, 0), (high - NOTCH_TRANSITION_HZ, 0), (high, 1)]
    n_taps = _odd(math.ceil(HAMMING_LENGTH_FACTOR / NOTCH_TRANSITION_HZ * sfreq))
    return _from_gains(n_taps, [*edges, (nyquist, 1)], nyquist)


def _odd(n: int) -> int:
    return n + 1 - n % 2


def _from_gains(n_taps: int, edges: list[tuple[float, int]], nyquist: float) -> NDArray[np.float64]:
    """Add up one windowed low-pass per transition, each as long as its own transition asks for."""
    h = np.zeros(n_taps)
    upper_freq, upper_gain = edges[-1][0] / nyquist, edges[-1][1]
    if upper_gain == 1:
        h[n_taps // 2] = 1
    for edge_freq, gain in reversed(edges[:-1]):
        freq = edge_freq / nyquist
        if gain != upper_gain:
            length = _odd(round(HAMMING_LENGTH_FACTOR / ((upper_freq - freq) / 2)))
            low_pass = _low_pass(length, (upper_freq + freq) / 2)
            margin = (n_taps - length) // 2
            h[margin : n_taps - margin] += low_pass if gain else -low_pass
        upper_freq, upper_gain = freq, gain
    return h


def _low_pass(n_taps: int, cutoff: float) -> NDArray[np.float64]:
    """``scipy.signal.firwin(n_taps, cutoff)``: windowed sinc with gain 1 at 0 Hz; ``cutoff`` in units of Nyquist."""
    m = np.arange(n_taps) - 0.5 * (n_taps - 1)
    hamming = 0.54 + 0.46 * np.cos(np.linspace(-np.pi, np.pi, n_taps))
    h: NDArray[np.float64] = cutoff * np.sinc(cutoff * m) * hamming
    return h / h.sum()


def filtered(
    blocks: Iterable[NDArray[np.floating]],
    h: NDArray[np.float64],
    n_samples: int,
    dtype: DTypeLike = np.float64,
    scale: float = 1.0,
) -> Iterator[NDArray[np.floating]]:
    """Filter consecutive blocks of a recording by overlap-save, as MNE's ``filter_data(..., pad="reflect_limited")``.

    Parameters
    ----------
    blocks : iterable of ndarray, shape (n_channels, n_block)
        The signal in consecutive pieces of any length, all finite.
    h : ndarray, shape (n_taps,)
        Zero-phase filter, odd in length.
    n_samples : int
        Length of the whole signal.
    dtype : dtype
        Type of the result, and of the computation where its rounding stays under a nanovolt.
    scale : float
        Factor from the unit of the blocks to volts; folded into the filter.

    Yields
    ------
    ndarray, shape (n_channels, n_out)
        Consecutive pieces of the filtered signal in volts, ``n_samples`` in all. Each stands until the next but one
        is asked for.
    """
    half = len(h) // 2
    edge = min(half, n_samples - 1)
    overlap_save = _OverlapSave(h, n_samples, scale, single=np.dtype(dtype) == np.float32)
    window = np.empty((0, 0))
    filled = 0
    for piece in _mirrored(blocks, half, edge):
        if not window.size:
            window = np.zeros((len(piece), overlap_save.n_fft))
        start = 0
        while start < piece.shape[1]:
            taken = min(window.shape[1] - filled, piece.shape[1] - start)
            window[:, filled : filled + taken] = piece[:, start : start + taken]
            filled += taken
            start += taken
            if filled == window.shape[1]:
                yield overlap_save(window)[:, 2 * half :]
                window[:, : 2 * half] = window[:, -2 * half :]
                filled = 2 * half
    if filled > 2 * half:
        window[:, filled:] = window[:, filled - 1 : filled]
        yield overlap_save(window)[:, 2 * half : filled]


class _OverlapSave:
    """Circular convolution of windows of one length, in single precision where that is precise enough.

    What a call returns stands until the next but one, so that the next can be computed while it is used.
    """

    def __init__(self, h: NDArray[np.float64], n_samples: int, scale: float, *, single: bool) -> None:
        shortest = min(8 * len(h), n_samples + 2 * len(h))
        self.n_fft = 1 << math.ceil(math.log2(shortest))  # long enough to amortise the overlap, short enough to cache
        self._spectrum = np.fft.rfft(h * scale, self.n_fft)
        self._single_spectrum = self._spectrum.astype(np.complex64)
        self._single = single
        self._response_to_constant = h.sum() * scale
        self._largest_single = LARGEST_SINGLE_PRECISION_V / scale
        self._work = np.empty((0, 0), np.float32)
        self._product: NDArray[np.complexfloating] = np.empty((0, 0), np.complex128)
        self._result: NDArray[np.floating] = np.empty((0, 0))
        self._result_before: NDArray[np.floating] = np.empty((0, 0))

    def __call__(self, window: NDArray[np.float64]) -> NDArray[np.floating]:
        if not self._single:
            return self._convolved(window, self._spectrum)
        if not self._work.size:
            self._work = np.empty(window.shape, np.float32)
        offset = window[:, :1].copy()  # of the electrode; it would eat single precision's digits
        np.subtract(window, offset, out=self._work, casting="same_kind")
        if max(self._work.max(), -self._work.min()) > self._largest_single:
            return self._convolved(window, self._spectrum).astype(np.float32)
        result = self._convolved(self._work, self._single_spectrum)
        result += (offset * self._response_to_constant).astype(np.float32)
        return result

    def _convolved(self, window: NDArray[np.floating], spectrum: NDArray[np.complexfloating]) -> NDArray[np.floating]:
        # NumPy computes in double precision wherever its norm factor is the integer 1; "ortho" has none such.  New arrays
        # of this size would come from the system each time, page by page.
        if self._product.shape[0] != len(window) or self._product.dtype != spectrum.dtype:
            self._product = np.empty((len(window), len(spectrum)), spectrum.dtype)
            self._result, self._result_before = np.empty((2, *window.shape), window.dtype)
        self._result, self._result_before = self._result_before, self._result
        np.fft.rfft(window, axis=1, norm="ortho", out=self._product)
        self._product *= spectrum
        return np.fft.irfft(self._product, self.n_fft, axis=1, norm="ortho", out=self._result)


def _mirrored(blocks: Iterable[NDArray[np.floating]], half: int, edge: int) -> Iterator[NDArray[np.floating]]:
    """Extend the signal by ``half`` samples each side: its point reflection, then zeros where it is too short."""
    head: list[NDArray[np.floating]] = []
    n_head = 0
    tail: NDArray[np.floating] | None = None
    for block in blocks:
        if tail is not None:
            tail = np.concatenate([tail, block[:, -edge - 1 :]], axis=1)[:, -edge - 1 :]
            yield block
            continue
        head.append(block.copy())  # whoever made it may use its memory again
        n_head += block.shape[1]
        if n_head > edge:
            start = head[0] if len(head) == 1 else np.concatenate(head, axis=1)
            if edge < half:
                yield np.zeros((len(start), half - edge), start.dtype)
            yield 2 * start[:, :1].astype(np.float64) - start[:, edge:0:-1]
            yield start
            tail = start[:, -edge - 1 :]
    if tail is not None:
        yield 2 * tail[:, -1:].astype(np.float64) - tail[:, -2::-1]
        yield np.zeros((len(tail), half - edge), tail.dtype)
