"""Which channels are EEG, for every format: sensors and triggers are left out by name, unit, type or signal; EEG never is."""

from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.readers.channels import FileChannel, choose, is_electrode, other_kind
from p300.readers.declared import Declared
from p300.signals import Parameters, extract

from tests.support.labs import FORMATS, Lab, generated, lab, write
from tests.support.readers import eeg_uv, write_parquet

DOUBLE = Parameters(precision="float64")
SENSORS = [
    "EOG", "HEOG", "VEOG", "heogL", "EOG 061", "EOG-H", "ECG", "EKG2", "EMG_left", "EXG1", "GSR2", "Erg1", "Resp", "Resp chest", "Plet",
    "Temp", "ACC X", "acc_y", "AccZ", "GyroX", "TRIG", "Trigger 1", "TTL", "STI101", "Marker", "TriggerEvent", "Photodiode", "AUX 1",
    "BIP2", "SpO2", "Audio", "Battery", "COUNTER",
]  # fmt: skip
"""Named Status or Trigger, a channel is where MNE-Python looks for events."""


def held(made: Lab, values: NDArray[np.floating], n_samples: int, delay: int = 0) -> NDArray[np.float64]:
    """Return a line that is 0 but for a pulse at each flash."""
    line = np.zeros(made.uv.shape[1])
    for onset, value in zip(made.onsets + delay, values, strict=True):
        line[onset : onset + n_samples] = value
    return line


@st.composite
def trigger_lines(draw: st.DrawFn) -> tuple[Lab, NDArray[np.float64]]:
    """A recording, and the voltage of a line that carries its triggers."""
    made = lab(draw(st.integers(0, 50)))
    classes = made.stim[made.onsets].astype(float)
    kind = draw(st.sampled_from(["codes", "noisy codes", "pulses", "noisy pulses", "class in the noise"]))
    height = draw(st.sampled_from([1.0, 20.0, 1000.0]))
    n_samples, delay = draw(st.integers(5, 40)), draw(st.integers(0, 2))
    rng = np.random.default_rng(draw(st.integers(0, 100)))
    noise = rng.normal(0, 0.1 * height, made.uv.shape[1])
    if kind.endswith("codes"):
        line = held(made, height * classes, n_samples, delay)
    elif kind.endswith("pulses"):
        line = held(made, np.full(len(classes), height), n_samples, delay)
    else:
        line, noise = held(made, 8 * height * (classes - 1), n_samples, delay), 10 * noise
    return made, draw(st.sampled_from([1, -1])) * line + (noise if kind not in ("codes", "pulses") else 0)


def test_no_electrode_is_taken_for_a_sensor() -> None:
    for montage in mne.channels.get_builtin_montages():
        for name in mne.channels.make_standard_montage(montage).ch_names:
            assert other_kind(FileChannel(name)) is None, (montage, name)
    assert all(is_electrode(name) for name in mne.channels.make_standard_montage("colin27_1005").ch_names)


@pytest.mark.parametrize("name", SENSORS)
def test_sensors_are_known_by_name(name: str) -> None:
    assert other_kind(FileChannel(name)) is not None
    assert not is_electrode(name)


@given(st.data())
@generated(12)
def test_a_sensor_leaves_the_features_as_they_are_without_it(tmp_path: Path, data: st.DataObject) -> None:
    made, extension = lab(data.draw(st.integers(0, 20))), data.draw(st.sampled_from(FORMATS))
    sensor = data.draw(st.sampled_from(SENSORS))
    row = np.random.default_rng(0).normal(0, 20, (1, made.uv.shape[1]))
    place = data.draw(st.integers(0, 8))
    order = [*range(place), 8, *range(place, 8)]
    stream = open_recording(write(tmp_path, made.with_channel(row, sensor).ordered(order), extension))
    assert stream.ch_names == tuple(made.names)
    assert any(sensor in note for note in stream.notes)
    expected = extract(open_recording(write(tmp_path, made, extension)), DOUBLE)
    np.testing.assert_array_equal(extract(stream, DOUBLE).X, expected.X)


@given(
    st.sampled_from(["edf", "bdf", "vhdr", "dat", "xdf", "gdf"]),
    st.sampled_from(["degC", "g", "nOhm", "%", "Boolean", "m/s^2", "bpm"]),
)
@generated(6)
def test_a_channel_in_another_unit_is_left_out(tmp_path: Path, extension: str, unit: str) -> None:
    made = lab()
    path = write(tmp_path, made.with_channel(made.uv[0] + np.full(made.uv.shape[1], 30.0), "X1", unit), extension)
    assert open_recording(path).ch_names == tuple(made.names)


