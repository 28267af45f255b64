"""The picture of a recording: the verdict, both evoked responses at each channel, and where on the head they differ."""

import io
import math
import textwrap
from typing import TYPE_CHECKING, Any

from p300.features import FeatureSet
from p300.recording import NON_TARGET, TARGET
from p300.reporting.maps import Maps, draw_map, maps_of
from p300.reporting.positions import info_of
from p300.reporting.verdict import Finding, spans, times_s
from p300.reporting.views import CONFIDENCE_Z, evoked, significant
from p300.text import n_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TARGET_COLOUR, NON_TARGET_COLOUR, FAINT, SHADE = "#b3261e", "#3b5b7a", "#d0d4d9", "#fbe3b4"
# A fixed geometry: Matplotlib's own layout draws everything twice to find one.
WIDTH_IN, HEAD_IN, LEFT_IN, RIGHT_IN, GAP_IN = 11.0, 1.1, 0.55, 0.15, 0.35
PANEL_HEIGHT_IN, PANEL_GAP_IN, TIMES_IN = 1.2, 0.32, 0.45
MAPS_HEAD_IN, MAP_IN, FOOT_IN = 0.45, 1.5, 0.15
TITLE_LENGTH, LINE_LENGTH, SENTENCE_LENGTH = 60, 150, 340
DPI = 110


