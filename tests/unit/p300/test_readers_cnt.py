"""Neuroscan .cnt: equal to MNE-Python but for events that are numbered by sample, and what is refused before it sees the file."""

import struct
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from p300.errors import RecordingError
from p300.readers import open_recording, read_recording

from tests.support.cnt import write_cnt
from tests.support.readers import LABELS, ONSETS, eeg_uv


def write(path: Path, **options: Any) -> Path:
    codes = options.pop("codes", LABELS.tolist())
    return write_cnt(path, eeg_uv(3).T, ONSETS.tolist(), codes, **options)


def refusal(path: Path) -> RecordingError:
    with pytest.raises(RecordingError) as refused:
        open_recording(path)
    return refused.value


def packed(data: bytes, at: int, kind: str, value: float) -> bytes:
    return data[:at] + struct.pack(kind, value) + data[at + struct.calcsize(kind) :]


@pytest.mark.parametrize("event_type", [1, 2, 3])
@pytest.mark.parametrize("kind", ["int16", "int32"])
@pytest.mark.parametrize("block", [0, 10])
def test_eeg_and_events_are_read(tmp_path: Path, event_type: int, kind: str, block: int) -> None:
    found = read_recording(write(tmp_path / "a.cnt", event_type=event_type, kind=kind, step_uv=0.01, block=block))
    assert (found.ch_names, found.sfreq, found.gaps) == (("Fz", "Cz", "Pz"), 256.0, ())
    np.testing.assert_allclose(found.data, eeg_uv(3).T * 1e-6, rtol=0, atol=5.1e-9)
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


@pytest.mark.parametrize("kind", ["int16", "int32"])
@pytest.mark.parametrize("event_type", [1, 2])
def test_equal_to_mne(tmp_path: Path, kind: str, event_type: int) -> None:
    path = write(tmp_path / "a.cnt", kind=kind, step_uv=0.01, event_type=event_type, baseline=7, bad=["Cz"])
    expected = mne.io.read_raw_cnt(path, preload=True, verbose="error")
    found = read_recording(path)
    np.testing.assert_array_equal(found.data, expected.get_data())
    onsets, _ = mne.events_from_annotations(expected, verbose="error")
    np.testing.assert_array_equal(np.flatnonzero(found.stim), onsets[:, 0])
    assert found.bad_channels == ("Cz",)


def test_it_is_read_under_any_name_on_disk(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cnt").rename(tmp_path / "download")
    assert open_recording(path, name="subject_01/a.cnt").n_samples == eeg_uv(3).shape[0]


@pytest.mark.parametrize("date", ["11/27/26", "27/11/26", "05/06/07", "", "rubbish"])
def test_no_date_keeps_a_file_from_being_read(tmp_path: Path, date: str) -> None:
    assert open_recording(write(tmp_path / "a.cnt", date=date)).sfreq == 256


def test_other_codes_are_declared(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cnt", codes=np.where(LABELS == 2, 44, 33).tolist())
    refused = refusal(path)
    assert (refused.code, '{"event_id": {"33": 1, "44": 2}}' in refused.message) == ("unknown_codes", True)
    np.testing.assert_array_equal(open_recording(path, event_id={33: 1, 44: 2}).stim[ONSETS], LABELS)


def test_what_was_rejected_in_a_table_of_type_3_is_a_bad_span(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.cnt", event_type=3).read_bytes())
    first = len(data) - 19 * len(ONSETS)
    data[first + 19 * 5 + 3], data[first + 19 * 7 + 3] = 0xC0, 0xD0
    (tmp_path / "a.cnt").write_bytes(bytes(data))
    assert open_recording(tmp_path / "a.cnt").bad_spans == ((ONSETS[5], ONSETS[7]),)


@pytest.mark.parametrize(
    ("change", "code", "what"),
    [
        (lambda data: b"RIFF" + data[4:], "unknown_format", "ANT Neuro"),
        (lambda data: b"Wersion" + data[7:], "unreadable", "it begins with"),
        (lambda data: data[:800], "unreadable", "it begins with"),
        (lambda data: data[:9000], "unreadable", "a table of events at byte"),
        (lambda data: data[:-30], "unreadable", "bytes of events of type 2"),
        (lambda data: packed(data, 370, "<H", 0), "unreadable", "0 channels"),
        (lambda data: packed(data, 370, "<H", 5000), "too_many_channels", "5,000 channels"),
        (lambda data: packed(data, 370, "<H", 4), "unreadable", "samples of 4 channels are stated"),
        (lambda data: packed(data, 376, "<H", 0), "missing_sfreq", "sampling rate 0"),
        (lambda data: packed(data, 864, "<i", -1), "unreadable", "samples of 3 channels are stated"),
        (lambda data: packed(data, 864, "<i", 100), "unreadable", "100 samples"),
        (lambda data: packed(data, 886, "<i", -5), "unreadable", "at byte -5"),
        (lambda data: packed(data, 894, "<i", 1 << 30), "unreadable", "blocks of"),
        (lambda data: packed(data, 900 + 71, "<f", 0), "bad_metadata", "no scale"),
        (lambda data: packed(data, 900 + 59, "<f", float("nan")), "bad_metadata", "no scale"),
    ],
)
def test_damage_is_refused_with_what_it_is(tmp_path: Path, change: Any, code: str, what: str) -> None:
    path = write(tmp_path / "a.cnt")
    path.write_bytes(change(path.read_bytes()))
    refused = refusal(path)
    assert (refused.code, what in refused.message) == (code, True), refused.message
