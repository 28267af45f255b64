"""The charts and images of a recording's page, as the template takes them."""

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.features import VOLTS_TO_UV, FeatureSet
from p300.recording import CLASS_NAMES, NON_TARGET, TARGET
from p300.reporting import analysis, charts
from p300.reporting.charts import Frame, Series
from p300.reporting.maps import heat_png, map_pngs, maps_of
from p300.reporting.verdict import ALPHA, EARLIEST_S, Finding, difference_uv, spans, times_s
from p300.signals.survey import snippet_uv

CONFIDENCE_Z = 1.96
"""95 % of a normal distribution."""
LINE_DB = 6.0
"""A line frequency that stands out by less is not remarked on."""
MS = 1000.0
AFTER_FLASH = "ms after the flash"


def views(feature_set: FeatureSet, finding: Finding) -> dict[str, Any]:
    """Draw everything that a page shows of a recording.

    Parameters
    ----------
    feature_set : FeatureSet
        Its epochs.
    finding : Finding
        The verdict.

    Returns
    -------
    dict
        ``svg`` elements and images by what they show; None or empty where there is nothing to show.
    """
    return {
        "difference": difference_chart(feature_set, finding),
        "evoked": evoked_charts(feature_set, finding),
        "maps": _maps(feature_set, finding),
        "auc_over_time": _auc_over_time(feature_set),
        "auc_by_channel": analysis.auc_by_channel(feature_set),
        "erp_image": _erp_image(feature_set, finding),
        **signal_views(feature_set),
    }


def signal_views(feature_set: FeatureSet) -> dict[str, Any]:
    """Draw what needs no labels: flashes kept over time, some of the raw signal, its spectrum, intervals between flashes; as `views`."""
    survey = feature_set.survey
    return {
        "timeline": _timeline(survey.get("timeline")),
        "snippet": _snippet(survey.get("snippet")),
        "spectrum": _spectrum(survey.get("spectrum")),
        "intervals": _intervals(survey.get("intervals")),
    }


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


def significant(feature_set: FeatureSet, finding: Finding) -> NDArray[np.bool_]:
    """Return where the classes differ by more than chance.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording.
    finding : Finding
        The verdict on it.

    Returns
    -------
    mask : ndarray of bool, shape (n_channels, n_times)
    """
    mask = np.zeros((len(feature_set.ch_names), feature_set.n_times), bool)
    for cluster in finding.clusters:
        mask |= cluster.mask
    return mask


def difference_chart(feature_set: FeatureSet, finding: Finding) -> str:
    """Draw the difference wave of every channel, thick where it is significant."""
    times, difference, mask = MS * times_s(feature_set), difference_uv(feature_set), significant(feature_set, finding)
    series = [
        Series(name, wave, "difference", spans=spans(row), channel=channel)
        for channel, (name, wave, row) in enumerate(zip(feature_set.ch_names, difference, mask, strict=True))
    ]
    frame = Frame(
        (times[0], times[-1]), charts.around(difference, least=1.0), AFTER_FLASH, "Target - NonTarget, µV", 960, 320,
        marks=[(0.0, ""), (MS * EARLIEST_S, "tested from here")], levels=[0.0],
    )  # fmt: skip
    return charts.lines(frame, times, series, "Target minus non-target average of each channel", digits=2)


def evoked_charts(feature_set: FeatureSet, finding: Finding) -> list[tuple[str, bool, str]]:
    """Draw both averages of each channel; returns name, whether it was replaced, and the chart."""
    times, mask = MS * times_s(feature_set), significant(feature_set, finding)
    means = {label: evoked(feature_set, label) for label in (NON_TARGET, TARGET)}
    half = {label: CONFIDENCE_Z * np.nan_to_num(error) for label, (_, error) in means.items()}
    limits = charts.around(
        *(mean + sign * half[label] for label, (mean, _) in means.items() for sign in (-1, 1)), least=1.0
    )
    found = []
    for channel, name in enumerate(feature_set.ch_names):
        shaded = [(times[first], times[last], "significant") for first, last in spans(mask[channel])]
        frame = Frame((times[0], times[-1]), limits, AFTER_FLASH, "µV", 320, 180, shaded, [(0.0, "")], [0.0])
        series = [
            Series(
                CLASS_NAMES[label],
                means[label][0][channel],
                CLASS_NAMES[label].lower(),
                means[label][0][channel] - half[label][channel],
                means[label][0][channel] + half[label][channel],
            )
            for label in (NON_TARGET, TARGET)
        ]
        chart = charts.lines(frame, times, series, f"Target and non-target averages at {name}", digits=2)
        found.append((name, name in feature_set.rejection.bad_channels, chart))
    return found


def _maps(feature_set: FeatureSet, finding: Finding) -> dict[str, Any] | None:
    maps = maps_of(feature_set, finding.clusters)
    if maps is None:
        return None
    images = [base64.b64encode(png).decode() for png in map_pngs(maps)]
    captions = [f"{start:.0f} to {stop:.0f} ms" for start, stop in maps.windows]
    scale = base64.b64encode(heat_png(np.linspace(-1, 1, 64)[np.newaxis], 1.0)).decode()
    unknown = [name for name in feature_set.ch_names if name not in maps.ch_names]
    return {
        "images": list(zip(captions, images, strict=True)),
        "limit_uv": maps.limit_uv,
        "scale": scale,
        "unknown": unknown,
    }