@pytest.mark.parametrize("extension", ["fif", "set", "xdf"])
@pytest.mark.parametrize("kind", ["eog", "ecg", "emg", "misc"])
def test_a_channel_of_another_type_is_left_out(tmp_path: Path, extension: str, kind: str) -> None:
    made = lab()
    stream = open_recording(write(tmp_path, made.with_channel(made.uv[0] * 2, "X1", kind=kind), extension))
    assert stream.ch_names == tuple(made.names)
    assert any(f"X1 ({kind})" in note for note in stream.notes)


@given(trigger_lines(), st.sampled_from(FORMATS), st.sampled_from(["X1", "ch17", "E17"]))
@generated(12)
def test_a_trigger_line_of_any_name_is_not_eeg(
    tmp_path: Path, recording: tuple[Lab, NDArray[np.float64]], extension: str, name: str
) -> None:
    made, line = recording
    stream = open_recording(write(tmp_path, made.with_channel(line, name), extension))
    assert stream.ch_names == tuple(made.names)
    assert any("not EEG by their signal" in note and name in note for note in stream.notes)


@given(trigger_lines(), st.sampled_from(FORMATS))
@generated(6)
def test_an_electrode_that_carries_the_trigger_is_replaced(
    tmp_path: Path, recording: tuple[Lab, NDArray[np.float64]], extension: str
) -> None:
    made, line = recording
    wired = made.with_channel(line, "Oz")
    stream = open_recording(write(tmp_path, wired, extension))
    assert (stream.ch_names, stream.bad_channels) == (tuple(wired.names), ("Oz",))
    features = extract(stream, DOUBLE)
    assert features.rejection.bad_channels == ("Oz",)
    # What replaces it is made of the others.
    other = extract(
        open_recording(
            write(tmp_path, made.with_channel(made.uv[0] + 1, "Oz"), extension), declared=Declared(bad_channels=("Oz",))
        ),
        DOUBLE,
    )
    np.testing.assert_allclose(features.X, other.X, rtol=0, atol=2e-8 if extension == "edf" else 1e-9)


@given(st.integers(0, 10_000), st.sampled_from(FORMATS), st.sampled_from([0.0, 3000.0]), st.sampled_from([2, 8, 16]))
@generated(12)
@example(0, "parquet", 0.0, 1)
def test_eeg_is_never_left_out(tmp_path: Path, seed: int, extension: str, offset_uv: float, n_channels: int) -> None:
    made = lab(seed, n_channels=n_channels, offset_uv=offset_uv)
    stream = open_recording(write(tmp_path, made, extension))
    unit = ("unit not in the file: taken as microvolts",) if extension == "hdf5" else ()
    assert (stream.ch_names, stream.bad_channels, stream.notes) == (tuple(made.names), (), unit)


@given(st.permutations(range(8)), st.sampled_from(FORMATS))
@generated(8)
def test_channels_in_another_order_are_the_same_channels(tmp_path: Path, order: list[int], extension: str) -> None:
    made = lab()
    straight = extract(open_recording(write(tmp_path, made, extension)), DOUBLE)
    permuted = extract(open_recording(write(tmp_path, made.ordered(order), extension)), DOUBLE)
    assert permuted.ch_names == tuple(made.names[i] for i in order)
    np.testing.assert_array_equal(permuted.epochs, straight.epochs[:, order])


@given(st.integers(0, 1000))
@generated(4)
def test_every_format_gives_the_same_features(tmp_path: Path, seed: int) -> None:
    made = lab(seed)
    features = {kind: extract(open_recording(write(tmp_path, made, kind)), DOUBLE) for kind in FORMATS}
    for extension, found in features.items():
        np.testing.assert_array_equal(found.label, features["parquet"].label)
        # 16 bits over some 100 uV; the other formats hold 24 bits or floating point.
        atol = {"edf": 3e-9, "bdf": 2e-11, "vhdr": 2e-11, "dat": 2e-11}.get(extension, 1e-12)
        np.testing.assert_allclose(found.X, features["parquet"].X, rtol=0, atol=atol, err_msg=extension)


@pytest.mark.parametrize("extension", FORMATS)
def test_most_channels_triggers_is_no_recording(tmp_path: Path, extension: str) -> None:
    made = lab(n_channels=2)
    for i in range(3):
        made = made.with_channel(held(made, (i + 1.0) * made.stim[made.onsets], 20), f"X{i}")
    with pytest.raises(RecordingError, match=r"X0 takes 3 values.*channel_kinds") as raised:
        open_recording(write(tmp_path, made, extension))
    assert raised.value.code == "doubtful_channels"


