"""Recordings through MNE-Python: stim channel or annotations, names and codes mapped, damage explained."""

from pathlib import Path

import mne
import numpy as np
import pytest
import scipy.io
from p300.errors import RecordingError
from p300.readers import open_recording, read_recording
from p300.readers.event_messages import remedy
from p300.recording import Recording

from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv, stim, write_brainvision, write_edf


def assert_recording(recording: Recording, atol: float) -> None:
    assert (recording.ch_names, recording.sfreq) == (("Fz", "Cz", "Pz"), 256.0)
    onsets = np.flatnonzero(recording.stim)
    np.testing.assert_array_equal(onsets, ONSETS)
    np.testing.assert_array_equal(recording.stim[onsets], LABELS)
    np.testing.assert_allclose(recording.data, eeg_uv(3).T * 1e-6, rtol=0, atol=atol)


def named_events(target: str = "Target", non_target: str = "NonTarget") -> list[tuple[str, int]]:
    return [(target if label == 2 else non_target, int(onset)) for onset, label in zip(ONSETS, LABELS, strict=True)]


def raw_array(with_stim: bool) -> mne.io.RawArray:
    kinds = ["eeg"] * 3 + ["stim"] * with_stim
    info = mne.create_info(["Fz", "Cz", "Pz", "STI 014"][: len(kinds)], 256.0, kinds)
    return mne.io.RawArray(np.vstack([eeg_uv(3).T * 1e-6, stim()[np.newaxis]])[: len(kinds)], info, verbose="error")


def test_fif_with_stim_channel(tmp_path: Path) -> None:
    raw_array(with_stim=True).save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    assert_recording(read_recording(tmp_path / "a_raw.fif"), 1e-15)


def test_fif_with_annotations_after_cropping(tmp_path: Path) -> None:
    raw = raw_array(with_stim=False)
    names = [name for name, _ in named_events()] + ["BAD_boundary"]
    raw.set_annotations(mne.Annotations([*(ONSETS / 256), 0.0], 0.0, names))
    raw.crop(20 / 256)
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    recording = read_recording(tmp_path / "a_raw.fif")
    np.testing.assert_array_equal(np.flatnonzero(recording.stim), ONSETS - 20)


def test_a_file_without_its_extension(tmp_path: Path) -> None:
    raw_array(with_stim=True).save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    (tmp_path / "a_raw.fif").rename(tmp_path / "download")
    assert_recording(read_recording(tmp_path / "download", name="subject_01/a_raw.fif"), 1e-15)


@pytest.mark.parametrize("bdf", [False, True])
def test_edf_and_bdf_with_a_status_channel(tmp_path: Path, bdf: bool) -> None:
    path = write_edf(tmp_path / f"a.{'bdf' if bdf else 'edf'}", bdf)
    assert_recording(read_recording(path), 2e-7 if not bdf else 1e-9)


def test_eeglab_set_with_events(tmp_path: Path) -> None:
    events = [
        {"type": name, "latency": float(sample + 1), "duration": 0.0, "urevent": float(i)}
        for i, (name, sample) in enumerate(named_events(), 1)
    ]
    chanlocs = [{"labels": name, "type": "EEG", "X": 0.0, "Y": 0.0, "Z": 1.0} for name in ("Fz", "Cz", "Pz")]
    eeg = {
        "setname": "a", "nbchan": 3.0, "trials": 1.0, "pnts": float(N_SAMPLES), "srate": 256.0, "xmin": 0.0,
        "xmax": (N_SAMPLES - 1) / 256, "data": eeg_uv(3).T.astype(np.float32), "event": np.array(events),
        "chanlocs": np.array(chanlocs), "icawinv": [], "icaweights": [], "icasphere": [], "icaact": [], "epoch": [],
        "history": "", "comments": "",
    }  # fmt: skip
    scipy.io.savemat(tmp_path / "a.set", {"EEG": eeg}, appendmat=False, oned_as="row")
    assert_recording(read_recording(tmp_path / "a.set"), 1e-9)


def test_brainvision_with_named_markers(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path / "a.vhdr", named_events("S  2", "S  1"))
    event_id: dict[str | int, int] = {"Stimulus/S  2": 2, "Stimulus/S  1": 1}
    assert_recording(read_recording(path, event_id=event_id), 6e-8)


