"""Maps of the difference between target and non-target averages on the head."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p300.features import FeatureSet
from p300.reporting.clusters import Cluster
from p300.reporting.positions import info_of, known_positions
from p300.reporting.verdict import difference_uv, times_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW_S = 0.1
MOST_MAPS = 8
COLOURS = "RdBu_r"
OUTLINE = "#7d8590"
"""Seen on white and on black."""
DPI = 110


@dataclass(frozen=True)
class Maps:
    """Means over windows of equal length, of the channels whose position is known.

    Attributes
    ----------
    ch_names : tuple of str
        These channels.
    windows : list of (float, float)
        Start and end of each map in milliseconds from the flash.
    values : ndarray, shape (n_maps, n_channels)
        In microvolts.
    significant : ndarray of bool, shape (n_maps, n_channels)
        Channels that are in a significant cluster within the window.
    limit_uv : float
        End of the scale that all maps share.
    """

    ch_names: tuple[str, ...]
    windows: list[tuple[float, float]]
    values: NDArray[np.float64]
    significant: NDArray[np.bool_]
    limit_uv: float


def maps_of(feature_set: FeatureSet, clusters: Sequence[Cluster] = ()) -> Maps | None:
    """Return what the maps of a recording show.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording, with both classes.
    clusters : sequence of Cluster
        The significant ones.

    Returns
    -------
    Maps or None
        None where the positions of too few channels are known.
    """
    known = known_positions(feature_set.ch_names)
    if not known:
        return None
    times = 1000 * times_s(feature_set)
    windows = map_windows(times)
    inside = [(times >= start) & (times < stop) for start, stop in windows]
    difference = difference_uv(feature_set)[known]
    mask = np.zeros((len(feature_set.ch_names), len(times)), bool)
    for cluster in clusters:
        mask |= cluster.mask
    values = np.array([difference[:, rows].mean(axis=1) for rows in inside])
    return Maps(
        tuple(feature_set.ch_names[channel] for channel in known),
        windows,
        values,
        np.array([mask[known][:, rows].any(axis=1) for rows in inside]),
        max(float(np.abs(values).max()), 1e-9),
    )


def draw_map(maps: Maps, index: int, info: Any, ax: "Axes") -> Any:
    """Draw one map, masked to the area of the electrodes.

    Parameters
    ----------
    maps : Maps
        All maps.
    index : int
        Which.
    info : mne.Info
        Of the channels, as `p300.reporting.positions.info_of` returns.
    ax : Axes
        Where to.

    Returns
    -------
    image : AxesImage
    """
    import mne

    image, _ = mne.viz.plot_topomap(
        maps.values[index],
        info,
        axes=ax,
        cmap=COLOURS,
        vlim=(-maps.limit_uv, maps.limit_uv),
        extrapolate="local",
        contours=4,
        show=False,
        sensors="k.",
        mask=maps.significant[index],
        mask_params={"marker": "o", "markerfacecolor": "w", "markeredgecolor": "k", "markersize": 4},
    )
    return image


def map_pngs(maps: Maps) -> list[bytes]:
    """Draw each map as an image of its own, on a transparent ground.

    Parameters
    ----------
    maps : Maps
        What to draw.

    Returns
    -------
    images : list of bytes
        PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    info, images = info_of(maps.ch_names), []
    for index in range(len(maps.windows)):
        figure = Figure(figsize=(1.6, 1.6), dpi=DPI)
        FigureCanvasAgg(figure)
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        draw_map(maps, index, info, ax)
        for line in ax.lines[:]:
            if line.get_marker() in {None, "None", "none", ""}:
                line.set_color(OUTLINE)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
        images.append(buffer.getvalue())
    return images


def map_windows(times_ms: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return windows of equal length from the flash to the end of the epoch, each at least half inside it.

    Parameters
    ----------
    times_ms : ndarray, shape (n_times,)
        Of the samples of an epoch.

    Returns
    -------
    windows : list of (float, float)
        In milliseconds, at most `MOST_MAPS`.
    """
    length = 1000 * WINDOW_S
    length *= max(math.ceil(times_ms[-1] / (MOST_MAPS * length)), 1)
    starts = np.arange(0, max(times_ms[-1], 1), length)
    windows = [
        (float(start), float(start + length)) for start in starts if start == 0 or start + length / 2 <= times_ms[-1]
    ]
    return [(start, stop) for start, stop in windows if ((times_ms >= start) & (times_ms < stop)).any()]


def heat_png(values: NDArray[np.float64], limit: float) -> bytes:
    """Draw an array as an image, one pixel a value.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_columns)
        The first row is on top.
    limit : float
        End of the scale, on both sides of 0.

    Returns
    -------
    bytes
        PNG.
    """
    from matplotlib import colormaps
    from PIL import Image

    shown = colormaps[COLOURS](np.clip(values / (2 * limit) + 0.5, 0, 1), bytes=True)
    buffer = io.BytesIO()
    Image.fromarray(shown[:, :, :3]).save(buffer, format="png")
    return buffer.getvalue()
