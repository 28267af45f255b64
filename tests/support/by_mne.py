"""The same preprocessing in MNE-Python, to compare with."""

from dataclasses import dataclass

import mne
import numpy as np
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.recording import Recording
from p300.signals import Parameters, extract
from p300.signals.stillness import Stillness

TOLERANCE_V = {"float64": 1e-12, "float32": 1e-9}
NAMES_10_05 = mne.channels.make_standard_montage("colin27_1005").ch_names


@dataclass(frozen=True)
class Expected:
    """What MNE-Python makes of a recording."""

    data: NDArray[np.float64]
    onsets: NDArray[np.int64]
    labels: NDArray[np.int64]


def by_mne(recording: Recording, parameters: Parameters, bads: tuple[str, ...] = ()) -> Expected:
    """The same preprocessing in MNE-Python's own words."""
    names = [*recording.ch_names, "STI"]
    n_channels = len(recording.ch_names)
    info = mne.create_info(names, recording.sfreq, ["eeg"] * n_channels + ["stim"], verbose="error")
    stillness = Stillness(recording.sfreq)  # MNE-Python knows NaN only as missing
    segments = np.split(recording.data, recording.gaps, axis=1)
    known = np.hstack([block for segment in segments for block in stillness.blanked([segment])])
    data = np.hstack([held(segment) for segment in np.split(known, recording.gaps, axis=1)])
    raw = mne.io.RawArray(np.vstack([data, recording.stim[np.newaxis]]), info, verbose="error")
    gaps = np.isnan(known[[name not in bads for name in recording.ch_names]]).any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], gaps, [0]])))
    onsets, ends = edges[::2] / recording.sfreq, edges[1::2] / recording.sfreq
    marks = mne.Annotations(onsets, ends - onsets, ["BAD_gap"] * len(onsets))
    for gap in recording.gaps:  # as mne.concatenate_raws marks the end of a run
        marks.append([gap / recording.sfreq] * 2, 0.0, ["EDGE boundary", "BAD boundary"])
    for first, after in recording.bad_spans:
        marks.append(first / recording.sfreq, (after - first) / recording.sfreq, "BAD_movement")
    raw.set_annotations(marks, verbose="error")
    if bads:
        interpolate(raw, bads)
    raw.filter(parameters.l_freq, parameters.h_freq, picks="eeg", verbose="error")
    if parameters.notch_freq is not None and parameters.notch_freq < parameters.h_freq:
        raw.notch_filter(np.arange(parameters.notch_freq, parameters.h_freq, parameters.notch_freq), verbose="error")
    events = mne.find_events(raw, "STI", shortest_event=1, verbose="error")
    if not len(events):
        return Expected(np.empty((0, n_channels, parameters.n_times)), np.empty(0, int), np.empty(0, int))
    limit = parameters.reject_peak_to_peak_uv
    epochs = mne.Epochs(
        raw,
        events,
        {"NonTarget": 1, "Target": 2},
        parameters.tmin,
        parameters.tmax,
        baseline=parameters.baseline,
        reject=None if limit is None else {"eeg": limit * 1e-6},
        picks="eeg",
        preload=True,
        on_missing="ignore",
        verbose="error",
    )
    epochs.drop_bad(verbose="error")
    onsets, labels = epochs.events[:, 0], epochs.events[:, 2]
    if not len(epochs):
        return Expected(np.empty((0, n_channels, parameters.n_times)), onsets, labels)
    resampled = epochs.resample(parameters.sfreq, verbose="error").get_data()
    return Expected(resampled[:, :, : parameters.n_times], onsets, labels)


def held(data: NDArray[np.floating]) -> NDArray[np.float64]:
    """Each channel's last finite value during a gap; the first one before it."""
    filled = data.astype(np.float64)
    for row in filled:
        known = np.flatnonzero(np.isfinite(row))
        value = row[known[0]] if len(known) else 0.0
        for i in range(len(row)):
            value = row[i] if np.isfinite(row[i]) else value
            row[i] = value
    return filled


def interpolate(raw: mne.io.RawArray, bads: tuple[str, ...]) -> None:
    eeg = raw.ch_names[:-1]
    if set(eeg) <= set(NAMES_10_05):
        raw.set_montage("colin27_1005", verbose="error")
        raw.info["bads"] = list(bads)
        raw.interpolate_bads(verbose="error")
    else:
        good = [eeg.index(name) for name in eeg if name not in bads]
        raw._data[[eeg.index(name) for name in bads]] = raw._data[good].mean(axis=0)


def assert_equal(recording: Recording, parameters: Parameters) -> None:
    try:
        features = extract(recording, parameters)
    except RecordingError as refusal:
        assert refusal.code == "no_epochs_kept"
        assert set(by_mne(recording, parameters).labels) != {1, 2}
        return
    expected = by_mne(recording, parameters, features.rejection.bad_channels)
    np.testing.assert_array_equal(features.onset_sample, expected.onsets)
    np.testing.assert_array_equal(features.label, expected.labels)
    assert features.epochs.shape == (len(expected.data), len(recording.ch_names), parameters.n_times)
    assert features.X.dtype == parameters.precision
    np.testing.assert_allclose(features.epochs, expected.data, rtol=0, atol=TOLERANCE_V[parameters.precision])
