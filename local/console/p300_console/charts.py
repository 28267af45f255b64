"""Plots of a model's figures as coordinates for SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    more: tuple[tuple[str, str], ...] = ()


def calibration(bins: Sequence[dict[str, float]]) -> Plot | None:
    """Return predicted against observed frequencies of Target; None where there are none."""
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


def repetitions(metrics: dict[str, Any]) -> Plot | None:
    """Return accuracy of decoded symbols against repetitions, where the figures hold it."""
    curve = metrics.get("accuracy_by_repetitions")
    if not isinstance(curve, list) or not curve:
        return None
    pairs = [
        (int(one["repetitions"]), float(one["accuracy"]))
        for one in curve
        if isinstance(one, dict) and {"repetitions", "accuracy"} <= set(one)
    ]
    if not pairs:
        return None
    most = max(n for n, _ in pairs)
    points = [(*_at(n / most, accuracy), f"{n} repetitions: {accuracy:.2f}") for n, accuracy in pairs]
    x_ticks = [(_at(n / most, 0)[0], str(n)) for n, _ in pairs[:: max(1, len(pairs) // 6)]]
    return Plot(points, _line(points), x_ticks, _ticks(1.0)[1])


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
