"""EDF and BDF data records: the rate of each signal, and when each record began; EDF+D files have gaps between records.

MNE-Python puts all records one after the other, takes the times of annotations as if they were and leaves out those beyond, and resamples
signals of different rates piece by piece, so that they end up elsewhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError

from .channels import TRIGGER, FileChannel, other_kind
from .edf_header import ANNOTATIONS, Header
from .edf_structure import of_each_record
from .timing import GAP_STEPS, LARGEST_RATE_ERROR, gap_notes

_START = re.compile(rb"([+-]\d+(?:\.\d*)?)\x14")
_LIST = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14(.*?)\x14\x00", re.DOTALL)
_ELECTRODE = re.compile(
    r"(?:EEG[ -]?)?(?:Fp|AF|F|FT|FC|T|C|TP|CP|P|PO|O|I|N|A|M)(?:z|\d{1,2})(?:[ -].*)?", re.IGNORECASE
)
_TRIGGERS = {"status", "trigger"}
"""Labels that MNE-Python takes for a stim channel."""
LARGEST_MINORITY = 0.25
"""Share of signals at other rates than the EEG's that are left out, where no label is an electrode's."""


@dataclass(frozen=True)
class Records:
    """The data records of a file.

    Attributes
    ----------
    labels : tuple of str
        Of each signal, annotations left out.
    n_samples : tuple of int
        Samples of each signal in a record.
    record_s : float
        What the header says a record lasts.
    starts_s : ndarray, shape (n_records,), or None
        When each record began, in seconds from the first; None where the file does not say.
    annotations : tuple of (float, float, str)
        Onset in seconds from the first record, duration in seconds and text, as written.
    """

    labels: tuple[str, ...]
    n_samples: tuple[int, ...]
    record_s: float
    starts_s: NDArray[np.float64] | None
    annotations: tuple[tuple[float, float, str], ...] = ()

    def rates(self) -> dict[str, float]:
        """Rate in Hz of each label."""
        return {label: n / self.record_s for label, n in zip(self.labels, self.n_samples, strict=True)}


def read_records(path: Path, header: Header, *, sample_bytes: int) -> Records:
    """Read the records' times and annotations.

    Parameters
    ----------
    path : Path
        The file.
    header : Header
        Its header, which `check_edf` and `check_header` have accepted.
    sample_bytes : int
        Of a sample: 2 of EDF, 3 of BDF.

    Returns
    -------
    Records
    """
    labels, n_samples = header.labels, [n or 0 for n in header.n_samples]
    record_bytes = sample_bytes * sum(n_samples)
    n_records = (path.stat().st_size - header.n_bytes) // record_bytes
    lists = [number for number, label in enumerate(labels) if label in ANNOTATIONS]
    starts_s, annotations = None, []
    if lists and n_records > 0:
        texts = [
            of_each_record(
                path,
                header.n_bytes + sample_bytes * sum(n_samples[:number]),
                record_bytes,
                n_records,
                sample_bytes * n_samples[number],
            )
            for number in lists
        ]
        found = [_START.match(text) for text in texts[0]]
        if all(found):
            starts_s = np.array([float(match[1]) for match in found if match])
            annotations = [one for signal in texts for text in signal for one in _annotations(text, starts_s[0])]
            starts_s -= starts_s[0]
    signals = [number for number, label in enumerate(labels) if label not in ANNOTATIONS]
    return Records(
        tuple(labels[number].decode("latin-1") for number in signals),
        tuple(n_samples[number] for number in signals),
        header.record_s,
        starts_s,
        tuple(annotations),
    )


def _annotations(text: bytes, first_s: float) -> Iterator[tuple[float, float, str]]:
    """Read the annotations of one record."""
    for onset, duration, described in _LIST.findall(text):
        for description in filter(None, described.split(b"\x14")):
            try:
                what = description.decode()
            except UnicodeDecodeError:
                what = description.decode("latin-1")
            yield float(onset) - first_s, float(duration or 0), what.partition("@@")[0]


def other_rates(records: Records, name: str) -> tuple[str, ...]:
    """Return the labels of signals that are not sampled as the EEG is, and have to be left out.

    Parameters
    ----------
    records : Records
        The file's.
    name : str
        What to call it in messages.

    Returns
    -------
    labels : tuple of str

    Raises
    ------
    RecordingError
        ``mixed_rates`` where electrodes differ in rate, or it is not clear which rate is the EEG's.
    """
    rates = records.rates()
    signals = [label for label in records.labels if label.lower() not in _TRIGGERS]
    electrodes = [label for label in signals if _ELECTRODE.fullmatch(label)] or signals
    counts = {
        rate: sum(rates[label] == rate for label in electrodes) for rate in {rates[label] for label in electrodes}
    }
    if not counts:
        return ()
    rate = max(counts, key=counts.__getitem__)
    n_others = len(electrodes) - counts[rate]
    if n_others and (electrodes is not signals or n_others > LARGEST_MINORITY * len(electrodes)):
        each = ", ".join(f"{label} at {rates[label]:g} Hz" for label in electrodes[:64])
        raise RecordingError(
            "mixed_rates", f"{name}: signals of different rates: {each}. Expected all EEG at one rate. Export it so."
        )
    others = tuple(label for label in records.labels if rates[label] != rate)
    kept = {label for label in signals if rates[label] == rate}
    if len(set(records.labels)) < len(records.labels) and kept & set(others):
        raise RecordingError(
            "duplicate_channels", f"{name}: labels {sorted(kept & set(others))} occur twice. Rename them."
        )
    return others


def triggers_apart(records: Records, others: tuple[str, ...]) -> tuple[str, ...]:
    """Return the trigger signals among those that are sampled at another rate."""
    return tuple(label for label in others if label.lower() in _TRIGGERS or other_kind(FileChannel(label)) == TRIGGER)


@dataclass(frozen=True)
class Placement:
    """Where a time lies in the samples of a file whose records need not follow each other.

    Attributes
    ----------
    starts_s : ndarray, shape (n_records,)
        When each record began.
    n_in_record : int
        Samples of the EEG in a record.
    sfreq : float
        Their rate in Hz.
    gaps : tuple of int
        Sample at which each discontinuity ends.
    notes : tuple of str
        What they are, for a person.
    """

    starts_s: NDArray[np.float64]
    n_in_record: int
    sfreq: float
    gaps: tuple[int, ...]
    notes: tuple[str, ...]

    def samples(self, onsets_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the sample of each time in seconds from the first record; -1 in a gap."""
        record = np.clip(np.searchsorted(self.starts_s, onsets_s + 0.5 / self.sfreq, side="right") - 1, 0, None)
        within = np.round((onsets_s - self.starts_s[record]) * self.sfreq).astype(np.int64)
        sample = record * self.n_in_record + within
        # A gap is left out; records that follow each other may differ by the rounding of their times.
        ends = np.isin((record + 1) * self.n_in_record, self.gaps) | (record == len(self.starts_s) - 1)
        sample[(within < 0) | (ends & (within >= self.n_in_record))] = -1
        return sample


