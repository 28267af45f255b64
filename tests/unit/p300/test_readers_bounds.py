"""No file takes more time than its size asks for, claims more than a recording has, or makes a reader open another file.

What a library would take for ever over is refused before the library sees it: each test names the refusal, which comes at once.
"""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from p300.errors import RecordingError
from p300.limits import MOST_ANNOTATIONS, MOST_CHANNELS, MOST_COLUMNS, MOST_STIM_CHANNELS, MOST_TAGS
from p300.readers import open_recording
from p300.readers.columns import eeg_columns, flash_groups
from p300.readers.edf_header import read_header
from p300.readers.edf_structure import check_edf
from p300.signals import Parameters, check_derived
from p300.signals.flashes import find_flashes
from p300.signals.gaps import Gaps

from tests.fuzz import corpus
from tests.support.readers import eeg_uv, refused, write_brainvision, write_edf, write_parquet

EVENTS = corpus.EVENTS


# ---- as many steps as there is to go through
class Name(str):
    """A column's name that counts what it is compared with."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)


def test_columns_are_not_each_compared_with_all_others() -> None:
    def comparisons(n_columns: int) -> int:
        Name.compared = 0
        eeg_columns([*(Name(f"eeg_{i}") for i in range(n_columns)), Name("stim")], "a.csv", lambda _: np.zeros(1))
        return Name.compared

    assert comparisons(2000) <= 2.5 * comparisons(1000)


def test_flash_codes_that_never_repeat_are_counted_in_one_go(count_calls: Callable[..., int]) -> None:
    def calls(n_flashes: int) -> int:
        stim = np.tile(np.array([0, 1], np.int32), n_flashes)
        return count_calls(find_flashes, stim, np.arange(len(stim), dtype=np.int32))

    assert calls(4000) == calls(1000)


def test_repetitions_of_groups() -> None:
    stim = np.array([0, 1, 0, 1, 0, 1, 0, 2, 0, 1], np.int32)
    flash = np.array([0, 5, 0, 3, 0, 5, 0, 5, 0, 3], np.int32)
    found = find_flashes(stim, flash).repetition
    assert found is not None
    assert found.tolist() == [0, 0, 1, 2, 1]
    nothing = find_flashes(np.zeros(3, np.int32), np.zeros(3, np.int32))
    assert (len(nothing), nothing.repetition is not None and len(nothing.repetition)) == (0, 0)


def test_a_recording_full_of_gaps_takes_no_longer_for_each_epoch(count_calls: Callable[..., int]) -> None:
    """Each block has a gap on each channel; epochs are asked for as the signal passes by."""
    block = np.where(np.arange(100) % 50 == 0, np.nan, 1.0) * np.ones((4, 1))

    def look(n_blocks: int) -> None:
        gaps = Gaps()
        for number, _ in enumerate(gaps.filled([block] * n_blocks)):
            start = np.array([100 * number])
            assert gaps.touched(start, 60, 4).all()
            assert not gaps.touched(start + 51, 40, 4).any()

    assert count_calls(look, 200) <= 2.2 * count_calls(look, 100)


# ---- tables
def test_more_columns_than_any_recording_has(tmp_path: Path) -> None:
    names = [f"eeg_{i}" for i in range(MOST_COLUMNS)]
    (tmp_path / "a.csv").write_text(",".join([*names, "stim"]) + "\n" + ",".join("0" * (MOST_COLUMNS + 1)) + "\n")
    refused(tmp_path / "a.csv", "too_many_channels", f"{MOST_COLUMNS + 1:,} columns", f"{MOST_COLUMNS:,}")
    pq.write_table(pa.table({name: [0.0] for name in [*names, "stim"]}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "too_many_channels", f"{MOST_COLUMNS + 1:,} columns", f"{MOST_COLUMNS:,}")


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_more_channels_than_any_recording_has(tmp_path: Path, extension: str) -> None:
    names = [*(f"eeg_{i}" for i in range(MOST_CHANNELS + 1)), "stim"]
    path = tmp_path / f"a.{extension}"
    if extension == "csv":
        path.write_text(",".join(names) + "\n")
    else:
        pq.write_table(pa.table({name: [0.0] for name in names}), path)
    refused(path, "too_many_channels", f"{MOST_CHANNELS + 1:,} channels", f"{MOST_CHANNELS:,}")


def test_a_parquet_file_that_is_mostly_its_own_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p300.readers.parquet.LARGEST_FOOTER_BYTES", 500)
    monkeypatch.setattr(pq, "ParquetFile", lambda *_, **__: pytest.fail("read"))
    refused(write_parquet(tmp_path / "a.parquet"), "too_large", "columns and row groups", "larger row groups")


def test_a_compressed_csv_is_no_csv(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "a.csv").write_bytes(gzip.compress(b"time,eeg_Cz,stim\n" + b"0,0,0\n" * 100_000))
    refused(tmp_path / "a.csv", "unreadable", "binary data")


@pytest.mark.parametrize(
    "values", [np.array([0, 1.5]), np.array([0, np.inf]), np.array([0, 1e300]), np.array([2**40, 0])]
)
def test_a_flash_column_holds_numbers_of_groups(values: np.ndarray) -> None:
    with pytest.raises(RecordingError) as raised:
        flash_groups(values, "a.csv")
    assert raised.value.code == "bad_flash"


def test_missing_flashes_are_told_from_group_0() -> None:
    assert flash_groups(np.array([np.nan, 3.0]), "a.csv").tolist() == [-1, 3]


@pytest.mark.parametrize("name", ["a\u202eb", "a\u200bb", "a\x1b[2J", "a\u3164", "a\nb"])
def test_a_channels_name_can_be_seen(tmp_path: Path, name: str) -> None:
    columns: dict[str, Any] = {f"eeg_{name}": eeg_uv(1)[:, 0]}
    refused(write_parquet(tmp_path / "a.parquet", n_channels=1, **columns), "bad_metadata", "channel name")


def test_two_spellings_of_one_channels_name(tmp_path: Path) -> None:
    columns: dict[str, Any] = {name: eeg_uv(1)[:, 0] for name in ("eeg_\u00e9", "eeg_e\u0301")}
    refused(write_parquet(tmp_path / "a.parquet", **columns), "duplicate_channels")


def test_notes_can_be_shown(tmp_path: Path) -> None:
    path = write_brainvision(tmp_path / "a.vhdr", [*EVENTS, ("wow\u202e\x1b[2J", 100)])
    notes = open_recording(path).notes
    assert len(notes) == 1
    assert "wow" in notes[0]
    assert notes[0].isprintable()


# ---- BrainVision
@pytest.fixture
def vhdr(tmp_path: Path) -> Path:
    return write_brainvision(tmp_path / "a.vhdr", EVENTS)


def test_the_header_of_these_tests_can_be_read(vhdr: Path) -> None:
    open_recording(vhdr)


SETTINGS: dict[str, tuple[str, str, str, str]] = {
    "lines": ("[Binary", "\n" * 5000 + "[Binary", "unreadable", "lines"),
    "blanks": ("Codepage=UTF-8", "a" + " " * 200 + "b", "unreadable", "blanks"),
    "a long line": ("Codepage=UTF-8", "Codepage=UTF-8" + "x" * 5000, "unreadable", "a line of 5,014 bytes"),
    "channels": ("NumberOfChannels=3", "NumberOfChannels=1_000_000", "too_many_channels", "1,000,000"),
    "a codec that takes the square of the time": ("Codepage=UTF-8", "Codepage=punycode", "unreadable", "Codepage=punycode"),
    "a codec that sees another text": ("Codepage=UTF-8", "Codepage=utf-7", "unreadable", "Codepage=utf-7"),
    "lines to skip": ("[Binary", "[ASCII Infos]\nSkipLines=999999999999\n[Binary", "unreadable", "SkipLines"),
    "a file elsewhere": ("DataFile=a.eeg", "datafile=/etc/passwd\n[X]\nDataFile=a.eeg\n[Common infos]", "bad_companion", "/etc/passwd"),
    "one file for both": ("MarkerFile=a.vmrk", "MarkerFile=a.eeg", "bad_companion", "a.eeg"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("order", "read"), [("NO", True), ("no", True), ("", True), ("YES", False), ("yes", False), ("1", False)]
)
def test_a_byte_order_that_is_not_read(vhdr: Path, order: str, read: bool) -> None:
    vhdr.write_text(vhdr.read_text().replace("[Binary Infos]\n", f"[Binary Infos]\nUseBigEndianOrder={order}\n"))
    if read:
        open_recording(vhdr)
    else:
        refused(vhdr, "unreadable", f"UseBigEndianOrder={order}; expected NO", "Export it again")


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings(vhdr: Path, kind: str) -> None:
    old, new, code, word = SETTINGS[kind]
    text = vhdr.read_text()
    assert old in text
    vhdr.write_text(text.replace(old, new, 1))
    refused(vhdr, code, word)


def test_more_markers_than_any_recording_has(vhdr: Path) -> None:
    marker = b"Mk1=Comment,Target,1,1,0\n"
    vmrk = vhdr.with_suffix(".vmrk")
    vmrk.write_bytes(vmrk.read_bytes() + marker * MOST_ANNOTATIONS)
    refused(vhdr, "too_many_annotations", f"{MOST_ANNOTATIONS + len(EVENTS):,} markers", f"{MOST_ANNOTATIONS:,}")


def test_the_markers_code_page_is_looked_at_too(vhdr: Path) -> None:
    vmrk = vhdr.with_suffix(".vmrk")
    vmrk.write_bytes(vmrk.read_bytes().replace(b"Codepage=UTF-8", b"Code\xffpage=punycode"))
    refused(vhdr, "unreadable", "a.vmrk", "Codepage=punycode")


def test_a_long_signal_written_as_text(vhdr: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p300.readers.brainvision.MOST_TEXT_SAMPLES", 100)
    vhdr.write_text(vhdr.read_text().replace("DataFormat=BINARY", "DataFormat=ASCII"))
    vhdr.with_suffix(".eeg").write_bytes(b"1 2 3\n" * 101)
    refused(vhdr, "too_large", "101 lines", "Export it as binary data")


# ---- EDF
def annotations(path: Path, lists: bytes) -> Path:
    """An EDF+ file with two signals of one second a record, the second `lists` in as many records as they need."""
    width, n_records = 2048, -(-len(lists) // 2048)
    header = b"0".ljust(8) + b"X X X X".ljust(80) + b"Startdate 01-JAN-2020 X X X".ljust(80) + b"01.01.2000.00.00"
    header += b"768".ljust(8) + b"EDF+C".ljust(44) + str(n_records).encode().ljust(8) + b"1".ljust(8) + b"2".ljust(4)
    for values, size in (
        ([b"Fz", b"EDF Annotations"], 16), ([b""] * 2, 80), ([b"uV", b""], 8), ([b"-1", b"-1"], 8), ([b"1", b"1"], 8),
        ([b"-32768"] * 2, 8), ([b"32767"] * 2, 8), ([b""] * 2, 80), ([b"256", str(width // 2).encode()], 8), ([b""] * 2, 32),
    ):  # fmt: skip
        header += b"".join(value.ljust(size) for value in values)
    padded = lists.ljust(n_records * width, b"\0")
    body = b"".join(bytes(512) + padded[i * width : (i + 1) * width] for i in range(n_records))
    path.write_bytes(header + body)
    return path


@pytest.mark.parametrize(
    ("lists", "code", "word"),
    [
        (b"+1\x14" * 20_000 + b"\n", "unreadable", "annotations without an end"),
        (b"+" + b"1" * 60_000 + b"\x14\x14\0", "unreadable", "digits"),
        (b"+1\x14a\x14\0" * (MOST_ANNOTATIONS + 1), "too_many_annotations", f"{MOST_ANNOTATIONS:,}"),
    ],
)
def test_annotations_that_are_looked_for_over_and_over(tmp_path: Path, lists: bytes, code: str, word: str) -> None:
    refused(annotations(tmp_path / "a.edf", lists), code, word)


def test_annotations_as_they_should_be(tmp_path: Path) -> None:
    lists = b"".join(
        (b"+%d\x14\x14\0" % i + b"+%d.5\x151\x14Target --- a-b-c\x14\0+%d.7\x14NonTarget\x14\0" % (i, i)).ljust(
            2048, b"\0"
        )
        for i in range(50)
    )
    path = annotations(tmp_path / "a.edf", lists)
    check_edf(path, read_header(path), "a.edf", sample_bytes=2)
    corpus.edf_plus(tmp_path / "b.edf")
    check_edf(tmp_path / "b.edf", read_header(tmp_path / "b.edf"), "b.edf", sample_bytes=2)


@pytest.mark.parametrize(
    ("place", "value", "code"), [(252, b"9999", "too_many_channels"), (236, b"99999999", "too_large")]
)
def test_claims_of_an_edf_header(tmp_path: Path, place: int, value: bytes, code: str) -> None:
    path = write_edf(tmp_path / "a.edf")
    body = path.read_bytes()
    path.write_bytes(body[:place] + value + body[place + len(value) :])
    refused(path, code)


# ---- FIF
def tag(kind: int, data: bytes = b"", type_: int = 3, following: int = 0) -> bytes:
    return struct.pack(">iIii", kind, type_, len(data), following) + data


@pytest.mark.parametrize(
    ("tags", "code", "word"),
    [
        (tag(203, bytes(96)) * (MOST_CHANNELS + 1), "too_many_channels", f"{MOST_CHANNELS:,}"),
        (tag(3507, b":" * 100_000, 10), "unreadable", "more than such a tag can need"),
        (tag(206, bytes((16 << 20) + 1)), "unreadable", "more than such a tag can need"),
        (tag(104, b"\0\0\0\x66") * MOST_TAGS, "unreadable", "a tag of kind 104"),
    ],
    ids=["channels", "names", "a large tag", "many tags"],
)
def test_claims_of_a_fif_file(tmp_path: Path, tags: bytes, code: str, word: str) -> None:
    path = tmp_path / "a.fif"
    path.write_bytes(tag(100, bytes(20), 31) + tags + tag(108, following=-1))
    refused(path, code, word)


def test_more_stim_channels_than_are_worth_a_look(tmp_path: Path) -> None:
    import mne

    n = MOST_STIM_CHANNELS + 1
    info = mne.create_info(["Cz", *(f"STI {i}" for i in range(n))], 256.0, ["eeg", *["stim"] * n])
    mne.io.RawArray(np.zeros((n + 1, 600)), info, verbose="error").save(tmp_path / "a.fif", verbose="error")
    refused(tmp_path / "a.fif", "too_many_channels", f"{n} stim channels")


# ---- what is derived
def stream_of(tmp_path: Path, **columns: Any) -> Any:
    return open_recording(write_parquet(tmp_path / "a.parquet", **columns))


def test_bounds_of_what_is_derived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, parameters = stream_of(tmp_path), Parameters()
    check_derived(stream, parameters)
    for limit, value, code in (
        ("MOST_VALUES", 3 * 2560 - 1, "too_large"),
        ("MOST_FLASHES_PER_S", 3.9, "too_many_flashes"),
        ("LARGEST_FEATURES_BYTES", 40 * 3 * 70 * 4 - 1, "too_large"),
        ("MOST_EPOCH_VALUES", 40 * 3 * 181 - 1, "too_large"),
    ):
        with monkeypatch.context() as patch, pytest.raises(RecordingError) as raised:
            patch.setattr(f"p300.signals.bounds.{limit}", value)
            check_derived(stream, parameters, "subject_01/a.parquet")
        assert raised.value.code == code, limit
        assert raised.value.message.startswith("subject_01/a.parquet has "), raised.value


def test_groups_that_are_numbers_of_flashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p300.signals.bounds.MOST_FLASH_GROUPS", 12)
    stream = stream_of(tmp_path, flash=np.arange(2560))
    assert stream.flash is None  # set aside; a reader that keeps them is refused here
    stream = replace(stream, flash=np.arange(2560, dtype=np.int32))
    with pytest.raises(RecordingError, match="40 different flash groups") as raised:
        check_derived(stream, Parameters())
    assert raised.value.code == "too_many_groups"
