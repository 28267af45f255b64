"""What ingestion and preprocessing may ask of the signal layer: parquet, MATLAB, MNE's path to epochs, the formats MNE reads."""

import tempfile
from pathlib import Path

import h5py
import mne
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.parser import BaseModel, parse
from numpy.typing import NDArray

SFREQ = 256.0
N_SECONDS = 20
CHANNELS = ["Fz", "Cz", "Pz", "Oz"]


class Facts(BaseModel):
    sfreq: float


def european_data_format(path: Path, data_uv: NDArray[np.float64], *, n_bytes: int) -> None:
    """Write .edf (2 bytes a sample) or .bdf (3): one-second records."""
    limit_uv = 300 if n_bytes == 2 else 80_000  # at 100 steps a microvolt, what the sample holds
    version = b"0".ljust(8) if n_bytes == 2 else b"\xffBIOSEMI"
    n = len(CHANNELS)
    head = version + b"".join(
        text.encode().ljust(width)
        for text, width in (
            ("X X X X", 80),
            ("Startdate 01-JAN-2020 X X X", 80),
            ("01.01.20", 8),
            ("00.00.00", 8),
            (str(256 * (n + 1)), 8),
            ("" if n_bytes == 2 else "24BIT", 44),
            (str(N_SECONDS), 8),
            ("1", 8),
            (str(n), 4),
        )
    )
    columns = (
        (CHANNELS, 16),
        ([""] * n, 80),
        (["uV"] * n, 8),
        ([str(-limit_uv)] * n, 8),
        ([str(limit_uv)] * n, 8),
        ([str(-100 * limit_uv)] * n, 8),
        ([str(100 * limit_uv)] * n, 8),
        ([""] * n, 80),
        ([str(int(SFREQ))] * n, 8),
        ([""] * n, 32),
    )
    head += b"".join(value.encode().ljust(width) for values, width in columns for value in values)
    digital = np.round(data_uv * 100).astype("<i4").reshape(n, N_SECONDS, int(SFREQ)).transpose(1, 0, 2)
    samples = np.ascontiguousarray(digital).view(np.uint8).reshape(-1, 4)[:, :n_bytes]
    path.write_bytes(head + samples.tobytes())


def brain_vision(path: Path, data_uv: NDArray[np.float64]) -> None:
    data_uv.T.astype("<f4").tofile(path.with_suffix(".eeg"))
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=x.eeg\n"
        "[Marker Infos]\nMk1=Stimulus,S  2,513,1,0\n"
    )
    names = "\n".join(f"Ch{i}={name},,1,µV" for i, name in enumerate(CHANNELS, 1))
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=x.eeg\nMarkerFile=x.vmrk\n"
        f"DataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels={len(CHANNELS)}\nSamplingInterval={1e6 / SFREQ}\n"
        f"[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n[Channel Infos]\n{names}\n",
        encoding="utf-8",
    )


def eeglab(path: Path, data_uv: NDArray[np.float64]) -> None:
    channels = np.array([(name,) for name in CHANNELS], dtype=[("labels", object)])
    events = np.array([("2", 513.0, 1.0)], dtype=[("type", object), ("latency", float), ("duration", float)])
    eeg = {"data": data_uv, "srate": SFREQ, "nbchan": len(CHANNELS), "pnts": data_uv.shape[1], "trials": 1}
    scipy.io.savemat(path, {"EEG": {**eeg, "chanlocs": channels, "event": events, "xmin": 0.0}}, appendmat=False)


def main(folder: Path) -> None:
    mne.set_log_level("ERROR")
    data_uv = np.random.default_rng(0).normal(scale=10.0, size=(len(CHANNELS), int(SFREQ * N_SECONDS)))

    table = pa.table({name: pa.array(row.astype(np.float32)) for name, row in zip(CHANNELS, data_uv, strict=True)})
    pq.write_table(table, folder / "x.parquet", compression="zstd")
    assert pq.ParquetFile(folder / "x.parquet").read().equals(table)
    assert pq.read_table(folder / "x.parquet", columns=["Cz"]).num_rows == data_uv.shape[1]
    scipy.io.savemat(folder / "x.mat", {"samples": data_uv}, do_compression=True)
    assert np.array_equal(scipy.io.loadmat(folder / "x.mat")["samples"], data_uv)

    with h5py.File(folder / "x.hdf5", "w") as file:
        file.create_dataset("Samples", data=data_uv.T, compression="gzip", shuffle=True)
    with h5py.File(folder / "x.hdf5") as file:
        assert np.array_equal(file["Samples"][()], data_uv.T)

    raw = mne.io.RawArray(data_uv * 1e-6, mne.create_info(CHANNELS, SFREQ, "eeg"))
    stim = np.zeros((1, data_uv.shape[1]))
    stim[0, 256::256] = 2
    raw.add_channels([mne.io.RawArray(stim, mne.create_info(["STI"], SFREQ, "stim"))], force_update_info=True)
    raw.set_montage("standard_1020").set_eeg_reference("average").filter(1.0, 20.0).notch_filter(60.0)
    raw.save(folder / "x_raw.fif")
    events = mne.find_events(mne.io.read_raw(folder / "x_raw.fif", preload=True), "STI")
    assert len(events) == N_SECONDS - 1
    window = {"tmin": -0.1, "tmax": 0.6, "baseline": (-0.1, 0.0), "reject": {"eeg": 150e-6}}
    epochs = mne.Epochs(raw, events, {"Target": 2}, picks="eeg", preload=True, **window).resample(100.0)
    assert epochs.get_data().shape == (N_SECONDS - 1, len(CHANNELS), 71)
    raw.info["bads"] = ["Cz"]
    assert raw.interpolate_bads().info["bads"] == []
    assert epochs["Target"].average().get_peak()[0] in CHANNELS

    european_data_format(folder / "x.edf", data_uv, n_bytes=2)
    european_data_format(folder / "x.bdf", data_uv, n_bytes=3)
    brain_vision(folder / "x.vhdr", data_uv)
    eeglab(folder / "x.set", data_uv)
    for name in ("x.edf", "x.bdf", "x.vhdr", "x.set"):
        read = mne.io.read_raw(folder / name, preload=True)
        assert read.info["sfreq"] == SFREQ, name
        np.testing.assert_allclose(read.get_data(picks=CHANNELS) * 1e6, data_uv, atol=0.01, err_msg=name)
    for name in ("x.vhdr", "x.set"):
        events, _ = mne.events_from_annotations(mne.io.read_raw(folder / name))
        assert 512 in events[:, 0], name

    assert parse({"sfreq": "512"}, model=Facts).sfreq == 512.0
    assert Logger(service="x") and Tracer(service="x", disabled=True) and Metrics(service="x", namespace="x")


with tempfile.TemporaryDirectory() as scratch:
    main(Path(scratch))
