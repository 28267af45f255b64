"""Flashes as annotations and on a stim channel of one file: the same in both, or refused."""

import tempfile
from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.recording import RecordingStream
from p300.signals.flashes import find_flashes

from tests.support.edf import write_edf_plus
from tests.support.generated import CHANNELS, NON_TARGET, TARGET, Session
from tests.support.labs import EXAMPLES

sessions = st.builds(
    Session, sfreq=st.sampled_from([128, 256, 500]), n_repetitions=st.integers(3, 5), seed=st.integers(0, 999)
)
generated = settings(
    max_examples=int(EXAMPLES) if EXAMPLES else 30, deadline=None, suppress_health_check=list(HealthCheck)
)
FAULTS = (
    "none",
    "a sample late",
    "one missing",
    "swapped",
    "shuffled",
    "late",
    "half",
    "row and column codes",
    "nothing",
)


def write(path: Path, session: Session, events: list[tuple[int, str]], line: NDArray[np.int64]) -> Path:
    if path.suffix != ".fif":
        return write_edf_plus(
            path,
            [*session.eeg_uv, line.astype(float)],
            [*CHANNELS, "Status"],
            [session.sfreq] * 4,
            [(sample / session.sfreq, name) for sample, name in events],
            largest=[3276.7] * 3 + [2 ** (23 if path.suffix == ".bdf" else 15) - 1],
        )
    info = mne.create_info([*CHANNELS, "STI 014"], session.sfreq, ["eeg"] * 3 + ["stim"], verbose="error")
    raw = mne.io.RawArray(np.vstack([session.eeg_uv * 1e-6, line]), info, verbose="error")
    raw.set_annotations(mne.Annotations([s / session.sfreq for s, _ in events], 0.0, [name for _, name in events]))
    raw.save(path, fmt="double", overwrite=True, verbose="error")
    return path


def opened(session: Session, name: str, fault: str, event_id: dict[str | int, int] | None = None) -> RecordingStream:
    rng = np.random.default_rng(session.seed)
    labels, onsets = session.labels.copy(), session.onsets.copy()
    if fault == "swapped":
        some = rng.choice(len(labels), 3, replace=False)
        labels[some] = 3 - labels[some]
    elif fault == "shuffled":
        labels = np.roll(labels, 1)
    elif fault == "row and column codes":
        labels = session.groups.copy()
    elif fault == "nothing":
        labels = np.zeros_like(labels)
    elif fault == "late":
        onsets = onsets + round(0.06 * session.sfreq)
    elif fault == "a sample late":
        onsets = onsets + 1
    kept = slice(None, len(onsets) // 2) if fault == "half" else slice(1 if fault == "one missing" else 0, None)
    line = np.zeros(session.n_samples, np.int64)
    for width in range(4):
        line[onsets[kept] + width] = labels[kept]
    events = [
        (int(sample), "Target" if label == TARGET else "NonTarget")
        for sample, label in zip(session.onsets, session.labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        return open_recording(write(Path(folder) / name, session, events, line), event_id=event_id)


@given(sessions, st.sampled_from(["a_raw.fif", "a.edf", "a.bdf"]), st.sampled_from(FAULTS))
@generated
def test_annotations_and_stim_channel_agree_or_are_refused(session: Session, name: str, fault: str) -> None:
    contradicts = fault in ("swapped", "shuffled", "late", "half")
    try:
        stream = opened(session, name, fault)
    except RecordingError as refusal:
        assert contradicts, refusal
        assert refusal.code == "contradictory_events"
        assert '{"event_id": {"NonTarget": 1, "Target": 2}}' in refusal.message
        return
    assert not contradicts
    flashes = find_flashes(stream.stim)
    np.testing.assert_array_equal(flashes.onset_sample, session.onsets)
    np.testing.assert_array_equal(flashes.label, session.labels)
    assert any("flashes taken from the annotations" in note for note in stream.notes) == (fault != "nothing")


@pytest.mark.parametrize("name", ["a_raw.fif", "a.edf", "a.bdf"])
def test_declared_annotations_are_taken_and_the_contradiction_is_noted(name: str) -> None:
    session = Session()
    stream = opened(session, name, "shuffled", {"Target": TARGET, "NonTarget": NON_TARGET})
    np.testing.assert_array_equal(find_flashes(stream.stim).label, session.labels)
    assert any("though they contradict the stim channel" in note for note in stream.notes)
