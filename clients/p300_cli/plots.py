"""Pictures that the command draws: accuracy against repetitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from p300.decoding import Share

COLOURS = ("#3b5b7a", "#c77700", "#7a8794")
FAINT, MARK = "#c3cad2", "#b3261e"
DPI = 110


@dataclass(frozen=True)
class Curve:
    """Share of symbols right after 1, 2, ... repetitions."""

    name: str
    shares: Sequence[Share]


@dataclass(frozen=True)
class Stop:
    """Where dynamic stopping ends up: repetitions on average, and the share of symbols right."""

    n_repetitions: float
    accuracy: float
    label: str


def draw_accuracy(
    path: Path, title: str, curves: Sequence[Curve], *, behind: Sequence[Curve] = (), stop: Stop | None = None
) -> None:
    """Draw accuracy against repetitions to a PNG: up to three curves, the first with its 95 % interval, single subjects behind them."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6}):
        figure = Figure(figsize=(7.0, 4.2), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for number, curve in enumerate(behind):
            axes.plot(*_points(curve), color=FAINT, linewidth=1, label="each subject" if number == 0 else None)
        for number, (curve, colour) in enumerate(zip(curves, COLOURS, strict=False)):
            n, accuracy = _points(curve)
            if number == 0:
                intervals = [share.interval or (0.0, 1.0) for share in curve.shares if share.n]
                low, high = zip(*intervals, strict=True)
                axes.fill_between(n, low, high, color=colour, alpha=0.15, linewidth=0, label="its 95 % interval")
                axes.set_xlim(min(n) - 0.4, max(n) + 0.4)
            axes.plot(n, accuracy, color=colour, linewidth=2.2, marker="o", markersize=4, label=curve.name)
        if stop:
            axes.plot(
                stop.n_repetitions, stop.accuracy, color=MARK, marker="D", markersize=7, linestyle="", label=stop.label
            )
        axes.set(xlabel="repetitions", ylabel="symbols right", ylim=(0, 1.02))
        axes.set_title(title, loc="left", fontsize=10)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(axis="y", color="#e3e6ea", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(15, integer=True))
        axes.legend(loc="lower right", frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Software": None})


def _points(curve: Curve) -> tuple[list[int], list[float]]:
    found = [(n, share.accuracy) for n, share in enumerate(curve.shares, start=1) if share.accuracy is not None]
    return [n for n, _ in found], [accuracy for _, accuracy in found]
