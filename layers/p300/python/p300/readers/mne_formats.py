"""What MNE-Python reads: .fif .edf .bdf .set .vhdr .cnt, with a stim channel or annotations."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import RecordingStream
from p300.text import few_of

from . import bids_events, brainvision, edf_records, eeglab, eeglab73, mne_events, timing
from .checks import check_length, check_n_channels, check_rate
from .cnt_structure import check_cnt, numbered_events
from .companions import companions
from .declared import Declared
from .edf_header import Checked, check_header, read_header
from .edf_structure import check_edf
from .fif_structure import check_fif
from .hdf5_files import is_hdf5
from .mne_channels import as_written, choose_eeg, marked, same_factor, stated_units, trigger_channels, unit_notes
from .seen import add_channel
from .stim_lines import StimLine

if TYPE_CHECKING:
    import mne

_READERS = {
    ".fif": "read_raw_fif",
    ".edf": "read_raw_edf",
    ".bdf": "read_raw_bdf",
    ".set": "read_raw_eeglab",
    ".vhdr": "read_raw_brainvision",
    ".cnt": "read_raw_cnt",
}
_NUMBERED = re.compile(r".*-\d+")
VALUES_PER_BLOCK = 1 << 21  # MNE makes several arrays on the way
LOWER_16_BITS = 0xFFFF  # BioSemi keeps its own state in the bits above the trigger


def read(path: Path, name: str, declared: Declared) -> RecordingStream:
    """Open a recording through MNE-Python, which knows the units."""
    header, records, others = _records(path, name)
    for label in (*others, *header.unscaled):
        add_channel(label, "left out")
    beside = _companions_beside(path, name)
    annotations = check_fif(path, name) if PurePosixPath(name).suffix.lower() == ".fif" else None
    raw = _opened(path, name, beside, exclude=(*others, *header.unscaled))
    with _Explained(name):
        import mne

        stim = mne.pick_types(raw.info, stim=True, exclude=())
    if raw.n_times <= 0:
        raise RecordingError("missing_eeg", f"{name} has no sample. Upload the recording again.")
    check_n_channels(len(raw.ch_names), name)
    with _Explained(name), _naming_unscaled(header):
        eeg, chosen, factors, read_as_v = choose_eeg(raw, path, name, declared)
        _check_labels(path, name, records, [raw.ch_names[pick] for pick in eeg])
    check_rate(float(raw.info["sfreq"]), name)
    check_length(raw.n_times, float(raw.info["sfreq"]), name)
    placed = edf_records.placement(records, float(raw.info["sfreq"]), name) if records else None
    with _Explained(name):
        lost, lost_notes = mne_events.outside(raw, annotations or mne_events.stated(path, name, beside, records))
        if placed and records:
            lost, lost_notes = [], mne_events.place(raw, placed, records)
        onsets = mne_events.onsets(raw)
        bad_channels, bad_spans, gaps = marked(raw, chosen.names)
    stim_channels = [*(_stim_channel(raw, int(channel), name) for channel in stim)]
    if records:
        apart = edf_records.triggers_apart(records, others)
        stim_channels += [_stim_channel_apart(path, name, label) for label in apart]
    stim_channels += [_called_trigger(raw, number, path, name) for number in trigger_channels(raw, eeg, declared)]
    sfreq = float(raw.info["sfreq"])
    found = [*mne_events.markers(raw, onsets, name), *lost]
    decoded = mne_events.decide(found, stim_channels, raw.n_times, sfreq, declared, name, placed)
    lost_notes += _segment_notes(beside, gaps or _boundaries(raw, name), sfreq)
    if declared.events:
        spans, boundaries = bids_events.marked(declared.events, raw.n_times, sfreq, name, placed)
        bad_spans, gaps = tuple(sorted({*bad_spans, *spans})), tuple(sorted({*gaps, *boundaries}))
    return RecordingStream(
        chosen.names,
        float(raw.info["sfreq"]),
        raw.n_times,
        decoded.stim,
        decoded.flash,
        lambda: _blocks(raw, np.array(eeg), name),
        same_factor(factors, name),
        notes=(
            *header.notes,
            *_notes(others, records, placed),
            *_unscaled_notes(header),
            *lost_notes,
            *chosen.notes,
            *unit_notes(declared, factors),
            *decoded.notes,
        ),
        gaps=tuple(sorted({*gaps, *(placed.gaps if placed else _boundaries(raw, name))})),
        bad_spans=bad_spans,
        bad_channels=bad_channels,
        read_as_v=read_as_v,
        facts=_facts(raw),
    )


def _facts(raw: "mne.io.BaseRaw") -> dict[str, str]:
    date, device = raw.info["meas_date"], raw.info["device_info"] or {}
    return {
        "recorded": date.isoformat(sep=" ", timespec="seconds") if date else "",
        "device": device.get("model") or "",
    }


def _records(path: Path, name: str) -> tuple[Checked, edf_records.Records | None, tuple[str, ...]]:
    """Read the data records of EDF and BDF, and find the signals that are not sampled as the EEG is."""
    extension = PurePosixPath(name).suffix.lower()
    if extension not in (".edf", ".bdf"):
        return Checked(), None, ()
    sample_bytes = 3 if extension == ".bdf" else 2
    header = read_header(path)
    check_edf(path, header, name, sample_bytes=sample_bytes)
    checked = check_header(path, header, name, sample_bytes=sample_bytes)
    records = edf_records.read_records(path, header, sample_bytes=sample_bytes)
    return checked, records, edf_records.other_rates(records, name)


def _check_labels(path: Path, name: str, records: edf_records.Records | None, names: list[str]) -> None:
    """Refuse EEG channels with one name, which MNE-Python numbers."""
    if not any(_NUMBERED.fullmatch(channel) for channel in names):
        return
    labels = records.labels if records else ()
    if PurePosixPath(name).suffix.lower() == ".set":
        labels = eeglab.labels(path, name)
    counts = Counter(label.strip() for label in labels)
    numbered = {f"{label}-{number}": label for label, n in counts.items() if n > 1 for number in range(n)}
    if repeated := sorted({numbered[channel] for channel in names if channel in numbered}):
        raise RecordingError(
            "duplicate_channels", f"{name}: channel names occur twice: {few_of(repeated)}. Rename them."
        )


def _unscaled_notes(header: Checked) -> tuple[str, ...]:
    return (f"left out, as the header gives them no range: {few_of(header.unscaled)}",) if header.unscaled else ()


@contextmanager
def _naming_unscaled(header: Checked) -> Iterator[None]:
    """Name the signals that were left out for their range where no EEG is left."""
    try:
        yield
    except RecordingError as refusal:
        if refusal.code != "missing_eeg" or not header.unscaled:
            raise
        raise RecordingError(
            refusal.code, f"{refusal.message} Left out, as the header gives them no range: {few_of(header.unscaled)}."
        ) from refusal


def _notes(
    others: tuple[str, ...], records: edf_records.Records | None, placed: edf_records.Placement | None
) -> tuple[str, ...]:
    notes = placed.notes if placed else ()
    if not others or not records:
        return notes
    rates = records.rates()
    named = ", ".join(f"{label} ({rates[label]:g} Hz)" for label in others[:16])
    return (f"not EEG, as sampled at another rate: {named}", *notes)


def _segment_notes(beside: list[Path], gaps: tuple[int, ...], sfreq: float) -> list[str]:
    """Say how much time is missing between BrainVision's segments, where their dates tell it of all gaps."""
    markers = [file for file in beside if file.suffix.lower() == ".vmrk"]
    lost_s = brainvision.lost_at_segments(markers[0], sfreq) if markers and gaps else {}
    if set(lost_s) != set(gaps):
        return []
    return timing.gap_notes(np.array(gaps), np.array([lost_s[gap] for gap in gaps]), sfreq)


