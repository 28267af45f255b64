"""Writes BCI2000 files: the least of a header that its software writes, and samples with their state vectors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

SPELLER = ("ABCDEF", "GHIJKL", "MNOPQR", "STUVWX", "YZ1234", "56789_")
DTYPES = {"int16": "<i2", "int32": "<i4", "float32": "<f4"}
STATES = {"Running": 1, "StimulusCode": 8, "StimulusType": 1, "SourceTime": 16}
"""Bits of each, one after the other: the code begins in the middle of a byte, and so do all that follow."""


def write_bci2000(
    path: Path,
    digital: NDArray[np.number],
    code: NDArray[np.integer],
    is_target: NDArray[np.bool_],
    *,
    sfreq: float = 256.0,
    names: Sequence[str] = ("Fz", "Cz", "Pz"),
    gain: str | Sequence[str] = "0.01",
    offset: float = 0.0,
    data_format: str = "int16",
    version: bool = True,
    text: str = "",
    rows: Sequence[str] = SPELLER,
    parameters: Mapping[str, str] | None = None,
) -> Path:
    """Write numbers of shape (n_channels, n_samples), and at each sample the StimulusCode and whether it is a target."""
    gains = [gain] * len(digital) if isinstance(gain, str) else gain
    said = {
        "int SampleBlockSize": "1 32 1 %",
        "int SamplingRate": f"{sfreq:g}Hz 256Hz 1 %",
        "list ChannelNames": " ".join([str(len(names)), *map(quote, names)]),
        "floatlist SourceChOffset": " ".join([str(len(digital))] + [f"{offset:g}"] * len(digital)),
        "floatlist SourceChGain": " ".join([str(len(digital)), *gains]),
        "intlist NumMatrixColumns": f"1 {len(rows[0])} 6 1 %",
        "intlist NumMatrixRows": f"1 {len(rows)} 6 0 %",
        "matrix TargetDefinitions": f"{sum(map(len, rows))} 3 " + " ".join(f"{s} {s} 1" for row in rows for s in row),
        "string TextToSpell": quote(text) or "%",
    } | dict(parameters or {})
    n_state_bytes, bits, lines = 0, 0, []
    for state, n_bits in STATES.items():
        lines.append(f"{state} {n_bits} 0 {bits // 8} {bits % 8}")
        bits += n_bits
    n_state_bytes = (bits + 7) // 8
    body = "[ State Vector Definition ] \r\n" + "".join(f"{line} \r\n" for line in lines)
    body += "[ Parameter Definition ] \r\n"
    body += "".join(
        f"Section:Part {key.split()[0]} {key.split()[1]}= {value} // a comment \r\n"
        for key, value in said.items()
        if value
    )
    begin = "BCI2000V= 1.1 " if version else ""
    end = f" DataFormat= {data_format} " if version else ""
    first = f"{begin}HeaderLen= {{:5d}} SourceCh= {len(digital)} StatevectorLen= {n_state_bytes}{end}\r\n"
    text_of_header = first.format(len(first.format(0)) + len(body) + 2) + body + "\r\n"
    samples = np.zeros(
        digital.shape[1], [("values", DTYPES[data_format], len(digital)), ("states", "u1", n_state_bytes)]
    )
    samples["values"] = digital.T
    packed = (
        np.ones(len(code), np.int64)
        | code.astype(np.int64) << 1
        | is_target.astype(np.int64) << 9
        | (np.arange(len(code)) % 65536) << 10
    )
    for byte in range(n_state_bytes):
        samples["states"][:, byte] = packed >> 8 * byte & 0xFF
    path.write_bytes(text_of_header.encode("latin-1") + samples.tobytes())
    return path