@pytest.mark.parametrize(
    ("target", "non_target", "event_id"),
    [
        ("S  2", "S  1", None),
        ("Target", "NonTarget", None),
        ("S 33", "S  4", {"S 33": 2, "S 4": 1}),
        ("S 33", "S  4", {33: 2, 4: 1}),
    ],
)
def test_brainvision_markers_as_people_mean_them(
    tmp_path: Path, target: str, non_target: str, event_id: dict[str | int, int] | None
) -> None:
    path = write_brainvision(tmp_path / "a.vhdr", named_events(target, non_target))
    assert_recording(read_recording(path, event_id=event_id), 6e-8)


def test_unknown_markers_are_refused_with_their_names(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path / "a.vhdr", named_events("S  8", "S  9"))
    with pytest.raises(RecordingError, match=r"Stimulus/S  8.*event_id") as raised:
        open_recording(path)
    assert raised.value.code == "unknown_codes"


def test_brainvision_without_its_signal_file(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path / "a.vhdr", named_events())
    path.with_suffix(".eeg").unlink()
    with pytest.raises(RecordingError, match="beside it") as raised:
        open_recording(path)
    assert raised.value.code == "unreadable"


def test_no_stim_and_no_annotation(tmp_path: Path) -> None:
    raw_array(with_stim=False).save(tmp_path / "a_raw.fif", verbose="error")
    with pytest.raises(RecordingError, match="neither a stim channel nor an annotation") as raised:
        open_recording(tmp_path / "a_raw.fif")
    assert raised.value.code == "missing_stim"


def test_no_eeg(tmp_path: Path) -> None:
    raw = raw_array(with_stim=True)
    raw.set_channel_types(dict.fromkeys(("Fz", "Cz", "Pz"), "misc"), verbose="error")
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    with pytest.raises(RecordingError, match="misc") as raised:
        open_recording(tmp_path / "a_raw.fif")
    assert raised.value.code == "missing_eeg"


@pytest.mark.parametrize("extension", ["fif", "edf", "bdf", "set", "vhdr"])
def test_bytes_of_no_format(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    path.write_bytes(b"these bytes are no recording" * 100)
    with pytest.raises(RecordingError, match=f"a.{extension}") as raised:
        open_recording(path)
    assert raised.value.code == "unreadable"


def test_truncated_edf(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "a.edf")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RecordingError):
        read_recording(path)


def test_comments_beside_coded_stimuli_are_no_flashes(tmp_path: Path) -> None:
    markers = named_events("S 12", "S 11")
    path = write_brainvision(tmp_path / "a.vhdr", markers)
    comments = [f"Mk{90 + i}=Comment,{text},{10 + 300 * i},1,0" for i, text in enumerate(["target", "nontarget"] * 4)]
    vmrk = path.with_suffix(".vmrk")
    vmrk.write_text(vmrk.read_text() + "\n".join(comments) + "\n")
    with pytest.raises(RecordingError, match=r"S 11 \(33\), Stimulus/S 12 \(7\)") as raised:
        open_recording(path)
    assert raised.value.code == "unknown_codes"


def test_a_refusal_suggests_the_names_of_most_events() -> None:
    assert '"Comment/NonTarget": 1, "Comment/Target": 2}' in remedy(
        {"Comment/NonTarget": 20, "Comment/Target": 4, "S 99": 1}
    )
    assert '"S 11": 1, "S 12": 2}' in remedy({"S 11": 33, "S 12": 7, "Comment/target": 4})


def test_blocks_named_as_classes_are_no_flashes(tmp_path: Path) -> None:
    blocks = [("Target" if i % 3 == 0 else "NonTarget", 5 + 400 * i) for i in range(6)]
    with pytest.raises(RecordingError, match="most events are other stimuli") as raised:
        open_recording(write_brainvision(tmp_path / "a.vhdr", [*blocks, *named_events("S 12", "S 11")]))
    assert raised.value.code == "implausible_events"


def test_names_that_are_declared_do_not_excuse_codes(tmp_path: Path) -> None:
    raw = raw_array(with_stim=True)
    raw._data[-1] = np.where(raw._data[-1], 3 - raw._data[-1], 0)
    raw.save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    with pytest.raises(RecordingError) as raised:
        open_recording(tmp_path / "a_raw.fif", event_id={"hit": 2, "miss": 1})
    assert raised.value.code == "implausible_events"


def test_a_channel_name_that_occurs_twice_in_a_brainvision_header_is_refused(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path / "a.vhdr", named_events("Target", "NonTarget"))
    path.write_text(path.read_text().replace("Ch2=Cz", "Ch2=Fz"))
    with pytest.raises(RecordingError, match="occur twice: Fz") as raised:
        open_recording(path)
    assert raised.value.code == "duplicate_channels"
