"""What a lab says about one recording: checked to the letter, applied to whatever format, stored with the features."""

import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.features import read_features, write_features
from p300.inspection import inspect
from p300.readers import open_recording
from p300.readers.declared import Declared
from p300.readers.sidecar import beside, name_of, parse
from p300.readers.sidecar_schema import SCHEMA
from p300.recording_report import report
from p300.signals import Parameters, extract
from p300.text import n_of

from tests.support.bci2000 import write_bci2000
from tests.support.paths import PROJECT
from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv, stim, write_brainvision, write_edf, write_parquet
from tests.support.xdf import Written, write_xdf

NAME = "run.p300.json"
WHOLE: dict[str, Any] = {
    "event_id": {"1": 1, "2": 2},
    "unit": "uV",
    "channel_names": {"A": "Fz"},
    "channel_kinds": {"B": "eeg"},
    "bad_channels": ["C"],
    "streams": ["amplifier", "#2"],
    "sfreq": 256,
    "event_column": "Trigger",
    "reference": "linked mastoids",
    "notch_freq": 60,
    "event_delay_ms": 25.5,
    "layout": {"type": "grid", "rows": ["AB", "CD"]},
    "labelled": True,
    "text": "ABBA",
}


def body(said: Any) -> bytes:
    return json.dumps(said).encode()


def refused(said: Any) -> str:
    with pytest.raises(RecordingError) as refusal:
        parse(said if isinstance(said, bytes) else body(said), NAME)
    assert refusal.value.code == "bad_sidecar"
    assert refusal.value.message.startswith(NAME)
    assert "or delete it" in refusal.value.message
    return refusal.value.message


# ---- the file
def test_every_field_is_read_as_it_was_written() -> None:
    assert parse(body(WHOLE), NAME) == WHOLE
    assert parse(b"\xef\xbb\xbf{}", NAME) == {}
    assert set(WHOLE) == set(SCHEMA["properties"])


