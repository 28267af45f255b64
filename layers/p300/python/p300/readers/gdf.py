"""GDF, as OpenViBE and BioSig write it: flashes in its table of events, or on a trigger channel."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import RecordingStream
from p300.signals.triggers import settling
from p300.text import few_of

from . import events, mne_events
from .brain_invaders import OPENVIBE_CODES
from .channels import FileChannel, choose, other_kind
from .checks import check_length, check_n_samples, check_rate
from .declared import Declared
from .gdf_structure import Events, Header, read_events, read_header
from .markers import Marker
from .stim_lines import StimLine, read_beside
from .units import declared_volts_per, volts_per

BYTES_PER_BLOCK = 8 << 20
FIRST_GROUP, LAST_GROUP = 33025, 33055
"""OpenViBE's labels 1 to 31: which row or column flashed, at the sample at which another event says whether it is a target."""
NEW_SEGMENT = 32766


def read(path: Path, name: str, declared: Declared) -> RecordingStream:
    """Open a GDF recording."""
    header = read_header(path, name)
    channels = [FileChannel(label, unit=unit) for label, unit in zip(header.names, header.units, strict=True)]
    rate, others, rate_notes = _same_rate(header, channels, name)
    sfreq, n_samples = rate / header.record_s, header.n_records * rate
    check_rate(sfreq, name)
    check_n_samples(n_samples, name)
    check_length(n_samples, sfreq, name)
    own = [number for number in range(len(channels)) if number not in others]
    chosen = choose([channels[number] for number in own], declared.channel_kinds, name)
    picks = [own[pick] for pick in chosen.picks]
    to_uv, offset_uv, unit_notes = _scale(header, picks, declared, name)
    found = read_events(path, header, sfreq, name)
    gaps = np.round(found.onset_s[found.code == NEW_SEGMENT] * sfreq).astype(np.int64)
    lines = [number for number in own if other_kind(channels[number]) == "trigger"]
    decoded = _flashes(
        found,
        [StimLine(header.names[number], _line(path, header, number, sfreq)) for number in lines],
        n_samples,
        sfreq,
        declared,
        name,
    )

    def blocks() -> Iterator[NDArray[np.floating]]:
        for block in _values(path, header, picks):
            yield block * to_uv[:, np.newaxis] + offset_uv[:, np.newaxis]

    return RecordingStream(
        chosen.names,
        sfreq,
        n_samples,
        decoded.stim,
        decoded.flash,
        blocks,
        1e-6,
        (*rate_notes, *unit_notes, *chosen.notes, *decoded.notes),
        gaps=tuple(sorted({int(gap) for gap in gaps if 0 < gap < n_samples})),
        read_as_v=tuple((to_uv / header.gain[picks] * 1e-6).tolist()),
    )


def _same_rate(header: Header, channels: list[FileChannel], name: str) -> tuple[int, set[int], tuple[str, ...]]:
    """Return the samples in a record of the channels that may be EEG, and which channels have another number of them."""
    may_be = [
        n for n, channel in zip(header.n_samples.tolist(), channels, strict=True) if n and other_kind(channel) is None
    ]
    rates = sorted(set(may_be))
    if len(rates) > 1:
        listed = ", ".join(f"{rate / header.record_s:g} Hz ({may_be.count(rate)})" for rate in rates)
        raise RecordingError(
            "mixed_rates",
            f"{name}: EEG channels at different rates: {listed}. Expected one. Export them at the same rate.",
        )
    rate = rates[0] if rates else int(header.n_samples.max())
    others = {number for number, n in enumerate(header.n_samples.tolist()) if n != rate}
    left_out = [
        f"{header.names[number]} ({header.n_samples[number] / header.record_s:g} Hz)" for number in sorted(others)
    ]
    return rate, others, (f"not EEG, as sampled at another rate: {few_of(left_out)}",) if left_out else ()


