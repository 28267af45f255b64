"""EDF, EDF+ and BDF+ files with signals of any rate, annotations, and records at any time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def write_edf_plus(
    path: Path,
    signals: Sequence[NDArray[np.floating]],
    labels: Sequence[str],
    rates: Sequence[int],
    annotations: Sequence[tuple[float, str]] = (),
    *,
    record_starts: Sequence[float] | None = None,
    largest: Sequence[float] | None = None,
) -> Path:
    """Write records of a second; a path that ends in .bdf is BDF.

    `annotations` are onsets in seconds and texts; records begin at `record_starts`, by default one after the other. The physical range
    of each signal is plus or minus `largest`, by default 3,276.7 uV; for a trigger line, that of the digital values.
    """
    width = 3 if path.suffix == ".bdf" else 2
    highest = 2 ** (8 * width - 1) - 1
    n_records = int(min(len(signal) / rate for signal, rate in zip(signals, rates, strict=True)))
    starts = list(record_starts) if record_starts is not None else list(range(n_records))
    lists = []
    for number, start in enumerate(starts):
        following = starts[number + 1] if number + 1 < n_records else np.inf
        text = f"+{start:g}\x14\x14\x00"
        text += "".join(f"+{onset:.6f}\x14{what}\x14\x00" for onset, what in annotations if start <= onset < following)
        lists.append(text.encode())
    n_list = -(-(max(map(len, lists)) + 1) // width) * width
    kind = "BDF" if width == 3 else "EDF"
    names, n_signals = [*labels, f"{kind} Annotations"], len(signals) + 1
    physical = [*(largest or [3276.7] * len(signals)), 1]
    continuous = starts == list(range(n_records))
    header = (b"\xffBIOSEMI" if width == 3 else b"0".ljust(8)) + b"X X X X".ljust(80)
    header += (
        b"Startdate 01-JAN-2024 X X X".ljust(80) + b"01.01.2410.00.00" + f"{256 * (n_signals + 1)}".encode().ljust(8)
    )
    header += f"{kind}+{'C' if continuous else 'D'}".encode().ljust(44)
    header += f"{n_records}".encode().ljust(8) + b"1".ljust(8) + f"{n_signals}".encode().ljust(4)
    for values, size in (
        (names, 16),
        ([""] * n_signals, 80),
        ([*("" if name.lower() in ("status", "trigger") else "uV" for name in labels), ""], 8),
        ([f"{-p:.6g}"[:8] if p < 1e6 else str(-int(p)) for p in physical], 8),
        ([f"{p:.6g}"[:8] if p < 1e6 else str(int(p)) for p in physical], 8),
        ([str(-highest)] * n_signals, 8),
        ([str(highest)] * n_signals, 8),
        ([""] * n_signals, 80),
        ([*map(str, rates), str(n_list // width)], 8),
        ([""] * n_signals, 32),
    ):
        header += b"".join(value.encode("latin-1").ljust(size) for value in values)
    digital = [
        np.round(np.asarray(signal) / p * highest).astype("<i4") for signal, p in zip(signals, physical, strict=False)
    ]
    with path.open("wb") as file:
        file.write(header)
        for number in range(n_records):
            for values, rate in zip(digital, rates, strict=True):
                part = values[number * rate : (number + 1) * rate]
                file.write(part.view(np.uint8).reshape(-1, 4)[:, :width].tobytes())
            file.write(lists[number].ljust(n_list, b"\x00"))
    return path
