"""Synthetic bi2014a-like subjects: for trying the system without a download, never for figures about people."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.recording import NON_TARGET, TARGET

SFREQ = 512.0
N_GROUPS = 12  # flashes of one repetition, two of them with the target
REPETITIONS_A_SYMBOL = 6
CHANNELS = ("Fp1", "Fp2", "F5", "AFz", "F6", "T7", "Cz", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "Oz", "O2")
# Electrodes on the unit disc seen from above (x right, y front); only distances between them matter here.
POSITIONS = np.array(
    [
        (-0.29, 0.90), (0.29, 0.90), (-0.62, 0.56), (0.0, 0.70), (0.62, 0.56), (-0.95, 0.0), (0.0, 0.0), (0.95, 0.0),
        (-0.77, -0.56), (-0.38, -0.46), (0.0, -0.46), (0.38, -0.46), (0.77, -0.56), (-0.29, -0.90), (0.0, -0.93),
        (0.29, -0.90),
    ]
)  # fmt: skip
NOISE_RMS_UV = 7.0
ALPHA_RMS_UV = 4.0
DRIFT_RMS_UV = 150.0
BLINK_UV = 160.0
BLINKS_PER_MINUTE = 6.0


@dataclass(frozen=True)
class Component:
    """A wave of the brain's answer: when, how long, how strong, where."""

    latency_s: float
    width_s: float
    amplitude_uv: float
    centre: tuple[float, float]
    spread: float

    def wave(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the wave at every channel.

        Parameters
        ----------
        times : ndarray, shape (n_times,)
            Seconds from the flash.

        Returns
        -------
        wave : ndarray, shape (n_channels, n_times)
            In microvolts.
        """
        topography = np.exp(-((POSITIONS - self.centre) ** 2).sum(axis=1) / (2 * self.spread**2))
        course = np.exp(-((times - self.latency_s) ** 2) / (2 * self.width_s**2))
        return self.amplitude_uv * topography[:, np.newaxis] * course


def write_subjects(
    folder: str | Path, subjects: Iterable[int], seed: int = 0, *, n_repetitions: int = 30, pause_s: float = 1.0
) -> list[Path]:
    """Write one synthetic recording per subject in the layout of the landing zone.

    Parameters
    ----------
    folder : str or Path
        Where ``subject_<n>/subject_<n>_eeg_stim.parquet`` go.
    subjects : iterable of int
        Subject numbers. The same number and seed give the same recording.
    seed : int
        Varies the whole set.
    n_repetitions : int
        Repetitions of 12 flashes (2 of them targets) per recording; each takes about ``2.4 + pause_s`` seconds. The subject looks
        at the same symbol for `REPETITIONS_A_SYMBOL` of them.
    pause_s : float
        Rest between repetitions in seconds.

    Returns
    -------
    list of Path
        The files, in the order of ``subjects``.
    """
    paths = []
    for subject in subjects:
        rng = np.random.default_rng((seed, subject))
        stim, flash = _stimulation(rng, n_repetitions, pause_s)
        data_uv = _eeg(rng, stim)
        path = Path(folder) / f"subject_{subject:02d}" / f"subject_{subject:02d}_eeg_stim.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, data_uv, stim, flash, seed)
        paths.append(path)
    return paths


def _stimulation(
    rng: np.random.Generator, n_repetitions: int, pause_s: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    onsets, groups, codes = [], [], []
    now_s = 3.0
    targets: set[int] = set()
    for repetition in range(n_repetitions):
        drawn = {int(rng.integers(1, 7)), int(rng.integers(7, 13))}  # one row, one column
        if repetition % REPETITIONS_A_SYMBOL == 0:
            targets = drawn
        for group in rng.permutation(N_GROUPS) + 1:
            onsets.append(round(now_s * SFREQ))
            groups.append(group)
            codes.append(TARGET if group in targets else NON_TARGET)
            now_s += rng.uniform(0.15, 0.25)
        now_s += pause_s
    n_samples = round((now_s + 3.0) * SFREQ)
    stim, flash = np.zeros((2, n_samples), np.int32)
    stim[onsets], flash[onsets] = codes, groups
    return stim, flash


def _eeg(rng: np.random.Generator, stim: NDArray[np.int32]) -> NDArray[np.float32]:
    n_samples = len(stim)
    data = NOISE_RMS_UV * rng.uniform(0.8, 1.2) * _mixed(rng, _noise(rng, n_samples, exponent=0.5), reach=0.5)
    data += ALPHA_RMS_UV * rng.uniform(0.3, 1.5) * _alpha(rng, n_samples)
    data += DRIFT_RMS_UV * _noise(rng, n_samples, exponent=3.0)
    data += rng.normal(0, 2000, (len(CHANNELS), 1))  # electrode offsets
    for kernel, onsets in zip(_responses(rng), (np.flatnonzero(stim), np.flatnonzero(stim == TARGET)), strict=True):
        for onset in onsets:
            length = min(kernel.shape[1], n_samples - onset)
            data[:, onset : onset + length] += rng.uniform(0.5, 1.5) * kernel[:, :length]
    _add_blinks(rng, data)
    return data.astype(np.float32)


def _responses(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return this subject's answer to any flash, and what a target adds to it."""
    times = np.arange(round(0.8 * SFREQ)) / SFREQ
    shift = rng.normal(0, 0.02)
    strength = rng.lognormal(0, 0.25)
    to_any = [
        Component(0.10 + shift / 2, 0.015, 2.0 * strength, (0.0, -0.9), 0.4),
        Component(0.16 + shift / 2, 0.020, -3.0 * strength, (rng.normal(0, 0.2), -0.8), 0.5),
    ]
    to_target = [
        Component(0.22 + shift, 0.025, -rng.uniform(2, 4) * strength, (rng.normal(0, 0.3), -0.6), 0.5),
        Component(
            0.36 + 2 * shift, rng.uniform(0.05, 0.08), rng.uniform(6, 10) * strength, (rng.normal(0, 0.15), -0.3), 0.6
        ),
    ]
    any_wave, target_wave = (sum(c.wave(times) for c in components) for components in (to_any, to_target))
    return np.asarray(any_wave), np.asarray(target_wave)


def _noise(rng: np.random.Generator, n_samples: int, exponent: float) -> NDArray[np.float64]:
    """Noise with amplitude 1 / f**exponent below 100 Hz and flat under 0.1 Hz, one row a channel, of unit variance."""
    freqs = np.fft.rfftfreq(n_samples, 1 / SFREQ)
    shape = np.where(freqs < 100, np.maximum(freqs, 0.1) ** -exponent, 0)
    spectrum = shape * rng.normal(size=(len(CHANNELS), 2 * len(freqs))).view(np.complex128)
    noise = np.fft.irfft(spectrum, n_samples, axis=1)
    scaled: NDArray[np.float64] = noise / noise.std(axis=1, keepdims=True)
    return scaled


def _mixed(rng: np.random.Generator, sources: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Spread sources to neighbouring electrodes, as volume conduction does; rows keep unit variance."""
    squared = ((POSITIONS[:, np.newaxis] - POSITIONS) ** 2).sum(axis=2)
    mixing = np.exp(-squared / (2 * reach**2)) + 0.2 * rng.normal(size=squared.shape)
    mixed: NDArray[np.float64] = mixing / np.linalg.norm(mixing, axis=1, keepdims=True) @ sources
    return mixed


def _alpha(rng: np.random.Generator, n_samples: int) -> NDArray[np.float64]:
    """A waxing and waning 10 Hz rhythm, strongest at the back."""
    times = np.arange(n_samples) / SFREQ
    knots = np.arange(0, times[-1] + 1, 0.5)
    envelope = np.abs(np.interp(times, knots, rng.normal(size=len(knots))))
    rhythm = envelope * np.sin(2 * np.pi * rng.uniform(9, 11) * times)
    alpha: NDArray[np.float64] = np.exp(-((POSITIONS[:, 1] + 0.9) ** 2))[:, np.newaxis] * rhythm
    return alpha


def _add_blinks(rng: np.random.Generator, data: NDArray[np.float64]) -> None:
    n_samples = data.shape[1]
    length = round(0.3 * SFREQ)
    shape = np.sin(np.linspace(0, np.pi, length)) ** 2
    reach = np.exp(-((1.0 - POSITIONS[:, 1]) ** 2) / 0.3)
    for start in rng.integers(0, n_samples - length, rng.poisson(BLINKS_PER_MINUTE * n_samples / SFREQ / 60)):
        data[:, start : start + length] += BLINK_UV * rng.uniform(0.7, 1.3) * reach[:, np.newaxis] * shape


def _write(
    path: Path, data_uv: NDArray[np.float32], stim: NDArray[np.int32], flash: NDArray[np.int32], seed: int
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {f"eeg_{channel}": row for channel, row in zip(CHANNELS, data_uv, strict=True)}
    metadata = {
        "sfreq": f"{SFREQ:g}",
        "unit": "uV",
        "channels": json.dumps(CHANNELS),
        "synthetic": "true",
        "seed": str(seed),
    }
    table = pa.table({**columns, "stim": stim, "flash": flash}).replace_schema_metadata(metadata)
    pq.write_table(table, path, use_dictionary=["stim", "flash"])  # noise fills dictionaries in vain