@pytest.mark.parametrize(
    ("said", "found", "expected"),
    [
        ({"units": "uV"}, "it has 'units'", "expected event_id, unit, channel_names"),
        ({"unit": "kV"}, "unit is 'kV'", "expected 'V' or 'mV' or 'uV'"),
        ({"unit": 1}, "unit is 1", "expected 'V'"),
        ({"event_id": {"a": 3}}, "event_id.a is 3", "expected 1 or 2"),
        ({"event_id": {"a": True}}, "event_id.a is true", "expected 1 or 2"),
        ({"event_id": {}}, "event_id has 0 entries", "expected 1 to 1,024"),
        ({"event_id": ["a"]}, "event_id is a list", "expected an object"),
        ({"bad_channels": "P3"}, "bad_channels is 'P3'", "expected a list"),
        ({"bad_channels": ["P3", "p3"]}, "the channel 'p3' twice", "expected different ones"),
        ({"channel_names": {"A": "x" * 65}}, "65 characters", "expected 1 to 64"),
        ({"channel_names": {"A": "Fz", "B": "FZ"}}, "the name 'fz' twice", "expected different ones"),
        ({"channel_kinds": {"A": "eog"}}, "channel_kinds.A is 'eog'", "expected 'eeg' or 'misc'"),
        ({"notch_freq": 0}, "notch_freq is 0", "expected 20 to 1000"),
        ({"event_delay_ms": "35"}, "event_delay_ms is '35'", "expected a number"),
        ({"event_delay_ms": 10**400}, "event_delay_ms is 1000", "expected -1000 to 1000"),
        ({"reference": "a\u202eb"}, r"'a\u202eb'", "characters that can be seen"),
        ({"layout": {"type": "ring"}}, "layout.type is 'ring'", "expected 'grid' or 'brain_invaders' or 'sets'"),
        ({"layout": {"type": "grid"}}, "layout lacks 'rows'", ""),
        ({"layout": {"type": "grid", "rows": ["AB", "C"]}}, "[1, 2] symbols", "equally many"),
        ({"layout": {"type": "grid", "rows": ["AA"]}}, "2 symbols, 1 different", "all different"),
        ({"layout": {"type": "sets", "symbols": ["A", "B"], "groups": {"1": ["Z"]}}}, "layout.groups has 'Z'", "A, B"),
        ({"layout": {"type": "sets", "symbols": ["A", "B"], "groups": {"x": ["A"]}}}, "'x'", "the number of a group"),
        ({**WHOLE, "text": "ABX"}, "text has 'X'", "expected symbols of the layout: A, B, C, D"),
        ([], "it is a list", "expected an object"),
        (b'{"unit": "uV", "unit": "V"}', "'unit' occurs twice", "every field once"),
        (b'{"event_delay_ms": NaN}', "NaN or Infinity", "not a number of JSON"),
        (b'{"event_delay_ms": 1e999}', "NaN or Infinity", "1e999"),
        (b"[" * 100_000, "not JSON", ""),
        (b"\xff\xfe{}", "not JSON in UTF-8", ""),
        (b" " * 300_000, "more than 262,144 bytes", "a few lines"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_was_found_and_what_is_expected(said: Any, found: str, expected: str) -> None:
    message = refused(said)
    assert found in message
    assert expected in message


def test_the_schema_in_the_docs_is_the_one_that_is_checked_by() -> None:
    assert json.loads((PROJECT / "docs/sidecar.schema.json").read_text("utf-8")) == SCHEMA
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


LEAVES = st.sampled_from([None, True, 0, 1, 2.5, 60, -2000, "eeg", "uV", "A", "grid", "1", ""])
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["A", "1", "type", "rows", "symbols", ""]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*WHOLE, "other"]), VALUES, max_size=3))
@settings(max_examples=300, deadline=None)
def test_what_the_schema_refuses_is_refused_and_the_rest_only_for_what_it_cannot_say(said: dict[str, Any]) -> None:
    valid = jsonschema.Draft202012Validator(SCHEMA).is_valid(said)
    try:
        assert parse(body(said), NAME) == said
        assert valid
    except RecordingError as error:
        beyond = ("twice", "symbols", "that can be seen")
        assert not valid or any(word in error.message for word in beyond), error.message


# ---- beside its recording
def test_it_is_found_by_the_recordings_name(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "run.parquet")
    assert beside(path, path.name) is None
    (tmp_path / NAME).write_text('{"reference": "average"}')
    assert beside(path, path.name) == tmp_path / NAME
    stream = open_recording(path)
    assert stream.sidecar == {"reference": "average"}
    assert stream.notes[0] == "run.p300.json: reference average"
    assert name_of("subject_01/run.edf") == NAME


def test_a_name_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "run.parquet")
    (tmp_path / "run.parquet.p300.json").write_text("{}")
    with pytest.raises(RecordingError, match=r"is called run\.p300\.json\. Rename it"):
        open_recording(path)


