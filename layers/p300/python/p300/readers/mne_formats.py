"""What MNE-Python reads: .fif .edf .bdf .set .vhdr, with a stim channel or annotations."""

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import CLASS_NAMES, RecordingStream

from .brain_invaders import EventId, Stimulation, decode_stim
from .columns import few

if TYPE_CHECKING:
    import mne

SAMPLES_PER_BLOCK = 1 << 16
ANNOTATED = {class_name.lower(): code for code, class_name in CLASS_NAMES.items()}
LOWER_16_BITS = 0xFFFF  # BioSemi keeps its own state in the bits above the trigger


def read(path: Path, name: str, event_id: EventId | None) -> RecordingStream:
    """Open a recording through MNE-Python, which knows the units."""
    raw = _opened(path, name)
    with _Explained(name):
        import mne

        eeg = mne.pick_types(raw.info, eeg=True, exclude=())
        stim = mne.pick_types(raw.info, stim=True, exclude=())
    if not len(eeg):
        kinds = sorted(set(raw.get_channel_types()))
        raise RecordingError("missing_eeg", f"{name}: no EEG channel, found channels of type {kinds}.")
    decoded = _stimulation(raw, stim, event_id, name)
    return RecordingStream(
        tuple(raw.ch_names[i] for i in eeg),
        float(raw.info["sfreq"]),
        raw.n_times,
        decoded.stim,
        decoded.flash,
        lambda: _blocks(raw, eeg, name),
        notes=decoded.notes,
    )


def _opened(path: Path, name: str) -> "mne.io.BaseRaw":
    extension = PurePosixPath(name).suffix.lower()
    with _Explained(name):
        from mne.io import read_raw_bdf, read_raw_brainvision, read_raw_edf, read_raw_eeglab, read_raw_fif

        readers = {
            ".fif": read_raw_fif,
            ".edf": read_raw_edf,
            ".bdf": read_raw_bdf,
            ".set": read_raw_eeglab,
            ".vhdr": read_raw_brainvision,
        }
        if path.suffix.lower() == extension:
            return readers[extension](path, preload=False, verbose="error")
        # MNE goes by the file's own extension, and a downloaded object may have none.
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / PurePosixPath(name).name
            link.symlink_to(path.resolve())
            return readers[extension](link, preload=True, verbose="error")


class _Explained:
    """Turn whatever MNE raises at damaged bytes into one message."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise RecordingError(
                "unreadable",
                f"{self.name}: a file that belongs to it is missing: {error}. A .vhdr needs its .eeg and .vmrk, a .set "
                "may need its .fdt, beside it.",
            ) from error
        if isinstance(error, Exception) and not isinstance(error, RecordingError):
            raise RecordingError(
                "unreadable", f"{self.name}: truncated, damaged or another format ({error}). Upload it again."
            ) from error


def _stimulation(raw: "mne.io.BaseRaw", stim: NDArray[np.integer], event_id: EventId | None, name: str) -> Stimulation:
    """Take the annotations where their names are known, else the first stim channel whose codes are."""
    named = {str(key).lower(): code for key, code in (event_id or ANNOTATED).items()}
    present = sorted(set(raw.annotations.description.tolist()))
    if {description.lower() for description in present} & set(named):
        return _from_annotations(raw, named)
    refusals = []
    for channel in stim:
        try:
            decoded = decode_stim(_stim_channel(raw, int(channel), name), name, event_id)
        except RecordingError as refusal:
            refusals.append(refusal)
            continue
        if decoded.stim.any():
            return decoded
    if refusals:
        raise refusals[0]
    if not len(stim) and not present:
        raise RecordingError(
            "missing_stim", f"{name}: neither a stim channel nor annotations; expected events Target and NonTarget."
        )
    raise RecordingError(
        "unknown_codes" if present else "no_events",
        f"{name}: annotations {few(present)} and {len(stim)} stim channels hold no known event; expected "
        f"{sorted(named)}. Name yours with event_id.",
    )


def _from_annotations(raw: "mne.io.BaseRaw", named: dict[str, int]) -> Stimulation:
    import mne

    known = {d: named[d.lower()] for d in set(raw.annotations.description.tolist()) if d.lower() in named}
    # MNE numbers events by unique code, so two descriptions of one class keep their class here.
    events, _ = mne.events_from_annotations(raw, event_id=known, verbose="error")
    stim = np.zeros(raw.n_times, np.int32)
    stim[events[:, 0] - raw.first_samp] = events[:, 2]
    ignored = sorted(set(raw.annotations.description.tolist()) - set(known))
    return Stimulation(stim, None, (f"annotations {few(ignored)} ignored: no flashes",) if ignored else ())


def _stim_channel(raw: "mne.io.BaseRaw", channel: int, name: str) -> NDArray[np.float64]:
    codes = np.concatenate([block[0] for block in _blocks(raw, np.array([channel]), name)])
    if codes.size and np.nanmax(np.abs(codes)) > LOWER_16_BITS:
        codes = (codes.astype(np.int64) & LOWER_16_BITS).astype(np.float64)
    return codes


def _blocks(raw: "mne.io.BaseRaw", picks: NDArray[np.integer], name: str) -> Iterator[NDArray[np.floating]]:
    for start in range(0, raw.n_times, SAMPLES_PER_BLOCK):
        with _Explained(name):
            block: NDArray[np.floating] = raw.get_data(picks, start, min(start + SAMPLES_PER_BLOCK, raw.n_times))
        yield block
