"""GDF 1 and 2: equal to MNE-Python where that is right, OpenViBE's events with their groups, and what is refused."""

from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from p300.errors import RecordingError
from p300.readers import open_recording, read_recording
from p300.readers.declared import Declared

from tests.support.gdf import write_gdf
from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv, stim

OPENVIBE = np.where(LABELS == 2, 33285, 33286)
VERSIONS = ("1.25", "1.90", "2.00", "2.20")


def write(path: Path, onsets: Any = ONSETS, codes: Any = OPENVIBE, **options: Any) -> Path:
    return write_gdf(path, options.pop("values", eeg_uv(3).T), list(onsets), list(codes), **options)


def refusal(path: Path) -> RecordingError:
    with pytest.raises(RecordingError) as refused:
        open_recording(path)
    return refused.value


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", [1, 3])
def test_both_versions_are_read(tmp_path: Path, version: str, mode: int) -> None:
    found = read_recording(write(tmp_path / "a.gdf", version=version, mode=mode))
    assert (found.ch_names, found.sfreq, found.notes) == (("Fz", "Cz", "Pz"), 256.0, ())
    np.testing.assert_allclose(found.data, eeg_uv(3).T * 1e-6, rtol=1e-9, atol=1e-15)
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


@pytest.mark.parametrize("version", ["1.25", "2.20"])
@pytest.mark.parametrize("kind", [3, 5, 16, 17])
def test_equal_to_mne(tmp_path: Path, version: str, kind: int) -> None:
    path = write(tmp_path / "a.gdf", values=np.round(eeg_uv(3).T * 100), gain=0.01, kind=kind, version=version)
    expected = mne.io.read_raw_gdf(path, preload=True, verbose="error")
    found = read_recording(path)
    np.testing.assert_allclose(found.data, expected.get_data(), rtol=1e-9, atol=1e-15)
    onsets, _ = mne.events_from_annotations(expected, verbose="error")
    np.testing.assert_array_equal(np.flatnonzero(found.stim), onsets[:, 0])
    assert (list(found.ch_names), found.sfreq) == (expected.ch_names, expected.info["sfreq"])


@pytest.mark.parametrize("version", ["1.25", "2.20"])
def test_events_have_a_rate_of_their_own(tmp_path: Path, version: str) -> None:
    """MNE-Python takes positions for those of the signal."""
    found = read_recording(write(tmp_path / "a.gdf", ONSETS * 4, version=version, event_rate=1024))
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)


@pytest.mark.parametrize("late", [0, 1])
def test_openvibe_labels_are_the_groups_of_the_flashes(tmp_path: Path, late: int) -> None:
    groups = np.resize([3, 1, 2, 6, 5, 4], len(ONSETS))
    onsets = np.r_[ONSETS, ONSETS + late, ONSETS, 5]
    codes = np.r_[OPENVIBE, 33024 + groups, np.full(len(ONSETS), 32779), 32769]
    found = read_recording(write(tmp_path / "a.gdf", onsets, codes))
    assert found.flash is not None
    np.testing.assert_array_equal(found.flash[ONSETS], groups)
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


def test_labels_alone_are_refused_with_a_mapping_to_declare(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gdf", codes=np.where(LABELS == 2, 33026, 33025))
    refused = refusal(path)
    assert (refused.code, '{"event_id": {"33025": 1, "33026": 2}}' in refused.message) == ("unknown_codes", True)
    found = read_recording(path, declared=Declared(event_id={"33025": 1, "33026": 2}))
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


def test_a_trigger_channel_has_the_flashes_where_the_table_has_none(tmp_path: Path) -> None:
    values = np.vstack([eeg_uv(3).T, stim()])
    found = read_recording(write(tmp_path / "a.gdf", [], [], values=values, names=("Fz", "Cz", "Pz", "Status")))
    assert found.ch_names == ("Fz", "Cz", "Pz")
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


def test_a_new_segment_is_a_gap(tmp_path: Path) -> None:
    found = read_recording(write(tmp_path / "a.gdf", [*ONSETS, 0, 700], [*OPENVIBE, 32766, 32766]))
    assert found.gaps == (700,)


@pytest.mark.parametrize(("unit", "scale"), [("V", 1e-6), ("mV", 1e-3), ("uV", 1.0), ("nV", 1e3), ("", 1.0)])
@pytest.mark.parametrize("version", ["1.25", "2.20"])
def test_units_are_those_of_the_file(tmp_path: Path, unit: str, scale: float, version: str) -> None:
    found = read_recording(write(tmp_path / "a.gdf", values=eeg_uv(3).T * scale, units=[unit] * 3, version=version))
    np.testing.assert_allclose(found.data, eeg_uv(3).T * 1e-6, rtol=1e-9, atol=1e-15)
    assert ("unit not in the file: taken as microvolts" in found.notes) == (unit == "")


def test_channels_at_another_rate_are_left_out_or_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gdf", names=("Fz", "Cz", "Temp"))
    data = bytearray(path.read_bytes())
    at = 256 + 3 * (256 - 40) + 2 * 4  # samples of the third channel in a record
    assert data[at : at + 4] == (64).to_bytes(4, "little")
    data[at : at + 4] = (32).to_bytes(4, "little")
    body = np.frombuffer(bytes(data[1024 : 1024 + N_SAMPLES * 24]), np.uint8).reshape(-1, 3, 64 * 8)
    records = np.concatenate([body[:, :2].reshape(len(body), -1), body[:, 2, : 32 * 8]], axis=1).tobytes()
    path.write_bytes(bytes(data[:1024]) + records + bytes(data[1024 + N_SAMPLES * 24 :]))
    found = read_recording(path)
    assert (found.ch_names, found.notes[0]) == (("Fz", "Cz"), "not EEG, as sampled at another rate: Temp (128 Hz)")
    np.testing.assert_allclose(found.data, eeg_uv(3).T[:2] * 1e-6, rtol=1e-9, atol=1e-15)
    path.write_bytes(path.read_bytes().replace(b"Temp", b"Oz\0\0"))
    assert refusal(path).code == "mixed_rates"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda data: data[:3000], "records end at byte"),
        (lambda data: b"GDF 9.99" + data[8:], "it begins with 'GDF 9.99'"),
        (lambda data: data[:-200], "a table of 40 events that ends early"),
        (lambda data: data[:236] + b"\xff" * 8 + data[244:], "did not close it"),
        (lambda data: data[:252] + b"\0\0" + data[254:], "for 0 channels"),
        (lambda data: data.replace((17).to_bytes(4, "little") * 3, (255).to_bytes(4, "little") * 3), "type 255"),
    ],
)
def test_damage_is_refused_with_what_it_is(tmp_path: Path, change: Any, what: str) -> None:
    path = write(tmp_path / "a.gdf", mode=1)
    path.write_bytes(change(path.read_bytes()))
    refused = refusal(path)
    assert (refused.code, what in refused.message) == ("unreadable", True), refused.message
