"""Mind Monitor's files of a Muse: times of day, events in rows of their own, gaps, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p300.errors import RecordingError
from p300.readers import open_recording, read_recording

from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv
from tests.support.texts import MUSE, write_muse

EVENTS = [(int(at), f"/Marker/{label}") for at, label in zip(ONSETS, LABELS, strict=True)]


def write(path: Path, events: Any = EVENTS, **options: Any) -> Path:
    return write_muse(path, eeg_uv(4).T, events, **options)


def refusal(path: Path, **options: Any) -> RecordingError:
    with pytest.raises(RecordingError) as refused:
        open_recording(path, **options)
    return refused.value


def test_raw_eeg_and_markers_are_read(tmp_path: Path) -> None:
    found = read_recording(write(tmp_path / "a.csv", [(9, "/muse/elements/blink"), *EVENTS]))
    assert (found.ch_names, found.sfreq, found.gaps) == (MUSE, 256.0, ())
    np.testing.assert_allclose(found.data, (eeg_uv(4).T + 800) * 1e-6, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)
    assert "1 event of the headband ignored: blinks, clenched jaws, connections" in found.notes


def test_other_markers_are_declared(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [(at, "/Marker/7" if text.endswith("2") else "/Marker/4") for at, text in EVENTS])
    refused = refusal(path)
    assert (refused.code, '"7"' in refused.message) == ("unknown_codes", True)
    found = open_recording(path, sidecar={"event_id": {"7": 2, "4": 1}})
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


def test_lost_packets_are_gaps_and_move_no_flash(tmp_path: Path) -> None:
    kept = np.r_[0:700, 760:N_SAMPLES]
    found = open_recording(
        write(tmp_path / "a.csv", [event for event in EVENTS if not 700 <= event[0] < 760], kept=kept)
    )
    assert (found.gaps, found.n_samples) == ((700,), len(kept))
    onsets = [at if at < 700 else at - 60 for at, _ in EVENTS if not 700 <= at < 760]
    np.testing.assert_array_equal(np.flatnonzero(found.stim), onsets)


def test_a_rate_that_is_not_the_headbands_is_that_of_the_times(tmp_path: Path) -> None:
    found = open_recording(write(tmp_path / "a.csv", sfreq=220))
    assert found.sfreq == pytest.approx(220, abs=0.05)
    assert any(note.endswith("Hz by the times in TimeStamp") for note in found.notes)


def test_averages_without_raw_eeg_and_slow_intervals_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", sfreq=2)
    assert refusal(path).code == "missing_sfreq"
    path = write(tmp_path / "b.csv", kept=np.zeros(0, int))
    assert refusal(path).code == "missing_eeg"


def test_without_events_it_is_refused(tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "a.csv", [])).code == "missing_stim"


def test_columns_that_occur_twice_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    path.write_text(path.read_text().replace("RAW_AF7", "RAW_TP9", 1))
    assert refusal(path).code == "duplicate_channels"
