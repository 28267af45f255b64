"""Made-up sessions of a speller, written in every format: what the readers have to find in them is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mne
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
from numpy.typing import NDArray

from tests.support.edf import write_edf_plus

CHANNELS = ("Fz", "Cz", "Pz")
TARGET, NON_TARGET = 2, 1


@dataclass(frozen=True)
class Session:
    """Repetitions of twelve flashes, one row and one column of them targets."""

    sfreq: int = 256
    n_repetitions: int = 3
    seed: int = 0

    @cached_property
    def onsets(self) -> NDArray[np.int64]:
        rng = np.random.default_rng(self.seed)
        intervals = rng.integers(int(0.12 * self.sfreq), int(0.3 * self.sfreq), 12 * self.n_repetitions - 1)
        return np.cumsum(np.r_[self.sfreq, intervals])

    @cached_property
    def groups(self) -> NDArray[np.int32]:
        rng = np.random.default_rng(self.seed + 1)
        groups = [rng.permutation(12) + 1]
        while len(groups) < self.n_repetitions:
            following = rng.permutation(12) + 1
            if following[0] != groups[-1][-1]:  # a row does not flash twice in a row
                groups.append(following)
        return np.concatenate(groups).astype(np.int32)

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        row, column = self.seed % 6 + 1, self.seed % 5 + 7
        return np.where(np.isin(self.groups, (row, column)), TARGET, NON_TARGET).astype(np.int32)

    @property
    def n_samples(self) -> int:
        return (int(self.onsets[-1]) // self.sfreq + 3) * self.sfreq

    @cached_property
    def eeg_uv(self) -> NDArray[np.float64]:
        rng = np.random.default_rng(self.seed)
        return rng.normal(0, 20, (len(CHANNELS), self.n_samples)).round(1)

    def line(self, codes: Sequence[int] | NDArray[np.integer], width: int = 1) -> NDArray[np.int64]:
        """A trigger line with a pulse of this width and code at each flash."""
        line = np.zeros(self.n_samples, np.int64)
        for onset, code in zip(self.onsets, codes, strict=True):
            line[onset : onset + width] = code
        return line


MADE = Session(n_repetitions=4)
"""A short one, for tests that need no other."""


def write_parquet(
    path: Path, session: Session, line: NDArray[np.number], flash: NDArray[np.integer] | None = None
) -> Path:
    columns = {f"eeg_{name}": row for name, row in zip(CHANNELS, session.eeg_uv, strict=True)}
    more = {} if flash is None else {"flash": flash.astype(np.int32)}
    table = pa.table({**columns, "stim": line, **more})
    pq.write_table(table.replace_schema_metadata({"sfreq": str(session.sfreq)}), path)
    return path


def write_csv(path: Path, session: Session, line: NDArray[np.number], flash: NDArray[np.integer] | None = None) -> Path:
    names = ["time", *(f"eeg_{name}" for name in CHANNELS), "stim", *(["flash"] if flash is not None else [])]
    columns = [
        np.arange(session.n_samples) / session.sfreq,
        *session.eeg_uv,
        line,
        *([flash] if flash is not None else []),
    ]
    np.savetxt(path, np.column_stack(columns), "%.6f", ",", header=",".join(names), comments="")
    return path


def write_mat(path: Path, session: Session, line: NDArray[np.number]) -> Path:
    samples = np.column_stack([np.arange(session.n_samples) / session.sfreq, session.eeg_uv.T, line])
    channels = np.array(CHANNELS, object)
    scipy.io.savemat(path, {"samples": samples, "sfreq": float(session.sfreq), "channels": channels})
    return path


def write_fif_line(path: Path, session: Session, line: NDArray[np.number]) -> Path:
    info = mne.create_info([*CHANNELS, "STI 014"], session.sfreq, ["eeg"] * 3 + ["stim"], verbose="error")
    raw = mne.io.RawArray(np.vstack([session.eeg_uv * 1e-6, line]), info, verbose="error")
    raw.save(path, fmt="double", overwrite=True, verbose="error")
    return path


def write_edf_line(path: Path, session: Session, line: NDArray[np.number]) -> Path:
    highest = 2 ** (23 if path.suffix == ".bdf" else 15) - 1
    return write_edf_plus(
        path,
        [*session.eeg_uv, line.astype(float)],
        [*CHANNELS, "Status"],
        [session.sfreq] * 4,
        largest=[3276.7] * 3 + [highest],
    )


LINES: dict[str, Callable[..., Path]] = {
    "a.parquet": write_parquet,
    "a.csv": write_csv,
    "a.mat": write_mat,
    "a_raw.fif": write_fif_line,
    "a.edf": write_edf_line,
    "a.bdf": write_edf_line,
}
"""Formats with a column or channel of codes."""

type Events = Sequence[tuple[int, str]]
"""Sample and name of each, where a name may begin with BrainVision's kind."""


