"""Well-formed inputs of every format, as {file name: bytes}: what the fuzzer spoils."""

import io
import tempfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.io

from tests.support import readers as support
from tests.support.bci2000 import write_bci2000
from tests.support.cnt import write_cnt
from tests.support.gdf import write_gdf
from tests.support.gtec import write_gtec
from tests.support.matlab73 import write_mat73
from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv, stim
from tests.support.texts import BEGIN, write_muse, write_openbci, write_table
from tests.support.xdf import Written, chunk_stamps, write_xdf

Files = dict[str, bytes]
NAME = "recording"
N_ROWS = 700
"""Of a text file."""
SUFFIXES = {"mat73": "mat", "set73": "set", "openbci": "txt", "muse": "csv", "delimited": "csv"}
"""Extension of what is not called by its own."""
EVENTS = [("Target" if label == 2 else "NonTarget", int(onset)) for onset, label in zip(ONSETS, LABELS, strict=True)]


@cache
def files(extension: str) -> list[Files]:
    """Return the well-formed recordings of one format; the first file of each is the recording's own."""
    return [_written(write, extension) for write in WRITERS[extension]]


def _written(write: Callable[[Path], object], extension: str) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{NAME}.{SUFFIXES.get(extension, extension)}"
        write(path)
        found = {entry.name: entry.read_bytes() for entry in sorted(Path(folder).iterdir())}
    if extension in {"mat", "set"}:  # they begin with the time of writing
        found[path.name] = b"MATLAB 5.0 MAT-file".ljust(116) + found[path.name][116:]
    return {path.name: found.pop(path.name), **found}


def parquet_of_bi2014a(path: Path) -> None:
    columns = {f"eeg_ch{i:02d}": row.astype(np.float32) for i, row in enumerate(eeg_uv(16).T, 1)}
    support.write_parquet(path, {}, 0, **columns, flash=pa.array(np.arange(N_SAMPLES) % 12, pa.int32()))


def csv_with_names(path: Path) -> None:
    rows = [
        f"{i / 256:.6f},{a:g},{b:g},{code:g}" for i, ((a, b), code) in enumerate(zip(eeg_uv(2), stim(), strict=True))
    ]
    path.write_text("\n".join(["time,eeg_Fz,eeg_Cz,stim", *rows[:1200]]) + "\n")


def csv_without_header(path: Path) -> None:
    matrix = np.column_stack([np.arange(600) / 512, eeg_uv(16)[:600], stim()[:600]])
    np.savetxt(path, matrix, fmt="%g", delimiter=",")


def matrix(n_channels: int = 16, n_samples: int = 800) -> np.ndarray:
    return np.column_stack([np.arange(n_samples) / 512, eeg_uv(n_channels)[:n_samples], stim()[:n_samples]])


def mat(path: Path, compressed: bool = True, **variables: Any) -> None:
    scipy.io.savemat(path, variables, appendmat=False, do_compression=compressed)


def fif(path: Path, annotated: bool = False) -> None:
    import mne

    kinds = ["eeg"] * 3 + ["stim"] * (not annotated)
    info = mne.create_info(["Fz", "Cz", "Pz", "STI 014"][: len(kinds)], 256.0, kinds)
    raw = mne.io.RawArray(np.vstack([eeg_uv(3).T * 1e-6, stim()[np.newaxis]])[: len(kinds)], info, verbose="error")
    if annotated:
        raw.set_annotations(mne.Annotations(ONSETS / 256, 0.0, [name for name, _ in EVENTS]))
    raw.save(path, verbose="error", overwrite=True)


def edf_plus(path: Path) -> None:
    """EDF+ with three channels and its events in an annotation signal, a second a record."""
    n_records, width = N_SAMPLES // 256, 60
    names = ["Fz", "Cz", "Pz", "EDF Annotations"]
    header = b"0".ljust(8) + b"X X X X".ljust(80) + b"Startdate 01-JAN-2020 X X X".ljust(80) + b"01.01.2000.00.00"
    header += (
        str(256 * 5).encode().ljust(8)
        + b"EDF+C".ljust(44)
        + str(n_records).encode().ljust(8)
        + b"1".ljust(8)
        + b"4".ljust(4)
    )
    columns = ((names, 16), ([""] * 4, 80), (["uV"] * 3 + [""], 8), (["-3276.7"] * 3 + ["-1"], 8), (["3276.7"] * 3 + ["1"], 8),
               (["-32767"] * 4, 8), (["32767"] * 4, 8), ([""] * 4, 80), ([256] * 3 + [width], 8), ([""] * 4, 32))  # fmt: skip
    header += b"".join(str(value).encode().ljust(size) for values, size in columns for value in values)
    signal = np.round(eeg_uv(3) * 10).astype("<i2").reshape(n_records, 256, 3).swapaxes(1, 2)
    body = b""
    for record in range(n_records):
        marks = f"+{record}\x14\x14\0" + "".join(
            f"+{onset / 256:.6f}\x14{name}\x14\0" for name, onset in EVENTS if record == onset // 256
        )
        body += signal[record].tobytes() + marks.encode().ljust(2 * width, b"\0")[: 2 * width]
    path.write_bytes(header + body)


