"""Mind Monitor's csv of a Muse headband: raw EEG in microvolts around 800, times of day, and rows that hold nothing but an event."""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from p300.arrow import to_numpy
from p300.errors import RecordingError
from p300.limits import MOST_ANNOTATIONS
from p300.recording import RecordingStream
from p300.text import n_of

from . import mne_events, timing
from .channels import FileChannel, choose
from .checks import check_n_channels, check_rate
from .columns import check_different
from .declared import Declared
from .markers import Marker
from .text_rows import Table
from .text_time import seconds
from .units import microvolts_per

TIME, ELEMENTS, RAW = "TimeStamp", "Elements", "RAW_"
RATE_HZ = 256.0
"""Of every Muse since 2016."""
_MARKER = re.compile(r"/?Marker/(\d+)", re.IGNORECASE)
_OWN = "/muse/"


def is_muse(table: Table) -> bool:
    """Tell whether a table is Mind Monitor's by its columns."""
    return TIME in table.columns and any(column.startswith(RAW) for column in table.columns)


def read(table: Table, name: str, declared: Declared) -> RecordingStream:
    """Open a recording of Mind Monitor, whose ``Elements`` column holds the markers."""
    check_different(table.columns, name)
    eeg = [column for column in table.columns if column.startswith(RAW)]
    check_n_channels(len(eeg), name)
    is_sample, happened = _rows(table, eeg, name)
    n_samples = int(is_sample.sum())
    if not n_samples:
        raise RecordingError(
            "missing_eeg",
            f"{name}: no raw EEG in its rows. Record with Mind Monitor's interval set to constant, and raw EEG on.",
        )
    stamps = seconds(table, TIME, None)[is_sample]
    timed, rate_notes = _timed(stamps, declared, name)
    check_rate(timed.sfreq, name)
    chosen = choose([FileChannel(column.removeprefix(RAW), unit="uV") for column in eeg], declared.channel_kinds, name)
    wanted = [eeg[pick] for pick in chosen.picks]
    factors, unit_notes = microvolts_per(["uV"] * len(wanted), declared, name)
    markers = [Marker(at, text) for at, text in happened if not text.startswith(_OWN)]
    n_own = len(happened) - len(markers)
    decoded = mne_events.decide(markers, [], n_samples, timed.sfreq, declared, name)

    def blocks() -> Iterator[NDArray[np.float64]]:
        at = 0
        for part in table.numbers(wanted):
            kept = is_sample[at : at + part.shape[1]]
            at += part.shape[1]
            yield part[:, kept] * factors[:, np.newaxis]

    return RecordingStream(
        chosen.names,
        timed.sfreq,
        n_samples,
        decoded.stim,
        decoded.flash,
        blocks,
        1e-6,
        (
            *rate_notes,
            *timed.notes,
            *unit_notes,
            *(
                (f"{n_of(n_own, 'event')} of the headband ignored: blinks, clenched jaws, connections",)
                if n_own
                else ()
            ),
            *chosen.notes,
            *decoded.notes,
        ),
        gaps=timed.gaps,
        read_as_v=tuple((factors * 1e-6).tolist()),
    )


def _rows(table: Table, eeg: list[str], name: str) -> tuple[NDArray[np.bool_], list[tuple[int, str]]]:
    """Return which rows are samples, shape (n_rows,), and the events, each at the sample that follows it."""
    import pyarrow.compute as pc

    texts = [ELEMENTS] if ELEMENTS in table.columns else []
    parts, happened, n_samples = [], [], 0
    for batch in table.batches(eeg, texts):
        held = np.stack([to_numpy(batch.column(i)) for i in range(len(eeg))])
        is_sample = ~np.isnan(held).all(axis=0)
        parts.append(is_sample)
        if texts:
            said = pc.utf8_trim_whitespace(batch.column(len(eeg)))
            rows = np.flatnonzero(pc.not_equal(said, "").to_numpy(zero_copy_only=False))
            before = n_samples + np.cumsum(is_sample) - is_sample
            happened += [
                (at, f"{found[1]}" if (found := _MARKER.fullmatch(text)) else text)
                for at, text in zip(before[rows].tolist(), said.take(rows).to_pylist(), strict=True)
            ]
        n_samples += int(is_sample.sum())
        if len(happened) > MOST_ANNOTATIONS:
            raise RecordingError(
                "too_many_annotations",
                f"{name}: more than {MOST_ANNOTATIONS:,} events; expected at most that. Split the recording into runs.",
            )
    return np.concatenate(parts) if parts else np.zeros(0, bool), happened


def _timed(stamps: NDArray[np.float64], declared: Declared, name: str) -> tuple[timing.Timing, tuple[str, ...]]:
    """Return the rate by the times of the samples; the headband's own where these come near it."""
    found = timing.from_stamps(stamps, declared.sfreq, name)
    if found is None:
        raise RecordingError(
            "missing_sfreq", f'{name}: the times in {TIME} do not rise. Declare the rate: {{"sfreq": {RATE_HZ:g}}}.'
        )
    if declared.sfreq is not None or found.sfreq == RATE_HZ:
        return found, ()
    if abs(found.sfreq / RATE_HZ - 1) <= timing.LARGEST_RATE_ERROR:
        note = f"sampling rate taken as the headband's {RATE_HZ:g} Hz; by its times, {found.sfreq:g} Hz"
        return timing.Timing(RATE_HZ, found.gaps, found.notes), (note,)
    return found, (f"sampling rate {found.sfreq:g} Hz by the times in {TIME}",)
