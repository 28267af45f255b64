"""Training `lda` against StandardScaler + scikit-learn's LDA: time, memory, and leaving every subject out.

``python benchmarks/training.py`` measures each side in a process of its own and prints the ratios as JSON. Features are
synthetic, made as they are asked for; making them is not counted.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

N_CHANNELS, N_TIMES = 16, 70
N_FEATURES = N_CHANNELS * N_TIMES
N_SUBJECTS = 64
N_EPOCHS = 50_000 // N_SUBJECTS
N_LOADINGS = 48


class Subjects:
    """Recordings of made-up subjects, made anew on each iteration, one at a time.

    Attributes
    ----------
    seconds_making : float
        Time that went into making them.
    """

    def __init__(self, n_subjects: int) -> None:
        self.n_subjects = n_subjects
        self.seconds_making = 0.0
        rng = np.random.default_rng(0)
        self._loadings = rng.standard_normal((N_LOADINGS, N_FEATURES), dtype=np.float32) * np.float32(5e-6)
        self._response = np.float32(2e-6) * np.sin(np.linspace(0, 20, N_FEATURES, dtype=np.float32))

    def __iter__(self) -> Iterator["p300.models.RecordingEpochs"]:  # noqa: F821
        from p300.models import RecordingEpochs

        for subject in range(self.n_subjects):
            started = time.perf_counter()
            rng = np.random.default_rng(subject)
            y = np.where(np.arange(N_EPOCHS) % 6 == 0, 2, 1)
            X = rng.standard_normal((N_EPOCHS, N_LOADINGS), dtype=np.float32) @ self._loadings
            X += rng.standard_normal(X.shape, dtype=np.float32) * np.float32(5e-6)
            X[y == 2] += self._response
            self.seconds_making += time.perf_counter() - started
            yield RecordingEpochs(f"subject_{subject:03d}/run_01", f"subject_{subject:03d}", X, y, N_CHANNELS)


def plain(n_subjects: int) -> float:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = np.empty((n_subjects * N_EPOCHS, N_FEATURES))
    y = np.empty(len(X), dtype=int)
    for k, recording in enumerate(Subjects(n_subjects)):
        rows = slice(k * N_EPOCHS, (k + 1) * N_EPOCHS)
        X[rows], y[rows] = recording.X, recording.y
    model = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    started = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - started


def fit(n_subjects: int) -> float:
    subjects, model = Subjects(n_subjects), _lda()
    _warm_up()
    started = time.perf_counter()
    model.fit_recordings(subjects)
    return time.perf_counter() - started - subjects.seconds_making


def leave_one_out(n_subjects: int) -> float:
    from p300.models.base import cross_validate

    subjects, model = Subjects(n_subjects), _lda()
    _warm_up()
    started = time.perf_counter()
    cross_validate(model, subjects, lambda recording: recording.subject)
    return time.perf_counter() - started - subjects.seconds_making


def _lda() -> "p300.models.base.Estimator":  # noqa: F821
    from p300 import models

    return models.make("lda", n_channels=N_CHANNELS, n_times=N_TIMES)


def _warm_up() -> None:
    """Import what a fit imports, as the other side has by now."""
    import scipy.linalg.blas  # noqa: F401


SIDES = {side.__name__: side for side in (plain, fit, leave_one_out)}


def measure(side: str, n_subjects: int) -> dict[str, float]:
    """Run one side in a process of its own; return its ``seconds`` and its peak ``mb``."""
    done = subprocess.run(
        [sys.executable, __file__, side, str(n_subjects)], check=True, capture_output=True, text=True, timeout=1200
    )
    found: dict[str, float] = json.loads(done.stdout)
    print(f"{side:14} {n_subjects:4} subjects {found['seconds']:8.2f} s {found['mb']:7.0f} MB", file=sys.stderr)
    return found


def run() -> list[dict[str, object]]:
    """Measure all; one row for each number that is promised."""
    reference = measure("plain", N_SUBJECTS)
    ours, many = measure("fit", N_SUBJECTS), measure("fit", 10 * N_SUBJECTS)
    left_out = measure("leave_one_out", N_SUBJECTS)
    return [
        row("lda on 64 subjects, times faster than scikit-learn", reference["seconds"] / ours["seconds"], at_least=9),
        row("lda on 64 subjects, peak MB", ours["mb"], at_most=1000),
        row("lda on 640 subjects, peak MB over that of 64", many["mb"] / ours["mb"], at_most=1.1),
        row("leaving each of 64 out, plain single fits", left_out["seconds"] / reference["seconds"], at_most=10),
        row("leaving each of 64 out, peak MB", left_out["mb"], at_most=1000),
    ]


def row(name: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> dict[str, object]:
    """Return a measured promise."""
    met = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    return {"name": name, "value": round(value, 3), "at_least": at_least, "at_most": at_most, "met": met}


def main() -> None:
    if len(sys.argv) > 1:
        seconds = SIDES[sys.argv[1]](int(sys.argv[2]))
        # ru_maxrss is in KiB on Linux.
        mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        print(json.dumps({"seconds": seconds, "mb": mb}))
        return
    print(json.dumps(run(), indent=2))


if __name__ == "__main__":
    main()