def _boundaries(raw: "mne.io.BaseRaw", name: str) -> tuple[int, ...]:
    found, sfreq = raw.annotations, float(raw.info["sfreq"])
    if not len(found):
        return ()
    with _Explained(name):
        exact = found.onset - raw.first_time
        if found.orig_time is not None and raw.info["meas_date"] is not None:
            exact = exact + (found.orig_time - raw.info["meas_date"]).total_seconds()
        return timing.boundaries(
            zip((exact * sfreq).tolist(), (found.duration * sfreq).tolist(), found.description, strict=True),
            raw.n_times,
        )


def _companions_beside(path: Path, name: str) -> list[Path]:
    """Find the files that a header names: MNE would open whatever path it says."""
    found = [path.resolve().parent / companion for companion in companions(path, name=name)]
    for companion in found:
        if not companion.is_file():
            raise RecordingError(
                "unreadable",
                f"{name} names {companion.name} as a file that belongs to it, and there is none beside it. Keep the files of a "
                "recording together, under the names they were exported with.",
            )
    if found and found[0].suffix.lower() != ".fdt":
        brainvision.check_companions(path, found, name)
    return found


def _opened(path: Path, name: str, beside: list[Path], **options: Any) -> "mne.io.BaseRaw":
    extension = PurePosixPath(name).suffix.lower()
    if extension not in (".edf", ".bdf"):
        options = {}
    if extension == ".cnt":
        options = dict(check_cnt(path, name))
    if extension == ".set" and is_hdf5(path):
        with _Explained(name):
            return eeglab73.raw_of(path, name, beside)
    with _Explained(name):
        from mne import io

        read = getattr(io, _READERS[extension])  # loads the modules of that reader alone
        if extension == ".cnt":
            return _with_numbered_events(read(path, preload=False, verbose="error", **options), path)
        if path.suffix == extension:
            return read(path, preload=False, verbose="error", **options)
        # MNE goes by the file's own extension, and a downloaded object may have none.
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / f"{PurePosixPath(name).stem}{extension}"
            for file, linked in ((path, link), *((file, link.with_name(file.name)) for file in beside)):
                linked.symlink_to(file.resolve())
            return read(link, preload=True, verbose="error", **options)


