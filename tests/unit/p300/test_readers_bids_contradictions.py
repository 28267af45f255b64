"""A BIDS data set whose tables contradict the recording's own file: refused, or noted where nothing of the signal depends on it."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.inspection import inspect
from p300.readers import open_recording

from tests.support.bids import EEG_JSON, channels_tsv, events_tsv, without_events, write_bids
from tests.support.edf import write_edf_plus
from tests.support.labs import NAMES, SFREQ, Lab, generated, lab, write

CODES = {1: "S 13", 2: "S 23"}


@pytest.fixture(scope="module")
def made() -> Lab:
    return lab(1)


def coded(root: Path, made: Lab, events: str, codes: Callable[[int, int], str] = lambda _, label: CODES[label]) -> Path:
    """Write a data set whose recording has codes that only its table explains."""
    path = write_bids(root, made, "vhdr", events=events)
    markers = "\n".join(
        f"Mk{i}=Stimulus,{codes(i, int(made.stim[onset]))},{onset + 1},1,0" for i, onset in enumerate(made.onsets, 1)
    )
    vmrk = path.with_suffix(".vmrk")
    vmrk.write_text(vmrk.read_text().partition("[Marker Infos]")[0] + f"[Marker Infos]\n{markers}\n")
    return path


def at(onsets: Sequence[float] | NDArray[np.floating | np.integer]) -> dict[str, Any]:
    return {"onset": [f"{onset / SFREQ:.6f}" for onset in onsets], "sample": ["n/a"] * len(onsets)}


def refusal(path: Path, code: str = "contradictory_events") -> str:
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert caught.value.code == code
    return caught.value.message


def shuffled(made: Lab) -> Lab:
    stim = made.stim.copy()
    stim[made.onsets] = np.random.default_rng(3).permutation(stim[made.onsets])
    return dataclasses.replace(made, stim=stim)


def test_codes_in_the_order_of_the_table_are_noted(tmp_path: Path, made: Lab) -> None:
    notes = open_recording(coded(tmp_path, made, events_tsv(made))).notes
    assert any("S 13" in note and "in the same order of classes" in note for note in notes)


def test_a_table_corrected_for_a_screen_is_noted(tmp_path: Path, made: Lab) -> None:
    notes = open_recording(coded(tmp_path, made, events_tsv(made, **at(made.onsets + 10)))).notes
    assert any("10 samples (39 ms) earlier, in the same order of classes" in note for note in notes)


@given(late=st.integers(-30, 30).filter(bool), seed=st.integers(0, 3), of_file=st.sampled_from([CODES, NAMES]))
@generated(25)
def test_a_steady_delay_is_the_same_whether_the_file_has_classes_or_codes(
    tmp_path_factory: pytest.TempPathFactory, late: int, seed: int, of_file: dict[int, str]
) -> None:
    """A table may be corrected for the delay of a screen, of at most 50 ms; beyond, either kind of file contradicts it."""
    made = lab(seed)
    table = events_tsv(made, **at(made.onsets + late))
    path = coded(tmp_path_factory.mktemp("delay"), made, table, lambda _, label: of_file[label])
    if abs(late) > 0.05 * SFREQ:
        message = refusal(path)
        assert "declare that: " not in message
        assert "_events.tsv is right, declare which events are flashes" in message
        return
    found = open_recording(path)
    np.testing.assert_array_equal(found.flashes.onset_sample, made.onsets + late)
    if abs(late) > 0.02 * SFREQ:
        said = f"{abs(late)} samples ({1e3 * abs(late) / SFREQ:.0f} ms) {'earlier' if late > 0 else 'later'}"
        assert any(said in note for note in found.notes)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (lambda made: events_tsv(made, **at(made.onsets + 26)), "26 samples (102 ms) earlier"),
        (lambda made: events_tsv(made, **at(made.onsets - 26)), "26 samples (102 ms) later"),
        (lambda made: events_tsv(made, **at(made.onsets * 1.02)), "runs 2 % slower"),
        (lambda made: events_tsv(made, **at(made.onsets / 1.02)), "runs 2 % faster"),
        (lambda made: events_tsv(shuffled(made)), "codes as many as the classes, in another order"),
        (lambda made: events_tsv(made, **at([300 + 30 * i + i * i // 2 for i in range(60)])), "at other times"),
    ],
    ids=["late", "early", "slow", "fast", "shuffled", "other intervals"],
)
def test_a_table_that_the_codes_of_the_file_contradict_is_refused(
    tmp_path: Path, made: Lab, table: Callable[[Lab], str], said: str
) -> None:
    path = coded(tmp_path, made, table(made))
    assert said in refusal(path)
    assert any("as declared, though" in note and said in note for note in declared(path).notes)


def declared(path: Path) -> Any:
    return open_recording(path, event_id={"Target": 2, "NonTarget": 1})


@generated(usually=25)
@given(
    seed=st.integers(0, 99),
    codes=st.lists(st.integers(3, 255), min_size=2, max_size=12, unique=True),
    late=st.integers(-60, 60).filter(lambda n: abs(n) > 14),
)
def test_whatever_the_codes_are_a_late_table_is_found(
    tmp_path_factory: pytest.TempPathFactory, seed: int, codes: list[int], late: int
) -> None:
    made, order = lab(seed, n_channels=3), np.random.default_rng(seed)

    def code(_: int, __: int) -> str:
        return f"S{int(order.choice(codes)):3d}"

    path = coded(tmp_path_factory.mktemp("late"), made, events_tsv(made), code)
    open_recording(path)
    table = path.with_name("sub-01_task-p300_events.tsv")
    table.write_text(events_tsv(made, **at(made.onsets + late)))
    assert f"{abs(late)} samples" in refusal(path)


@generated(usually=15)
@given(seed=st.integers(0, 99), n_lacking=st.integers(1, 15), where=st.sampled_from(["begin", "end", "between"]))
@pytest.mark.parametrize("codes", [CODES, {1: "S  1", 2: "S  2"}], ids=["other codes", "codes 1 and 2"])
def test_a_table_that_lacks_flashes_of_the_file_is_noted_with_their_number(
    tmp_path_factory: pytest.TempPathFactory, codes: dict[int, str], seed: int, n_lacking: int, where: str
) -> None:
    """A few only, and also where a person declares the table right; more is refused until then."""
    made, n = lab(seed, n_channels=3), 60
    first = {"begin": 0, "end": n - n_lacking, "between": (n - n_lacking) // 2}[where]
    rows = events_tsv(made).splitlines(keepends=True)
    table = "".join(row for i, row in enumerate(rows) if not first < i <= first + n_lacking)
    path = coded(tmp_path_factory.mktemp("short"), made, table, lambda _, label: codes[label])
    said = f"{n_lacking} of these 60 events have no flash of the table near"
    notes = [note for note in declared(path).notes if "the annotations" in note]
    assert len(notes) == 1
    assert said in notes[0]
    assert ("as declared, though" in notes[0]) is (n_lacking > 2)
    if n_lacking > 2:
        refusal(path)


def test_events_of_one_code_beyond_the_table_are_noted(tmp_path: Path, made: Lab) -> None:
    rows = events_tsv(made).splitlines(keepends=True)[:-20]
    notes = open_recording(coded(tmp_path, made, "".join(rows), lambda _, __: "S  7")).notes
    assert any("do not tell the classes apart" in note and "20 of these 60 events" in note for note in notes)


def test_codes_of_rows_and_columns_are_noted_as_such(tmp_path: Path, made: Lab) -> None:
    notes = open_recording(coded(tmp_path, made, events_tsv(made), lambda i, _: f"S {101 + i % 12}")).notes
    assert any("their codes do not tell the classes apart" in note for note in notes)


def test_events_that_are_something_else_are_noted(tmp_path: Path, made: Lab) -> None:
    path = coded(tmp_path, made, events_tsv(made))
    vmrk = path.with_suffix(".vmrk")
    vmrk.write_text(vmrk.read_text().partition("[Marker Infos]")[0] + "[Marker Infos]\nMk1=Stimulus,S 99,5,1,0\n")
    assert any("not compared with the flashes" in note and "S 99 (1)" in note for note in open_recording(path).notes)


def test_codes_on_a_stim_channel_are_compared_too(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made, "edf", events=events_tsv(made, **at(made.onsets + 26)))
    row = np.where(made.stim, 100 + made.stim, 0).astype(float)
    held = np.sum([np.roll(row, shift) for shift in range(6)], axis=0)
    write(path.parent, without_events(made).with_channel(held, "Trigger"), "edf", stem=path.stem)
    assert "the stim channel Trigger" in refusal(path)


def test_samples_of_some_rows_are_compared(tmp_path: Path, made: Lab) -> None:
    samples = [*made.onsets[:-1].tolist(), "n/a"]
    slow = [f"{onset / SFREQ * 1.02:.6f}" for onset in made.onsets]
    assert "contradicts itself" in refusal(
        write_bids(tmp_path, made, events=events_tsv(made, onset=slow, sample=samples))
    )
    right = write_bids(tmp_path, made, events=events_tsv(made, sample=samples))
    assert np.flatnonzero(open_recording(right).stim).tolist() == made.onsets.tolist()


def test_marks_of_gaps_alone_are_no_events(tmp_path: Path) -> None:
    signal, marks = np.random.default_rng(0).normal(0, 10, 256 * 8), [(1.0, "BAD_ACQ_SKIP"), (3.0, "BAD_ACQ_SKIP")]
    path = write_edf_plus(tmp_path / "a.edf", [signal], ["Cz"], [256], marks)
    found = inspect(path)
    assert found.refusal
    assert (found.refusal.code, found.mapping) == ("missing_stim", {})
    assert "only marks: BAD_ACQ_SKIP (2)" in found.refusal.message


def test_marks_in_the_table_are_not_offered_as_flashes(tmp_path: Path, made: Lab) -> None:
    text = "onset\tduration\ttrial_type\n1\t0.5\tBAD_ACQ_SKIP\n2\t0\tboundary\n3\t0\tone\n4\t0\ttwo\n5\t0\ttwo\n"
    message = refusal(write_bids(tmp_path, made, events=text), "unknown_codes")
    assert "BAD_ACQ_SKIP" not in message


# ---- rates, channels, length
@pytest.mark.parametrize("rate", [128, 260])
def test_another_rate_in_the_table_of_channels_is_refused(tmp_path: Path, made: Lab, rate: float) -> None:
    path = write_bids(tmp_path, made)
    table = path.with_name("sub-01_task-p300_channels.tsv")
    table.write_text(channels_tsv(made, sampling_frequency=[SFREQ] * (len(made.names) - 1) + [rate]))
    assert f"sampling_frequency of {made.names[-1]}: {rate} Hz, the file 256 Hz" in refusal(path, "contradictory_rate")
    table.write_text(channels_tsv(made, sampling_frequency=["fast"] + [SFREQ] * (len(made.names) - 1)))
    assert any("sampling_frequency fast: not compared" in note for note in open_recording(path).notes)


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ({"EEGChannelCount": 7}, "EEGChannelCount 7, the file has 8 EEG channels"),
        ({"RecordingDuration": 90}, "RecordingDuration 90 s, the file has 16.0 s"),
        ({"SamplingFrequency": 256.5}, "SamplingFrequency 256.5 Hz, the file 256 Hz, which is used"),
        ({"EEGChannelCount": "many"}, "EEGChannelCount 'many' is not a number"),
    ],
)
def test_facts_that_contradict_the_file_are_noted(tmp_path: Path, made: Lab, said: dict[str, Any], note: str) -> None:
    path = write_bids(tmp_path, made)
    right = {"EEGChannelCount": 8, "RecordingDuration": 16}
    path.with_name("sub-01_task-p300_eeg.json").write_text(json.dumps(EEG_JSON | right))
    assert not any("the file has" in one for one in open_recording(path).notes)
    path.with_name("sub-01_task-p300_eeg.json").write_text(json.dumps(EEG_JSON | right | said))
    assert any(note in one for one in open_recording(path).notes)


@pytest.mark.parametrize("lacks", ["file", "table"])
def test_an_eeg_channel_that_only_one_of_the_two_has_is_refused(tmp_path: Path, made: Lab, lacks: str) -> None:
    more = made.with_channel(made.uv[0] * 2, "Q9")
    path = write_bids(tmp_path, made if lacks == "file" else more)
    listed = more if lacks == "file" else made
    path.with_name("sub-01_task-p300_channels.tsv").write_text(channels_tsv(listed))
    found = inspect(path)
    assert found.refusal
    assert found.refusal.code == "bad_bids"
    assert ("Q9 not in the file" if lacks == "file" else "Q9 not in channels.tsv") in found.refusal.message
    assert found.mapping == {"channel_kinds": {"Q9": "misc"}}
    assert found.with_mapping
    assert found.with_mapping.channels == tuple(made.names)


def test_another_channel_that_the_file_lacks_is_noted_as_the_tables(tmp_path: Path, made: Lab) -> None:
    more = made.with_channel(made.uv[0] * 2, "HEOG", kind="eog")
    path = write_bids(tmp_path, made)
    path.with_name("sub-01_task-p300_channels.tsv").write_text(channels_tsv(more))
    notes = open_recording(path).notes
    assert "channels.tsv lists channels that the file does not have: HEOG" in notes
    assert not any("channel_kinds" in note for note in notes)


@pytest.mark.parametrize("late", [1, -1])
def test_a_table_that_is_off_by_a_regular_interval_is_found(tmp_path: Path, made: Lab, late: int) -> None:
    stim = np.zeros_like(made.stim)
    onsets = 512 + 40 * np.arange(len(made.onsets))
    stim[onsets] = made.stim[made.onsets]
    regular = dataclasses.replace(made, stim=stim)
    path = coded(tmp_path, regular, events_tsv(regular, **at(onsets + 40 * late)), lambda _, __: "S  7")
    assert f"40 samples (156 ms) {'earlier' if late > 0 else 'later'} than the flashes of the table" in refusal(path)


def test_a_lost_event_at_the_begin_of_a_flash_does_not_make_its_end_the_flash(tmp_path: Path, made: Lab) -> None:
    path = coded(tmp_path, made, events_tsv(made), lambda _, __: "S  7")
    vmrk = path.with_suffix(".vmrk")
    begins, markers = vmrk.read_text().split("[Marker Infos]\n")
    ends = [f"Mk{100 + i}=Stimulus,S  8,{onset + 27},1,0" for i, onset in enumerate(made.onsets)]
    kept = [*markers.strip().splitlines()[:-1], *ends]  # in any order
    vmrk.write_text(f"{begins}[Marker Infos]\n" + "\n".join(kept) + "\n")
    notes = open_recording(path, event_id={"Target": 2, "NonTarget": 1}).notes
    assert any("are at the same times" in note for note in notes), notes
    assert not any("as declared, though" in note for note in notes)


def test_a_mapping_that_would_only_silence_a_contradiction_is_not_proposed(tmp_path: Path, made: Lab) -> None:
    table = events_tsv(made, **at(made.onsets + 26)).replace("NonTarget", "standard").replace("Target", "oddball")
    found = inspect(coded(tmp_path, made, table))
    assert found.refusal is not None
    assert (found.refusal.code, found.mapping) == ("unknown_codes", {})


def test_suggestions_are_held_against_the_times_of_the_table(tmp_path: Path, made: Lab) -> None:
    onsets = np.sort(np.r_[made.onsets, made.onsets + 20])
    labels = np.repeat(made.stim[made.onsets], 2)
    rows = "".join(
        f"{onset / SFREQ:.6f}\t0.1\t{'odd' if label == 2 else 'std'}\n"
        for onset, label in zip(onsets, labels, strict=True)
    )
    path = write_bids(tmp_path, without_events(made), "vhdr", events=f"onset\tduration\ttrial_type\n{rows}")
    message = refusal(path, "unknown_codes")
    assert '"std": 1' not in message


@pytest.mark.parametrize(("factor", "unit"), [(1000.0, "milliseconds"), (SFREQ, "samples")])
def test_onsets_in_another_unit_are_named(tmp_path: Path, made: Lab, factor: float, unit: str) -> None:
    table = events_tsv(made, **at(made.onsets * factor))
    path = write_bids(tmp_path, without_events(made), "vhdr", events=table)
    assert f"Taken for {unit} instead of seconds" in refusal(path, "events_outside")
