"""Small made-up recordings, as the bytes of a file."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from p300.synth import CHANNELS


def make_recording(
    *,
    sfreq: float = 128.0,
    channels: Sequence[str] = ("Fz", "Cz", "Pz"),
    stim: bool = True,
    codes: Sequence[int] = (1, 2),
    scale_uv: float = 10.0,
    seed: int = 0,
    n_flashes: int = 24,
) -> bytes:
    """A parquet recording of noise with a flash every half second, the last of each six a target."""
    rng = np.random.default_rng(seed)
    step = round(sfreq / 2)
    n_samples = step * (n_flashes + 4)
    columns: dict[str, Any] = {
        f"eeg_{name}": rng.normal(0, scale_uv, n_samples).astype(np.float32) for name in channels
    }
    if stim:
        column = np.zeros(n_samples, np.int32)
        for flash in range(n_flashes):
            column[step * (flash + 2)] = codes[-1] if flash % 6 == 5 else codes[0]
        columns["stim"] = column
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata({"sfreq": f"{sfreq:g}"}), buffer)
    return buffer.getvalue()


def recording(
    seed: int,
    *,
    sfreq: float = 128.0,
    n_channels: int = 16,
    n_repetitions: int = 12,
    channels: Sequence[str] = CHANNELS,
    labelled: bool = True,
) -> bytes:
    """Return a short made-up recording as a parquet file: noise with a bump after targets, its rate in the metadata.

    One that is not `labelled` has the same code at every flash.
    """
    rng = np.random.default_rng(seed)
    gap = round(0.15 * sfreq)
    onsets = round(sfreq) + gap * np.arange(12 * n_repetitions)
    n_samples = int(onsets[-1] + 2 * sfreq)
    stim, flash = np.zeros(n_samples, np.int32), np.zeros(n_samples, np.int32)
    codes = np.concatenate([rng.permutation(12) + 1 for _ in range(n_repetitions)])
    stim[onsets], flash[onsets] = np.where(np.isin(codes, (3, 9)), 2, 1), codes
    n_channels = min(n_channels, len(channels))
    data = rng.normal(0, 6, (n_channels, n_samples))
    times = np.arange(round(0.6 * sfreq)) / sfreq
    bump = 12 * np.exp(-(((times - 0.3) / 0.06) ** 2))
    for onset in onsets[stim[onsets] == 2]:
        data[:, onset : onset + len(bump)] += bump
    columns = {f"eeg_{name}": data[number].astype(np.float32) for number, name in enumerate(channels[:n_channels])}
    stim = stim if labelled else np.sign(stim)
    table = pa.table({**columns, "stim": stim, "flash": flash}).replace_schema_metadata({"sfreq": str(sfreq)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


NO_RECORDINGS = (("run_01.parquet", recording(21)), ("notes.txt", b"hello"))
"""What the documents' `p300 quarantine` commands are about: a recording under a key that names no subject, and none at all."""
