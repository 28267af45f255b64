"""How many epochs the default model gains from: AUC on subjects left out, over the epochs that a fit takes.

``python benchmarks/fitted_epochs.py`` measures synthetic subjects whose responses differ and, where `P300_DATA` is set, BNCI 2015-003;
docs/scaling.md has the tables. Whole recordings align and adapt the model whatever is drawn, so only what the fit itself sees changes.
Every size is scored on the same subjects; ``difference`` and its standard error are paired, over subjects, with the fit on all epochs.
"""

from collections.abc import Callable

import numpy as np
from p300 import models
from p300.metrics import roc_auc
from p300.models import RecordingEpochs, prepared
from p300.models.cross_validation import cross_validate
from p300.models.data import HELD_BYTES
from real_data import data_set

N_CHANNELS, N_TIMES = 16, 70
N_SUBJECTS, N_TESTED, N_EPOCHS = 80, 16, 780
SIZES = (1_000, 2_500, 5_000, 10_000, 20_000, 40_000)
ALL = HELD_BYTES


def synthetic(subject: int) -> RecordingEpochs:
    """Noise mixed over channels and correlated in time; topography, latency and strength of the response are the subject's own."""
    rng = np.random.default_rng([1, subject])
    times = np.arange(N_TIMES)
    mix = np.eye(N_CHANNELS) + 0.3 * rng.standard_normal((N_CHANNELS, N_CHANNELS))
    smooth = np.exp(-((times[:, None] - times) ** 2) / (2 * 2.5**2))
    noise = rng.standard_normal((N_EPOCHS, N_CHANNELS, N_TIMES)) @ (smooth / np.linalg.norm(smooth, axis=0))
    y = np.where(rng.permutation(N_EPOCHS) % 6 == 0, 2, 1)
    for latency, width, size in ((22, 4, -0.35), (36, 7, 0.6)):
        topography = np.linspace(0.2, 1, N_CHANNELS) + 0.3 * rng.standard_normal(N_CHANNELS)
        wave = np.exp(-(((times - latency - rng.normal(0, 3)) / width) ** 2))
        noise[y == 2] += size * rng.lognormal(0, 0.4) * np.outer(topography, wave)
    X = (1e-5 * (mix @ noise)).reshape(N_EPOCHS, -1).astype(np.float32)
    name = f"subject_{subject:02d}"
    return RecordingEpochs(f"{name}/run_01", name, X, y, N_CHANNELS)


def on_strangers(recordings: list[RecordingEpochs]) -> dict[str, tuple[float, float]]:
    """Fit once, on all but some subjects: as good as leaving each out, where there are many."""
    first = recordings[0]
    model = models.make("ensemble", n_channels=first.n_channels, n_times=first.n_times)
    model._fit(recordings[N_TESTED:])
    return {
        one.subject: (
            roc_auc(one.y, model._uncalibrated(one.X, np.full(len(one.y), "one"))) or 0.5,
            roc_auc(one.y, model._uncalibrated(one.X)) or 0.5,
        )
        for one in recordings[:N_TESTED]
    }


def left_out(recordings: list[RecordingEpochs]) -> dict[str, tuple[float, float]]:
    """Leave each subject out in turn."""
    first = recordings[0]
    model = models.make("ensemble", n_channels=first.n_channels, n_times=first.n_times)
    folds = cross_validate(model, recordings, lambda recording: recording.subject).folds
    return {name: (roc_auc(p.y, p.within_recording) or 0.5, roc_auc(p.y, p.alone) or 0.5) for name, p in folds.items()}


def curve(
    title: str,
    recordings: list[RecordingEpochs],
    score: Callable[[list[RecordingEpochs]], dict[str, tuple[float, float]]],
) -> None:
    n_epochs = sum(len(one.y) for one in recordings)
    print(f"{title}: {len({one.subject for one in recordings})} subjects, {n_epochs:,} epochs")
    print("  epochs of a fit | AUC adapted | each epoch alone | difference adapted (sem) | alone (sem)")
    aucs = {}
    for most in (ALL, *(size for size in reversed(SIZES) if size < n_epochs)):
        setattr(prepared, "MOST_FITTED_EPOCHS", most)  # noqa: B010 - it is no name that others may import
        found = np.array(list(score(recordings).values()))
        aucs[most] = found
        gap = found - aucs[ALL]
        sem = gap.std(axis=0, ddof=1) / np.sqrt(len(gap))
        (adapted, alone), size = found.mean(axis=0), "all" if most == ALL else f"{most:,}"
        print(
            f"  {size:>15} | {adapted:11.4f} | {alone:16.4f} | {gap.mean(axis=0)[0]:+.4f} ({sem[0]:.4f})         "
            f"| {gap.mean(axis=0)[1]:+.4f} ({sem[1]:.4f})",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    if data_set("bnci_2015_003"):
        from models import load  # beside this file

        curve("BNCI 2015-003", load("bnci_2015_003"), left_out)
    curve("Synthetic", [synthetic(subject) for subject in range(N_SUBJECTS)], on_strangers)


if __name__ == "__main__":
    main()
