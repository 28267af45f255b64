"""What MNE-Python reads: .fif .edf .bdf .set .vhdr, with a stim channel or annotations."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.limits import MOST_ANNOTATIONS, MOST_STIM_CHANNELS
from p300.recording import CLASS_NAMES, RecordingStream

from .brain_invaders import EXPECTED_CODES, EventId, Stimulation, decode_stim
from .brainvision import check_companions
from .checks import check_length, check_n_channels, check_rate
from .columns import few
from .companions import companions
from .declared import Declared
from .edf_structure import check_edf
from .fif_structure import check_fif
from .mne_channels import choose_eeg, marked, same_factor, unit_notes

if TYPE_CHECKING:
    import mne

VALUES_PER_BLOCK = 1 << 21  # MNE makes several arrays on the way
ANNOTATED = {class_name.lower(): code for code, class_name in CLASS_NAMES.items()}
BRAINVISION_KINDS = {"stimulus", "response", "comment"}
NUMBERED = re.compile(r"[a-z]? ?(\d{1,5})")
LOWER_16_BITS = 0xFFFF  # BioSemi keeps its own state in the bits above the trigger


def read(path: Path, name: str, declared: Declared) -> RecordingStream:
    """Open a recording through MNE-Python, which knows the units."""
    raw = _opened(path, name, _companions_beside(path, name))
    with _Explained(name):
        import mne

        stim = mne.pick_types(raw.info, stim=True, exclude=())
    if raw.n_times <= 0:
        raise RecordingError("missing_eeg", f"{name} has no sample. Upload the recording again.")
    check_n_channels(len(raw.ch_names), name)
    with _Explained(name):
        eeg, chosen, factors = choose_eeg(raw, path, name, declared)
        bad_channels, bad_spans, gaps = marked(raw, chosen.names)
    check_rate(float(raw.info["sfreq"]), name)
    check_length(raw.n_times, float(raw.info["sfreq"]), name)
    decoded = _stimulation(raw, stim, declared.event_id or None, name)
    return RecordingStream(
        chosen.names,
        float(raw.info["sfreq"]),
        raw.n_times,
        decoded.stim,
        decoded.flash,
        lambda: _blocks(raw, np.array(eeg), name),
        same_factor(factors, name),
        notes=(*chosen.notes, *unit_notes(declared, factors), *decoded.notes),
        gaps=gaps,
        bad_spans=bad_spans,
        bad_channels=bad_channels,
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
        check_companions(path, found, name)
    return found


def _opened(path: Path, name: str, beside: list[Path]) -> "mne.io.BaseRaw":
    extension = PurePosixPath(name).suffix.lower()
    if extension == ".fif":
        check_fif(path, name)
    elif extension in (".edf", ".bdf"):
        check_edf(path, name, sample_bytes=3 if extension == ".bdf" else 2)
    with _Explained(name):
        from mne.io import read_raw_bdf, read_raw_brainvision, read_raw_edf, read_raw_eeglab, read_raw_fif

        readers = {
            ".fif": read_raw_fif,
            ".edf": read_raw_edf,
            ".bdf": read_raw_bdf,
            ".set": read_raw_eeglab,
            ".vhdr": read_raw_brainvision,
        }
        if path.suffix == extension:
            return readers[extension](path, preload=False, verbose="error")
        # MNE goes by the file's own extension, and a downloaded object may have none.
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / f"{PurePosixPath(name).stem}{extension}"
            for file, linked in ((path, link), *((file, link.with_name(file.name)) for file in beside)):
                linked.symlink_to(file.resolve())
            return readers[extension](link, preload=True, verbose="error")


class _Explained:
    """Turn whatever MNE raises at damaged bytes into one message."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, RecordingError):
            raise RecordingError(
                "unreadable", f"{self.name}: truncated, damaged or another format ({error}). Upload it again."
            ) from error


