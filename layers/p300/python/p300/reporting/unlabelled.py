"""The report of an unlabelled recording: what it is, its signal, and the average of all its flashes, as no class is known."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from p300.features import VOLTS_TO_UV, FeatureSet
from p300.reporting.page import filled
from p300.reporting.verdict import times_s
from p300.reporting.views import signal_views

TEMPLATE = Path(__file__).with_name("unlabelled.html.jinja")
SENTENCE = (
    "Unlabelled: nobody says which flashes were targets. No population model is trained on this recording or tested with it, and whether "
    "it shows a P300 is not tested. The subject's personal model learns from it where its symbols are certain or confirmed."
)
COLOUR, FAINT = "#3b5b7a", "#d0d4d9"
N_COLUMNS, PANEL_IN, DPI = 4, (2.75, 1.5), 110


def draw(feature_set: FeatureSet, title: str) -> bytes:
    """Draw the average of all flashes at each channel.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording.
    title : str
        Its name.

    Returns
    -------
    bytes
        A PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    times, mean_uv = 1000 * times_s(feature_set), feature_set.epochs.mean(axis=0, dtype=np.float64) * VOLTS_TO_UV
    n_rows = -(-len(mean_uv) // N_COLUMNS)
    figure = Figure(figsize=(N_COLUMNS * PANEL_IN[0], n_rows * PANEL_IN[1] + 0.9), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    for channel, (name, row) in enumerate(zip(feature_set.ch_names, mean_uv, strict=True), start=1):
        ax = figure.add_subplot(n_rows, N_COLUMNS, channel)
        ax.axhline(0, color=FAINT, lw=0.6)
        ax.axvline(0, color=FAINT, lw=0.6)
        ax.plot(times, row, color=COLOUR, lw=1.2)
        ax.set_ylim(1.1 * min(mean_uv.min(), 0), 1.1 * max(mean_uv.max(), 0) or 1)
        ax.set_title(name.replace("$", r"\$"), loc="left", fontsize=9)
        ax.tick_params(labelsize=7)
    what = f"unlabelled: average of all {len(feature_set.X):,} flashes, in µV against ms after the flash"
    figure.suptitle(f"{title[-60:]}\n{what}".replace("$", r"\$"), fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def render(recording: str, facts: dict[str, Any], feature_set: FeatureSet) -> str:
    """Return the page.

    Parameters
    ----------
    recording : str
        ``<subject>/<recording>``.
    facts : dict
        The recording's ``report.json``.
    feature_set : FeatureSet
        Its epochs.

    Returns
    -------
    str
        HTML; whatever comes from a file or a key is escaped.
    """
    n_groups = 0 if feature_set.flash is None else len(np.unique(feature_set.flash))
    return filled(
        TEMPLATE,
        recording=recording,
        sentence=SENTENCE,
        facts=facts,
        n_groups=n_groups,
        views=signal_views(feature_set),
    )
