"""Writes recordings as text: OpenBCI's GUI, Mind Monitor for a Muse, and tables of other tools."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BEGIN = datetime(2024, 5, 17, 23, 59, 58)
"""Local time, as the programs write it, shortly before midnight."""
MUSE = ("TP9", "AF7", "AF8", "TP10")


def write_openbci(
    path: Path,
    uv: NDArray[np.floating],
    stim: NDArray[np.number],
    *,
    version: int = 6,
    sfreq: float = 256.0,
    kept: NDArray[np.integer] | None = None,
    counts: int = 256,
    digits: int = 6,
) -> Path:
    """Write EEG of shape (n_channels, n_samples) as the GUI does: from version 6 on with markers, in 4 without names of columns.

    `kept` are the samples that arrive, `counts` how many the index counts before it begins again.
    """
    n, kept = len(uv), np.arange(uv.shape[1]) if kept is None else kept
    first = "%OBCI Raw EEG Data" if version < 4 else "%OpenBCI Raw EEG Data" if version < 5 else "%OpenBCI Raw EXG Data"
    lines = [first, f"%Number of channels = {n}", f"%Sample Rate = {sfreq:g} Hz"]
    if version < 5:
        lines += ["%First Column = SampleIndex", "%Last Column = Timestamp",
                  "%Other Columns = EEG data in microvolts followed by Accel Data (in G) interleaved with Aux Data"]  # fmt: skip
    else:
        others = ["Other"] * 7
        marker = "Marker Channel" if version >= 6 else "Other"
        names = ["Sample Index", *(f"EXG Channel {i}" for i in range(n)), *(f"Accel Channel {i}" for i in range(3)), *others,
                 *(f"Analog Channel {i}" for i in range(3)), "Timestamp", marker, "Timestamp (Formatted)"]  # fmt: skip
        lines += ["%Board = OpenBCI_GUI$BoardCytonSerial", ", ".join(names)]
    for at in kept.tolist():
        eeg = ", ".join(f"{value:.{digits}f}" for value in uv[:, at])
        now, code = BEGIN + timedelta(seconds=at / sfreq), float(stim[at])
        if version < 5:
            lines.append(
                f"{at % counts}, {eeg}, {code:.3f}, 0.000, 0.000, {now:%H:%M:%S.%f}"[:-3]
                + f", {1e12 + 1e3 * at / sfreq:.0f}"
            )
            continue
        analog, marked = (0.0, code) if version >= 6 else (code, 0.0)
        lines.append(
            f"{at % counts:.1f}, {eeg}, 0.1, 0.2, 0.9, {', '.join(['0.0'] * 7)}, {analog}, 0.0, 0.0, {1.6e9 + at / sfreq:.6f}, {marked}, "
            f"{now:%Y-%m-%d %H:%M:%S.%f}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def write_muse(
    path: Path,
    uv: NDArray[np.floating],
    events: Sequence[tuple[int, str]],
    *,
    sfreq: float = 256.0,
    names: Sequence[str] = MUSE,
    kept: NDArray[np.integer] | None = None,
    digits: int = 6,
    offset_uv: float = 800.0,
) -> Path:
    """Write EEG of shape (n_channels, n_samples) as Mind Monitor does, each event in a row of its own before its sample."""
    columns = ["TimeStamp", *(f"Delta_{name}" for name in names), *(f"RAW_{name}" for name in names), "AUX_RIGHT", "Accelerometer_X",
               "HeadBandOn", "HSI_TP9", "Battery", "Elements"]  # fmt: skip
    lines = [",".join(columns)]
    said: dict[int, list[str]] = {}
    for at, text in events:
        said.setdefault(at, []).append(text)
    empty = "," * (len(columns) - 2)
    for at in (np.arange(uv.shape[1]) if kept is None else kept).tolist():
        now = f"{BEGIN + timedelta(seconds=at / sfreq):%Y-%m-%d %H:%M:%S.%f}"[:-3]
        lines += [f"{now}{empty},{text}" for text in said.get(at, ())]
        values = ",".join(f"{value + offset_uv:.{digits}f}" for value in uv[:, at])
        lines.append(f"{now},{','.join(['0.5'] * len(names))},{values},812.3,0.01,1,1,85,")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_table(
    path: Path,
    uv: NDArray[np.floating],
    names: Sequence[str],
    events: Sequence[object],
    *,
    times: Sequence[object] | None = None,
    time_name: str = "time",
    event_name: str = "trigger",
    delimiter: str = ",",
    decimal_point: str = ".",
    unit: str = "uV",
    quote: str = "",
    digits: int = 6,
    encoding: str = "utf-8",
    before: str = "",
) -> Path:
    """Write EEG of shape (n_channels, n_samples), with an event, or an empty text, for each sample."""
    channels = [f"{quote}{name} ({unit}){quote}" if unit else f"{quote}{name}{quote}" for name in names]
    head = [*([time_name] if times is not None else []), *channels, event_name]
    lines = [delimiter.join(head)]
    for at in range(uv.shape[1]):
        cells = [f"{value:.{digits}f}" for value in uv[:, at]]
        if times is not None:
            cells.insert(0, str(times[at]))
        cells.append(str(events[at]))
        lines.append(delimiter.join(cell.replace(".", decimal_point) for cell in cells))
    path.write_bytes((before + "\n".join(lines) + "\n").encode(encoding))
    return path
