"""A number in a header that no recording has: read as if it were right, or refused in the product's own words; never something else."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.recording import RecordingStream

from tests.support.edf import write_edf_plus
from tests.support.labs import SFREQ, generated, lab, write

MADE = lab(0, n_channels=4, n_repetitions=3)
N_SIGNALS = 5
TEXTS = ["0", "-1", "nan", "inf", "-inf", "", "abc", "1e999", "0,0", "-0.0", "\x00"]
NUMBERS = [0.0, -1.0, np.nan, np.inf, -np.inf, np.array([]), "abc", np.array([1.0, 2.0])]
LEAKS = re.compile(
    r"\(\)|invalid literal|could not convert|division|cannot convert|object is not|NoneType|interpolation|truth value|0-dimensional|"
    r"unsupported operand|must be equal|read length"
)

Spoil = Callable[[Path, Any], None]


def fixed(at: int, size: int) -> Spoil:
    """Overwrite a field of an EDF header."""

    def spoil(path: Path, text: str) -> None:
        data = path.read_bytes()
        path.write_bytes(data[:at] + text.encode()[:size].ljust(size) + data[at + size :])

    return spoil


def setting(pattern: str, ending: str = ".vhdr") -> Spoil:
    """Replace what a pattern's first group does not keep in one of BrainVision's texts."""

    def spoil(path: Path, text: str) -> None:
        file = path.with_suffix(ending)
        file.write_text(re.sub(pattern, lambda found: found[1] + text + found[2], file.read_text(), count=1))

    return spoil


def field(name: str, of: str | None = None) -> Spoil:
    """Replace a field of EEGLAB's structure, or of its third event."""

    def spoil(path: Path, value: Any) -> None:
        eeg = scipy.io.loadmat(path, simplify_cells=True)["EEG"]
        events = [dict(event) for event in eeg["event"]]
        (events[2] if of else eeg)[name] = value
        scipy.io.savemat(path, {"EEG": {**eeg, "event": np.array(events)}}, appendmat=False, oned_as="row")

    return spoil


def variable(path: Path, value: Any) -> None:
    stated = {name: held for name, held in scipy.io.loadmat(path).items() if not name.startswith("__")}
    scipy.io.savemat(path, {**stated, "sfreq": value})


def rate_of_parquet(path: Path, text: str) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(path).replace_schema_metadata({"sfreq": text, "unit": "uV"}), path)


def rate_of_csv(path: Path, text: str) -> None:
    path.write_text(path.read_text().replace("sfreq=256", f"sfreq={text}"))


SIGNALS = 256 + N_SIGNALS * (16 + 80 + 8)
EDF: dict[str, Spoil] = {
    "header bytes": fixed(184, 8),
    "records": fixed(236, 8),
    "duration": fixed(244, 8),
    "signals": fixed(252, 4),
    "physical minimum": fixed(SIGNALS, 8),
    "physical maximum": fixed(SIGNALS + 8 * N_SIGNALS, 8),
    "digital minimum": fixed(SIGNALS + 16 * N_SIGNALS, 8),
    "digital maximum": fixed(SIGNALS + 24 * N_SIGNALS, 8),
    "samples": fixed(SIGNALS + 112 * N_SIGNALS, 8),
    "samples of the triggers": fixed(SIGNALS + 112 * N_SIGNALS + 32, 8),
}
SPOILS: dict[tuple[str, str], Spoil] = {
    **{(extension, name): spoil for extension in ("edf", "bdf") for name, spoil in EDF.items()},
    ("vhdr", "channels"): setting(r"(NumberOfChannels=).*()"),
    ("vhdr", "interval"): setting(r"(SamplingInterval=).*()"),
    ("vhdr", "format"): setting(r"(DataFormat=).*()"),
    ("vhdr", "orientation"): setting(r"(DataOrientation=).*()"),
    ("vhdr", "resolution"): setting(r"(Ch1=\w+,,)[^,]*(,)"),
    ("vhdr", "position"): setting(r"(Mk3=Stimulus,\w+,)\d+(,)", ".vmrk"),
    ("parquet", "rate"): rate_of_parquet,
    ("csv", "rate"): rate_of_csv,
    ("mat", "rate"): variable,
    **{("set", name): field(name) for name in ("nbchan", "pnts", "srate", "trials")},
    **{("set", f"event {name}"): field(name, "event") for name in ("latency", "duration")},
}
WITH_NUMBERS = {"set", "mat"}


def opened(path: Path) -> RecordingStream:
    stream = open_recording(path)
    for _ in stream.blocks():
        pass
    return stream


