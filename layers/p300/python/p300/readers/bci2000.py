"""BCI2000: flashes from the states StimulusCode and StimulusType; the matrix and the text to spell from the parameters."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.limits import LARGEST_N_SAMPLES
from p300.recording import NON_TARGET, TARGET, RecordingStream
from p300.text import few_of

from . import events
from .bci2000_header import MOST_STATE_BITS, Header, State, number_with_unit, read_header
from .bci2000_speller import speller_of
from .channels import FileChannel, choose
from .checks import check_length, check_n_samples, check_rate
from .declared import Declared
from .units import declared_volts_per

BYTES_PER_BLOCK = 8 << 20
CODE, TYPE = "StimulusCode", "StimulusType"
LONGEST_BLOCK_S = 0.01
"""Of samples that BCI2000 handles at once: states change with a block, so that flashes begin within one."""


def read(path: Path, name: str, declared: Declared) -> RecordingStream:
    """Open a BCI2000 recording; the parameter ``SourceChGain`` makes microvolts of its numbers."""
    header = read_header(path, name)
    n_samples, rest = divmod(path.stat().st_size - header.n_bytes, header.sample_bytes)
    if rest:
        raise RecordingError(
            "unreadable",
            f"{name} ends in the middle of a sample: {rest} bytes after sample {n_samples:,}, and a sample has {header.sample_bytes}. "
            "Copy it again from where it was recorded.",
        )
    sfreq, _ = number_with_unit(header.first("SamplingRate"), "the parameter SamplingRate", name)
    check_rate(sfreq, name)
    check_n_samples(min(n_samples, LARGEST_N_SAMPLES + 1), name)
    check_length(n_samples, sfreq, name)
    ch_names, name_notes = _channel_names(header, name)
    offset, gain, units = _scale(header, name)
    channels = [FileChannel(channel, unit=unit) for channel, unit in zip(ch_names, units, strict=True)]
    chosen = choose(channels, declared.channel_kinds, name)
    picks = np.array(chosen.picks)
    uv_per = _uv_per([units[pick] for pick in picks], declared, name)
    offset, to_uv = offset[picks], gain[picks] * uv_per
    unit_notes = (f"unit declared: {declared.unit}",) if declared.unit is not None else ()
    for state in (CODE, TYPE):
        if state not in header.states:
            raise RecordingError(
                "missing_stim",
                f"{name}: no state {state}, found {few_of(header.states) or 'none'}. Expected StimulusCode, which numbers the stimuli, and "
                "StimulusType, which is 1 for targets, as P3Speller and StimulusPresentation record them.",
            )
    code = _state(path, header, n_samples, header.states[CODE], name)
    is_target = _state(path, header, n_samples, header.states[TYPE], name) != 0
    groups = code.astype(np.int32)
    stim = np.where(code != 0, np.where(is_target, TARGET, NON_TARGET), 0)
    if declared.codes and set(declared.codes.items()) != {(NON_TARGET, NON_TARGET), (TARGET, TARGET)}:
        stim = code  # the declared codes are those of stimuli
    decoded = events.from_codes(stim, name, sfreq, declared, groups=groups)
    speller, decoded = speller_of(header, decoded)
    dtype = np.dtype(np.float64 if header.data_format == "<i4" else np.float32)

    def blocks() -> Iterator[NDArray[np.floating]]:
        for values, _ in _samples(path, header, n_samples):
            yield ((values[:, picks] - offset) * to_uv).T.astype(dtype, order="C")

    return RecordingStream(
        chosen.names,
        sfreq,
        n_samples,
        decoded.stim,
        decoded.flash,
        blocks,
        1e-6,
        (*name_notes, *unit_notes, *chosen.notes, *_block_notes(header, sfreq), *decoded.notes),
        speller=speller,
        read_as_v=tuple((uv_per * 1e-6).tolist()),
        facts={"recorded": header.first("StorageTime"), "software": "BCI2000"},
    )


def _samples(path: Path, header: Header, n_samples: int) -> Iterator[tuple[NDArray[np.number], NDArray[np.uint8]]]:
    """Yield values of shape (n_block, n_channels) and state vectors of shape (n_block, n_state_bytes)."""
    kind = np.dtype([("values", header.data_format, header.n_channels), ("states", "u1", header.n_state_bytes)])
    step = max(1, BYTES_PER_BLOCK // header.sample_bytes)
    with path.open("rb") as file:
        file.seek(header.n_bytes)
        for start in range(0, n_samples, step):
            block = np.fromfile(file, kind, min(step, n_samples - start))
            yield block["values"].reshape(len(block), -1), block["states"].reshape(len(block), -1)


def _state(path: Path, header: Header, n_samples: int, state: State, name: str) -> NDArray[np.int64]:
    if state.n_bits > MOST_STATE_BITS:
        raise RecordingError(
            "unreadable", f"{name}: a stimulus state of {state.n_bits} bits; expected at most {MOST_STATE_BITS}."
        )
    first, last = state.first_bit // 8, (state.first_bit + state.n_bits - 1) // 8
    found, end = np.empty(n_samples, np.int64), 0
    for _, states in _samples(path, header, n_samples):
        bits = np.zeros(len(states), np.int64)
        for byte in range(first, last + 1):
            bits |= states[:, byte].astype(np.int64) << 8 * (byte - first)
        start, end = end, end + len(states)
        found[start:end] = bits >> state.first_bit % 8 & (1 << state.n_bits) - 1
    if len(found) and found.max() > np.iinfo(np.int32).max:
        raise RecordingError("bad_flash", f"{name}: a stimulus state holds numbers beyond 32 bits.")
    return found


def _channel_names(header: Header, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = [channel.strip() for channel in header.parameters.get("ChannelNames", [])]
    if not any(names):
        numbered = tuple(f"ch{i:02d}" for i in range(1, header.n_channels + 1))
        return numbered, ("channel names not in the file: numbered",)
    if len(names) != header.n_channels:
        raise RecordingError(
            "bad_metadata",
            f"{name}: the parameter ChannelNames has {few_of(names) or 'no names'}, and the file {header.n_channels} channels. "
            "Expected a name for each.",
        )
    return tuple(names), ()


def _scale(header: Header, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Return each channel's offset and gain, both of shape (n_channels,), and the unit that the gain makes of its numbers."""
    columns = []
    for parameter in ("SourceChOffset", "SourceChGain"):
        texts = header.parameters.get(parameter, [])
        if len(texts) != header.n_channels:
            raise RecordingError(
                "bad_metadata",
                f"{name}: the parameter {parameter} has {len(texts)} values, and the file {header.n_channels} channels. Expected one "
                "for each.",
            )
        columns.append([number_with_unit(text, f"the parameter {parameter}", name) for text in texts])
    offset = np.array([number for number, _ in columns[0]])
    gain = np.array([number for number, _ in columns[1]])
    if not np.isfinite(offset).all() or not (np.isfinite(gain) & (gain != 0)).all():
        raise RecordingError(
            "bad_metadata", f"{name}: SourceChGain or SourceChOffset of a channel is 0 or infinite; expected numbers."
        )
    return offset, gain, [re.sub(r"^mu(?=V$)", "u", unit) or "uV" for _, unit in columns[1]]


def _uv_per(units: list[str], declared: Declared, name: str) -> NDArray[np.float64]:
    """Return the factors from units of EEG channels to microvolts; one that is no voltage was declared EEG."""
    if declared.unit is not None:
        units = [declared.unit] * len(units)
    return 1e6 * np.array([declared_volts_per(unit, name) for unit in units])


def _block_notes(header: Header, sfreq: float) -> tuple[str, ...]:
    said = header.first("SampleBlockSize")
    n_block = int(said) if re.fullmatch(r"[0-9]{1,6}", said) else 1
    if n_block / sfreq <= LONGEST_BLOCK_S:
        return ()
    return (f"states change every {n_block} samples: flash times are known to within {1e3 * n_block / sfreq:.0f} ms",)
