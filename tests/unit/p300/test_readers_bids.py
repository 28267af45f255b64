"""What a BIDS data set says of a recording: its flashes, channels and facts, by inheritance; what contradicts itself is refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p300.errors import RecordingError
from p300.features import FeatureSet, read_features, write_features
from p300.inspection import inspect
from p300.readers import open_recording
from p300.recording import RecordingStream
from p300.recording_report import report
from p300.signals import Parameters, extract

from tests.support.bids import EEG_JSON, FORMATS, channels_tsv, events_tsv, tsv, without_events, write_bids
from tests.support.labs import SFREQ, Lab, lab, write

RESOLUTION_V = {"edf": 2e-9, "bdf": 1e-11, "set": 1e-11, "vhdr": 2e-11}


@pytest.fixture(scope="module")
def made() -> Lab:
    return lab(1)


def features(path: Path) -> FeatureSet:
    return extract(open_recording(path), Parameters())


def refusal(path: Path, **how: Any) -> RecordingError:
    with pytest.raises(RecordingError) as caught:
        open_recording(path, **how)
    return caught.value


def labels(stream: RecordingStream) -> tuple[list[int], list[int]]:
    at = np.flatnonzero(stream.stim)
    return at.tolist(), stream.stim[at].tolist()


@pytest.mark.parametrize("inherited", [False, True])
@pytest.mark.parametrize("extension", FORMATS)
def test_features_equal_those_of_the_same_recording_as_parquet(
    tmp_path: Path, made: Lab, extension: str, inherited: bool
) -> None:
    path = write_bids(tmp_path, made, extension, subject="P07", session="1", run="2", inherited=inherited)
    found, expected = features(path), features(write(tmp_path, made, "parquet"))
    np.testing.assert_array_equal(found.label, expected.label)
    np.testing.assert_array_equal(found.onset_sample, expected.onset_sample)
    np.testing.assert_allclose(found.X, expected.X, rtol=0, atol=RESOLUTION_V[extension])
    facts: dict[str, Any] = {"subject": "P07", "session": "1", "task": "p300", "run": "2", "data_set": "Spellers"}
    facts |= {"participant": {"age": "39"}, "reference": "linked mastoids", "notch_freq": 50}
    assert found.bids == facts


def test_the_facts_are_stored_with_the_features(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made)
    (path.parent / "sub-01_space-CapTrak_electrodes.tsv").write_text(
        tsv({"name": ["Fp1", "Cz"], "x": [0.1, "n/a"], "y": [0.2, "n/a"], "z": [0.3, "n/a"]})
    )
    (path.parent / "sub-01_space-CapTrak_coordsystem.json").write_text(
        json.dumps({"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "m"})
    )
    found = features(path)
    assert found.bids["electrodes"] == {"positions": {"Fp1": [0.1, 0.2, 0.3]}, "system": "CapTrak", "unit": "m"}
    write_features(found, tmp_path / "features.parquet", {})
    assert read_features(tmp_path / "features.parquet").bids == found.bids == report(found)["bids"]


def test_the_nearest_file_wins_and_json_is_merged(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made, session="1", inherited=True)
    (tmp_path / "sub-01" / "sub-01_task-p300_channels.tsv").write_text(channels_tsv(made, bad=made.names[:1]))
    (path.parent / "sub-01_ses-1_task-p300_eeg.json").write_text('{"PowerLineFrequency": 60}')
    (path.parent / "sub-01_ses-1_task-other_eeg.json").write_text('{"PowerLineFrequency": 16}')
    stream = open_recording(path)
    assert stream.bad_channels == (made.names[0],)
    assert (stream.bids["notch_freq"], stream.bids["reference"]) == (60, "linked mastoids")


def test_the_line_frequency_is_notched(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made)
    (path.parent / "sub-01_task-p300_eeg.json").write_text(json.dumps(EEG_JSON | {"PowerLineFrequency": 30}))
    stream = open_recording(path)
    assert Parameters().line_freq({**stream.bids, **stream.sidecar}) == 30
    wide = Parameters(h_freq=45.0)
    plain = open_recording(write(tmp_path, made, "parquet"))
    assert not np.allclose(extract(stream, wide).X, extract(plain, wide).X, atol=1e-7)
    (path.parent / "sub-01_task-p300_eeg.json").write_text(json.dumps(EEG_JSON | {"PowerLineFrequency": 10}))
    assert any("not a line frequency of 20 to 1000 Hz" in note for note in open_recording(path).notes)


def test_two_equally_near_files_are_refused(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made, run="1", session="1", inherited=True)
    for shared in ("ses-1_task-p300", "task-p300_run-1"):
        (path.parent / f"sub-01_ses-1_{shared.removeprefix('ses-1_')}_channels.tsv").write_text(channels_tsv(made))
    open_recording(path)  # one says more
    (path.parent / "sub-01_ses-1_task-p300_run-1_channels.tsv").unlink()
    (path.parent / "sub-01_ses-1_run-1_channels.tsv").write_text(channels_tsv(made))
    error = refusal(path)
    assert error.code == "bad_bids"
    assert "both apply" in error.message


def test_a_sidecar_takes_the_place_of_what_the_data_set_says(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made)
    said = {"reference": "A1", "bad_channels": [made.names[2]]}
    path.with_name("sub-01_task-p300_eeg.p300.json").write_text(json.dumps(said))
    stream = open_recording(path)
    assert stream.bad_channels == (made.names[2],)
    assert {**stream.bids, **stream.sidecar}["reference"] == "A1"


def test_a_sidecar_says_more_of_channels_than_the_data_set(tmp_path: Path, made: Lab) -> None:
    more = made.with_channel(made.uv[0] * 2, "X1", kind="misc").with_channel(made.uv[1] * 2, "X2", kind="misc")
    path = write_bids(tmp_path, made, in_file=without_events(more))
    (path.parent / "sub-01_task-p300_channels.tsv").write_text(channels_tsv(more, bad=[made.names[0]]))
    said = {"channel_kinds": {"x2": "eeg"}, "bad_channels": [made.names[1]]}
    path.with_name(f"{path.stem}.p300.json").write_text(json.dumps(said))
    stream = open_recording(path)
    assert stream.ch_names == (*made.names, "X2")
    assert stream.bad_channels == tuple(made.names[:2])


def test_channels_are_eeg_by_the_table(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made)
    types = ["EEG", "EOG", *["EEG"] * (len(made.names) - 2)]
    (path.parent / "sub-01_task-p300_channels.tsv").write_text(channels_tsv(made, type=types))
    assert open_recording(path).ch_names == (made.names[0], *made.names[2:])


def test_a_table_of_other_channels_is_refused(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made)
    other = dataclasses.replace(made, names=[f"X{name}" for name in made.names])
    (path.parent / "sub-01_task-p300_channels.tsv").write_text(channels_tsv(other))
    error = refusal(path)
    assert (error.code, "channels.tsv lists XFp1" in error.message) == ("bad_bids", True)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"SamplingFrequency": 512}, "contradictory_rate"),
        ({"RecordingType": "epoched"}, "not_continuous"),
        ([1], "bad_bids"),
    ],
)
def test_a_contradictory_json_file_is_refused(tmp_path: Path, made: Lab, said: Any, code: str) -> None:
    path = write_bids(tmp_path, made)
    (path.parent / "sub-01_task-p300_eeg.json").write_text(json.dumps(said))
    assert refusal(path).code == code


@pytest.mark.parametrize("field", ["SamplingFrequency", "PowerLineFrequency"])
@pytest.mark.parametrize("value", [10**400, "fast", None, True, -1])
def test_a_number_that_is_none_is_not_used_and_a_note_says_so(
    tmp_path: Path, made: Lab, field: str, value: Any
) -> None:
    path = write_bids(tmp_path, made)
    (path.parent / "sub-01_task-p300_eeg.json").write_text(json.dumps({field: value}))
    assert any(field in note for note in open_recording(path).notes)


def test_a_derived_data_set_is_refused(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made)
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "DatasetType": "derivative"}')
    assert "of type 'derivative'" in refusal(path).message


# ---- events
@pytest.mark.parametrize("extension", FORMATS)
def test_events_of_the_file_that_say_the_same_are_noted(tmp_path: Path, made: Lab, extension: str) -> None:
    path = write_bids(tmp_path, made, extension, in_file=made)
    assert any("the recording's own file says the same" in note for note in open_recording(path).notes)


@pytest.mark.parametrize("extension", FORMATS)
def test_events_of_the_file_that_contradict_the_table_are_refused_with_both_counts(
    tmp_path: Path, made: Lab, extension: str
) -> None:
    other = dataclasses.replace(made, stim=np.roll(made.stim, 100))
    path = write_bids(tmp_path, made, extension, in_file=other)
    error = refusal(path)
    n_target = int((made.stim == 2).sum())
    assert error.code == "contradictory_events"
    assert f"{n_target} Target and {len(made.onsets) - n_target} NonTarget flashes in sub-01/eeg/" in error.message
    assert (
        f"{n_target} Target and {len(made.onsets) - n_target} NonTarget flashes in the recording's own" in error.message
    )
    stream = open_recording(path, event_id={"Target": 2, "NonTarget": 1})
    assert labels(stream)[0] == made.onsets.tolist(), "declared events are taken"


@pytest.mark.parametrize(
    ("channel", "kind", "refused"),
    [("X1", "TRIG", True), ("Trigger", "MISC", True), ("X1", "MISC", False), ("X1", "EOG", False)],
)
def test_a_trigger_channel_is_compared_with_the_table_whatever_its_type(
    tmp_path: Path, made: Lab, channel: str, kind: str, refused: bool
) -> None:
    swapped = np.where(made.stim, 3 - made.stim, 0).astype(np.float64)
    path = write_bids(tmp_path, made, "edf", in_file=without_events(made).with_channel(swapped, channel))
    table = made.with_channel(swapped, channel, kind=kind)
    (path.parent / "sub-01_task-p300_channels.tsv").write_text(channels_tsv(table))
    if refused:
        assert refusal(path).code == "contradictory_events"
    else:
        assert labels(open_recording(path))[0] == made.onsets.tolist()


def test_a_file_that_contradicts_itself_is_refused_whatever_the_table_says(tmp_path: Path, made: Lab) -> None:
    swapped = np.where(made.stim, 3 - made.stim, 0).astype(np.float64)
    path = write_bids(tmp_path, made, "edf", in_file=made.with_channel(swapped, "Trigger"))
    error = refusal(path)
    assert (error.code, "NonTarget flashes in Trigger" in error.message) == ("contradictory_events", True)
    path.with_name(f"{path.stem}.p300.json").write_text('{"channel_kinds": {"Trigger": "misc"}}')
    stream = open_recording(path)
    assert labels(stream)[0] == made.onsets.tolist()


@pytest.mark.parametrize("extension", FORMATS)
def test_swapped_classes_in_the_file_contradict_the_table(tmp_path: Path, made: Lab, extension: str) -> None:
    swapped = dataclasses.replace(made, stim=np.where(made.stim, 3 - made.stim, 0).astype(np.int32))
    assert refusal(write_bids(tmp_path, made, extension, in_file=swapped)).code == "contradictory_events"


@pytest.mark.parametrize(
    ("columns", "event_id"),
    [
        ({"trial_type": {1: "NonTarget", 2: "Target"}}, None),
        ({"trial_type": {1: "non_target", 2: "TARGET"}}, None),
        ({"trial_type": {1: "NonTarget", 2: "Target"}, "value": {1: 2, 2: 1}}, None),  # numbers of the software
        ({"trial_type": {1: "flash", 2: "flash"}, "value": {1: 1, 2: 2}}, None),
        ({"trial_type": {1: "n/a", 2: "n/a"}, "value": {1: 33286, 2: 33285}}, None),
        ({"value": {1: 1, 2: 2}}, None),
        ({"trial_type": {1: "standard", 2: "oddball"}}, {"standard": 1, "oddball": 2}),
        ({"trial_type": {1: "a", 2: "b"}, "value": {1: 7, 2: 8}}, {"7": 1, "8": 2}),
    ],
)
def test_labels_by_name_or_value(
    tmp_path: Path, made: Lab, columns: dict[str, dict[int, Any]], event_id: dict[str | int, int] | None
) -> None:
    codes = [int(code) for code in made.stim[made.onsets]]
    table = {"onset": [onset / SFREQ for onset in made.onsets], "duration": [0] * len(codes)}
    text = tsv(table | {name: [by_class[code] for code in codes] for name, by_class in columns.items()})
    path = write_bids(tmp_path, made, events=text)
    assert labels(open_recording(path, event_id=event_id)) == (made.onsets.tolist(), codes)


@pytest.mark.parametrize("value", [{1: 1, 2: 2}, {1: 2, 2: 1}])
def test_numbers_beside_unknown_names_are_not_trusted(tmp_path: Path, made: Lab, value: dict[int, int]) -> None:
    numbers = [value[int(code)] for code in made.stim[made.onsets]]
    path = write_bids(tmp_path, made, events=events_tsv(made, {1: "standard", 2: "oddball"}, value=numbers))
    error = refusal(path)
    assert error.code == "unknown_codes"
    assert json.dumps({"event_id": {"standard": 1, "oddball": 2}}) in error.message
    assert inspect(path).mapping == {"event_id": {"standard": 1, "oddball": 2}}


def test_flash_groups_and_bad_spans_of_the_table(tmp_path: Path, made: Lab) -> None:
    is_target = made.stim[made.onsets] == 2
    groups = np.where(is_target, np.cumsum(is_target) % 4 + 9, np.cumsum(~is_target) % 4 + 5)
    text = events_tsv(made, flash=groups.tolist()) + "1.0\t0.5\tBAD_movement\t256\tn/a\n"
    stream = open_recording(write_bids(tmp_path, made, events=text))
    assert stream.flash is not None
    np.testing.assert_array_equal(stream.flash[made.onsets], groups)
    assert stream.bad_spans == ((256, 384),)


@pytest.mark.parametrize("shift", [0, 1])
def test_samples_may_count_from_one(tmp_path: Path, made: Lab, shift: int) -> None:
    onsets = [f"{onset / SFREQ:.3f}" for onset in made.onsets]  # milliseconds are not exact
    text = events_tsv(made, onset=onsets, sample=(made.onsets + shift).tolist())
    assert labels(open_recording(write_bids(tmp_path, made, events=text)))[0] == made.onsets.tolist()


@pytest.mark.parametrize("sample", [lambda at: at + 40, lambda at: at * 2])
def test_samples_that_contradict_onsets_are_refused(tmp_path: Path, made: Lab, sample: Any) -> None:
    error = refusal(write_bids(tmp_path, made, events=events_tsv(made, sample=sample(made.onsets).tolist())))
    assert (error.code, "contradicts itself" in error.message) == ("contradictory_events", True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no column 'onset'"),
        ("onset\tonset\n1\t2\n", "occurs twice"),
        ("onset\tduration\n1\n", "line 2 has 1 values"),
        ("onset\tduration\n1\t2\t3\n", "line 2 has more than 2 values"),
        ("onset\tvalue\n1,5\t2\n", "'1,5'"),
        ("onset\tvalue\n1e300\t2\n", "beyond any recording"),
        ("onset\tvalue\ninf\t2\n", "infinite"),
        ("onset\tvalue\n" + "1\t2\n" * 100_001, "more than 100,000 rows"),
        ("onset" + "\t" * 300 + "\n", "more than 256 columns"),
        ("onset\tvalue\n" + "1\t2\n" * 5_000_000, "more than 16,777,216 bytes"),
        ("onset\tduration\n1\t0\n2\t0\n", "neither trial_type nor value"),
        ("/annex/objects/MD5E-s12--0.tsv\n", "git-annex pointer"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    ],
)
def test_a_hostile_table_is_refused_with_the_reason(tmp_path: Path, made: Lab, text: str, found: str) -> None:
    error = refusal(write_bids(tmp_path, made, events=text))
    assert found in error.message
    assert "sub-01_task-p300_events.tsv" in error.message


def test_a_table_that_is_not_text_is_refused(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made)
    (path.parent / "sub-01_task-p300_channels.tsv").write_bytes(b"name\ttype\n\xff\xfe\t\x00\n")
    assert "not text in UTF-8" in refusal(path).message


@pytest.mark.parametrize(
    "pointer", ["/annex/objects/SHA256E-s1--a.edf\n", "version https://git-lfs.github.com/spec/v1\n"]
)
@pytest.mark.parametrize("name", ["a.edf", "a.parquet", "a.vhdr"])
def test_a_recording_that_was_not_fetched_is_named_as_what_it_is(tmp_path: Path, name: str, pointer: str) -> None:
    (tmp_path / name).write_text(pointer)
    error = refusal(tmp_path / name)
    assert (error.code, "Fetch it" in error.message) == ("pointer", True)


def test_metadata_behind_a_link_out_of_the_data_set_are_refused(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path / "bids", made)
    table = path.parent / "sub-01_task-p300_events.tsv"
    (tmp_path / "out.tsv").write_text(table.read_text())
    table.unlink()
    table.symlink_to(tmp_path / "out.tsv")
    assert refusal(path).code == "link_out"


def test_a_recording_outside_of_a_data_set_is_read_as_before(tmp_path: Path, made: Lab) -> None:
    stream = open_recording(write(tmp_path, made, "edf", stem="sub-01_task-p300_eeg"))
    assert stream.bids == {}
    assert without_events(made).onsets.size == 0
