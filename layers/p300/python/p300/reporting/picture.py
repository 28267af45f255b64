"""The picture of a recording: both evoked responses at each channel, and where on the head they differ."""

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p300.features import VOLTS_TO_UV, FeatureSet
from p300.recording import NON_TARGET, TARGET
from p300.text import n_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONFIDENCE_Z = 1.96  # 95 % of a normal distribution
TARGET_COLOUR, NON_TARGET_COLOUR, FAINT = "#b3261e", "#3b5b7a", "#d0d4d9"
MAP_WINDOW_S = 0.1
MAX_MAPS = 8
MIN_MAP_CHANNELS = 4  # fewer say nothing about a topography
# A fixed geometry: Matplotlib's own layout draws everything twice to find one.
WIDTH_IN, HEAD_IN, LEFT_IN, RIGHT_IN, GAP_IN = 11.0, 0.75, 0.55, 0.15, 0.35
PANEL_HEIGHT_IN, PANEL_GAP_IN, TIMES_IN = 1.2, 0.32, 0.45
MAPS_HEAD_IN, MAP_IN, FOOT_IN = 0.45, 1.5, 0.15
TITLE_LENGTH = 60
DPI = 110


def draw(feature_set: FeatureSet, title: str) -> bytes:
    """Draw target and non-target averages with their confidence band at each channel, and maps of their difference.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording.
    title : str
        Its name.

    Returns
    -------
    bytes
        A PNG. The band is the mean +- 1.96 standard errors over epochs, taken as independent. Maps are means over 100 ms (longer ones where
        there would be more than eight), of the
        channels whose names MNE's 10-05 montage knows; they are left out where those are fewer than four.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_columns, n_rows = _grid(len(feature_set.ch_names))
    known = _positions(feature_set.ch_names)
    panels_height = HEAD_IN + n_rows * (PANEL_HEIGHT_IN + PANEL_GAP_IN) - PANEL_GAP_IN + TIMES_IN
    height = panels_height + (MAPS_HEAD_IN + MAP_IN if known else 0) + FOOT_IN
    with rc_context({"font.size": 8, "axes.linewidth": 0.6, "axes.formatter.use_mathtext": False}):
        figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI)
        FigureCanvasAgg(figure)
        _draw_evoked(figure, feature_set, title, n_rows, n_columns)
        if known:
            _draw_maps(figure, feature_set, known, panels_height + MAPS_HEAD_IN)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def evoked(feature_set: FeatureSet, label: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average the epochs of a class.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording.
    label : int
        1 (NonTarget) or 2 (Target).

    Returns
    -------
    mean, standard_error : ndarray, shape (n_channels, n_times)
        In microvolts; the standard error is NaN where there is one epoch.
    """
    epochs = feature_set.epochs[feature_set.label == label].astype(np.float64) * VOLTS_TO_UV
    deviation = epochs.std(axis=0, ddof=1) if len(epochs) > 1 else np.full(epochs.shape[1:], np.nan)
    return epochs.mean(axis=0), deviation / math.sqrt(len(epochs))


def _grid(n_channels: int) -> tuple[int, int]:
    n_columns = min(n_channels, max(4, math.ceil(math.sqrt(n_channels))))
    return n_columns, math.ceil(n_channels / n_columns)


def _times_ms(feature_set: FeatureSet) -> NDArray[np.float64]:
    return 1000 * (feature_set.tmin + np.arange(feature_set.n_times) / feature_set.sfreq)


def _axes(figure: "Figure", left_in: float, top_in: float, width_in: float, height_in: float, **how: Any) -> "Axes":
    """Add axes, measured in inches from the upper left corner."""
    width, height = figure.get_size_inches()
    return figure.add_axes(
        (left_in / width, 1 - (top_in + height_in) / height, width_in / width, height_in / height), **how
    )


def _draw_evoked(figure: "Figure", feature_set: FeatureSet, title: str, n_rows: int, n_columns: int) -> None:
    times = _times_ms(feature_set)
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


def _draw_maps(figure: "Figure", feature_set: FeatureSet, known: list[int], top_in: float) -> None:
    import mne

    times = _times_ms(feature_set)
    difference = (evoked(feature_set, TARGET)[0] - evoked(feature_set, NON_TARGET)[0])[known]
    windows = _windows(times)
    maps = [difference[:, (times >= start) & (times < stop)].mean(axis=1) for start, stop in windows]
    info = _info([feature_set.ch_names[channel] for channel in known])
    limit = max(float(np.abs(maps).max()), 1e-9)
    pitch = min((WIDTH_IN - LEFT_IN - 0.9) / len(maps), 1.9)
    image: Any = None
    for index, (values, (start, stop)) in enumerate(zip(maps, windows, strict=True)):
        ax = _axes(figure, LEFT_IN + index * pitch, top_in, min(MAP_IN, pitch), MAP_IN)
        image, _ = mne.viz.plot_topomap(
            values, info, axes=ax, cmap="RdBu_r", vlim=(-limit, limit), contours=4, show=False, sensors="k."
        )
        ax.set_title(f"{start:.0f} to {stop:.0f} ms", fontsize=9, pad=2)
    bar = figure.colorbar(image, cax=_axes(figure, LEFT_IN + len(maps) * pitch, top_in + 0.2, 0.12, MAP_IN - 0.4))
    bar.set_label("Target - NonTarget, µV")
    bar.outline.set_linewidth(0.6)


def _windows(times_ms: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return windows of equal length from the flash to the end of the epoch, each at least half inside it."""
    length = 1000 * MAP_WINDOW_S
    length *= max(math.ceil(times_ms[-1] / (MAX_MAPS * length)), 1)
    starts = np.arange(0, max(times_ms[-1], 1), length)
    windows = [
        (float(start), float(start + length)) for start in starts if start == 0 or start + length / 2 <= times_ms[-1]
    ]
    return [(start, stop) for start, stop in windows if ((times_ms >= start) & (times_ms < stop)).any()]


def _positions(ch_names: tuple[str, ...]) -> list[int]:
    """Return the channels whose place on the head is known, or none where they are too few for a map."""
    import mne

    montage = {name.lower() for name in mne.channels.make_standard_montage("colin27_1005").ch_names}
    known = [index for index, name in enumerate(ch_names) if name.lower() in montage]
    return known if len(known) >= MIN_MAP_CHANNELS else []


def _info(ch_names: list[str]) -> Any:
    import mne

    info = mne.create_info(ch_names, 1.0, "eeg", verbose="error")
    montage = mne.channels.make_standard_montage("colin27_1005")
    return info.set_montage(montage, match_case=False, verbose="error")


def _plain(text: str) -> str:
    """Return text in which Matplotlib sees no mathematics."""
    return text.replace("$", r"\$")