def placement(records: Records, sfreq: float, name: str) -> Placement | None:
    """Find the gaps between records; None where there is none.

    Parameters
    ----------
    records : Records
        The file's.
    sfreq : float
        Rate of the EEG in Hz.
    name : str
        What to call it in messages.

    Returns
    -------
    Placement or None

    Raises
    ------
    RecordingError
        ``contradictory_rate`` where records usually last longer or shorter than they say; ``not_continuous`` where their times go back.
    """
    if records.starts_s is None or len(records.starts_s) < 2:
        return None
    lasted = np.diff(records.starts_s)
    lost = lasted - records.record_s
    if (lasted <= 0).any():
        raise RecordingError(
            "not_continuous",
            f"{name}: data record {int(np.argmax(lasted <= 0)) + 2} begins before the one that precedes it. Expected records in the order "
            "of their times. Export the recording again.",
        )
    usual = float(np.median(lasted))
    if abs(usual / records.record_s - 1) > LARGEST_RATE_ERROR and abs(usual - records.record_s) > GAP_STEPS / sfreq:
        raise RecordingError(
            "contradictory_rate",
            f"{name}: data records begin {usual:g} s apart, and the header says that each lasts {records.record_s:g} s: {sfreq:g} Hz, or "
            f"{sfreq * records.record_s / usual:g} Hz. Export the recording again, as EDF+C or with all its samples.",
        )
    broken = np.flatnonzero(np.abs(lost) > GAP_STEPS / sfreq)
    if not len(broken):
        return None
    n_in_record = round(sfreq * records.record_s)
    gaps = (broken + 1) * n_in_record
    return Placement(
        records.starts_s, n_in_record, sfreq, tuple(gaps.tolist()), tuple(gap_notes(gaps, lost[broken], sfreq))
    )
