"""The pictures of a model: AUC of each left-out subject, what more subjects would bring, and whether its probabilities can be believed."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from p300.reporting.picture import FAINT, NON_TARGET_COLOUR, TARGET_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, REFERENCE = TARGET_COLOUR, NON_TARGET_COLOUR
DPI = 110
MAX_NAMES = 40
"""More subjects than this are not named one by one."""


def draw_model(kind: str, metrics: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw the pictures of a model.

    Parameters
    ----------
    kind : str
        Of the model, for the titles.
    metrics : mapping
        What `p300.evaluation.evaluate` returned.

    Returns
    -------
    pictures : dict of str to bytes
        PNG by file name: ``subjects.png`` (or blocks, with one subject), ``calibration.png`` and, with several subjects,
        ``learning_curve.png``. The same figures give the same bytes.
    """
    pictures = {"calibration.png": _calibration(metrics)}
    if (metrics["leave_one_subject_out"] or metrics["within_subject_blocks"])["mean"]["roc_auc"] is not None:
        pictures["subjects.png"] = _subjects(kind, metrics)
    if metrics["learning_curve"]:
        pictures["learning_curve.png"] = _learning_curve(kind, metrics)
    return pictures


def _subjects(kind: str, metrics: Mapping[str, Any]) -> bytes:
    part = metrics["leave_one_subject_out"] or metrics["within_subject_blocks"]
    what = "subjects" if metrics["leave_one_subject_out"] else "blocks"
    reference = metrics["reference_lda"]
    rows = sorted(
        (figures["roc_auc"], name, reference[what][name]["roc_auc"])
        for name, figures in part[what].items()
        if figures["roc_auc"] is not None
    )
    height = 1.3 + (0.26 * max(len(rows), 3) if len(rows) <= MAX_NAMES else 0.11 * len(rows))
    figure, ax = _axes(7.4, height)
    y = np.arange(len(rows))
    ours, theirs = np.array([row[0] for row in rows]), np.array([row[2] for row in rows])
    ax.hlines(y, np.minimum(ours, theirs), np.maximum(ours, theirs), color=FAINT, lw=2, zorder=1)
    if kind != "lda":
        mean = reference["mean"]["roc_auc"]
        ax.plot(
            theirs, y, "o", color="white", mec=REFERENCE, ms=6, mew=1.4, label=f"plain LDA, mean {mean:.3f}", zorder=2
        )
        ax.axvline(mean, color=REFERENCE, lw=0.9, ls=(0, (4, 3)), zorder=0)
    mean = part["mean"]["roc_auc"]
    ax.plot(ours, y, "o", color=OURS, ms=6.5, label=f"{kind}, mean {mean:.3f}", zorder=3)
    ax.axvline(mean, color=OURS, lw=0.9, ls=(0, (4, 3)), zorder=0)
    ax.axvline(0.5, color="0.45", lw=0.8)
    ax.annotate(
        "chance", (0.5, 1), xycoords=("data", "axes fraction"), xytext=(3, 3), textcoords="offset points", color="0.45"
    )
    ax.set_yticks(y if len(rows) <= MAX_NAMES else [], [row[1] for row in rows] if len(rows) <= MAX_NAMES else [])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.set_xlim(min(0.48, float(min(ours.min(), theirs.min())) - 0.02), 1.01)
    ax.set_xlabel("ROC AUC")
    if what == "subjects":
        title = f"{len(rows)} subjects, each left out of training"
    else:
        title = f"One person only: {len(rows)} blocks of time, each left out"
    return _png(figure, ax, title, legend_columns=2)


def _learning_curve(kind: str, metrics: Mapping[str, Any]) -> bytes:
    points = metrics["learning_curve"]
    figure, ax = _axes(7.4, 4.2)
    n = np.array([point["n_subjects"] for point in points])
    auc, sd, reference = (
        np.array([point[name] for point in points]) for name in ("roc_auc", "sd", "reference_roc_auc")
    )
    people = len((metrics["leave_one_subject_out"] or {}).get("subjects") or {}) or 1
    half = sd / np.sqrt(people)
    ax.fill_between(n, auc - half, auc + half, color=OURS, alpha=0.15, lw=0, label="± 1 standard error over subjects")
    if kind != "lda":
        ax.plot(n, reference, "o-", color=REFERENCE, mfc="white", ms=5, lw=1.4, label="plain LDA")
    ax.plot(n, auc, "o-", color=OURS, ms=5.5, lw=1.8, label=f"{kind}, each epoch on its own")
    adapted = metrics["leave_one_subject_out"]["mean"]["roc_auc"]
    if abs(adapted - auc[-1]) > 5e-4:
        ax.plot(n[-1], adapted, "*", color=OURS, ms=13, label=f"{kind}, adapted to each recording")
    ax.set_xscale("log", base=2)
    ax.set_xticks(n, [str(size) for size in n])
    ax.minorticks_off()
    ax.set_xlabel("subjects trained on")
    ax.set_ylabel("ROC AUC on subjects left out")
    return _png(figure, ax, "Would more subjects help?", legend_columns=2)


def _calibration(metrics: Mapping[str, Any]) -> bytes:
    bins = metrics["calibration_curve"]
    figure, ax = _axes(5.4, 5.4)
    predicted, observed, count = (
        np.array([one[name] for one in bins]) for name in ("predicted", "observed", "n_epochs")
    )
    # A bin's standard error, of a proportion; never none, as no bin is certain.
    error = np.sqrt(np.maximum(observed * (1 - observed), 1 / (count + 2)) / count)
    ax.plot([0, 1], [0, 1], color="0.45", lw=0.8)
    ax.errorbar(predicted, observed, yerr=1.96 * error, fmt="o-", color=OURS, ms=5.5, lw=1.4, elinewidth=1.0, capsize=2)
    limit = min(1.0, float(max(predicted.max(), (observed + 1.96 * error).max())) * 1.08)
    ax.annotate(
        "as often as said",
        (0.98 * limit, 0.96 * limit),
        rotation=45,
        rotation_mode="anchor",
        ha="right",
        va="top",
        color="0.45",
    )
    ax.set_xlim(0, limit)
    ax.set_ylim(0, limit)
    ax.set_aspect("equal")
    ax.set_xlabel("probability of Target, as predicted")
    ax.set_ylabel("targets among these epochs")
    brier = (metrics["leave_one_subject_out"] or metrics["within_subject_blocks"])["mean"]["brier"]
    return _png(figure, ax, f"Calibration on what was left out (Brier {brier:.3f})")


def _axes(width_in: float, height_in: float) -> tuple["Figure", "Axes"]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    ax.grid(axis="both", color=FAINT, lw=0.5, alpha=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def _png(figure: "Figure", ax: "Axes", title: str, legend_columns: int = 0) -> bytes:
    figure.suptitle(title, x=0.02, ha="left", weight="bold", size=11)
    if legend_columns:
        figure.legend(loc="outside lower left", ncols=legend_columns, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
