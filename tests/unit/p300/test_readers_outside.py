"""Events outside of the signal are counted in a note, and the others stay where they are."""

import re
from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.text import n_of

from tests.support.edf import write_edf_plus
from tests.support.labs import NAMES, SFREQ, Lab, generated, lab, write

MADE = lab(1)
LENGTH_S = MADE.uv.shape[1] // int(SFREQ)
WITH_NAMES = ("fif", "edf", "bdf", "vhdr", "set", "set of version 7.3", "hdf5")


def cut(folder: Path, kind: str, first_s: int, last_s: int) -> Path:
    """Write the signal of some seconds with the events of the whole; FIF alone can say that some were before the signal."""
    extension = kind.partition(" ")[0]
    first, last = round(first_s * SFREQ), round(last_s * SFREQ)
    names = [NAMES[int(MADE.stim[onset])] for onset in MADE.onsets]
    path = folder / f"a.{extension}"
    if extension == "fif":
        info = mne.create_info(MADE.names, SFREQ, "eeg", verbose="error")
        raw = mne.io.RawArray(MADE.uv * 1e-6, info, verbose="error")
        raw.set_annotations(mne.Annotations(MADE.onsets / SFREQ, 0.0, names))
        # A stop at the very end is one sample before the length.
        raw.save(path, tmin=first_s, tmax=last_s - 1 / SFREQ, overwrite=True, verbose="error")
        return path
    if extension in ("edf", "bdf"):
        n = len(MADE.names)
        events = list(zip((MADE.onsets / SFREQ).tolist(), names, strict=True))
        return write_edf_plus(path, [*MADE.uv[:, :last]], MADE.names, [int(SFREQ)] * n, events)
    return write(folder, Lab(MADE.uv[:, first:last], MADE.names, MADE.stim), extension, latest="7.3" in kind)


@given(st.sampled_from([*WITH_NAMES, "gdf"]), st.integers(0, 3), st.integers(LENGTH_S - 8, LENGTH_S))
@generated(40)
def test_events_outside_of_the_signal_are_counted(tmp_path: Path, kind: str, first_s: int, last_s: int) -> None:
    first_s = first_s if kind == "fif" else 0
    stream = open_recording(cut(tmp_path, kind, first_s, last_s))
    first, last = round(first_s * SFREQ), round(last_s * SFREQ)
    assert stream.n_samples == last - first
    np.testing.assert_array_equal(stream.stim, MADE.stim[first:last])
    outside = np.r_[MADE.stim[:first], MADE.stim[last:]]
    n_lost = int(np.count_nonzero(outside))
    assert (f"{n_of(n_lost, 'flash')} outside of the recording ignored" in stream.notes) == bool(n_lost)
    if kind in WITH_NAMES[:-1]:
        named = [
            note
            for note in stream.notes
            if note.startswith(f"{n_of(n_lost, 'event')} outside of the recording ignored: ")
        ]
        assert len(named) == bool(n_lost)
        for code, name in NAMES.items():
            n_of_class = int((outside == code).sum())
            assert bool(re.search(rf"[ /]{name} \({n_of_class}\)", "".join(named))) == bool(n_of_class)


@pytest.mark.parametrize("kind", WITH_NAMES)
def test_a_signal_without_any_of_its_events_is_refused_with_their_counts(tmp_path: Path, kind: str) -> None:
    with pytest.raises(RecordingError) as raised:
        open_recording(cut(tmp_path, kind, 0, 1))
    assert raised.value.code == "events_outside"
    n = len(MADE.onsets)
    assert f"all {n} flashes lie outside of the recording, which has 1.0 s" in raised.value.message
    assert re.search(
        rf"Found events (Stimulus/)?NonTarget \({n - 10}\), (Stimulus/)?Target \(10\)\.", raised.value.message
    )


def test_a_stim_channel_is_used_where_all_annotations_are_outside(tmp_path: Path) -> None:
    info = mne.create_info([*MADE.names, "STI 014"], SFREQ, ["eeg"] * 8 + ["stim"], verbose="error")
    raw = mne.io.RawArray(np.vstack([MADE.uv * 1e-6, MADE.stim]), info, verbose="error")
    raw.set_annotations(mne.Annotations([0.0, 0.1, 0.2, 0.3], 0.0, ["NonTarget", "NonTarget", "NonTarget", "Target"]))
    raw.save(tmp_path / "a_raw.fif", tmin=1, verbose="error")
    stream = open_recording(tmp_path / "a_raw.fif")
    np.testing.assert_array_equal(stream.stim, MADE.stim[round(SFREQ) :])
    assert "4 events outside of the recording ignored: NonTarget (3), Target (1)" in stream.notes


def test_brainvisions_first_segment_is_not_counted(tmp_path: Path) -> None:
    path = write(tmp_path, MADE, "vhdr")
    markers = path.with_suffix(".vmrk")
    told = "[Marker Infos]\nMk900=New Segment,,1,1,0,20240101120000000000\nMk901=New Segment,,2561,1,0,20240101120500000000\n"
    markers.write_text(markers.read_text().replace("[Marker Infos]\n", told))
    stream = open_recording(path)
    assert stream.gaps == (2560,)
    assert not any("outside" in note for note in stream.notes)
