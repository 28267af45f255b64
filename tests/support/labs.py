"""A recording as labs have it, and how to write it in every format that is read: the same EEG, labels and channels in each."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from p300.synth import CHANNELS, POSITIONS

from tests.support.bci2000 import write_bci2000
from tests.support.gdf import write_gdf
from tests.support.gtec import write_gtec
from tests.support.matlab73 import write_mat73
from tests.support.xdf import Written, chunk_stamps, write_xdf

EXAMPLES = os.environ.get("P300_FUZZ_EXAMPLES")
"""What `make fuzz-recordings` sets; several tests, which write each recording several times, share them."""
SHARED_BY = 12
SFREQ = 256.0
FORMATS = ("parquet", "csv", "mat", "fif", "edf", "bdf", "set", "vhdr", "dat", "xdf", "gdf", "hdf5")
NAMES = {1: "NonTarget", 2: "Target"}
TABLES = {"parquet", "csv", "mat"}


def generated(usually: int) -> settings:
    """Return settings for a property test that makes so many recordings, or many times more at night."""
    return settings(
        max_examples=max(usually, int(EXAMPLES) // SHARED_BY) if EXAMPLES else usually,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@dataclass
class Lab:
    """A recording: EEG in microvolts of shape (n_channels, n_samples), names, dimensions, and the class of each flash."""

    uv: NDArray[np.float64]
    names: list[str]
    stim: NDArray[np.int32]
    units: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.units = self.units or ["uV"] * len(self.names)
        self.kinds = self.kinds or ["eeg"] * len(self.names)

    def with_channel(self, row: NDArray[np.floating], name: str, unit: str = "uV", kind: str = "eeg") -> "Lab":
        """Return the same with one more channel."""
        return Lab(np.vstack([self.uv, row]), [*self.names, name], self.stim, [*self.units, unit], [*self.kinds, kind])

    def ordered(self, order: Sequence[int]) -> "Lab":
        """Return the same with its channels in another order."""
        return Lab(
            self.uv[list(order)],
            [self.names[i] for i in order],
            self.stim,
            [self.units[i] for i in order],
            [self.kinds[i] for i in order],
        )

    @property
    def onsets(self) -> NDArray[np.int64]:
        """First samples of the flashes."""
        return np.flatnonzero(self.stim)


def lab(seed: int = 0, *, n_channels: int = 8, n_repetitions: int = 5, offset_uv: float = 0.0) -> Lab:
    """Make a recording of correlated noise with a response to targets, whole seconds long."""
    rng = np.random.default_rng(seed)
    gap = round(0.2 * SFREQ)
    onsets = round(2 * SFREQ) + gap * np.arange(12 * n_repetitions) + rng.integers(0, 6, 12 * n_repetitions)
    n_samples = int(np.ceil(onsets[-1] / SFREQ + 2) * SFREQ)
    stim = np.zeros(n_samples, np.int32)
    groups = np.concatenate([rng.permutation(12) for _ in range(n_repetitions)])
    stim[onsets] = np.where(np.isin(groups, (3, 9)), 2, 1)
    shape = np.maximum(np.fft.rfftfreq(n_samples, 1 / SFREQ), 0.5) ** -0.7
    sources = np.fft.irfft(shape * rng.normal(size=(n_channels, 2 * len(shape))).view(np.complex128), n_samples, axis=1)
    reach = np.exp(-((POSITIONS[:n_channels, np.newaxis] - POSITIONS[:n_channels]) ** 2).sum(axis=2))
    uv = reach @ sources
    uv *= 9 / uv.std(axis=1, keepdims=True)
    times = np.arange(round(0.6 * SFREQ)) / SFREQ
    bump = 8 * np.exp(-(((times - 0.35) / 0.07) ** 2))
    for onset in onsets[stim[onsets] == 2]:
        uv[:, onset : onset + len(bump)] += bump
    uv += rng.normal(0, 0.5, uv.shape) + offset_uv * rng.normal(size=(n_channels, 1))
    return Lab(uv, list(CHANNELS[:n_channels]), stim)


def write(
    folder: Path,
    made: Lab,
    extension: str,
    *,
    scale: float = 1.0,
    unit: str | None = "uV",
    stem: str = "a",
    latest: bool = False,
) -> Path:
    """Write a recording.

    Parameters
    ----------
    folder : Path
        Where to.
    made : Lab
        What.
    extension : str
        One of `FORMATS`.
    scale : float
        Factor from microvolts to the numbers that are written.
    unit : str or None
        What the file says these are, for channels in ``uV``; None says nothing, where a format can do that.
    stem : str
        Of the file's name.
    latest : bool
        Whether MATLAB's files are of version 7.3.
    """
    values, units = made.uv.copy(), list(made.units)
    for i, stated in enumerate(units):
        if stated == "uV":
            values[i] *= scale
            units[i] = unit or ""
    path = folder / f"{stem}.{extension}"
    if extension in TABLES:
        _write_table(path, made, values, unit, latest=latest)
    elif extension == "fif":
        _write_fif(path, made, values)
    elif extension in ("edf", "bdf"):
        _write_edf(path, made, values, units)
    elif extension == "dat":
        _write_bci2000(path, made, values, units)
    elif extension == "hdf5":
        names = [NAMES[int(made.stim[onset])] for onset in made.onsets]
        write_gtec(path, values, made.onsets.tolist(), names, channels=made.names, sfreq=SFREQ)
    elif extension == "gdf":
        codes = np.where(made.stim[made.onsets] == 2, 33285, 33286).tolist()
        write_gdf(path, values, made.onsets.tolist(), codes, names=made.names, units=units, sfreq=SFREQ)
    elif extension == "xdf":
        _write_xdf(path, made, values, units)
    elif extension == "set":
        _write_set(path, made, values, latest=latest)
    else:
        _write_brainvision(path, made, values, units)
    return path


def _write_table(path: Path, made: Lab, values: NDArray[np.float64], unit: str | None, *, latest: bool) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq
    import scipy.io

    columns = {f"eeg_{name}": row for name, row in zip(made.names, values, strict=True)} | {"stim": made.stim}
    stated = {"sfreq": f"{SFREQ:g}", **({"unit": unit} if unit else {})}
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns).replace_schema_metadata(stated), path)
    elif path.suffix == ".csv":
        with path.open("wb") as file:
            file.write(("# " + " ".join(f"{key}={value}" for key, value in stated.items()) + "\n").encode())
            pyarrow.csv.write_csv(pa.table(columns), file)
    else:
        samples = np.column_stack([np.arange(len(made.stim)) / SFREQ, values.T, made.stim])
        variables = {"samples": samples, "sfreq": SFREQ, **({"unit": unit} if unit else {})}
        if latest:
            write_mat73(path, {**variables, "channels": made.names})
        else:
            scipy.io.savemat(path, {**variables, "channels": np.array(made.names, object)})


def _write_fif(path: Path, made: Lab, values: NDArray[np.float64]) -> None:
    """Write numbers as volts, as the format has it."""
    import mne

    info = mne.create_info([*made.names, "STI 014"], SFREQ, [*made.kinds, "stim"], verbose="error")
    scaled = np.array([row * 1e-6 if unit == "uV" else row for row, unit in zip(values, made.units, strict=True)])
    raw = mne.io.RawArray(np.vstack([scaled, made.stim]), info, verbose="error")
    raw.save(path, fmt="double", overwrite=True, verbose="error")


def _write_edf(path: Path, made: Lab, values: NDArray[np.float64], units: list[str]) -> None:
    bdf = path.suffix == ".bdf"
    width, largest = (3, 2**23 - 1) if bdf else (2, 2**15 - 1)
    n_records, rate = values.shape[1] // int(SFREQ), int(SFREQ)
    held = np.zeros(values.shape[1])
    for onset in made.onsets:
        held[onset : onset + 10] = made.stim[onset]
    rows = [*values, held]
    limits = [*(_limit(row) for row in values), float(largest)]
    header = (b"\xffBIOSEMI" if bdf else b"0".ljust(8)) + b"X".ljust(80) + b"Startdate 01-JAN-2020".ljust(80)
    header += b"01.01.2000.00.00" + str(256 * (len(rows) + 1)).encode().ljust(8)
    header += (b"24BIT" if bdf else b"").ljust(44) + str(n_records).encode().ljust(8) + b"1".ljust(8)
    header += str(len(rows)).encode().ljust(4)
    fields: list[tuple[list[str], int]] = [
        ([*made.names, "Status"], 16),
        ([""] * len(rows), 80),
        ([*units, ""], 8),
        ([f"{-limit:.7g}" for limit in limits], 8),
        ([f"{limit:.7g}" for limit in limits], 8),
        ([str(-largest)] * len(rows), 8),
        ([str(largest)] * len(rows), 8),
        ([""] * len(rows), 80),
        ([str(rate)] * len(rows), 8),
        ([""] * len(rows), 32),
    ]
    header += b"".join(text.encode("latin-1").ljust(size) for texts, size in fields for text in texts)
    digital = np.array([np.round(row / limit * largest) for row, limit in zip(rows, limits, strict=True)])
    records = digital.astype("<i4").reshape(len(rows), n_records, rate).swapaxes(0, 1)
    packed = np.ascontiguousarray(records).view(np.uint8).reshape(-1, 4)[:, :width]
    path.write_bytes(header + packed.tobytes())


def _limit(row: NDArray[np.float64]) -> float:
    """Return the smallest physical maximum beyond a row whose negative eight characters can hold."""
    largest = float(np.abs(row).max()) or 1.0
    for digits in (5, 4, 3, 2, 1):
        limit = float(f"{largest * (1 + 10.0 ** -(digits - 1)):.{digits}g}")
        if len(f"{-limit:.7g}") <= 8:
            return limit
    raise ValueError(f"{largest} does not fit into eight characters")


def _write_set(path: Path, made: Lab, values: NDArray[np.float64], *, latest: bool) -> None:
    import scipy.io

    events = [
        {"type": NAMES[int(made.stim[onset])], "latency": float(onset + 1), "duration": 0.0, "urevent": float(i)}
        for i, onset in enumerate(made.onsets, 1)
    ]
    chanlocs = [
        {"labels": name, "type": kind.upper(), "X": 0.0, "Y": 0.0, "Z": 1.0}
        for name, kind in zip(made.names, made.kinds, strict=True)
    ]
    eeg = {
        "setname": "a", "nbchan": float(len(values)), "trials": 1.0, "pnts": float(values.shape[1]), "srate": SFREQ, "xmin": 0.0,
        "xmax": (values.shape[1] - 1) / SFREQ, "data": values, "event": np.array(events),
        "chanlocs": np.array(chanlocs), "icawinv": [], "icaweights": [], "icasphere": [], "icaact": [], "epoch": [],
        "history": "", "comments": "",
    }  # fmt: skip
    if latest:
        kept = ("nbchan", "trials", "pnts", "srate", "data")
        write_mat73(path, {"EEG": {**{key: eeg[key] for key in kept}, "event": events, "chanlocs": chanlocs}})
    else:
        scipy.io.savemat(path, {"EEG": eeg}, appendmat=False, oned_as="row")


def _write_bci2000(path: Path, made: Lab, values: NDArray[np.float64], units: list[str]) -> None:
    code = np.zeros(len(made.stim), int)
    for onset in made.onsets:
        code[onset : onset + 10] = made.stim[onset]
    write_bci2000(
        path, values, code, code == 2, sfreq=SFREQ, names=made.names, gain=[f"1{unit}" for unit in units], data_format="float32",
        parameters={"intlist NumMatrixRows": ""},
    )  # fmt: skip


def _write_xdf(path: Path, made: Lab, values: NDArray[np.float64], units: list[str]) -> None:
    times = 100 + np.arange(values.shape[1]) / SFREQ
    eeg = Written("amplifier", "EEG", values.T, chunk_stamps(times), SFREQ, "double64", made.names, units, made.kinds)
    names = [NAMES[int(made.stim[onset])] for onset in made.onsets]
    write_xdf(path, eeg, Written("flashes", "Markers", names, times[made.onsets], format="string"))


def _write_brainvision(path: Path, made: Lab, values: NDArray[np.float64], units: list[str]) -> None:
    path.with_suffix(".eeg").write_bytes(values.T.astype("<f4").tobytes())
    markers = "\n".join(
        f"Mk{i}=Stimulus,{NAMES[int(made.stim[onset])]},{onset + 1},1,0" for i, onset in enumerate(made.onsets, 1)
    )
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\n"
        f"Codepage=UTF-8\nDataFile={path.stem}.eeg\n\n[Marker Infos]\n{markers}\n"
    )
    channels = "\n".join(
        f"Ch{i}={name},,1,{unit.replace('u', 'µ')}"
        for i, (name, unit) in enumerate(zip(made.names, units, strict=True), 1)
    )
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\nMarkerFile={path.stem}.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        f"NumberOfChannels={len(values)}\nSamplingInterval={1e6 / SFREQ}\n\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n\n"
        f"[Channel Infos]\n{channels}\n"
    )