def _auc_over_time(feature_set: FeatureSet) -> str | None:
    windows = analysis.auc_over_time(feature_set)
    if not windows:
        return None
    middles = MS * np.array([(start + stop) / 2 for start, stop, _ in windows])
    auc = np.array([band.auc for _, _, band in windows], float)
    above = np.array([band.p_value is not None and band.p_value < ALPHA / len(windows) for _, _, band in windows])
    shaded = [(MS * windows[first][0], MS * windows[last][1], "significant") for first, last in spans(above)]
    frame = Frame(
        (MS * windows[0][0], MS * windows[-1][1]), charts.around(auc, np.array([0.4, 0.7])), AFTER_FLASH, "AUC",
        shaded=shaded, levels=[0.5],
    )  # fmt: skip
    return charts.lines(frame, middles, [Series("AUC", auc, "target")], "AUC of single flashes over time", digits=3)


def _erp_image(feature_set: FeatureSet, finding: Finding) -> dict[str, Any]:
    p300 = finding.facts["p300"]
    late = times_s(feature_set) >= EARLIEST_S
    where = late if late.any() else np.ones_like(late)
    largest = int(np.argmax(np.abs(difference_uv(feature_set)[:, where]).max(axis=1)))
    channel = feature_set.ch_names.index(p300["peak"]["channel"]) if p300 else largest
    values, n_averaged = analysis.erp_image(feature_set, channel)
    limit = max(float(np.quantile(np.abs(values), 0.98)), 1e-9)
    times = MS * times_s(feature_set)
    n_targets = int((feature_set.label == TARGET).sum())
    frame = Frame((times[0], times[-1]), (n_targets, 0), AFTER_FLASH, "target flashes, in order", marks=[(0.0, "")])
    name = feature_set.ch_names[channel]
    drawn = charts.image(frame, base64.b64encode(heat_png(values, limit)).decode(), f"Every target epoch at {name}")
    return {"chart": drawn, "channel": name, "limit_uv": limit, "n_averaged": n_averaged}


def _timeline(timeline: Mapping[str, Any] | None) -> str | None:
    if not timeline:
        return None
    kept, flashes = np.array(timeline["n_kept"]), np.array(timeline["n_flashes"])
    edges = timeline["width_s"] * np.arange(len(kept) + 1)
    frame = Frame((0, edges[-1]), (0, max(int(flashes.max()), 1)), "s", "flashes")
    stacked = [("kept", "kept", kept.tolist()), ("left out", "rejected", (flashes - kept).tolist())]
    return charts.bars(frame, edges, stacked, "Flashes kept and left out over the recording")


def _intervals(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not found:
        return None
    edges = MS * (found["start_s"] + found["width_s"] * np.arange(len(found["counts"]) + 1))
    frame = Frame((edges[0], edges[-1]), (0, max([*found["counts"], 1])), "ms from one flash to the next", "flashes")
    drawn = charts.bars(frame, edges, [("flashes", "kept", found["counts"])], "Intervals between flashes")
    return {**found, "chart": drawn}


def _spectrum(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not found or not found["frequency_hz"]:
        return None
    frequency = np.array(found["frequency_hz"])
    low, median, high = (np.array(found[f"{name}_db"]) for name in ("lowest", "median", "highest"))
    marked = [line for line in found["line"] if line["highest_db"] >= LINE_DB]
    marks = [(line["frequency_hz"], f"{line['frequency_hz']:g} Hz") for line in marked]
    frame = Frame((0, frequency[-1]), charts.around(low, high), "Hz", "dB (1 µV²/Hz)", marks=marks)
    drawn = charts.lines(
        frame,
        frequency,
        [Series("median of the channels", median, "nontarget", low, high)],
        "Power spectral density of the raw signal",
    )
    return {"chart": drawn, "line": marked, "resolution_hz": found["resolution_hz"]}


def _snippet(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not found:
        return None
    uv = snippet_uv(found)
    times = found["start_s"] + np.arange(uv.shape[1]) / found["sfreq"]
    step = max(float(np.median(np.quantile(np.abs(uv), 0.98, axis=1))) * 2, 1.0)
    offsets = -step * np.arange(len(uv))
    series = [
        Series(name, offset + np.clip(row, -step, step), "raw", shown=row)
        for name, row, offset in zip(found["channels"], uv, offsets, strict=True)
    ]
    shaded = [(onset, onset, "flash-target" if label == TARGET else "flash") for onset, label in found["flashes"]]
    height = 60 + 22 * len(uv)
    frame = Frame(
        (times[0], times[-1]),
        (offsets[-1] - step, step),
        "s",
        "",
        960,
        height,
        shaded,
        y_ticks=list(zip(offsets, found["channels"], strict=True)),
    )
    return {"chart": charts.lines(frame, times, series, "Raw signal around some flashes"), "step_uv": step}
