"""What is no usable recording is refused with a code, the object's name and what to do, before memory is spent."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import scipy.io
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.limits import LARGEST_IN_MEMORY_BYTES
from p300.readers import open_recording, read_recording

from tests.support.readers import N_SAMPLES, eeg_uv, stim, write_parquet


def parquet(**columns: Any) -> Callable[[Path], Path]:
    return lambda folder: write_parquet(folder / "a.parquet", **columns)


def parquet_metadata(metadata: dict[str, str], **columns: Any) -> Callable[[Path], Path]:
    return lambda folder: write_parquet(folder / "a.parquet", metadata, **columns)


def volts_declared_as_microvolts(folder: Path) -> Path:
    return write_parquet(
        folder / "a.parquet", **{f"eeg_{c}": r * 1e-6 for c, r in zip("ABC", eeg_uv(3).T, strict=True)}
    )


def duplicate_columns(folder: Path) -> Path:
    row = pa.array(eeg_uv(1)[:, 0])
    table = pa.Table.from_arrays([row, row, pa.array(stim())], names=["eeg_Cz", "eeg_Cz", "stim"])
    pq.write_table(table.replace_schema_metadata({"sfreq": "256"}), folder / "a.parquet")
    return folder / "a.parquet"


def truncated(write: Callable[[Path], Path], keep: float) -> Callable[[Path], Path]:
    def write_and_cut(folder: Path) -> Path:
        path = write(folder)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])
        return path

    return write_and_cut


def damaged_pages(folder: Path) -> Path:
    path = write_parquet(folder / "a.parquet")
    data = bytearray(path.read_bytes())
    data[4:-3000] = b"\xff" * (len(data) - 3004)
    path.write_bytes(data)
    return path


def csv(text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "a.csv").write_text(text)
        return folder / "a.csv"

    return write


def csv_rows(header: str, cell: str) -> Callable[[Path], Path]:
    rows = [f"{i / 256:.6f},{i % 7},{code:g}" for i, code in enumerate(stim())]
    rows[2000] = rows[2000].replace(",", f",{cell}", 1)
    return csv("\n".join([header, *rows]) + "\n")


def mat(**variables: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        scipy.io.savemat(folder / "a.mat", variables, do_compression=True)
        return folder / "a.mat"

    return write


def raw_bytes(name: str, data: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


MATRIX = np.column_stack([np.arange(N_SAMPLES) / 512, eeg_uv(16), stim()])
CASES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "an empty object": ("empty_object", raw_bytes("a.parquet", b"")),
    "an extension nobody knows": ("unknown_format", raw_bytes("a.docx", b"x")),
    "no extension": ("unknown_format", raw_bytes("recording", b"x")),
    "parquet cut in half": ("unreadable", truncated(parquet(), 0.5)),
    "parquet without its last byte": ("unreadable", truncated(parquet(), 0.9999)),
    "parquet of other bytes": ("unreadable", raw_bytes("a.parquet", b"PAR1 no PAR1")),
    "parquet with damaged pages": ("unreadable", damaged_pages),
    "parquet without EEG": ("missing_eeg", parquet(n_channels=0, temperature=np.zeros(N_SAMPLES))),
    "parquet without rows": (
        "missing_eeg",
        parquet(n_channels=0, eeg_A=np.zeros(0), eeg_B=np.zeros(0), stim=np.zeros(0, np.int32)),
    ),
    "parquet without stim": ("missing_stim", parquet(stim=None)),
    "parquet with text in an EEG column": ("not_numeric", parquet(eeg_A=["a"] * N_SAMPLES)),
    "parquet with text as stim": ("not_numeric", parquet(stim=["Target"] * N_SAMPLES)),
    "parquet without a rate": ("missing_sfreq", parquet_metadata({})),
    "parquet with a rate that is none": ("missing_sfreq", parquet_metadata({"sfreq": "fast"})),
    "parquet with a negative rate": ("missing_sfreq", parquet_metadata({"sfreq": "-256"})),
    "parquet with an unknown unit": ("bad_metadata", parquet_metadata({"sfreq": "256", "unit": "furlong"})),
    "parquet with too few channel names": ("bad_metadata", parquet_metadata({"sfreq": "256", "channels": '["Cz"]'})),
    "parquet with channels that are no list": ("bad_metadata", parquet_metadata({"sfreq": "256", "channels": "3"})),
    "parquet with a channel named twice": (
        "duplicate_channels",
        parquet_metadata(
            {"sfreq": "256", "channels": '["Cz", "Pz", "Cz"]'},
            n_channels=0,
            **{f"eeg_ch{i}": row for i, row in enumerate(eeg_uv(3).T)},
        ),
    ),
    "parquet with a column twice": ("duplicate_channels", duplicate_columns),
    "parquet in volts that does not say so": ("wrong_unit", volts_declared_as_microvolts),
    "parquet in microvolts that says volts": ("wrong_unit", parquet_metadata({"sfreq": "256", "unit": "V"})),
    "stim constantly 0": ("no_events", parquet(stim=np.zeros(N_SAMPLES, np.int32))),
    "stim constantly 2": ("no_events", parquet(stim=np.full(N_SAMPLES, 2, np.int32))),
    "no targets": ("no_targets", parquet(stim=stim(1, 1).astype(np.int32))),
    "no non-targets": ("no_non_targets", parquet(stim=stim(2, 2).astype(np.int32))),
    "unknown codes": ("unknown_codes", parquet(stim=stim(7, 8).astype(np.int32))),
    "codes that are not whole": ("unknown_codes", parquet(stim=stim() * 0.5)),
    "codes that are missing": ("no_events", parquet(stim=np.where(stim() > 0, np.nan, 0))),
    "csv with text in a column": ("not_numeric", csv_rows("time,eeg_Cz,stim", "oops")),
    "csv with a ragged row": ("unreadable", csv_rows("time,eeg_Cz,stim", "1,2,3,")),
    "csv without stim": ("missing_stim", csv_rows("time,eeg_Cz,trigger", "")),
    "csv without EEG": ("missing_eeg", csv_rows("time,Counter,stim", "")),
    "csv without time": ("missing_sfreq", csv_rows("sample,eeg_Cz,stim", "")),
    "csv with a header alone": ("missing_sfreq", csv("time,eeg_Cz,stim\n")),
    "csv without a header, of unknown width": ("missing_eeg", csv("0,1,2\n1,2,3\n")),
    "csv that is binary": ("unreadable", raw_bytes("a.csv", b"\0\1\2,\0" * 1000)),
    "csv that declares volts and holds microvolts": ("wrong_unit", csv_rows("# unit=V\ntime,eeg_Cz,stim", "")),
    "csv with an unknown unit": ("bad_metadata", csv_rows("# unit=furlong\ntime,eeg_Cz,stim", "")),
    "csv with a rate that is none": ("missing_sfreq", csv_rows("# sfreq=fast\ntime,eeg_Cz,stim", "")),
    "csv that declares two rates": ("bad_metadata", csv_rows("# sfreq=256\n# sfreq=512\ntime,eeg_Cz,stim", "")),
    "csv with one channel in two spellings": ("duplicate_channels", csv_rows("# sfreq=256\neeg_Fz,eeg_FZ,stim", "")),
    "csv of comments": ("unreadable", csv("# sfreq=256\n" * 200)),
    "csv with a column twice": ("duplicate_channels", csv_rows("eeg_Cz,eeg_Cz,stim", "")),
    "mat without samples": ("missing_eeg", mat(signal=MATRIX)),
    "mat with samples of another width": ("missing_eeg", mat(samples=MATRIX[:, :9])),
    "mat of volts": ("wrong_unit", mat(samples=np.column_stack([MATRIX[:, 0], eeg_uv(16) * 1e-6, stim()]))),
    "mat with too few channel names": (
        "bad_metadata",
        mat(samples=MATRIX, sfreq=512.0, channels=np.array(["Cz", "Pz"], object)),
    ),
    "damaged mat of version 7.3": (
        "unreadable",
        raw_bytes("a.mat", b"MATLAB 7.3".ljust(512, b" ") + b"\x89HDF\r\n\x1a\n"),
    ),
    "mat cut in half": ("unreadable", truncated(mat(samples=MATRIX), 0.5)),
    "mat of other bytes": ("unreadable", raw_bytes("a.mat", b"these bytes are no recording" * 99)),
}


@pytest.mark.parametrize(("code", "write"), CASES.values(), ids=CASES.keys())
def test_refused(tmp_path: Path, code: str, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    with pytest.raises(RecordingError) as raised:
        read_recording(path, name=f"subject_01/{path.name}")
    assert raised.value.code == code
    assert raised.value.message.startswith(f"subject_01/{path.name}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        open_recording(tmp_path / "a.parquet")


def test_wrong_unit_is_refused_with_the_unit_that_would_fit(tmp_path: Path) -> None:
    with pytest.raises(
        RecordingError, match=r'changes by .* uV .* correct the unit in the file, or declare it: .*"unit": "V"'
    ) as raised:
        open_recording(volts_declared_as_microvolts(tmp_path))
    assert raised.value.code == "wrong_unit"


def test_a_parquet_bomb_is_refused_before_it_unfolds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    rows = 1 << 20
    group = pa.table({"eeg_A": np.zeros(rows, np.float32), "eeg_B": np.zeros(rows, np.float32), "stim": np.zeros(rows)})
    group = group.replace_schema_metadata({"sfreq": "512"})
    with pq.ParquetWriter(path, group.schema, compression="zstd") as writer:
        for _ in range(16):
            writer.write_table(group)
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("read"))
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(RecordingError, match="would unfold to 403 MB") as raised:
        open_recording(path)
    assert raised.value.code == "too_large"


def test_a_matlab_bomb_is_refused_before_it_unfolds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"samples": np.zeros((2_000_000, 18))}, do_compression=True)
    monkeypatch.setattr(scipy.io, "loadmat", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(RecordingError, match="would unfold to 288 MB") as raised:
        open_recording(path)
    assert raised.value.code == "too_large"


@pytest.mark.parametrize("extension", ["mat", "set"])
def test_what_a_matlab_file_unfolds_to_is_counted_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extension: str
) -> None:
    path = tmp_path / f"a.{extension}"
    hidden = {"data": np.zeros((1000, 60_000)), "nbchan": 1000.0}  # 480 MB in a field, whose size no listing tells
    scipy.io.savemat(path, {"EEG" if extension == "set" else "samples": hidden}, appendmat=False, do_compression=True)
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr(scipy.io, "loadmat", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(RecordingError, match=r"unfold to (more than )?\d+ MB") as raised:
        open_recording(path)
    assert raised.value.code == "too_large"


def test_a_row_group_that_does_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p300.readers.parquet.LARGEST_IN_MEMORY_BYTES", 10_000)
    with pytest.raises(RecordingError, match="row_group_size") as raised:
        open_recording(write_parquet(tmp_path / "a.parquet"))
    assert raised.value.code == "too_large"


@pytest.mark.parametrize("write", [parquet(), csv_rows("time,eeg_Cz,stim", ""), mat(samples=MATRIX)])
def test_more_samples_than_any_recording_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path]
) -> None:
    monkeypatch.setattr("p300.readers.checks.LARGEST_N_SAMPLES", N_SAMPLES - 1)
    with pytest.raises(RecordingError, match="at most 2,559") as raised:
        open_recording(write(tmp_path))
    assert raised.value.code == "too_large"


def eeglab(data: np.ndarray) -> dict[str, object]:
    """An EEGLAB structure with its signal, of shape (n_channels, n_samples), in it."""
    events = [{"type": ("NonTarget", "Target")[i % 2], "latency": 100.0 * (i + 1), "duration": 0.0} for i in range(9)]
    return {
        "EEG": {
            **{"setname": "a", "nbchan": float(len(data)), "trials": 1.0, "pnts": float(data.shape[1]), "srate": 512.0},
            **{"xmin": 0.0, "xmax": data.shape[1] / 512, "data": data, "event": np.array(events)},
            "chanlocs": np.array([{"labels": f"E{i}", "X": 0.0, "Y": 0.0, "Z": 1.0} for i in range(len(data))]),
            **dict.fromkeys(("icawinv", "icaweights", "icasphere", "icaact", "epoch"), np.zeros(0)),
        }
    }


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])
@pytest.mark.parametrize("extension", ["mat", "set"])
def test_what_is_read_whole_takes_no_more_than_a_function_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extension: str, dtype: type
) -> None:
    limit = 16 << 20
    for module in ("checks", "matlab_files"):
        monkeypatch.setattr(f"p300.readers.{module}.LARGEST_IN_MEMORY_BYTES", limit)
    for pieces in ("mne_formats.VALUES_PER_BLOCK", "mat.ROWS_PER_BLOCK"):
        monkeypatch.setattr(f"p300.readers.{pieces}", 1 << 12)  # what does not grow with the file is not looked at here
    n_values = int(0.9 * limit) // (np.dtype(np.float32).itemsize if extension == "set" else np.dtype(dtype).itemsize)
    n_values = min(n_values, int(0.9 * limit) // np.dtype(dtype).itemsize)
    matrix: NDArray[Any] = np.random.default_rng(0).normal(0, 20, (n_values // 18, 18)).astype(dtype)
    matrix[:, -1] = np.arange(len(matrix)) % 600 == 0
    matrix[1200:6000:1200, -1] = 2
    content = {"samples": matrix} if extension == "mat" else eeglab(matrix.T)
    scipy.io.savemat(tmp_path / f"a.{extension}", content, appendmat=False, oned_as="row")
    del content
    open_recording(write_parquet(tmp_path / "first.parquet"))
    tracemalloc.start()
    try:
        for _ in open_recording(tmp_path / f"a.{extension}").blocks():
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    in_a_function = peak / limit * LARGEST_IN_MEMORY_BYTES
    assert in_a_function < 1.5 * 2**30, f"{in_a_function / 2**30:.1f} GB of 2 GB, before libraries"


def test_a_rate_that_makes_days_of_it(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="Check the sampling rate") as raised:
        open_recording(write_parquet(tmp_path / "a.parquet", {"sfreq": "0.02"}))
    assert raised.value.code == "too_large"


def test_an_array_whose_parts_do_not_add_up(tmp_path: Path) -> None:
    """SciPy takes what stands behind it for the next array, and ends the process."""
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"samples": MATRIX, "channels": {"a": "", "b": 1.0}})
    empty_text = b"\1\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0"  # no name, and no characters
    data = path.read_bytes()
    assert data.count(empty_text) == 1
    path.write_bytes(data.replace(empty_text, b"\1\0\0\0\x08" + empty_text[5:]))
    with pytest.raises(RecordingError, match="ends early") as raised:
        open_recording(path)
    assert raised.value.code == "unreadable"


@pytest.mark.parametrize(
    ("columns", "code", "told"),
    [
        ({"stim": np.zeros(N_SAMPLES, np.int32), "marker": stim()}, "no_events", "'marker': 1 (33), 2 (7)"),
        ({"stim": None, "marker": stim()}, "missing_stim", "'marker': 1 (33), 2 (7)"),
        ({"stim": np.where(stim() == 0, -1, stim())}, "no_events", "-1 (2,520), 1 (33), 2 (7)"),
        ({"stim": stim() + 65280}, "no_events", "Between flashes it is 65280"),
        ({"stim": (stim() > 0).astype(np.int32)}, "no_targets", 'here: "1"'),
    ],
)
@pytest.mark.parametrize("extension", ["parquet", "csv"])
def test_a_refusal_counts_what_the_columns_hold(
    tmp_path: Path, extension: str, columns: dict[str, Any], code: str, told: str
) -> None:
    path = write_parquet(tmp_path / "a.parquet", **columns)
    if extension == "csv":
        pa.csv.write_csv(pq.read_table(path), rows := tmp_path / "rows.csv")
        path = tmp_path / "a.csv"
        path.write_text("# sfreq=256\n" + rows.read_text())
    with pytest.raises(RecordingError) as raised:
        open_recording(path)
    assert (raised.value.code, told in raised.value.message) == (code, True), raised.value.message
    assert "S  1" not in raised.value.message


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("# sfreq=0.256 kHz", False),
        ("# sfreq=256 kHz unit=uV", False),
        ("# sfreq: 2560 per s", False),
        ("# sfreq=256 Hz", True),
        ("# sfreq=256 Hz unit=uV", True),
        ("# sfreq=256 unit = uV", True),
        ("# sfreq=256, lab of Fz", True),
    ],
)
def test_text_behind_the_rate_is_refused(tmp_path: Path, line: str, read: bool) -> None:
    pa.csv.write_csv(pq.read_table(write_parquet(tmp_path / "a.parquet")), rows := tmp_path / "rows.csv")
    path = tmp_path / "a.csv"
    path.write_text(f"{line}\n{rows.read_text()}")
    if read:
        assert open_recording(path).sfreq == 256
        return
    with pytest.raises(RecordingError, match="anything behind it") as raised:
        open_recording(path)
    assert raised.value.code == "bad_metadata"


def test_a_blank_line_before_the_header_is_named(tmp_path: Path) -> None:
    pa.csv.write_csv(pq.read_table(write_parquet(tmp_path / "a.parquet")), rows := tmp_path / "rows.csv")
    path = tmp_path / "a.csv"
    path.write_text(f"\n{rows.read_text()}")
    with pytest.raises(RecordingError, match="line 1 is blank"):
        open_recording(path)


@pytest.mark.parametrize(
    "order", ["EEG, stim", "stim, EEG, time", "time, stim, EEG", "EEG, time, stim", "EEG, stim, time"]
)
@pytest.mark.parametrize("named", [True, False])
def test_matlab_columns_in_another_order_are_refused_with_the_order_expected(
    tmp_path: Path, order: str, named: bool
) -> None:
    columns = {"EEG": eeg_uv(3), "stim": stim(), "time": np.arange(N_SAMPLES) / 256}
    samples = np.column_stack([columns[column] for column in order.split(", ")])
    path = tmp_path / "a.mat"
    names = {"channels": np.array(["Fz", "Cz", "Pz"], object)} if named else {}
    scipy.io.savemat(path, {"samples": samples, "sfreq": 256.0, **names})
    with pytest.raises(RecordingError, match="first the time in seconds, then one column for each channel"):
        open_recording(path)
