"""The curve of learning from use: single flashes and symbols against minutes of spelling, from nothing and nothing labelled.

    python benchmarks/personal_use.py [--plot docs/learning-from-use.png]

Data and populations as in ``benchmarks/personal.py``. The first symbols of one run, 15 repetitions each, are a session without labels;
the other run is tested, and both directions count. Intervals: of AUC the 95 % bootstrap over subjects, of symbols Wilson's. Nothing is
asserted.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from p300.decoding import Share
from p300.models.personal import PersonalModel
from personal import SECONDS_A_SYMBOL, populations
from personal_scores import SCORES, Arrays, auc
from rich.console import Console
from rich.table import Table
from sizes import size
from spellers import SUBJECTS, bnci

SYMBOLS = size(tuple(range(6)), short=(0, 5))
SHOWN = ("single epochs", "session")
REPETITIONS = (4, 15)
N_BOOTSTRAP = 10_000


@dataclass(frozen=True)
class Point:
    """What is known after some symbols of use.

    Attributes
    ----------
    minutes : float
    n_learnt, n_sessions : int
        Sessions that were learnt from, of those offered.
    auc : dict of str to (mean, low, high)
    right : dict of int to Share
        Symbols right by repetitions.
    """

    minutes: float
    n_learnt: int
    n_sessions: int
    auc: dict[str, tuple[float, float, float]]
    right: dict[int, Share]


def curve(of: dict[str, Arrays]) -> list[Point]:
    """Return a point for each number of symbols."""
    points = []
    for n_symbols in SYMBOLS:
        scores: dict[str, list[list[float]]] = {name: [] for name in SHOWN}
        right: dict[int, list[bool]] = {n: [] for n in REPETITIONS}
        learnt = []
        for subject in SUBJECTS:
            by_run: dict[str, list[float]] = {name: [] for name in SHOWN}
            for tested in (1, 2):
                model, run = PersonalModel(of[subject]), bnci()[subject, tested]
                use = bnci()[subject, 3 - tested].part(0, n_symbols)
                if n_symbols:
                    learnt.append(model.learn(use.X, use.lit, use.trials).learnt)
                for name in SHOWN:
                    by_run[name].append(auc(run.y, SCORES[name](model, run)))
                for n in REPETITIONS:
                    for k in range(5):
                        part = run.part(0, k + 1, n)
                        best = model.session(part.X, part.lit, part.trials).decode().best
                        right[n].append(best == part.truth[-1])
            for name in SHOWN:
                scores[name].append(by_run[name])
        aucs = {name: _interval(np.mean(values, axis=1)) for name, values in scores.items()}
        shares = {n: Share.of(answers) for n, answers in right.items()}
        points.append(Point(n_symbols * SECONDS_A_SYMBOL / 60, sum(learnt), len(learnt), aucs, shares))
    return points


def _interval(by_subject: np.ndarray) -> tuple[float, float, float]:
    rng = np.random.default_rng(0)
    means = rng.choice(by_subject, (N_BOOTSTRAP, len(by_subject))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(by_subject.mean()), float(low), float(high)


def table_of(points: list[Point]) -> Table:
    """Return the points as a table, each number with its interval."""
    table = Table(title="Learning from use, from nothing; 95 % intervals", title_justify="left")
    for column in ("minutes", "learnt from", *(f"AUC, {name}" for name in SHOWN), *(f"{n} rep." for n in REPETITIONS)):
        table.add_column(column)
    for point in points:
        shares = [
            f"{share.n_right} of {share.n} ({low:.2f}-{high:.2f})"
            for share in point.right.values()
            if (interval := share.interval)
            for low, high in [interval]
        ]
        cells = [f"{mean:.3f} ({low:.3f}-{high:.3f})" for mean, low, high in point.auc.values()]
        table.add_row(f"{point.minutes:.1f}", f"{point.n_learnt} of {point.n_sessions}", *cells, *shares)
    return table


def draw(points: list[Point], path: Path) -> None:
    """Draw AUC, and the share of symbols that were right, against minutes."""
    from matplotlib.figure import Figure

    minutes = [point.minutes for point in points]
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in zip(SHOWN, ("#b3261e", "#3b5b7a"), strict=True):
        mean, low, high = zip(*(point.auc[name] for point in points), strict=True)
        left.fill_between(minutes, low, high, color=colour, alpha=0.15, lw=0)
        left.plot(minutes, mean, marker="o", color=colour, label=name)
    left.set(xlabel="minutes of spelling, without labels", ylabel="AUC on the other run")
    for n, colour in zip(REPETITIONS, ("#b3261e", "#3b5b7a"), strict=True):
        accuracy = [point.right[n].accuracy or 0 for point in points]
        low, high = zip(*(point.right[n].interval or (0, 1) for point in points), strict=True)
        right.fill_between(minutes, low, high, color=colour, alpha=0.15, lw=0)
        right.plot(minutes, accuracy, marker="o", color=colour, label=f"after {n} repetitions")
    right.set(xlabel="minutes of spelling, without labels", ylabel="symbols right", ylim=(0, 1.02))
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, loc="lower right")
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, help="PNG to draw the curve to")
    arguments = parser.parse_args()
    points = curve(populations())
    Console(width=None if Console().is_terminal else 170).print(table_of(points))
    if arguments.plot:
        draw(points, arguments.plot)


if __name__ == "__main__":
    main()