def eeglab(**changes: Any) -> dict[str, Any]:
    """Return an EEGLAB structure as a .set file holds it."""
    events = [
        {"type": name, "latency": float(sample + 1), "duration": 0.0, "urevent": float(i)}
        for i, (name, sample) in enumerate(EVENTS, 1)
    ]
    chanlocs = [{"labels": name, "type": "EEG", "X": 0.0, "Y": 0.0, "Z": 1.0} for name in ("Fz", "Cz", "Pz")]
    eeg = {
        "setname": "a", "nbchan": 3.0, "trials": 1.0, "pnts": float(N_SAMPLES), "srate": 256.0, "xmin": 0.0,
        "xmax": (N_SAMPLES - 1) / 256, "data": eeg_uv(3).T.astype(np.float32), "event": np.array(events),
        "chanlocs": np.array(chanlocs), "icawinv": [], "icaweights": [], "icasphere": [], "icaact": [], "epoch": [],
        "history": "", "comments": "",
    }  # fmt: skip
    return {"EEG": eeg | changes}


def set_file(path: Path, compressed: bool = False, **changes: Any) -> None:
    scipy.io.savemat(path, eeglab(**changes), appendmat=False, oned_as="row", do_compression=compressed)


def set_with_fdt(path: Path) -> None:
    set_file(path, data=f"{NAME}.fdt")
    path.with_suffix(".fdt").write_bytes(eeg_uv(3).astype("<f4").tobytes())


def vhdr(path: Path) -> None:
    support.write_brainvision(path, [("S  2" if name == "Target" else "S  1", onset) for name, onset in EVENTS])


def bci2000(path: Path, **options: Any) -> None:
    """Write a recording of a speller, whose flashes begin with a pulse of ten samples."""
    code, target = np.zeros(N_SAMPLES, int), np.zeros(N_SAMPLES, bool)
    for number, (name, onset) in enumerate(EVENTS):
        code[onset : onset + 10], target[onset : onset + 10] = number % 6 + 1, name == "Target"
    write_bci2000(path, np.round(eeg_uv(3).T * 100), code, target, **options)


def xdf(path: Path, format_: str = "float32", per_chunk: int = 64) -> None:
    """Write a stream of EEG and one of markers, of texts or of codes."""
    times = 100 + np.arange(N_SAMPLES) / 256
    onsets = times[[onset for _, onset in EVENTS]]
    labels = ("Fz", "Cz", "Pz")
    eeg = Written("eeg", "EEG", eeg_uv(3), chunk_stamps(times, per_chunk), 256.0, format_, labels, per_chunk=per_chunk)
    texts = Written("flashes", "Markers", [name for name, _ in EVENTS], onsets, format="string")
    codes = Written(
        "codes", "Markers", np.array([[1 + (name == "Target")] for name, _ in EVENTS]), onsets, format="int32"
    )
    write_xdf(path, eeg, texts if format_ == "float32" else codes)


def gdf(path: Path, version: str, **options: Any) -> None:
    """Write a recording with OpenViBE's events."""
    codes = [33285 if name == "Target" else 33286 for name, _ in EVENTS]
    onsets = [onset for _, onset in EVENTS]
    labels = [33025 + number % 6 for number in range(len(EVENTS))]
    write_gdf(path, np.round(eeg_uv(3).T * 10), onsets * 2, codes + labels, version=version, gain=0.1, **options)


def cnt(path: Path, **options: Any) -> None:
    write_cnt(path, eeg_uv(3).T, [at for _, at in EVENTS], [1 + (name == "Target") for name, _ in EVENTS], **options)


def gtec(path: Path, kind: type) -> None:
    write_gtec(path, eeg_uv(3).T.astype(kind), [onset for _, onset in EVENTS], [name for name, _ in EVENTS])


def set73(path: Path) -> None:
    """Write an EEGLAB data set of version 7.3."""
    eeg = eeglab()["EEG"]
    write_mat73(path, {"EEG": {key: eeg[key] for key in ("nbchan", "trials", "pnts", "srate", "data")} | {
        "event": [{key: one[key] for key in ("type", "latency", "duration")} for one in eeg["event"]],
        "chanlocs": [{key: one[key] for key in ("labels", "type")} for one in eeg["chanlocs"]],
    }})  # fmt: skip