def test_two_recordings_cannot_share_one(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{}")
    path = write_parquet(tmp_path / "run.parquet")
    write_edf(tmp_path / "run.edf")
    with pytest.raises(RecordingError, match=r"may belong to run\.parquet or to run\.edf"):
        open_recording(path)


def test_a_recordings_own_companions_are_no_other_recordings(tmp_path: Path) -> None:
    names = {1: "NonTarget", 2: "Target"}
    events = [(names[int(label)], int(at)) for label, at in zip(LABELS, ONSETS, strict=True)]
    path = write_brainvision(tmp_path / "run.vhdr", events)
    (tmp_path / NAME).write_text("{}")
    assert open_recording(path).n_samples


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(RecordingError, match="is not a file"):
        open_recording(write_parquet(tmp_path / "run.parquet"))


@pytest.mark.parametrize("own", [True, False])
def test_a_dat_file_of_the_same_name_counts_where_it_is_a_recording(tmp_path: Path, own: bool) -> None:
    path = write_parquet(tmp_path / "run.parquet")
    (tmp_path / NAME).write_text("{}")
    if not own:
        (tmp_path / "run.dat").write_bytes(bytes(64))
        assert open_recording(path).n_samples
        return
    write_bci2000(tmp_path / "run.dat", np.zeros((3, 64)), np.zeros(64, int), np.zeros(64, bool))
    with pytest.raises(RecordingError, match=r"may belong to run\.parquet or to run\.dat"):
        open_recording(path)


def test_streams_are_those_of_an_xdf_file(tmp_path: Path) -> None:
    stamps = 100 + np.arange(N_SAMPLES) / 256
    labels = ["Target" if label == 2 else "NonTarget" for label in LABELS.tolist()]
    streams = [
        Written(name, "EEG", eeg_uv(3) * factor, stamps, 256.0, labels=("Fz", "Cz", "Pz"), units=("uV",) * 3)
        for name, factor in (("first", 1), ("second", 2))
    ]
    path = write_xdf(
        tmp_path / "run.xdf", *streams, Written("markers", "Markers", labels, stamps[ONSETS], format="string")
    )
    stated = Declared(streams=("first",))
    stream = open_recording(path, declared=stated, sidecar={"streams": ["second", "third"]})
    np.testing.assert_allclose(stream.load().data, 2e-6 * eeg_uv(3).T, rtol=1e-6)
    assert {"run.p300.json: streams: second, third", "streams declared, but not in the file: third"} <= set(
        stream.notes
    )
    with pytest.raises(RecordingError, match=r"has streams, and run\.parquet is not an XDF file") as refusal:
        open_recording(write_parquet(tmp_path / "run.parquet"), sidecar={"streams": ["second"]})
    assert refusal.value.code == "bad_sidecar"


# ---- what it says is what counts
def test_it_takes_the_place_of_the_stacks_declarations(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "run.parquet", stim=stim(33, 44).astype(np.int32))
    (tmp_path / NAME).write_bytes(body({"event_id": {"33": 1, "44": 2}, "unit": "uV"}))
    stream = open_recording(path, declared=Declared(event_id={"33": 2, "44": 1}, unit="V"))
    assert stream.volts_per_unit == 1e-6
    assert np.array_equal(stream.stim[ONSETS], LABELS)


@pytest.mark.parametrize("write", [write_parquet, write_edf])
def test_channels_get_other_names_and_keep_their_marks(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / ("run.parquet" if write is write_parquet else "run.edf"))
    old = open_recording(path).ch_names
    said = {"channel_names": {old[0]: "P8", old[1].lower(): "PO7"}, "bad_channels": [old[0], "PO7"]}
    stream = open_recording(path, sidecar=said)
    assert stream.ch_names == ("P8", "PO7", old[2])
    assert stream.bad_channels == ("P8", "PO7")
    swapped = open_recording(
        path, sidecar={"channel_names": {old[0]: old[1], old[1]: old[0]}, "bad_channels": [old[0]]}
    )
    assert (swapped.ch_names, swapped.bad_channels) == ((old[1], old[0], old[2]), (old[1],))


def test_a_renamed_channel_is_eeg_unless_it_is_said_to_be_something_else(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"eeg_EXG1": np.random.default_rng(1).normal(0, 20, 2560)}
    path = write_parquet(tmp_path / "run.parquet", **columns)
    assert "EXG1" not in open_recording(path).ch_names
    assert "Cz" in open_recording(path, sidecar={"channel_names": {"EXG1": "Cz"}}).ch_names
    with pytest.raises(RecordingError, match="renames EXG1; expected names of EEG channels that the file has: A, B, C"):
        open_recording(path, sidecar={"channel_names": {"EXG1": "Cz"}, "channel_kinds": {"Cz": "misc"}})
    with pytest.raises(RecordingError) as refusal:
        open_recording(path, sidecar={"channel_names": {"A": "B"}})
    assert refusal.value.code == "duplicate_channels"


@given(st.floats(-1000, 1000), st.sampled_from([100.0, 256.0, 512.0]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flashes_move_by_the_delay_and_none_moves_out_unseen(tmp_path: Path, delay_ms: float, sfreq: float) -> None:
    groups = np.zeros(2560, np.int32)
    groups[ONSETS] = 1 + np.arange(len(ONSETS)) % 6
    path = write_parquet(tmp_path / f"run{sfreq:g}.parquet", {"sfreq": f"{sfreq:g}"}, flash=groups)
    before, after = open_recording(path), open_recording(path, sidecar={"event_delay_ms": delay_ms})
    shift = round(delay_ms * sfreq / 1000)
    to = ONSETS + shift
    inside = (to >= 0) & (to < 2560)
    assert before.flash is not None
    assert after.flash is not None
    assert np.array_equal(np.flatnonzero(after.stim), to[inside])
    assert np.array_equal(after.stim[to[inside]], LABELS[inside])
    assert np.array_equal(after.flash[to[inside]], before.flash[ONSETS[inside]])
    lost = [note for note in after.notes if note.startswith(f"{n_of(int((~inside).sum()), 'flash')} left out")]
    assert bool(lost) == bool((~inside).any())


def test_no_flash_moves_across_a_gap(tmp_path: Path) -> None:
    times = np.arange(2560) / 256
    times[ONSETS[5] + 2 :] += 30
    stream = open_recording(write_parquet(tmp_path / "run.parquet", time=times), sidecar={"event_delay_ms": 50})
    assert len(np.flatnonzero(stream.stim)) == len(ONSETS) - 1
    assert "1 flash left out" in " ".join(stream.notes)


def test_the_line_frequency_is_notched_and_the_recipe_stays_the_stacks(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "run.parquet", {"sfreq": "256"})
    wide = Parameters(h_freq=45, notch_freq=50, sfreq=100, reject_peak_to_peak_uv=None)
    plain, at_30 = (extract(open_recording(path, sidecar=said), wide) for said in ({}, {"notch_freq": 30}))
    own = extract(open_recording(path), Parameters(h_freq=45, notch_freq=30, sfreq=100, reject_peak_to_peak_uv=None))
    assert np.array_equal(at_30.X, own.X)
    assert not np.array_equal(at_30.X, plain.X)
    assert at_30.parameters == wide
    none = Parameters(h_freq=45, notch_freq=None, sfreq=100, reject_peak_to_peak_uv=None)
    assert np.array_equal(
        extract(open_recording(path, sidecar={"notch_freq": 30}), none).X, extract(open_recording(path), none).X
    )


def test_its_facts_are_stored_with_the_features(tmp_path: Path) -> None:
    said = {field: value for field, value in WHOLE.items() if field not in {"streams", "sfreq", "event_column"}} | {
        "event_delay_ms": 4
    }
    features = extract(open_recording(write_parquet(tmp_path / "run.parquet"), sidecar=said))
    buffer = io.BytesIO()
    write_features(features, buffer, {})
    buffer.seek(0)
    again = read_features(buffer)
    assert (again.sidecar, again.notes) == (said, features.notes)
    assert report(again)["sidecar"] == said
    for word in (
        "A is Fz",
        "line frequency 60 Hz",
        "4 ms later",
        "4 symbols",
        "ABBA",
        "bad channels: C",
        "linked mastoids",
    ):
        assert any(word in note for note in again.notes), word


@pytest.mark.parametrize(
    "said",
    [
        {"event_id": {"2": 0}},
        {"event_id": {"2": "Target"}},
        {"bad_channels": "P3"},
        {"event_delay_ms": 5000},
        {"notch_freq": 5},
        {"notch_freq": None},
        {"Unit": "uV"},
        {"unit": b"uV"},
        {"sfreq": float("nan")},
    ],
    ids=str,
)
def test_what_a_program_says_is_checked_as_a_file_is(tmp_path: Path, said: dict[str, Any]) -> None:
    path = write_parquet(tmp_path / "run.parquet")
    with pytest.raises(RecordingError) as refusal:
        open_recording(path, sidecar=said)
    assert refusal.value.code == "bad_sidecar"
    found = inspect(path, sidecar=said).refusal
    assert found is not None
    assert found.code == "bad_sidecar"
