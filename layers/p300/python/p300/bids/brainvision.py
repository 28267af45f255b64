"""Write a recording as BrainVision, block by block: pybv needs the whole signal in memory, and so do MNE-Python's exports."""

from pathlib import Path

import numpy as np

from p300.recording import CLASS_NAMES, RecordingStream
from p300.text import printable

UV_PER_V = 1e6


def write_brainvision(header: Path, stream: RecordingStream) -> list[Path]:
    """Write a recording's EEG in microvolts as float32, its flashes as stimuli, and its gaps as new segments.

    Parameters
    ----------
    header : Path
        Where the ``.vhdr`` goes; ``.eeg`` and ``.vmrk`` are beside it.
    stream : RecordingStream
        Any recording.

    Returns
    -------
    paths : list of Path
        The files, the header first.
    """
    signal, markers = header.with_suffix(".eeg"), header.with_suffix(".vmrk")
    with signal.open("wb") as file:
        for block in stream.blocks():
            file.write((block.T * (stream.volts_per_unit * UV_PER_V)).astype("<f4").tobytes())
    found = [("New Segment", "", 0), *(("New Segment", "", gap) for gap in stream.gaps)]
    found += [("Stimulus", CLASS_NAMES[int(stream.stim[at])], int(at)) for at in np.flatnonzero(stream.stim)]
    lines = [f"Mk{n}={kind},{text},{at + 1},1,0" for n, (kind, text, at) in enumerate(sorted(found, key=_sample), 1)]
    _write(
        markers, "Marker File", {"Common Infos": ["Codepage=UTF-8", f"DataFile={signal.name}"], "Marker Infos": lines}
    )
    channels = [f"Ch{n}={_escaped(name)},,1,µV" for n, name in enumerate(stream.ch_names, 1)]
    common = [
        "Codepage=UTF-8", f"DataFile={signal.name}", f"MarkerFile={markers.name}", "DataFormat=BINARY", "DataOrientation=MULTIPLEXED",
        f"NumberOfChannels={len(channels)}", f"SamplingInterval={UV_PER_V / stream.sfreq:.12g}",
    ]  # fmt: skip
    sections = {"Common Infos": common, "Binary Infos": ["BinaryFormat=IEEE_FLOAT_32"], "Channel Infos": channels}
    _write(header, "Header File", sections)
    return [header, signal, markers]


def _sample(marker: tuple[str, str, int]) -> int:
    return marker[2]


def _escaped(name: str) -> str:
    return printable(name).replace(",", r"\1")


def _write(path: Path, what: str, sections: dict[str, list[str]]) -> None:
    text = f"Brain Vision Data Exchange {what} Version 1.0\n"
    text += "".join(f"\n[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections.items())
    path.write_text(text, "utf-8")
