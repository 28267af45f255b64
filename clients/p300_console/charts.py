"""Plots of a model's metrics as coordinates for SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

SIDE = 300.0
LEFT, BOTTOM, TOP, RIGHT = 46.0, 40.0, 12.0, 12.0


@dataclass(frozen=True)
class Plot:
    """Points and ticks in pixels, within a square of `SIDE` with margins."""

    points: list[tuple[float, float, str]]
    line: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    diagonal: str = ""


def calibration(bins: Sequence[dict[str, float]]) -> Plot | None:
    """Return predicted against observed frequencies of Target; None if there are none."""
    pairs = [
        (one["predicted"], one["observed"], one["n_epochs"])
        for one in bins
        if {"predicted", "observed", "n_epochs"} <= set(one)
    ]
    if not pairs:
        return None
    top = max(0.2, *(max(predicted, observed) for predicted, observed, _ in pairs))
    top = min(1.0, -(-top // 0.1) * 0.1)  # up to the next tenth
    points = [
        (*_at(predicted / top, observed / top), f"{n:.0f} epochs: predicted {predicted:.3f}, observed {observed:.3f}")
        for predicted, observed, n in pairs
    ]
    return Plot(points, _line(points), *_ticks(top), diagonal=_line([(*_at(0, 0), ""), (*_at(1, 1), "")]))


def _at(x: float, y: float) -> tuple[float, float]:
    return LEFT + x * (SIDE - LEFT - RIGHT), SIDE - BOTTOM - y * (SIDE - BOTTOM - TOP)


def _line(points: Sequence[tuple[float, float, str]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)


def _ticks(top: float) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
    step = 0.1 if top <= 0.5 else 0.2
    values = [step * number for number in range(round(top / step + 0.5)) if step * number <= top + 1e-9]
    values = [*values, top] if top - values[-1] > step / 2 else values
    return (
        [(_at(value / top, 0)[0], f"{value:.1f}") for value in values],
        [(_at(0, value / top)[1], f"{value:.1f}") for value in values],
    )
