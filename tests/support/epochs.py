"""A made-up recording with drift and an artefact, and epochs cut from it by hand."""

import numpy as np
from p300.recording import Recording
from p300.signals.resampling import window_samples

NAMES = ("Fz", "Cz", "Pz")
N_FLASHES = 30


def recording(sfreq, *, seed=0):
    """Drifting noise in volts on an electrode offset, with a burst that no epoch near it survives."""
    rng = np.random.default_rng(seed)
    step = round(0.4 * sfreq)
    onsets = round(4 * sfreq) + step * np.arange(N_FLASHES)
    n_samples = int(onsets[-1] + 4 * sfreq)
    data = np.cumsum(rng.normal(0, 2e-6 / np.sqrt(sfreq / 128), (len(NAMES), n_samples)), axis=1) + 0.02
    data += rng.normal(0, 3e-6, data.shape)
    burst = onsets[20] + round(0.2 * sfreq)
    data[1, burst : burst + round(0.05 * sfreq)] += 4e-4
    stim = np.zeros(n_samples, np.int32)
    stim[onsets] = np.where(np.arange(N_FLASHES) % 3 == 0, 2, 1)
    return Recording(NAMES, sfreq, data, stim), onsets


def cut(data, onsets, sfreq, parameters, padding_s):
    first, last = window_samples(sfreq, parameters.tmin, parameters.tmax)
    padding = round(padding_s * sfreq)
    return np.stack([data[:, o + first - padding : o + last + 1 + padding] for o in onsets])