@pytest.mark.parametrize("extension", FORMATS)
def test_what_is_declared_wins_and_is_noted(tmp_path: Path, extension: str) -> None:
    made = lab()
    line = held(made, 40.0 * made.stim[made.onsets], 20)
    path = write(tmp_path, made.with_channel(line, "X1").with_channel(made.uv[1], "EOG"), extension)
    stream = open_recording(path, declared=Declared(channel_kinds={"x1": "eeg", "EOG": "eeg", "Cz": "misc"}))
    assert stream.ch_names == (*(name for name in made.names if name != "Cz"), "X1", "EOG")
    assert any("X1" in note and "declared EEG" in note for note in stream.notes)
    assert any("Cz (declared)" in note for note in stream.notes)


def test_declared_channels_that_a_recording_does_not_have_are_noted(tmp_path: Path) -> None:
    declared = Declared(channel_kinds={"Q9": "eeg"}, bad_channels=("Q8",))
    notes = open_recording(write(tmp_path, lab(), "parquet"), declared=declared).notes
    assert notes == (
        "channel_kinds declares Q9: no such channel",
        "declared bad, but not among the EEG channels: Q8",
    )


@pytest.mark.parametrize("kinds", [{"Cz": "EEG electrode"}, {"Q9": "stim"}])
def test_a_declaration_that_cannot_be_followed_is_refused(tmp_path: Path, kinds: dict[str, str]) -> None:
    with pytest.raises(RecordingError) as raised:
        open_recording(write(tmp_path, lab(), "parquet"), declared=Declared(channel_kinds=kinds))
    assert raised.value.code == "bad_declaration"


def test_no_eeg_at_all_is_refused_with_the_way_out(tmp_path: Path) -> None:
    made = lab(n_channels=1)
    path = write(tmp_path, Lab(made.uv, ["EOG"], made.stim), "parquet")
    with pytest.raises(RecordingError, match=r'EOG \(eog\).*\{"channel_kinds": \{"EOG": "eeg"\}\}') as raised:
        open_recording(path)
    assert raised.value.code == "missing_eeg"


def test_the_prefix_of_edf_is_not_part_of_the_name(tmp_path: Path) -> None:
    made = lab()
    path = write(tmp_path, Lab(made.uv, [f"EEG {name}" for name in made.names], made.stim), "edf")
    assert open_recording(path).ch_names == tuple(made.names)


def test_blocks_that_were_looked_at_come_once_more(tmp_path: Path) -> None:
    for extension in FORMATS:
        made = lab()
        stream = open_recording(write(tmp_path, made, extension))
        for _ in range(2):
            whole = np.concatenate(list(stream.blocks()), axis=1) * stream.volts_per_unit
            np.testing.assert_allclose(whole, made.uv * 1e-6, rtol=0, atol=2e-8, err_msg=extension)


@pytest.mark.parametrize(
    ("names", "noted"),
    [
        (["EEG Fz-Ref", "EEG Cz-Ref", "EEG Pz-Ref"], True),
        (["Fz-A1", "C3-A1", "C4-A2"], True),
        (["Fz-Cz", "Cz-Pz", "Pz-Oz"], False),
        (["Fz", "Cz", "Pz"], False),
        (["Fz", "Cz", "Pz-Ref"], False),
    ],
)
def test_names_with_a_reference_are_noted(names: list[str], noted: bool) -> None:
    notes = choose([FileChannel(name) for name in names], {}, "a").notes
    assert any("contain their reference" in note for note in notes) == noted


@pytest.mark.parametrize(("n_renamed", "noted"), [(0, "Fz-REF, Cz-REF, Pz-REF"), (1, "Cz-REF, Pz-REF"), (3, "")])
def test_the_note_on_references_is_about_the_new_names(tmp_path: Path, n_renamed: int, noted: str) -> None:
    electrodes = ["Fz", "Cz", "Pz"]
    columns = {f"eeg_{name}-REF": row for name, row in zip(electrodes, eeg_uv(3).T, strict=True)}
    path = write_parquet(tmp_path / "a.parquet", n_channels=0, **columns)
    sidecar = {"channel_names": {f"{name}-REF": name for name in electrodes[:n_renamed]}} if n_renamed else {}
    notes = [note for note in open_recording(path, sidecar=sidecar).notes if "contain their reference" in note]
    assert len(notes) == bool(noted)
    assert not noted or f"reference: {noted}." in notes[0]
