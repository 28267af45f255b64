"""Real spelling sessions as benchmarks read them: BNCI 2015-003, Brain Invaders 2012, and BCI2000's own sample."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from p300.decoding import Layout, attended, grid, split_trials
from p300.decoding.layouts import SPELLER_6X6
from p300.features import FeatureSet
from p300.models import RecordingEpochs
from p300.readers import read_recording
from p300.recording import Recording
from p300.signals import Parameters, extract
from real_data import needed
from sizes import size

DATA_SET = "bnci_2015_003"
SUBJECTS = tuple(f"subject_{n:02d}" for n in range(6, size(11, short=8)))
PREPROCESSING = Parameters(reject_peak_to_peak_uv=None)  # a speller cannot choose its flashes


@dataclass(frozen=True)
class Run:
    """A session of spelling: epochs of every flash, what each lit, the flashes of each symbol, and what was looked at."""

    epochs: RecordingEpochs
    lit: np.ndarray
    trials: list[slice]
    truth: list[int]

    @property
    def X(self) -> np.ndarray:  # noqa: N802
        return self.epochs.X

    @property
    def y(self) -> np.ndarray:
        return self.epochs.y

    def part(self, first: int, n_symbols: int, n_repetitions: int = 15) -> "Run":
        """Return the first repetitions of some symbols, one after the other."""
        pieces = [np.arange(t.start, t.start + 12 * n_repetitions) for t in self.trials[first : first + n_symbols]]
        rows = np.concatenate([*pieces, np.array([], int)])
        trials = [slice(len(p) * k, len(p) * (k + 1)) for k, p in enumerate(pieces)]
        return Run(self.epochs.take(rows), self.lit[rows], trials, self.truth[first : first + n_symbols])

    def changed(self, X: np.ndarray) -> "Run":
        """Return the same flashes with other epochs."""
        e = self.epochs
        return Run(RecordingEpochs(e.recording, e.subject, X, e.y, e.n_channels), self.lit, self.trials, self.truth)


@cache
def bnci() -> dict[tuple[str, int], Run]:
    """Return the two runs of each subject."""
    runs = {}
    for path in sorted(path for subject in SUBJECTS for path in (needed(DATA_SET) / subject).glob("*.parquet")):
        subject, number = path.parent.name, int(path.name.split("run_")[1][:2])
        features = extract(read_recording(path), PREPROCESSING)
        runs[subject, number] = _run(features, path.stem, subject, grid(SPELLER_6X6))
    return runs


def bci2000() -> Run:
    """Return the four symbols of BCI2000's sample, whose flashes come every 250 ms."""
    features = extract(_read_dat(needed("formats") / "bci2000" / "eeg3_1.dat"), PREPROCESSING)
    matrix = grid(("ABCDEF", "GHIJKL", "MNOPQR", "STUVWX", "YZ1234", "56789_"), rows_first=True)
    return _run(features, "eeg3_1", "bci2000", matrix)


def brain_invaders(channels: tuple[str, ...] | None = None) -> RecordingEpochs:
    """Return the one subject of Brain Invaders 2012, where nobody wrote down what flashed."""
    (path,) = needed("brain_invaders_2012").rglob("*.parquet")
    features = extract(read_recording(path), Parameters())
    names = channels or features.ch_names
    X = features.epochs[:, [features.ch_names.index(name) for name in names]].reshape(len(features.X), -1)
    return RecordingEpochs(path.stem, "brain_invaders", X, features.label, len(names))


def _run(features: FeatureSet, name: str, subject: str, layout: Layout) -> Run:
    if features.flash is None:
        raise ValueError(f"{name} does not say what each flash lit")
    lit, trials = layout.lit(features.flash), split_trials(features.onset_sample)
    truth = [symbol for trial in trials if (symbol := attended(lit[trial], features.label[trial] == 2)) is not None]
    if len(truth) < len(trials):
        raise ValueError(f"{name}: the targets of some symbol do not have one symbol in common")
    epochs = RecordingEpochs(
        name, subject, features.X, features.label, len(features.ch_names), features.flash, features.onset_sample
    )
    return Run(epochs, lit, trials, truth)


def _read_dat(path: Path) -> Recording:
    """Read a BCI2000 file of 16-bit samples: after a header of text, each sample's channels and bits of state."""
    content = path.read_bytes()
    header = content[: int(content.split(b"HeaderLen=")[1].split()[0])].decode("latin1")

    def values(name: str, n: int) -> list[str]:
        line = next(line for line in header.splitlines() if f" {name}=" in line)
        return line.split("=")[1].split()[1 : n + 1]

    first = dict(zip(*[iter(header.splitlines()[0].split())] * 2, strict=False))
    n_channels, n_state = int(first["SourceCh="]), int(first["StatevectorLen="])
    samples = np.frombuffer(content, np.uint8, offset=len(header)).reshape(-1, 2 * n_channels + n_state)
    gain, offset = (np.array(values(name, n_channels), float) for name in ("SourceChGain", "SourceChOffset"))
    eeg_uv = (samples[:, : 2 * n_channels].copy().view("<i2") - offset) * gain
    bits = np.unpackbits(samples[:, 2 * n_channels :], axis=1, bitorder="little")
    states = {
        fields[0]: bits[:, start : start + int(fields[1])] @ (1 << np.arange(int(fields[1])))
        for line in header.split("[ State Vector Definition ]")[1].split("[ Parameter")[0].splitlines()
        if len(fields := line.split()) == 5
        for start in [8 * int(fields[3]) + int(fields[4])]
    }
    code = states["StimulusCode"]
    began = (code > 0) & (np.diff(code, prepend=0) > 0) & (np.roll(code, 1) == 0)
    stim = np.where(began, 1 + states["StimulusType"], 0).astype(np.int32)
    names = tuple(values("ChannelNames", n_channels))
    return Recording(names, 256.0, eeg_uv.T * 1e-6, stim, np.where(began, code, 0).astype(np.int32))
