"""The .hdf5 files of g.tec's g.Recorder: samples, and events whose names are described in XML."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.limits import MOST_ANNOTATIONS
from p300.recording import RecordingStream

from . import mne_events
from .channels import FileChannel, choose, other_kind
from .checks import check_length, check_n_channels, check_n_samples, check_rate
from .columns import sampling_rate
from .declared import Declared
from .hdf5_files import checked, is_hdf5, member, numbers, opened, text
from .markers import Marker
from .stim_lines import StimLine
from .units import declared_volts_per
from .xml_text import parsed

SAMPLES, DESCRIPTION = "RawData/Samples", "RawData/AcquisitionTaskDescription"
TIME, KIND, VALUE, KINDS = (f"AsynchronData/{key}" for key in ("Time", "TypeID", "Value", "AsynchronSignalTypes"))
VALUES_PER_BLOCK = 1 << 20


def read(path: Path, name: str, declared: Declared) -> RecordingStream:
    """Open a g.Recorder file; its EEG is in microvolts."""
    if not is_hdf5(path):
        raise RecordingError("unreadable", f"{name}: not an HDF5 file. Copy it again from where it was recorded.")
    n_bytes = path.stat().st_size
    with opened(path, name) as file:
        samples, description = member(file, SAMPLES), member(file, DESCRIPTION)
        if samples is None or description is None:
            raise RecordingError(
                "missing_eeg",
                f"{name}: an HDF5 file without {SAMPLES} and {DESCRIPTION}; expected those of g.tec's g.Recorder. Export another HDF5 file "
                "as csv or parquet.",
            )
        shape, kind = _size(samples), samples.dtype
        if len(shape) != 2 or kind.kind not in "iuf":
            raise RecordingError(
                "missing_eeg", f"{name}: samples of shape {shape} of {kind}; expected numbers, n x channels."
            )
        check_n_channels(shape[1], name)
        check_n_samples(shape[0], name)
        checked(samples, n_bytes, name)
        root = parsed(text(description, n_bytes, name), name)
        happened = _events(file, n_bytes, name)
    sfreq, _ = sampling_rate((root.findtext("SamplingFrequency") or "").strip(), [], name)
    check_rate(sfreq, name)
    check_length(shape[0], sfreq, name)
    labels = [
        (one.findtext("ChannelName") or "").strip() for one in root.iterfind("ChannelProperties/ChannelProperties")
    ]
    numbered = len(labels) != shape[1] or not all(labels)
    channels = [
        FileChannel(label) for label in ([f"ch{i:02d}" for i in range(1, shape[1] + 1)] if numbered else labels)
    ]
    chosen = choose(channels, declared.channel_kinds, name)
    lines = [
        StimLine(channel.name, _line(path, i, sfreq, name))
        for i, channel in enumerate(channels)
        if other_kind(channel) == "trigger"
    ]
    decoded = mne_events.decide(happened, lines, shape[0], sfreq, declared, name)
    picks = np.array(chosen.picks)
    dtype = np.float32 if kind.itemsize <= 4 and kind.kind == "f" else np.float64

    def blocks() -> Iterator[NDArray[np.floating]]:
        for part in _values(path, name):
            yield np.ascontiguousarray(part[:, picks].T, dtype)

    return RecordingStream(
        chosen.names,
        sfreq,
        shape[0],
        decoded.stim,
        decoded.flash,
        blocks,
        1e-6 if declared.unit is None else declared_volts_per(declared.unit, name),
        (
            *(["channel names not in the file: numbered"] if numbered else []),
            f"unit declared: {declared.unit}"
            if declared.unit is not None
            else "unit not in the file: taken as microvolts",
            *chosen.notes,
            *decoded.notes,
        ),
    )


def _size(samples: object) -> tuple[int, ...]:
    return tuple(int(n) for n in getattr(samples, "shape", None) or ())


def _values(path: Path, name: str) -> Iterator[NDArray[np.number]]:
    """Yield samples of shape (n_block, n_channels)."""
    with opened(path, name) as file:
        samples = checked(member(file, SAMPLES), path.stat().st_size, name)
        step = max(1, VALUES_PER_BLOCK // samples.shape[1])
        for start in range(0, samples.shape[0], step):
            yield samples[start : start + step]


def _line(path: Path, channel: int, sfreq: float, name: str) -> Callable[[], tuple[NDArray[np.float64], float]]:
    return lambda: (np.concatenate([part[:, channel] for part in _values(path, name)]).astype(np.float64), sfreq)


def _events(file: object, n_bytes: int, name: str) -> list[Marker]:
    """Return events by name, or by description where all names are the same; a trigger that goes low is none."""
    held = [member(file, key) for key in (TIME, KIND, VALUE, KINDS)]
    if held[0] is None or held[1] is None:
        return []
    time, kind = (numbers(one, n_bytes, name).ravel() for one in held[:2])
    value = numbers(held[2], n_bytes, name).ravel() if held[2] is not None else np.ones(len(time))
    if len(time) > MOST_ANNOTATIONS:
        raise RecordingError(
            "too_many_annotations",
            f"{name}: {len(time):,} events; expected at most {MOST_ANNOTATIONS:,}. Split the recording into runs.",
        )
    if not len(time) == len(kind) == len(value):
        raise RecordingError(
            "unreadable",
            f"{name}: {len(time):,} times, {len(kind):,} types and {len(value):,} values of events. Export it again.",
        )
    named: dict[str, str] = {}
    if held[3] is not None:
        described = list(parsed(text(held[3], n_bytes, name), name).iterfind("AsynchronSignalDescription"))
        fields = [
            {key: (one.findtext(key) or "").strip() for key in ("ID", "Name", "Description")} for one in described
        ]
        by = "Name" if len({one["Name"] for one in fields}) == len(fields) else "Description"
        named = {one["ID"]: one[by] for one in fields if one[by]}
    return [
        Marker(int(at), named.get(f"{what:g}", f"{what:g}"))
        for at, what, high in zip(time.tolist(), kind.tolist(), value.tolist(), strict=True)
        if high and abs(at) < 1e15
    ]