def draw(feature_set: FeatureSet, title: str, finding: Finding) -> bytes:
    """Draw the verdict, target and non-target averages with their confidence band at each channel, and maps of their difference.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording.
    title : str
        Its name.
    finding : Finding
        The verdict; significant spans are shaded.

    Returns
    -------
    bytes
        A PNG. The band is the mean +- 1.96 standard errors over epochs, taken as independent. Maps are means over 100 ms (longer ones where
        there would be more than eight) in the reference of the test, of the channels whose names MNE's 10-05 montage knows; they are left
        out where those are fewer than four.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_columns, n_rows = _grid(len(feature_set.ch_names))
    maps = maps_of(feature_set, finding.clusters)
    panels_height = HEAD_IN + n_rows * (PANEL_HEIGHT_IN + PANEL_GAP_IN) - PANEL_GAP_IN + TIMES_IN
    height = panels_height + (MAPS_HEAD_IN + MAP_IN if maps else 0) + FOOT_IN
    with rc_context({"font.size": 8, "axes.linewidth": 0.6, "axes.formatter.use_mathtext": False}):
        figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI)
        FigureCanvasAgg(figure)
        _draw_evoked(figure, feature_set, title, finding, n_rows, n_columns)
        if maps:
            _draw_maps(figure, maps, panels_height + MAPS_HEAD_IN)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _grid(n_channels: int) -> tuple[int, int]:
    n_columns = min(n_channels, max(4, math.ceil(math.sqrt(n_channels))))
    return n_columns, math.ceil(n_channels / n_columns)


def _axes(figure: "Figure", left_in: float, top_in: float, width_in: float, height_in: float, **how: Any) -> "Axes":
    """Add axes, measured in inches from the upper left corner."""
    width, height = figure.get_size_inches()
    return figure.add_axes(
        (left_in / width, 1 - (top_in + height_in) / height, width_in / width, height_in / height), **how
    )


def _draw_evoked(
    figure: "Figure", feature_set: FeatureSet, title: str, finding: Finding, n_rows: int, n_columns: int
) -> None:
    times, mask = 1000 * times_s(feature_set), significant(feature_set, finding)
    classes = [(NON_TARGET, NON_TARGET_COLOUR, "NonTarget"), (TARGET, TARGET_COLOUR, "Target")]
    means = {label: evoked(feature_set, label) for label, _, _ in classes}
    bad = set(feature_set.rejection.bad_channels)
    panel_width = (WIDTH_IN - LEFT_IN - RIGHT_IN + GAP_IN) / n_columns - GAP_IN
    first: Axes | None = None
    for channel, name in enumerate(feature_set.ch_names):
        row, column = divmod(channel, n_columns)
        left, top = LEFT_IN + column * (panel_width + GAP_IN), HEAD_IN + row * (PANEL_HEIGHT_IN + PANEL_GAP_IN)
        ax = _axes(figure, left, top, panel_width, PANEL_HEIGHT_IN, sharex=first, sharey=first)
        ax.axhline(0, color=FAINT, lw=0.6, zorder=0)
        ax.axvline(0, color=FAINT, lw=0.6, zorder=0)
        for start, stop in spans(mask[channel]):
            ax.axvspan(times[start], times[stop], color=SHADE, lw=0, zorder=-1)
        for label, colour, _ in classes:
            mean, error = (values[channel] for values in means[label])
            half = CONFIDENCE_Z * error
            ax.fill_between(times, mean - half, mean + half, color=colour, alpha=0.22, lw=0)
            ax.plot(times, mean, color=colour, lw=1.3)
        ax.set_title(_plain(f"{name} (replaced)" if name in bad else name), loc="left", fontsize=9, pad=2)
        ax.spines[["top", "right"]].set_visible(False)
        lowest = channel + n_columns >= len(feature_set.ch_names)
        ax.tick_params(length=2, width=0.6, labelleft=column == 0, labelbottom=lowest)
        if first is None:
            first = ax
            ax.set_xlim(times[0], times[-1])
            ax.locator_params(axis="both", nbins=5)
            ax.set_ylabel("µV", labelpad=1)
        if lowest and column == 0:
            ax.set_xlabel("ms after the flash", labelpad=1)
    lines = [line for line in figure.axes[0].lines if line.get_color() in {TARGET_COLOUR, NON_TARGET_COLOUR}]
    names = [f"{name}, {n_of(int((feature_set.label == label).sum()), 'epoch')}" for label, _, name in classes]
    height = figure.get_size_inches()[1]
    shown = title if len(title) <= TITLE_LENGTH else f"…{title[-TITLE_LENGTH:]}"
    figure.text(LEFT_IN / WIDTH_IN, 1 - 0.3 / height, _plain(shown), ha="left", va="center", fontsize=12, weight="bold")
    words = textwrap.shorten(finding.facts["sentence"], SENTENCE_LENGTH, placeholder=" …")
    figure.text(
        LEFT_IN / WIDTH_IN,
        1 - 0.62 / height,
        _plain("\n".join(textwrap.wrap(words, LINE_LENGTH))),
        ha="left",
        va="center",
        fontsize=9,
    )
    figure.legend(
        lines[::-1],
        names[::-1],
        loc="center right",
        bbox_to_anchor=(1 - RIGHT_IN / WIDTH_IN, 1 - 0.3 / height),
        ncols=2,
        frameon=False,
        fontsize=9,
        borderaxespad=0,
    )


def _draw_maps(figure: "Figure", maps: Maps, top_in: float) -> None:
    info = info_of(maps.ch_names)
    pitch = min((WIDTH_IN - LEFT_IN - 0.9) / len(maps.windows), 1.9)
    image: Any = None
    for index, (start, stop) in enumerate(maps.windows):
        ax = _axes(figure, LEFT_IN + index * pitch, top_in, min(MAP_IN, pitch), MAP_IN)
        image = draw_map(maps, index, info, ax)
        ax.set_title(f"{start:.0f} to {stop:.0f} ms", fontsize=9, pad=2)
    bar = figure.colorbar(
        image, cax=_axes(figure, LEFT_IN + len(maps.windows) * pitch, top_in + 0.2, 0.12, MAP_IN - 0.4)
    )
    bar.set_label("Target - NonTarget, µV")
    bar.outline.set_linewidth(0.6)


def _plain(text: str) -> str:
    """Return text in which Matplotlib sees no mathematics."""
    return text.replace("$", r"\$")