def write_edf_events(path: Path, session: Session, events: Events) -> Path:
    annotations = [(sample / session.sfreq, name) for sample, name in events]
    return write_edf_plus(path, list(session.eeg_uv), CHANNELS, [session.sfreq] * 3, annotations)


def write_fif_events(path: Path, session: Session, events: Events) -> Path:
    info = mne.create_info(list(CHANNELS), session.sfreq, "eeg", verbose="error")
    raw = mne.io.RawArray(session.eeg_uv * 1e-6, info, first_samp=100, verbose="error")
    raw.set_annotations(mne.Annotations([s / session.sfreq for s, _ in events], 0.0, [name for _, name in events]))
    raw.save(path, fmt="double", overwrite=True, verbose="error")
    return path


def write_fif(
    path: Path, line: NDArray[np.integer] | None, events: Events, kind: str = "eeg", names: Sequence[str] = CHANNELS
) -> Path:
    """Write `MADE` with this stim channel, if any, and these annotations."""
    stim = [] if line is None else ["STI 014"]
    info = mne.create_info([*names, *stim], MADE.sfreq, [kind] * len(names) + ["stim"] * len(stim), verbose="error")
    data = [*(MADE.eeg_uv * 1e-6), *([] if line is None else [line])]
    raw = mne.io.RawArray(np.vstack(data), info, verbose="error")
    onsets = [sample / MADE.sfreq for sample, _ in events]
    raw.set_annotations(mne.Annotations(onsets, 0.0, [name for _, name in events]))
    raw.save(path, fmt="double", verbose="error")
    return path


def write_brainvision(path: Path, session: Session, events: Events) -> Path:
    lines = ["Mk1=New Segment,,1,1,0,20240101100000000000"]
    for number, (sample, name) in enumerate(events, 2):
        kind, slash, text = name.partition("/")
        lines.append(f"Mk{number}={kind if slash else 'Stimulus'},{text if slash else name},{sample + 1},1,0")
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\n"
        f"Codepage=UTF-8\nDataFile={path.stem}.eeg\n\n[Marker Infos]\n" + "\n".join(lines) + "\n"
    )
    path.with_suffix(".eeg").write_bytes(np.round(session.eeg_uv.T * 10).astype("<i2").tobytes())
    channels = "\n".join(f"Ch{i}={name},,0.1,µV" for i, name in enumerate(CHANNELS, 1))
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\nMarkerFile={path.stem}.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        f"NumberOfChannels=3\nSamplingInterval={1e6 / session.sfreq}\n\n[Binary Infos]\nBinaryFormat=INT_16\n\n"
        f"[Channel Infos]\n{channels}\n",
        encoding="utf-8",
    )
    return path


def write_eeglab(path: Path, session: Session, events: Events) -> Path:
    kept = [{"type": name, "latency": float(sample + 1), "duration": 0.0} for sample, name in events]
    chanlocs = [{"labels": name, "type": "EEG", "X": 0.0, "Y": 0.0, "Z": 1.0} for name in CHANNELS]
    eeg = {
        "setname": "a", "nbchan": 3.0, "trials": 1.0, "pnts": float(session.n_samples), "srate": float(session.sfreq),
        "xmin": 0.0, "xmax": (session.n_samples - 1) / session.sfreq, "data": session.eeg_uv.astype(np.float32),
        "event": np.array(kept), "chanlocs": np.array(chanlocs), "icawinv": [], "icaweights": [], "icasphere": [],
        "icaact": [], "epoch": [], "history": "", "comments": "",
    }  # fmt: skip
    scipy.io.savemat(path, {"EEG": eeg}, appendmat=False, oned_as="row")
    return path


EVENTS: dict[str, Callable[[Path, Session, Events], Path]] = {
    "a.edf": write_edf_events,
    "a.bdf": write_edf_events,
    "a_raw.fif": write_fif_events,
    "a.vhdr": write_brainvision,
    "a.set": write_eeglab,
}
"""Formats with events that have names."""