def _with_numbered_events(raw: "mne.io.BaseRaw", path: Path) -> "mne.io.BaseRaw":
    """Put a .cnt file's events where they were, where its table says so in samples."""
    import mne

    if (found := numbered_events(path)) is None:
        return raw
    onset, duration, text = zip(*found, strict=True) if found else ((), (), ())
    sfreq = raw.info["sfreq"]
    return raw.set_annotations(
        mne.Annotations(np.array(onset) / sfreq, np.array(duration) / sfreq, text), verbose="error"
    )


class _Explained:
    """Turn whatever MNE raises at damaged bytes into one message."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, RecordingError):
            said = str(error).strip() or type(error).__name__
            raise RecordingError(
                "unreadable",
                f"{self.name}: truncated, damaged or another format. Expected a recording that MNE-Python can read; it says: {said}. "
                "Export it again, or upload it again.",
            ) from error


def _stim_channel(raw: "mne.io.BaseRaw", channel: int, name: str) -> StimLine:
    return StimLine(raw.ch_names[channel], lambda: (_codes(raw, channel, name), float(raw.info["sfreq"])))


def _stim_channel_apart(path: Path, name: str, label: str) -> StimLine:
    """Read a trigger signal that is sampled at another rate than the EEG, alone: MNE-Python would resample it."""

    def read() -> tuple[NDArray[np.number], float]:
        raw = _opened(path, name, [], include=[label])
        read_as = _stim_channel if raw.get_channel_types() == ["stim"] else partial(_called_trigger, path=path)
        return read_as(raw, 0, name=name).read()

    return StimLine(label, read)


def _called_trigger(raw: "mne.io.BaseRaw", channel: int, path: Path, name: str) -> StimLine:
    """Read a channel that only its name says holds triggers: MNE-Python makes volts of its codes."""

    def read() -> tuple[NDArray[np.float64], float]:
        (unit,) = stated_units(raw, [channel], path, name)
        codes = as_written(_values(raw, channel, name), PurePosixPath(name).suffix.lower(), unit)
        whole = (codes == np.round(codes)).all()
        return _lower_bits(codes) if whole else codes, float(raw.info["sfreq"])

    return StimLine(raw.ch_names[channel], read, by_name=True)


def _codes(raw: "mne.io.BaseRaw", channel: int, name: str) -> NDArray[np.float64]:
    return _lower_bits(_values(raw, channel, name))


def _values(raw: "mne.io.BaseRaw", channel: int, name: str) -> NDArray[np.float64]:
    codes, end = np.empty(raw.n_times), 0
    for (block,) in _blocks(raw, np.array([channel]), name):
        start, end = end, end + len(block)
        codes[start:end] = block
    return codes


def _lower_bits(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    if max(codes.max(initial=0.0), -codes.min(initial=0.0)) > LOWER_16_BITS:
        for start in range(0, len(codes), VALUES_PER_BLOCK):
            codes[start : start + VALUES_PER_BLOCK] = (
                codes[start : start + VALUES_PER_BLOCK].astype(np.int64) & LOWER_16_BITS
            )
    return codes


def _blocks(raw: "mne.io.BaseRaw", picks: NDArray[np.integer], name: str) -> Iterator[NDArray[np.floating]]:
    step = max(1, VALUES_PER_BLOCK // len(raw.ch_names))
    for start in range(0, raw.n_times, step):
        with _Explained(name):
            block: NDArray[np.floating] = raw.get_data(picks, start, min(start + step, raw.n_times))
        yield block