def _scale(
    header: Header, picks: list[int], declared: Declared, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    """Return the factor from numbers to microvolts, what is added to them, each of shape (n_picks,), and notes."""
    gain, offset = header.gain[picks], header.offset[picks]
    if not (np.isfinite(gain) & (gain != 0) & np.isfinite(offset)).all():
        raise RecordingError(
            "bad_metadata",
            f"{name}: a channel's physical and digital limits give no scale; expected two different numbers each.",
        )
    units = [header.units[pick] for pick in picks]
    notes: tuple[str, ...] = ()
    if declared.unit is not None:
        factors = np.full(len(picks), declared_volts_per(declared.unit, name))
        notes = (f"unit declared: {declared.unit}",)
    else:
        factors = np.array([(volts_per(unit) or 1e-6) if unit else 1e-6 for unit in units])
        notes = () if all(units) else ("unit not in the file: taken as microvolts",)
    return gain * factors * 1e6, offset * factors * 1e6, notes


def _values(path: Path, header: Header, picks: list[int]) -> Iterator[NDArray[np.float64]]:
    """Yield numbers of some channels with the same rate, of shape (n_picks, n_block)."""
    record_bytes = int(header.starts[-1])
    step = max(1, BYTES_PER_BLOCK // record_bytes)
    with path.open("rb") as file:
        file.seek(header.n_bytes)
        for start in range(0, header.n_records, step):
            n = min(step, header.n_records - start)
            records = np.fromfile(file, np.uint8, n * record_bytes).reshape(n, record_bytes)
            block = np.empty((len(picks), n * int(header.n_samples[picks[0]])))
            for row, pick in zip(block, picks, strict=True):
                part = np.ascontiguousarray(records[:, header.starts[pick] : header.starts[pick + 1]])
                row[:] = part.view(header.types[pick]).ravel()
            yield block


def _line(path: Path, header: Header, number: int, sfreq: float) -> Callable[[], tuple[NDArray[np.float64], float]]:
    def read_line() -> tuple[NDArray[np.float64], float]:
        codes = np.concatenate([block[0] for block in _values(path, header, [number])])
        return np.round(codes * header.gain[number] + header.offset[number]), sfreq

    return read_line


def _flashes(
    found: Events,
    lines: list[StimLine],
    n_samples: int,
    sfreq: float,
    declared: Declared,
    name: str,
) -> events.Stimulation:
    """Take OpenViBE's events of flashes with the group of each; else what is declared, or named as in other formats."""
    onset = np.round(found.onset_s * sfreq).astype(np.int64)
    is_class = np.isin(found.code, list(OPENVIBE_CODES))
    if declared.event_id or not is_class.any():
        markers = [Marker(sample, str(code)) for sample, code in zip(onset.tolist(), found.code.tolist(), strict=True)]
        return mne_events.decide(
            [marker for marker in markers if marker.code != NEW_SEGMENT], lines, n_samples, sfreq, declared, name
        )
    is_group = (found.code >= FIRST_GROUP) & (found.code <= LAST_GROUP)
    codes, groups = np.zeros(n_samples, np.int32), np.zeros(n_samples, np.int32)
    inside = (onset >= 0) & (onset < n_samples)
    codes[onset[is_class & inside]] = [OPENVIBE_CODES[code][0] for code in found.code[is_class & inside].tolist()]
    groups[onset[is_group & inside]] = found.code[is_group & inside] - FIRST_GROUP + 1
    near = _near(np.flatnonzero(codes), groups, settling(sfreq))
    with_groups = np.zeros(n_samples, np.int32)
    with_groups[np.flatnonzero(codes)] = near
    n_outside = int((is_class & ~inside).sum())

    def decode(doubtful: bool) -> events.Stimulation:
        known = with_groups if near.any() else None
        return events.from_codes(codes, name, sfreq, declared, groups=known, doubtful=doubtful)

    decoded = read_beside(decode, "the table of events", lines, (n_samples, sfreq), declared, name)
    return replace(decoded, notes=(*decoded.notes, events.outside_note(n_outside))) if n_outside else decoded


def _near(flashes: NDArray[np.int64], groups: NDArray[np.int32], reach: int) -> NDArray[np.int32]:
    """Return the group that is nearest to each flash, 0 where there is none near."""
    near = np.zeros(len(flashes), np.int32)
    for distance in range(reach + 1):
        for offset in (-distance, distance):
            there = groups[np.clip(flashes + offset, 0, len(groups) - 1)]
            near = np.where((near == 0) & (there != 0), there, near)
    return near.astype(np.int32)
