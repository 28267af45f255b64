"""Tables of other tools: delimiters, decimal commas, units, times, events, and what is asked for instead of guessed."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p300.errors import RecordingError
from p300.inspection import inspect
from p300.readers import open_recording, read_recording
from p300.readers.companions import is_prose

from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv, stim
from tests.support.texts import BEGIN, write_table

NAMES = ("Fz", "Cz", "Pz")
CODES = [int(code) for code in stim()]
WORDS = [{1: "NonTarget", 2: "Target"}.get(code, "") for code in CODES]
SECONDS = np.arange(N_SAMPLES) / 256


def write(path: Path, events: Any = CODES, *, names: Any = NAMES, **options: Any) -> Path:
    options.setdefault("times", [f"{second:.6f}" for second in SECONDS])
    return write_table(path, eeg_uv(len(names)).T, names, events, **options)


def clock(layout: str, sfreq: float = 256.0) -> list[str]:
    return [f"{BEGIN + timedelta(seconds=i / sfreq):{layout}}" for i in range(N_SAMPLES)]


def refusal(path: Path, **options: Any) -> RecordingError:
    with pytest.raises(RecordingError) as refused:
        open_recording(path, **options)
    return refused.value


@pytest.mark.parametrize("extension", ["csv", "txt"])
@pytest.mark.parametrize("events", [CODES, WORDS], ids=["codes", "names"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delimiter": ";", "decimal_point": ","},
        {"delimiter": "\t", "decimal_point": ","},
        {"delimiter": "\t", "quote": '"'},
        {"delimiter": ", "},
        {"delimiter": "|", "decimal_point": ","},
        {"quote": '"', "encoding": "utf-8-sig"},
        {"unit": "µV", "encoding": "latin-1"},
        {"unit": "µV"},
    ],
    ids=str,
)
def test_dialects_are_read(tmp_path: Path, options: Any, events: Any, extension: str) -> None:
    found = read_recording(write(tmp_path / f"a.{extension}", events, **options))
    assert (found.ch_names, found.sfreq, found.gaps) == (NAMES, 256.0, ())
    np.testing.assert_allclose(found.data, eeg_uv(3).T * 1e-6, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(np.flatnonzero(found.stim), ONSETS)
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


@pytest.mark.parametrize("delimiter", [" ", "   "])
def test_blanks_are_delimiters(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path / "a.txt", delimiter=delimiter, unit="")
    path.write_text("\n".join(f"  {line} " for line in path.read_text().splitlines()))
    found = read_recording(path)
    np.testing.assert_allclose(found.data, eeg_uv(3).T * 1e-6, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)
    assert "unit not in the file: taken as microvolts" in found.notes


@pytest.mark.parametrize(("unit", "scale"), [("V", 1e-6), ("mV", 1e-3), ("nV", 1e3)])
def test_units_are_those_beside_the_names(tmp_path: Path, unit: str, scale: float) -> None:
    path = write_table(
        tmp_path / "a.csv", eeg_uv(3).T * scale, NAMES, CODES, unit=unit, digits=10, times=SECONDS.tolist()
    )
    np.testing.assert_allclose(read_recording(path).data, eeg_uv(3).T * 1e-6, rtol=0, atol=1e-12)
    path.write_text(path.read_text().replace(f"({unit})", f"[{unit}]"))
    np.testing.assert_allclose(read_recording(path).data, eeg_uv(3).T * 1e-6, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("time (ms)", [f"{1e3 * second:.3f}" for second in SECONDS]),
        ("timestamp_ms", [f"{1e3 * second:.3f}" for second in SECONDS]),
        ("Time [us]", [f"{1e6 * second:.0f}" for second in SECONDS]),
        ("timestamps", [f"{1.6e9 + second:.6f}" for second in SECONDS]),
        ("Time:256Hz", [f"{second:.6f}" for second in SECONDS]),
        ("datetime", clock("%Y-%m-%d %H:%M:%S.%f")),
        ("Timestamp", clock("%Y-%m-%dT%H:%M:%S.%fZ")),
        ("time", clock("%H:%M:%S.%f")),
        ("Date Time", clock("%d.%m.%Y %H:%M:%S.%f")),
    ],
)
def test_times_of_many_kinds(tmp_path: Path, name: str, times: list[str]) -> None:
    found = open_recording(write(tmp_path / "a.csv", times=times, time_name=name))
    assert (found.sfreq, found.gaps) == (256.0, ())
    kept = np.r_[0:1000, 1300:N_SAMPLES]
    path = write_table(
        tmp_path / "b.csv",
        eeg_uv(3)[kept].T,
        NAMES,
        [CODES[i] for i in kept],
        times=[times[i] for i in kept],
        time_name=name,
    )
    assert open_recording(path).gaps == (1000,)


def test_milliseconds_that_are_not_called_so_are_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", times=[f"{1e3 * second:.3f}" for second in SECONDS])
    refused = refusal(path)
    assert (refused.code, "milliseconds (256 Hz)" in refused.message) == ("missing_sfreq", True)
    found = inspect(path)
    assert found.mapping == {"sfreq": 256.0}
    assert open_recording(path, sidecar=found.mapping).sfreq == 256


def test_without_a_rate_it_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", times=None)
    refused = refusal(path)
    assert (refused.code, '{"sfreq": 256}' in refused.message) == ("missing_sfreq", True)
    assert open_recording(path, sidecar={"sfreq": 256}).sfreq == 256
    assert open_recording(write(tmp_path / "b.csv", times=None, before="# sfreq=256\n")).sfreq == 256


def test_times_in_whole_seconds_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", times=clock("%H:%M:%S"))
    assert refusal(path).code == "irregular_time"


def test_a_rate_that_the_times_contradict_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", time_name="Time:512Hz")
    assert refusal(path).code == "contradictory_rate"
    assert refusal(write(tmp_path / "b.csv"), sidecar={"sfreq": 300}).code == "contradictory_rate"


def test_without_a_column_of_events_it_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", event_name="col7")
    refused = refusal(path)
    assert (refused.code, '{"event_column": "col7"}' in refused.message) == ("missing_stim", True)
    np.testing.assert_array_equal(open_recording(path, sidecar={"event_column": "col7"}).stim[ONSETS], LABELS)
    assert refusal(path, sidecar={"event_column": "col8"}).code == "missing_stim"


def test_of_two_columns_of_events_neither_is_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [f"{code},{code and 3 - code}" for code in CODES], event_name="stim,marker")
    refused = refusal(path)
    assert (refused.code, "stim, marker." in refused.message) == ("missing_stim", True)
    assert inspect(path).mapping == {"event_column": "stim"}
    np.testing.assert_array_equal(open_recording(path, sidecar={"event_column": "stim"}).stim[ONSETS], LABELS)
    still = write(tmp_path / "b.csv", [f"{code},0" for code in CODES], event_name="stim,status")
    found = open_recording(still)
    assert (found.ch_names, "events taken from column stim" in found.notes) == (NAMES, True)


def test_names_that_hold_until_the_next_are_refused(tmp_path: Path) -> None:
    held, last = list(WORDS), ""
    for row in range(ONSETS[14]):
        held[row] = last = WORDS[row] or last
    assert refusal(write(tmp_path / "a.csv", held)).code == "unclear_triggers"
    pulses = [
        "" if not any(WORDS[max(0, i - 9) : i + 1]) else "".join(WORDS[max(0, i - 9) : i + 1]) for i in range(N_SAMPLES)
    ]
    np.testing.assert_array_equal(np.flatnonzero(open_recording(write(tmp_path / "b.csv", pulses)).stim), ONSETS)


def test_openvibes_events_are_read(tmp_path: Path) -> None:
    words = [{1: "33286:33025", 2: "33285:33026"}.get(code, "") for code in CODES]
    events = [f"{word},{SECONDS[i] if word else ''},{0 if word else ''}" for i, word in enumerate(words)]
    names = "Event Id,Event Date,Event Duration"
    found = open_recording(write(tmp_path / "a.csv", events, event_name=names, time_name="Time:256Hz", unit=""))
    assert found.ch_names == NAMES
    np.testing.assert_array_equal(found.stim[ONSETS], LABELS)


def test_a_flash_column_has_the_groups(tmp_path: Path) -> None:
    groups = np.zeros(N_SAMPLES, int)
    groups[ONSETS] = 1 + np.arange(len(ONSETS)) % 6
    columns: list[list[Any]] = [CODES, WORDS]
    for number, events in enumerate(columns):
        both = [f"{event},{group}" for event, group in zip(events, groups, strict=True)]
        found = open_recording(write(tmp_path / f"{number}.csv", both, event_name="marker,flash"))
        assert found.flash is not None
        np.testing.assert_array_equal(found.flash[ONSETS], groups[ONSETS])


@pytest.mark.parametrize("named", [False, True], ids=["codes", "names"])
def test_groups_of_the_flash_before_contradict_the_classes(tmp_path: Path, named: bool) -> None:
    order = np.random.default_rng(0)
    of_flash = np.concatenate([order.permutation(6) + 1 for _ in range(7)])[: len(ONSETS)]
    groups = np.zeros(N_SAMPLES, int)
    groups[ONSETS] = np.roll(of_flash, 1)
    events: list[Any] = ["" if named else 0] * N_SAMPLES
    for onset, group in zip(ONSETS, of_flash, strict=True):
        events[onset] = ("Target" if group == 3 else "NonTarget") if named else 1 + (group == 3)
    both = [f"{event},{group}" for event, group in zip(events, groups, strict=True)]
    path = write(tmp_path / "a.csv", both, event_name="marker,flash")
    assert "one class throughout a trial" in refusal(path).message
    event_id: dict[str | int, int] = {"NonTarget": 1, "Target": 2} if named else {"1": 1, "2": 2}
    assert any("one class throughout a trial" in note for note in open_recording(path, event_id=event_id).notes)


def test_columns_that_are_not_electrodes_are_left_out_and_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", names=("Fz", "Cz", "attention", "Counter"), unit="")
    found = open_recording(path)
    assert found.ch_names == ("Fz", "Cz")
    assert any("attention (not the name of an electrode)" in note for note in found.notes)
    assert open_recording(path, sidecar={"channel_kinds": {"attention": "eeg"}}).ch_names == ("Fz", "Cz", "attention")
    assert open_recording(write(tmp_path / "b.csv", names=("ch1", "ch2"))).ch_names == ("ch1", "ch2")


def test_decimal_commas_between_commas_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", decimal_point=",")
    refused = refusal(path)
    assert (refused.code, "cannot be told apart" in refused.message) == ("unreadable", True)
    quoted = [
        line.split(";") for line in write(tmp_path / "b.csv", delimiter=";", decimal_point=",").read_text().splitlines()
    ]
    path.write_text("\n".join(",".join(f'"{cell}"' for cell in cells) for cells in quoted))
    assert refusal(path).code == "not_numeric"


@pytest.mark.parametrize("header", [True, False])
def test_channels_in_rows_are_refused_with_what_to_do(tmp_path: Path, header: bool) -> None:
    rows = [",".join([name, *(f"{value:.2f}" for value in row)]) for name, row in zip(NAMES, eeg_uv(3).T, strict=True)]
    rows.insert(0, ",".join(["time", *(f"{second:.4f}" for second in SECONDS)]))
    path = tmp_path / "a.csv"
    path.write_text("\n".join(rows if header else rows[1:]) + "\n")
    refused = refusal(path)
    assert (refused.code, "Transpose the table" in refused.message) == ("transposed", True)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text.replace("\n", "\r"), "unreadable"),
        (lambda text: text[: len(text) // 2].rsplit(",", 1)[0], "unreadable"),
        (lambda text: text.replace("Cz", "Fz"), "duplicate_channels"),
        (lambda text: text.split("\n")[0] + "\n", "missing_eeg"),
        (lambda text: text.replace("\n3.", "\nabc"), "not_numeric"),
    ],
)
def test_damage_is_refused(tmp_path: Path, change: Any, code: str) -> None:
    path = write(tmp_path / "a.csv")
    path.write_text(change(path.read_text()), newline="")
    assert refusal(path).code == code


def test_fields_for_text_are_refused_beside_other_files(tmp_path: Path) -> None:
    path = tmp_path / "a.edf"
    path.write_bytes(b"0")
    for field, value in (("sfreq", 256), ("event_column", "stim")):
        refused = refusal(path, sidecar={field: value})
        assert (refused.code, f"it has {field}, and a.edf is not a text file" in refused.message) == (
            "bad_sidecar",
            True,
        )


def test_notes_beside_a_recording_are_not_taken_for_one(tmp_path: Path) -> None:
    notes = tmp_path / "README.txt"
    notes.write_text("Subject 12 was tired.\nRun 2: electrode Cz loose, 14:30.\n")
    assert is_prose(notes)
    assert not is_prose(write(tmp_path / "a.txt"))
    assert not is_prose(write(tmp_path / "b.txt", WORDS, delimiter=" ", unit=""))
    notes.rename(tmp_path / "run.txt")
    (tmp_path / "run.p300.json").write_text('{"sfreq": 256}')
    assert open_recording(write(tmp_path / "run.csv", times=None)).sfreq == 256


def test_a_text_in_utf_16_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", encoding="utf-16")
    refused = refusal(path)
    assert (refused.code, "UTF-16" in refused.message) == ("unreadable", True)


def test_channels_in_rows_are_refused_whatever_they_are_called(tmp_path: Path) -> None:
    rows: dict[str, list[float]] = {"eeg_Fz": eeg_uv(1)[:, 0].tolist(), "stim": stim().tolist()}
    path = tmp_path / "a.csv"
    path.write_text("".join(",".join([name, *map(str, row)]) + "\n" for name, row in rows.items()))
    assert refusal(path).code == "transposed"


def test_a_column_declared_to_hold_something_else_is_not_taken_for_the_events(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    refused = refusal(path, sidecar={"channel_kinds": {"trigger": "misc"}})
    assert refused.code == "missing_stim"
