"""Charts as inline SVG: colours come from the page's style, values for its script from data attributes."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 34
N_TICKS = 6


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes
    ----------
    name : str
        Shown with its values.
    y : ndarray, shape (n,)
        Its values.
    style : str
        Class of the line.
    low, high : ndarray, shape (n,), optional
        A band around it.
    spans : sequence of (int, int)
        First and last index of what is drawn thick.
    channel : int or None
        The channel that it belongs to, by which the page's script hides it.
    shown : ndarray, shape (n,), optional
        Values to show in place of `y`, where lines are drawn one above the other.
    """

    name: str
    y: NDArray[np.floating]
    style: str
    low: NDArray[np.floating] | None = None
    high: NDArray[np.floating] | None = None
    spans: Sequence[tuple[int, int]] = ()
    channel: int | None = None
    shown: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class Frame:
    """The axes of a chart.

    Attributes
    ----------
    x, y : tuple of (float, float)
        Range of each axis.
    x_label, y_label : str
        What is on them, with the unit.
    width, height : int
        In the chart's own units; it is scaled to the page.
    shaded : sequence of (float, float, str)
        Spans of x in the background, with the class of each.
    marks : sequence of (float, str)
        Vertical lines, with text.
    levels : sequence of float
        Horizontal lines.
    y_ticks : sequence of (float, str), optional
        What is written at the axis; by default round numbers.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str
    width: int = 640
    height: int = 240
    shaded: Sequence[tuple[float, float, str]] = ()
    marks: Sequence[tuple[float, str]] = ()
    levels: Sequence[float] = ()
    y_ticks: Sequence[tuple[float, str]] | None = None

    @property
    def plot(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of what is inside the axes."""
        return LEFT, TOP, self.width - LEFT - RIGHT, self.height - TOP - BOTTOM

    def at_x(self, x: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """Return where values of x are."""
        left, _, width, _ = self.plot
        return np.asarray(left + width * (np.asarray(x, float) - self.x[0]) / ((self.x[1] - self.x[0]) or 1))

    def at_y(self, y: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """Return where values of y are; those beyond the axis are at its end."""
        _, top, _, height = self.plot
        share = (np.asarray(y, float) - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return np.asarray(top + height * (1 - np.clip(share, 0, 1)))


def lines(frame: Frame, x: NDArray[np.floating], series: Sequence[Series], title: str, digits: int = 1) -> str:
    """Draw lines.

    Parameters
    ----------
    frame : Frame
        The axes.
    x : ndarray, shape (n,)
        Ascending.
    series : sequence of Series
        The later ones on top.
    title : str
        What the chart shows, for those who do not see it.
    digits : int
        Of the values that the page's script shows.

    Returns
    -------
    str
        An ``svg`` element.
    """
    px, parts = frame.at_x(x), []
    for one in series:
        of_channel = "" if one.channel is None else f' data-channel="{one.channel}"'
        if one.low is not None and one.high is not None:
            edge = [*_points(px, frame.at_y(one.low)), *_points(px, frame.at_y(one.high))[::-1]]
            parts.append(f'<path class="band {one.style}"{of_channel} d="M{"L".join(edge)}Z"/>')
        path = f"M{'L'.join(_points(px, frame.at_y(one.y)))}"
        parts.append(f'<path class="line {one.style}"{of_channel} d="{path}"/>')
        for first, last in one.spans:
            part = slice(first, last + 1)
            path = f"M{'L'.join(_points(px[part], frame.at_y(one.y[part])))}"
            parts.append(f'<path class="line thick {one.style}"{of_channel} d="{path}"/>')
    shown = [
        {
            "name": one.name,
            "y": [
                round(float(value), digits) if math.isfinite(value) else None
                for value in (one.y if one.shown is None else one.shown)
            ],
            **({} if one.channel is None else {"channel": one.channel}),
        }
        for one in series
    ]
    data = {"x": [round(float(value), 4) for value in x], "series": shown, "plot": frame.plot, "range": frame.x}
    data |= {"label": frame.x_label}
    return _svg(frame, "".join(parts), title, data)


def bars(
    frame: Frame, edges: NDArray[np.floating], stacked: Sequence[tuple[str, str, Sequence[float]]], title: str
) -> str:
    """Draw bars, one upon the other.

    Parameters
    ----------
    frame : Frame
        The axes.
    edges : ndarray, shape (n + 1,)
        Where the bars begin and end.
    stacked : sequence of (str, str, sequence of float)
        Name, class and heights of each layer, from below.
    title : str
        What the chart shows.

    Returns
    -------
    str
        An ``svg`` element.
    """
    px, base, parts = frame.at_x(edges), np.zeros(len(edges) - 1), []
    gap = 1 if len(px) > 1 and px[1] - px[0] > 3 else 0
    for _, style, heights in stacked:
        top = base + np.asarray(heights, float)
        for left, right, low, high in zip(px[:-1], px[1:], frame.at_y(base), frame.at_y(top), strict=True):
            if low > high:
                parts.append(
                    f'<rect class="{style}" x="{left:.1f}" y="{high:.1f}" width="{max(right - left - gap, 0.5):.1f}" '
                    f'height="{low - high:.1f}"/>'
                )
        base = top
    middles = (np.asarray(edges[:-1]) + np.asarray(edges[1:])) / 2
    data = {
        "x": [round(float(value), 4) for value in middles],
        "series": [{"name": name, "y": [float(value) for value in heights]} for name, _, heights in stacked],
        "plot": frame.plot,
        "range": frame.x,
        "label": frame.x_label,
    }
    return _svg(frame, "".join(parts), title, data)


def image(frame: Frame, png_base64: str, title: str) -> str:
    """Draw an image that fills the axes.

    Parameters
    ----------
    frame : Frame
        The axes.
    png_base64 : str
        The image.
    title : str
        What it shows.

    Returns
    -------
    str
        An ``svg`` element.
    """
    left, top, width, height = frame.plot
    inside = (
        f'<image x="{left}" y="{top}" width="{width}" height="{height}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{png_base64}"/>'
    )
    return _svg(frame, inside, title, None)


def ticks(low: float, high: float, n: int = N_TICKS) -> list[float]:
    """Return round numbers within a range.

    Parameters
    ----------
    low, high : float
        The range.
    n : int
        How many at most, but for one.

    Returns
    -------
    ticks : list of float
    """
    if not low < high:
        return [low]
    raw = (high - low) / n
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def around(*arrays: NDArray[np.floating], least: float = 1e-6) -> tuple[float, float]:
    """Return a range that holds all finite values, with a little room.

    Parameters
    ----------
    *arrays : ndarray
        Of any shape.
    least : float
        Width of the range at least.

    Returns
    -------
    low, high : float
    """
    values = np.concatenate([np.ravel(one) for one in arrays])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, least
    low, high = float(values.min()), float(values.max())
    room = max(0.05 * (high - low), (least - (high - low)) / 2)
    return low - room, high + room


def _points(px: NDArray[np.floating], py: NDArray[np.floating]) -> list[str]:
    return [f"{x:.1f} {y:.1f}" for x, y in zip(px, py, strict=True) if math.isfinite(y)]


def _svg(frame: Frame, inside: str, title: str, data: dict[str, Any] | None) -> str:
    left, top, width, height = frame.plot
    bottom = top + height
    parts = []
    for start, stop, style in frame.shaded:
        x0, x1 = (float(frame.at_x(min(max(value, frame.x[0]), frame.x[1]))) for value in (start, stop))
        parts.append(f'<rect class="{style}" x="{x0:.1f}" y="{top}" width="{max(x1 - x0, 1):.1f}" height="{height}"/>')
    written = frame.y_ticks or [(value, f"{value:g}") for value in ticks(min(frame.y), max(frame.y))]
    for value, text in written:
        y = float(frame.at_y(value))
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{left + width}"/>')
        parts.append(f'<text x="{left - 5}" y="{y + 3.5:.1f}" text-anchor="end">{escape(text)}</text>')
    for value in ticks(*frame.x, n=max(2, width // 60)):
        x = float(frame.at_x(value))
        parts.append(f'<path class="grid" d="M{x:.1f} {bottom}v4"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{value:g}</text>')
    for value in frame.levels:
        y = float(frame.at_y(value))
        parts.append(f'<path class="level" d="M{left} {y:.1f}H{left + width}"/>')
    for value, text in frame.marks:
        x = float(frame.at_x(value))
        parts.append(f'<path class="mark" d="M{x:.1f} {top}V{bottom}"/>')
        parts.append(f'<text x="{x + 3:.1f}" y="{top + 10}">{escape(text)}</text>')
    parts.append(f'<text x="{left + width}" y="{frame.height - 4}" text-anchor="end">{escape(frame.x_label)}</text>')
    parts.append(f'<text x="{left}" y="{frame.height - 4}">{escape(frame.y_label)}</text>')
    attributes = f'viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{escape(title)}"'
    if data is not None:
        attributes += f' tabindex="0" data-chart="{escape(json.dumps(data, separators=(",", ":")))}"'
    return f'<svg class="chart" {attributes}>{"".join(parts)}{inside}</svg>'