def openbci(path: Path, version: int) -> None:
    write_openbci(path, eeg_uv(2)[:N_ROWS].T, stim()[:N_ROWS], version=version, digits=2)


def muse(path: Path) -> None:
    events = [(at, f"/Marker/{1 + (name == 'Target')}") for name, at in EVENTS if at < N_ROWS]
    write_muse(path, eeg_uv(4)[:N_ROWS].T, [(5, "/muse/elements/blink"), *events], digits=2)


def delimited(path: Path, named: bool = False, **options: Any) -> None:
    """Write a table of a generic tool, with codes or with names."""
    codes = stim()[:N_ROWS].astype(int).tolist()
    events = [{1: "NonTarget", 2: "Target"}.get(code, "") for code in codes] if named else codes
    write_table(path, eeg_uv(2)[:N_ROWS].T, ("Fz", "Cz"), events, digits=2, **options)


def openbci_with_sidecar(path: Path) -> None:
    openbci(path, 4)
    path.with_suffix(".p300.json").write_text('{"event_column": "Aux Channel 0"}')


def _clock(number: int) -> str:
    return f"{BEGIN + timedelta(seconds=number / 256):%Y-%m-%d %H:%M:%S.%f}"[:-3]


WRITERS: dict[str, list[Callable[[Path], object]]] = {
    "parquet": [support.write_parquet, parquet_of_bi2014a],
    "csv": [csv_with_names, csv_without_header],
    "openbci": [
        lambda path: openbci(path, 6),
        lambda path: openbci(path, 5),
        openbci_with_sidecar,
    ],
    "muse": [muse],
    "delimited": [
        lambda path: delimited(path, times=[f"{i / 256:.6f}" for i in range(N_ROWS)]),
        lambda path: delimited(path, True, times=[_clock(i) for i in range(N_ROWS)], delimiter=";", decimal_point=","),
        lambda path: delimited(path, before="# sfreq=256\n", delimiter=" ", unit="", event_name="marker"),
        lambda path: delimited(
            path, True, times=[f"{i / 0.256:.3f}" for i in range(N_ROWS)], time_name="time (ms)", delimiter="\t"
        ),
    ],
    "mat": [
        lambda path: mat(path, samples=matrix()),
        lambda path: mat(path, compressed=False, samples=matrix()),
        lambda path: mat(
            path, samples=matrix(3), sfreq=512.0, channels=np.array(["Fz", "Cz", "Pz"], object), unit="uV"
        ),
    ],
    "fif": [fif, lambda path: fif(path, annotated=True)],
    "mat73": [
        lambda path: write_mat73(path, {"samples": matrix()}),
        lambda path: write_mat73(
            path, {"samples": matrix(3), "sfreq": 512.0, "channels": ["Fz", "Cz", "Pz"], "unit": "uV"}
        ),
    ],
    "set73": [set73],
    "edf": [support.write_edf, edf_plus],
    "bdf": [lambda path: support.write_edf(path, bdf=True)],
    "set": [set_file, lambda path: set_file(path, compressed=True), set_with_fdt],
    "vhdr": [vhdr],
    "xdf": [xdf, lambda path: xdf(path, "int16", 300)],
    "gdf": [
        lambda path: gdf(path, "1.25", kind=3),
        lambda path: gdf(path, "2.20"),
        lambda path: gdf(path, "1.90", mode=1),
    ],
    "cnt": [
        cnt,
        lambda path: cnt(path, kind="int16", step_uv=0.01, event_type=1, bad=["Cz"]),
        lambda path: cnt(path, event_type=3, block=10),
    ],
    "hdf5": [lambda path: gtec(path, np.float32), lambda path: gtec(path, np.float64)],
    "dat": [bci2000, lambda path: bci2000(path, version=False), lambda path: bci2000(path, data_format="float32")],
}


KINDS = ("lda", "ridge", "xdawn_ts", "ensemble")


@cache
def model(kind: str) -> dict[str, np.ndarray]:
    """Return the arrays of a small model."""
    from p300 import models

    rng = np.random.default_rng(0)
    y = np.where(np.arange(120) % 6 == 0, 2, 1)
    X = rng.normal(0, 1e-5, (120, 4 * 20)) + 5e-6 * (y == 2)[:, np.newaxis]
    groups = np.repeat(["subject_01/a", "subject_02/a"], 60)
    return dict(models.make(kind, n_channels=4, n_times=20).fit(X.astype(np.float32), y, groups).to_arrays())


def npz(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
