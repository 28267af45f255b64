"""Training `lda` against StandardScaler + scikit-learn's LDA: time, memory, and leaving every subject out.

``python benchmarks/training.py`` measures each side in a process of its own, in turns, and prints the ratios as JSON. Features are
synthetic, made as they are asked for; making them is not counted. On a machine that does other work as well, processor time tells
more than time.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sizes import SHORT, size
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from p300.models import RecordingEpochs
    from p300.models.base import Estimator

N_CHANNELS, N_TIMES = 16, 70
N_FEATURES = N_CHANNELS * N_TIMES
N_SUBJECTS = size(64, short=8)
N_EPOCHS = 50_000 // 64
N_LOADINGS = 48
N_TURNS = size(3, short=1)


class Subjects:
    """Recordings of made-up subjects, made anew on each iteration, one at a time.

    Attributes
    ----------
    seconds_making, cpu_seconds_making : float
        Time, and the process's processor time, that went into making them.
    """

    def __init__(self, n_subjects: int) -> None:
        self.n_subjects = n_subjects
        self.seconds_making = self.cpu_seconds_making = 0.0
        rng = np.random.default_rng(0)
        self._loadings = rng.standard_normal((N_LOADINGS, N_FEATURES), dtype=np.float32) * np.float32(5e-6)
        self._response = np.float32(2e-6) * np.sin(np.linspace(0, 20, N_FEATURES, dtype=np.float32))

    def __iter__(self) -> Iterator["RecordingEpochs"]:
        from p300.models import RecordingEpochs

        for subject in range(self.n_subjects):
            started, cpu_started = time.perf_counter(), time.process_time()
            rng = np.random.default_rng(subject)
            y = np.where(np.arange(N_EPOCHS) % 6 == 0, 2, 1)
            # On one thread: NumPy's others would go on spinning for work while what is measured needs their cores.
            with threadpool_limits(1):
                X = rng.standard_normal((N_EPOCHS, N_LOADINGS), dtype=np.float32) @ self._loadings
            X += rng.standard_normal(X.shape, dtype=np.float32) * np.float32(5e-6)
            X[y == 2] += self._response
            self.seconds_making += time.perf_counter() - started
            self.cpu_seconds_making += time.process_time() - cpu_started
            yield RecordingEpochs(f"subject_{subject:03d}/run_01", f"subject_{subject:03d}", X, y, N_CHANNELS)


def plain(n_subjects: int) -> dict[str, float]:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = np.empty((n_subjects * N_EPOCHS, N_FEATURES))
    y = np.empty(len(X), dtype=int)
    for k, recording in enumerate(Subjects(n_subjects)):
        rows = slice(k * N_EPOCHS, (k + 1) * N_EPOCHS)
        X[rows], y[rows] = recording.X, recording.y
    model = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    return _timed(lambda: model.fit(X, y))


def fit(n_subjects: int) -> dict[str, float]:
    subjects, model = Subjects(n_subjects), _lda()
    _warm_up()
    return _timed(lambda: model.fit_recordings(subjects), subjects)


def leave_one_out(n_subjects: int) -> dict[str, float]:
    from p300.models.cross_validation import cross_validate

    subjects, model = Subjects(n_subjects), _lda()
    _warm_up()
    return _timed(lambda: cross_validate(model, subjects, lambda recording: recording.subject), subjects)


def _timed(work: Callable[[], object], subjects: Subjects | None = None) -> dict[str, float]:
    started, cpu_started = time.perf_counter(), time.process_time()
    work()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    if subjects:
        seconds -= subjects.seconds_making
        cpu_seconds -= subjects.cpu_seconds_making
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "mb": _peak_mb()}


def _peak_mb() -> float:
    """Return the peak of what this program held since it started: the resource module's also counts the program that started it."""
    status = Path("/proc/self/status").read_text()
    kib = int(status.partition("VmHWM:")[2].split()[0])
    return kib * 1024 / 1e6


def _lda() -> "Estimator":
    from p300 import models

    return models.make("lda", n_channels=N_CHANNELS, n_times=N_TIMES)


def _warm_up() -> None:
    """Import what a fit imports, as the other side has by now."""
    import scipy.linalg.blas  # noqa: F401


SIDES = {side.__name__: side for side in (plain, fit, leave_one_out)}


def measure(side: str, n_subjects: int) -> dict[str, float]:
    """Run one side in a process of its own; return its ``seconds``, ``cpu_seconds`` and its peak ``mb``."""
    done = subprocess.run(
        [sys.executable, __file__, side, str(n_subjects)], check=True, capture_output=True, text=True, timeout=1200
    )
    found: dict[str, float] = json.loads(done.stdout)
    print(
        f"{side:14} {n_subjects:4} subjects {found['seconds']:8.2f} s {found['cpu_seconds']:8.2f} s processor "
        f"{found['mb']:7.0f} MB",
        file=sys.stderr,
    )
    return found


def promised() -> list[dict[str, object]]:
    """Return a row for each number that training promises."""
    turns = [(measure("plain", N_SUBJECTS), measure("fit", N_SUBJECTS)) for _ in range(N_TURNS)]
    many, left_out = measure("fit", 10 * N_SUBJECTS), measure("leave_one_out", N_SUBJECTS)

    def ratio(name: str) -> float:
        return statistics.median(reference[name] / ours[name] for reference, ours in turns)

    mb = statistics.median(ours["mb"] for _, ours in turns)
    reference_seconds = statistics.median(reference["seconds"] for reference, _ in turns)
    return [
        row(f"lda on {N_SUBJECTS} subjects, times faster than scikit-learn", ratio("seconds"), at_least=9),
        row(f"lda on {N_SUBJECTS} subjects, times less processor time", ratio("cpu_seconds")),
        row(f"lda on {N_SUBJECTS} subjects, peak MB", mb, at_most=1000),
        row(f"lda on {10 * N_SUBJECTS} subjects, peak MB over that of {N_SUBJECTS}", many["mb"] / mb, at_most=1.1),
        row(
            f"leaving each of {N_SUBJECTS} out, plain single fits", left_out["seconds"] / reference_seconds, at_most=10
        ),
        row(f"leaving each of {N_SUBJECTS} out, peak MB", left_out["mb"], at_most=1000),
    ]


def row(name: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> dict[str, object]:
    """Return a measured promise; a short run measures too little to judge any."""
    if SHORT:
        at_least = at_most = None
    met = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    return {"name": name, "value": round(value, 3), "at_least": at_least, "at_most": at_most, "met": met}


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(SIDES[sys.argv[1]](int(sys.argv[2]))))
        return
    print(json.dumps(promised(), indent=2))


if __name__ == "__main__":
    main()