def _stimulation(raw: "mne.io.BaseRaw", stim: NDArray[np.integer], event_id: EventId | None, name: str) -> Stimulation:
    """Take the annotations where their names are known, else the first stim channel whose codes are, else annotated codes."""
    named = {_plain(str(key)): code for key, code in (event_id or ANNOTATED).items()}
    if len(raw.annotations) > MOST_ANNOTATIONS:
        raise RecordingError(
            "too_many_annotations",
            f"{name}: {len(raw.annotations):,} annotations; expected at most {MOST_ANNOTATIONS:,}. Split the recording into runs.",
        )
    present = sorted(set(raw.annotations.description.tolist()))
    # EEGLAB events "1" and "2", BrainVision markers "Stimulus/S  1" and "Stimulus/S  2"
    numbers = {text: int(match[1]) for text in present if (match := NUMBERED.fullmatch(_plain(text)))}
    meant = {text: named.get(_plain(text), (event_id or {}).get(numbers.get(text, ""))) for text in present}
    known = {text: code for text, code in meant.items() if code}
    if known:
        with _Explained(name):
            classes = _annotated(raw, known)
        ignored = [text for text in present if text not in known]
        notes = (f"annotations {few(ignored)} ignored: no flashes",) if ignored else ()
        return Stimulation(classes.astype(np.int32), None, notes)
    refusals = []
    if len(stim) > MOST_STIM_CHANNELS:  # each is a pass over the file
        raise RecordingError(
            "too_many_channels",
            f"{name}: {len(stim):,} stim channels; expected at most {MOST_STIM_CHANNELS}. Export the one that holds the triggers.",
        )
    for channel in stim:
        try:
            decoded = decode_stim(_stim_channel(raw, int(channel), name), name, event_id)
        except RecordingError as refusal:
            refusals.append(refusal)
            continue
        if decoded.stim.any():
            return decoded
    if numbers and not refusals:
        try:
            with _Explained(name):
                return decode_stim(_annotated(raw, numbers), name, event_id)
        except RecordingError as refusal:
            refusals.append(refusal)
    if present:
        raise RecordingError(
            "unknown_codes",
            f"{name}: annotations {few(present)} and {len(stim)} stim channels hold no known event; expected "
            f"{sorted(named)}, or codes {EXPECTED_CODES}. Name yours in event_id (the template's EventId).",
        )
    if refusals:
        raise refusals[0]
    if not len(stim):
        raise RecordingError(
            "missing_stim", f"{name}: neither a stim channel nor annotations; expected events Target and NonTarget."
        )
    raise RecordingError("no_events", f"{name}: no event on {len(stim)} stim channels; expected {EXPECTED_CODES}.")


def _plain(description: str) -> str:
    """Return an annotation's text as people mean it: without BrainVision's kind of marker, in small letters, single blanks."""
    kind, slash, text = description.lower().partition("/")
    return " ".join((text if slash and kind in BRAINVISION_KINDS else description.lower()).split())


def _annotated(raw: "mne.io.BaseRaw", codes: dict[str, int]) -> NDArray[np.float64]:
    """Return a stim channel with the annotations' codes."""
    import mne

    # MNE numbers events by unique code, so two descriptions of one class keep their class here.
    events, _ = mne.events_from_annotations(raw, event_id=codes, verbose="error")
    samples = events[:, 0] - raw.first_samp
    inside = (samples >= 0) & (samples < raw.n_times)
    stim = np.zeros(raw.n_times)
    stim[samples[inside]] = events[inside, 2]
    return stim


def _stim_channel(raw: "mne.io.BaseRaw", channel: int, name: str) -> NDArray[np.float64]:
    codes, end, above = np.empty(raw.n_times), 0, False
    for (block,) in _blocks(raw, np.array([channel]), name):
        start, end = end, end + len(block)
        codes[start:end] = block
        above = above or bool((np.abs(block) > LOWER_16_BITS).any())
    if above:
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
