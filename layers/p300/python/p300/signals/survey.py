"""What a report shows of the signal itself, gathered while it is filtered: a few raw seconds, its spectrum, when flashes came."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.recording import RecordingStream

SNIPPET_S = 2.0
SNIPPET_CHANNELS = 16
SNIPPET_SFREQ = 256.0
"""Hz, at least; a snippet of a faster recording is averaged down to it, which keeps the line frequency."""
SNIPPET_STEP_UV = 0.1
SEGMENT_S = 2.0
SEGMENT_SAMPLES = 8192
"""At most."""
MOST_SEGMENTS = 32
HIGHEST_HZ = 130.0
LINES_HZ = (50.0, 60.0)
TIMELINE_BINS = 60
INTERVAL_BINS = 40
_VOLTS_TO_UV = 1e6


class Survey:
    """Looks at the blocks of a recording while they pass by.

    Parameters
    ----------
    stream : RecordingStream
        The recording.
    """

    def __init__(self, stream: RecordingStream) -> None:
        self._stream = stream
        onsets = stream.flashes.onset_sample
        length = min(round(SNIPPET_S * stream.sfreq), stream.n_samples)
        middle = int(onsets[len(onsets) // 2]) if len(onsets) else 0
        self._snippet_start = max(0, min(middle - length // 4, stream.n_samples - length))
        self._channels = np.unique(
            np.linspace(0, len(stream.ch_names) - 1, min(len(stream.ch_names), SNIPPET_CHANNELS)).round().astype(int)
        )
        self._snippet = np.full((len(self._channels), length), np.nan)
        self._n_segment = min(round(SEGMENT_S * stream.sfreq), SEGMENT_SAMPLES, stream.n_samples)
        n_segments = min(stream.n_samples // max(self._n_segment, 1), MOST_SEGMENTS)
        self._starts = np.linspace(0, stream.n_samples - self._n_segment, n_segments).astype(int).tolist()
        self._window = np.hanning(self._n_segment + 1)[:-1]
        self._power = np.zeros((len(stream.ch_names), self._n_segment // 2 + 1))
        self._n_powers = np.zeros((len(stream.ch_names), 1))

    def watched(self, blocks: Iterable[NDArray[np.floating]]) -> Iterator[NDArray[np.floating]]:
        """Pass the signal on as it is.

        Parameters
        ----------
        blocks : iterable of ndarray, shape (n_channels, n_block)
            All of the recording, in the stream's unit.

        Yields
        ------
        ndarray, shape (n_channels, n_block)
        """
        segment = np.empty((len(self._stream.ch_names), self._n_segment))
        position, next_segment = 0, 0
        for block in blocks:
            after = position + block.shape[1]
            if position < self._snippet_start + self._snippet.shape[1] and self._snippet_start < after:
                _copy(block[self._channels], position, self._snippet, self._snippet_start)
            while next_segment < len(self._starts) and self._starts[next_segment] < after:
                start = self._starts[next_segment]
                _copy(block, position, segment, start)
                if start + self._n_segment > after:
                    break  # the rest is in the next block
                self._add(segment)
                next_segment += 1
            position = after
            yield block

    def _add(self, segment: NDArray[np.float64]) -> None:
        complete = np.isfinite(segment.sum(axis=1))
        whole = segment[complete]
        spectrum = np.fft.rfft((whole - whole.mean(axis=1, keepdims=True)) * self._window, axis=1)
        self._power[complete] += np.abs(spectrum) ** 2
        self._n_powers[complete] += 1

    def facts(self, kept: NDArray[np.bool_]) -> dict[str, Any]:
        """Return what was seen, as JSON can hold it.

        Parameters
        ----------
        kept : ndarray of bool, shape (n_flashes,)
            Which flashes became epochs.

        Returns
        -------
        facts : dict
            ``sfreq`` in Hz, ``n_samples``, ``duration_s``; ``snippet``, ``spectrum``, ``timeline`` and ``intervals``, each None where
            there is nothing to show.
        """
        stream = self._stream
        return {
            "sfreq": float(stream.sfreq),
            "n_samples": int(stream.n_samples),
            "duration_s": round(stream.n_samples / stream.sfreq, 3),
            "snippet": self._snippet_facts(),
            "spectrum": self._spectrum_facts(),
            "timeline": timeline(stream.flashes.onset_sample, kept, stream.n_samples, stream.sfreq),
            "intervals": intervals(stream.flashes.onset_sample / stream.sfreq),
        }

    def _snippet_facts(self) -> dict[str, Any] | None:
        stream, step = self._stream, max(1, int(self._stream.sfreq // SNIPPET_SFREQ))
        n_times = self._snippet.shape[1] // step
        if not n_times:
            return None
        uv = self._snippet[:, : n_times * step].reshape(len(self._channels), n_times, step).mean(axis=2)
        uv = uv * stream.volts_per_unit * _VOLTS_TO_UV
        uv = np.nan_to_num(
            uv - np.nanmedian(np.where(np.isfinite(uv).any(axis=1, keepdims=True), uv, 0), axis=1, keepdims=True)
        )
        steps = np.clip(np.round(uv / SNIPPET_STEP_UV), -32767, 32767).astype("<i2")
        onsets = stream.flashes.onset_sample
        start, end = self._snippet_start, self._snippet_start + n_times * step
        shown = np.flatnonzero((onsets >= start) & (onsets < end))
        return {
            "start_s": round(start / stream.sfreq, 4),
            "sfreq": stream.sfreq / step,
            "channels": [stream.ch_names[channel] for channel in self._channels],
            "uv_per_step": SNIPPET_STEP_UV,
            "steps": base64.b64encode(steps.tobytes()).decode(),
            "flashes": [
                [round(float(onsets[flash] / stream.sfreq), 4), int(stream.flashes.label[flash])] for flash in shown
            ],
        }

    def _spectrum_facts(self) -> dict[str, Any] | None:
        stream = self._stream
        measured = self._n_powers[:, 0] > 0
        if not measured.any():
            return None
        scale = 2 * (stream.volts_per_unit * _VOLTS_TO_UV) ** 2 / (stream.sfreq * np.sum(self._window**2))
        density = self._power[measured] / self._n_powers[measured] * scale
        frequencies = np.fft.rfftfreq(self._n_segment, 1 / stream.sfreq)
        inside = (frequencies > 0) & (frequencies <= HIGHEST_HZ)
        db = 10 * np.log10(np.maximum(density[:, inside], 1e-12))
        names = [name for name, found in zip(stream.ch_names, measured, strict=True) if found]
        return {
            "resolution_hz": float(frequencies[1]) if len(frequencies) > 1 else None,
            "frequency_hz": [round(float(one), 3) for one in frequencies[inside]],
            **{
                name: [round(float(one), 1) for one in np.quantile(db, share, axis=0)]
                for name, share in (("lowest_db", 0.0), ("median_db", 0.5), ("highest_db", 1.0))
            },
            "line": [line for hz in LINES_HZ if (line := line_noise(frequencies[inside], db, names, hz))],
        }


def line_noise(
    frequencies: NDArray[np.float64], db: NDArray[np.float64], ch_names: Sequence[str], line_hz: float
) -> dict[str, Any] | None:
    """Measure how far a line frequency stands out of the spectrum.

    Parameters
    ----------
    frequencies : ndarray, shape (n_frequencies,)
        In Hz.
    db : ndarray, shape (n_channels, n_frequencies)
        Power spectral density.
    ch_names : sequence of str
        Names of the channels.
    line_hz : float
        The line frequency.

    Returns
    -------
    dict or None
        ``frequency_hz``; ``median_db`` over channels of the largest value within 1 Hz above the median of what is 2 to 6 Hz away; the
        ``channel`` with most and its ``highest_db``. None where the recording does not reach so far.
    """
    away = np.abs(frequencies - line_hz)
    at, around = away <= 1, (away >= 2) & (away <= 6)
    if not len(frequencies) or frequencies[-1] < line_hz + 6 or not at.any() or not around.any():
        return None
    excess = db[:, at].max(axis=1) - np.median(db[:, around], axis=1)
    worst = int(np.argmax(excess))
    return {
        "frequency_hz": line_hz,
        "median_db": round(float(np.median(excess)), 1),
        "channel": ch_names[worst],
        "highest_db": round(float(excess[worst]), 1),
    }


def timeline(
    onset_sample: NDArray[np.int64], kept: NDArray[np.bool_], n_samples: int, sfreq: float
) -> dict[str, Any] | None:
    """Count flashes, and those that became epochs, over the recording.

    Parameters
    ----------
    onset_sample : ndarray of int, shape (n_flashes,)
        First sample of each flash.
    kept : ndarray of bool, shape (n_flashes,)
        Which became epochs.
    n_samples : int
        Length of the recording.
    sfreq : float
        In Hz.

    Returns
    -------
    dict or None
        ``width_s`` of equal spans from the beginning on, ``n_flashes`` and ``n_kept`` of each; None without a flash.
    """
    if not len(onset_sample):
        return None
    n_bins = max(1, min(TIMELINE_BINS, len(onset_sample) // 10))
    at = np.minimum(onset_sample * n_bins // max(n_samples, 1), n_bins - 1)
    return {
        "width_s": n_samples / sfreq / n_bins,
        "n_flashes": np.bincount(at, minlength=n_bins).tolist(),
        "n_kept": np.bincount(at[kept], minlength=n_bins).tolist(),
    }


def intervals(onset_s: NDArray[np.float64]) -> dict[str, Any] | None:
    """Return how long flashes are apart.

    Parameters
    ----------
    onset_s : ndarray, shape (n_flashes,)
        In seconds, ascending.

    Returns
    -------
    dict or None
        ``shortest_s``, ``median_s``, ``longest_s``; and a histogram: ``start_s``, ``width_s`` and ``counts`` of equal bins up to twice the
        median, and ``n_longer``. None with fewer than two flashes.
    """
    if len(onset_s) < 2:
        return None
    apart = np.diff(onset_s)
    start, stop = float(apart.min()), max(2 * float(np.median(apart)), float(apart.min()) + 1e-3)
    counts, _ = np.histogram(apart, INTERVAL_BINS, (start, stop))
    return {
        "shortest_s": round(start, 5),
        "median_s": round(float(np.median(apart)), 5),
        "longest_s": round(float(apart.max()), 5),
        "start_s": start,
        "width_s": (stop - start) / INTERVAL_BINS,
        "counts": counts.tolist(),
        "n_longer": int((apart > stop).sum()),
    }


def snippet_uv(snippet: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the signal of a snippet.

    Parameters
    ----------
    snippet : mapping
        As `Survey.facts` returns it.

    Returns
    -------
    uv : ndarray, shape (n_channels, n_times)
        In microvolts, each channel's median taken off.
    """
    steps = np.frombuffer(base64.b64decode(snippet["steps"]), "<i2").reshape(len(snippet["channels"]), -1)
    return steps * float(snippet["uv_per_step"])


def _copy(block: NDArray[np.floating], position: int, target: NDArray[np.float64], start: int) -> None:
    """Copy what a block that begins at one sample holds of a span that begins at another."""
    first, last = max(position, start), min(position + block.shape[1], start + target.shape[1])
    if first < last:
        target[:, first - start : last - start] = block[:, first - position : last - position]