@given(st.data(), st.sampled_from(sorted(SPOILS)))
@generated(120)
def test_numbers_of_headers_are_right_or_refused(tmp_path: Path, data: st.DataObject, which: tuple[str, str]) -> None:
    extension = which[0]
    value = data.draw(st.sampled_from(NUMBERS if extension in WITH_NUMBERS else TEXTS))
    path = write(tmp_path, MADE, extension)
    healthy = opened(path)
    SPOILS[which](path, value)
    try:
        stream = opened(path)
    except RecordingError as refusal:
        assert "xpected" in refusal.message
        assert not LEAKS.search(refusal.message), refusal.message
        return
    assert (stream.sfreq, stream.n_samples) == (SFREQ, MADE.uv.shape[1])
    changed = int(np.count_nonzero(stream.stim != healthy.stim))
    assert not changed or any(re.search(r"outside of the (signal|recording)", note) for note in stream.notes)
    signals = [np.concatenate(list(one.blocks()), axis=1) for one in (stream, healthy)]
    if len(stream.ch_names) < len(healthy.ch_names):
        assert any("left out" in note and healthy.ch_names[0] in note for note in stream.notes)
        signals[1] = signals[1][1:]
    same = np.isclose(signals[0], signals[1], rtol=1e-3, atol=1e-3 * float(np.abs(signals[1]).max())).all(axis=1)
    # A range that is another number, but a number, cannot be told from the right one.
    assert same[-3:].all()
    assert same.all() or "imum" in which[1] or which[1] == "resolution"
    assert np.isfinite(signals[0]).all()


@pytest.mark.parametrize(
    ("which", "value", "code", "words"),
    [
        (("edf", "header bytes"), "0", "unreadable", "a header of 0 bytes; expected 1,536 bytes, as it has 5 signals"),
        (("edf", "duration"), "0", "missing_sfreq", "a data record lasts '0' s; expected a positive number"),
        (("bdf", "samples"), "-1", "unreadable", "'-1' as the samples a record of signal 1"),
        (("edf", "records"), "12", "unreadable", "12 data records; expected as many as the file holds, 11"),
        (("vhdr", "interval"), "0", "missing_sfreq", "SamplingInterval=0; expected the positive number"),
        (("vhdr", "position"), "0", "unreadable", "expected its position, a whole number from 1 on"),
        (("set", "srate"), np.nan, "missing_sfreq", "srate is 'nan'; expected a positive number of Hz"),
        (("set", "trials"), 3.0, "not_continuous", "trials is 3, so this is a data set of 3 epochs"),
    ],
)
def test_a_refusal_says_what_was_found_and_expected(
    tmp_path: Path, which: tuple[str, str], value: Any, code: str, words: str
) -> None:
    path = write(tmp_path, MADE, which[0])
    SPOILS[which](path, value)
    with pytest.raises(RecordingError) as raised:
        opened(path)
    assert raised.value.code == code
    assert words in raised.value.message


@pytest.mark.parametrize(("extension", "named"), [("bdf", "edf"), ("edf", "bdf")])
def test_bytes_of_the_other_format_are_named(tmp_path: Path, extension: str, named: str) -> None:
    path = write(tmp_path, MADE, extension)
    other = path.rename(path.with_suffix(f".{named}"))
    with pytest.raises(RecordingError, match=rf"\.{extension}") as raised:
        opened(other)
    assert raised.value.code == "unreadable"


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, MADE, "edf")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(RecordingError, match="11 data records; expected as many as the file holds, 10"):
        opened(path)


def test_a_recording_that_was_not_closed_is_read_with_a_note(tmp_path: Path) -> None:
    path = write(tmp_path, MADE, "edf")
    EDF["records"](path, "-1")
    assert any("does not say how many data records" in note for note in opened(path).notes)


@pytest.mark.parametrize("extension", ["edf", "bdf"])
def test_a_signal_without_a_range_is_left_out_by_name(tmp_path: Path, extension: str) -> None:
    """MNE-Python reads it with a range of 1."""
    path = write(tmp_path, MADE, extension)
    EDF["physical minimum"](path, "0")
    EDF["physical maximum"](path, "0")
    stream = opened(path)
    assert stream.ch_names == tuple(MADE.names[1:])
    assert f"left out, as the header gives them no range: {MADE.names[0]}" in stream.notes


def test_gaps_are_found_where_nul_bytes_pad_the_numbers(tmp_path: Path) -> None:
    signals = [np.random.default_rng(number).normal(0, 20, 20 * 256) for number in range(3)]
    events = [(1 + 0.5 * number, "Target" if number % 6 == 0 else "NonTarget") for number in range(14)]
    starts = [*range(10), *range(17, 27)]
    path = write_edf_plus(tmp_path / "a.edf", signals, ["Fz", "Cz", "Pz"], [256] * 3, events, record_starts=starts)
    data = path.read_bytes()
    path.write_bytes(data[:244] + b"1".ljust(8, b"\0") + data[252:])
    assert opened(path).gaps == (10 * 256,)
