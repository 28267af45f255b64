"""Made-up subjects who spell, a latency and an amplitude each."""

import numpy as np
from p300.decoding import SessionDecoder, brain_invaders
from p300.metrics import roc_auc
from p300.models import RecordingEpochs

SFREQ = 100.0
N_CHANNELS, N_TIMES = 4, 60
LAYOUT = brain_invaders()
N_TRIALS, N_REPETITIONS = 5, 12
TRIALS = [slice(144 * k, 144 * (k + 1)) for k in range(N_TRIALS)]


def person(seed, *, latency=0.36, amplitude_uv=3.0, scalp=(1.0, 0.7, 0.3, 0.0)):
    """One session of five symbols: noise correlated in time and across channels, and a wave after each target flash."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 36, N_TRIALS)
    codes = np.concatenate([rng.permutation(12) + 1 for _ in range(N_TRIALS * N_REPETITIONS)])
    lit = LAYOUT.lit(codes)
    target = np.concatenate([lit[trial, s] for trial, s in zip(TRIALS, truth, strict=True)])
    noise = rng.standard_normal((len(codes), N_CHANNELS, N_TIMES))
    for sample in range(1, N_TIMES):
        noise[:, :, sample] += 0.9 * noise[:, :, sample - 1]
    noise += noise.mean(axis=1, keepdims=True) + rng.standard_normal(noise.shape)
    wave = np.exp(-((np.arange(N_TIMES) / SFREQ - latency) ** 2) / (2 * 0.05**2))
    epochs = noise + target[:, None, None] * amplitude_uv * np.outer(scalp, wave)
    X = (epochs * 1e-6).reshape(len(codes), -1).astype(np.float32)
    return X, lit, np.where(target, 2, 1), truth


def recordings(seeds, **how):
    for seed in seeds:
        X, _, y, _ = person(seed, **how)
        yield RecordingEpochs(f"subject_{seed:02d}/a", f"subject_{seed:02d}", X, y, N_CHANNELS)


LATER = {"latency": 0.41, "amplitude_uv": 2.5}
"""How other people answer: 50 ms after those that the model knows."""


def scores(X, lit, trials, response):
    """Score each flash with the whole session known."""
    return SessionDecoder(response).fit(X, lit, trials).log_likelihood_ratio_


def n_right(X, lit, truth, response):
    """Count the symbols that are decoded right with the whole session known."""
    decoder = SessionDecoder(response).fit(X, lit, TRIALS)
    return sum(decoder.decode(k).best == symbol for k, symbol in enumerate(truth))


def auc(y, score) -> float:
    """Return the ROC AUC of flashes that hold both classes."""
    found = roc_auc(y, score)
    assert found is not None
    return found
