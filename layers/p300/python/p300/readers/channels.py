"""Which channels of a file are EEG: decided here for every format, by what the file says of a channel and by its name.

What a channel's signal says is `p300.readers.look`'s to find.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from p300.channels import EEG_PREFIX, plain
from p300.errors import RecordingError
from p300.text import few_of

from .seen import add_channel, suggest
from .units import volts_per

EEG, MISC, TRIGGER = "eeg", "misc", "trigger"
_SENSORS = {
    "eog": r"[hvlr]?eog[hvlrud]{0,2}|eyes?|gaze|pupil",
    "ecg": "ecg|ekg|heart",
    "emg": "emg[lr]?|chin",
    "external input": "exg|ext|aux|bip|erg|misc",
    "skin": "gsr|eda|scr|scl",
    "breathing": "resp|respiration|breath|breathing|airflow|nasal|thorax|abdomen",
    "pulse": "plet|pleth|plethysmogra(?:ph|m)|ppg|pulse|sp ?o|sa ?o",  # SpO2
    "temperature": "temp|temperature",
    "movement": "acc[xyz]?|accel[xyz]?|accelerometer|acceleration|gyro?[xyz]?|gyroscope|magnetometer|imu",
    TRIGGER: "trig|trg|triggers?|ttl|sti|stim|stimulus|status|din|marker|events?|codes?|photo|photodiode|photocell|buttons?|keys?",
    "sound or light": "audio|sound|mic|microphone|light",
    "device": "counter|count|timestamp|time|battery|impedance|quality|clock|sample|index",
    "other": "nc|meg|mcg|ep",  # types of EDF+, before a blank
}
_KINDS = tuple(_SENSORS)
_REASONS = {EEG: None, MISC: "declared", TRIGGER: TRIGGER}
_BY_WORD = re.compile("|".join(f"(?P<kind{number}>{words})" for number, words in enumerate(_SENSORS.values())))
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LETTERS = re.compile("[A-Za-z]+")
_PLACES = "fp|afp?|aff?|f|fft|ffc|ft|fc|ftt|fcc|t|c|ttp|ccp|tp|cp|tpp|cpp|p|ppo?|po|poo|o|oi|i"
WITH_REFERENCE = "names of channels contain their reference"
_ELECTRODE = re.compile(rf"nz|iz|[am][12]|({_PLACES})(z|\d{{1,2}}h?)")
_SIDES = ("left", "right")
"""Each may have a reference of its own: A1 and A2."""
MOST_DECLARED = 64
"""Channels that a message spells out."""


@dataclass(frozen=True)
class FileChannel:
    """A channel as a file describes it.

    Attributes
    ----------
    name : str
        As written in the file.
    kind : str or None
        Type that the file states, in small letters; None where its format knows none.
    unit : str or None
        Physical dimension that the file states; None or empty where it states none.
    """

    name: str
    kind: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Chosen:
    """The EEG channels of a file.

    Attributes
    ----------
    picks : tuple of int
        Which they are, in the file's order.
    names : tuple of str
        What they are called, without the prefix ``EEG``.
    notes : tuple of str
        Which channels were left out, and why.
    """

    picks: tuple[int, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def choose(channels: Sequence[FileChannel], declared_kinds: Mapping[str, str], name: str) -> Chosen:
    """Decide which channels are EEG.

    A declared kind decides first, then the type that the file states, its unit, and last the channel's name.

    Parameters
    ----------
    channels : sequence of FileChannel
        All that may be EEG.
    declared_kinds : mapping of str to str
        ``eeg`` or ``misc`` by channel name; ``trigger`` where a BIDS data set says so.
    name : str
        What to call the recording in messages.

    Returns
    -------
    Chosen

    Raises
    ------
    RecordingError
        ``missing_eeg`` where no channel is EEG; ``bad_declaration`` for a declared kind that there is not.
    """
    _check_declared(declared_kinds, name)
    kinds = {plain(channel): kind for channel, kind in declared_kinds.items()}
    picks, left_out = [], []
    for number, channel in enumerate(channels):
        declared = kinds.get(plain(channel.name))
        reason = other_kind(channel) if declared is None else _REASONS[declared]
        add_channel(channel.name, reason or EEG, channel.unit)
        if reason:
            left_out.append(f"{channel.name} ({reason})")
        else:
            picks.append(number)
    if not picks:
        found = few_of(left_out) or "no channel"
        raise RecordingError(
            "missing_eeg", f"{name}: no EEG channel, found {found}; expected EEG. {_way_out(channels)}"
        )
    names = _without_prefix([channels[number].name for number in picks])
    return Chosen(
        tuple(picks),
        names,
        (
            *((f"channels left out, not EEG: {few_of(left_out)}",) if left_out else ()),
            *_unknown(channels, declared_kinds),
            *with_reference(names),
        ),
    )


def other_kind(channel: FileChannel) -> str | None:
    """Say what a channel is instead of EEG; None where nothing speaks against EEG.

    Parameters
    ----------
    channel : FileChannel
        As the file describes it.

    Returns
    -------
    kind : str or None
    """
    if channel.kind and channel.kind != EEG:
        return channel.kind
    if channel.unit and volts_per(channel.unit) is None:
        return f"in {channel.unit}"
    text = EEG_PREFIX.sub("", channel.name)
    words = [word.lower() for pattern in (_WORD, _LETTERS) for word in pattern.findall(text)]
    found = next((match for match in map(_BY_WORD.fullmatch, words) if match), None)
    return _KINDS[int((found.lastgroup or "").removeprefix("kind"))] if found else None


def present(marked: Iterable[str], ch_names: Sequence[str]) -> tuple[str, ...]:
    """Return those of a recording's channels that somebody marked, however they spelled them.

    Parameters
    ----------
    marked : iterable of str
        Names, of channels that may have been left out too.
    ch_names : sequence of str
        The recording's EEG channels.

    Returns
    -------
    names : tuple of str
        As the recording spells them.
    """
    wanted = {plain(channel) for channel in marked}
    return tuple(channel for channel in ch_names if plain(channel) in wanted)


def marked_bad(marked: Iterable[str], ch_names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the channels that a file marks as bad, as `present` does, and a note on those that it does not have as EEG."""
    named = [channel.strip() for channel in marked if channel.strip()]
    unknown = [channel for channel in named if not present([channel], ch_names)]
    return present(named, ch_names), (unknown_bad(unknown),) if unknown else ()


def unknown_bad(channels: Sequence[str]) -> str:
    """Say which channels are marked bad that are no EEG channels of the recording."""
    return f"declared bad, but not among the EEG channels: {few_of(channels)}"


def _way_out(channels: Sequence[FileChannel]) -> str:
    """Say what to declare where channels of another kind have the names of electrodes; sensors of other kinds are no way out."""
    electrodes = [
        channel.name
        for channel in channels
        if is_electrode(channel.name) and not (channel.unit and volts_per(channel.unit) is None)
    ]
    if not electrodes:
        by_name = [
            one.name for one in channels if one.kind in (None, EEG) and not (one.unit and volts_per(one.unit) is None)
        ]
        also = (
            f' Where a name misleads, declare it: {{"channel_kinds": {{"{by_name[0]}": "{EEG}"}}}}.' if by_name else ""
        )
        return f"Export the recording with its EEG channels.{also}"
    declared = dict.fromkeys(electrodes, EEG)
    suggest(channel_kinds=declared)
    shown = {"channel_kinds": dict(list(declared.items())[:MOST_DECLARED])}
    return f"If these are EEG, declare them: {json.dumps(shown, ensure_ascii=False)}."


def is_electrode(channel: str) -> bool:
    """Tell whether a name is one of the 10-05 system: one letter or two of a place, z or a number.

    Parameters
    ----------
    channel : str
        As the recording spells it.

    Returns
    -------
    known : bool
    """
    return _ELECTRODE.fullmatch(plain(channel)) is not None


def _without_prefix(names: list[str]) -> tuple[str, ...]:
    short = [EEG_PREFIX.sub("", name.strip()) for name in names]
    return tuple(short if len(set(short)) == len(set(names)) else names)


def with_reference(names: Sequence[str]) -> tuple[str, ...]:
    """Say which names are those of electrodes with their reference behind it, as EDF has them: models go by whole names.

    Parameters
    ----------
    names : sequence of str
        Of channels.

    Returns
    -------
    notes : tuple of str
    """
    parts = {name: name.rpartition("-") for name in names if not is_electrode(name)}
    electrodes = {name: first for name, (first, _, _) in parts.items() if is_electrode(first)}
    references = {parts[name][2].strip().lower() for name in electrodes}
    if len(references) > len(_SIDES) or 2 * len(electrodes) <= len(names):  # a bipolar montage has many
        return ()
    one = next(iter(electrodes.items()))
    return (
        f"{WITH_REFERENCE}: {few_of(electrodes)}. Other recordings and models match whole names only; "
        f"{json.dumps({'channel_names': dict([one])})} in a sidecar gives a channel another name",
    )


def _check_declared(declared_kinds: Mapping[str, str], name: str) -> None:
    wrong = {channel: kind for channel, kind in declared_kinds.items() if kind not in _REASONS}
    if wrong:
        raise RecordingError(
            "bad_declaration", f"{name}: channel_kinds declares {wrong}; expected '{EEG}' or '{MISC}' for each channel."
        )


def _unknown(channels: Sequence[FileChannel], declared_kinds: Mapping[str, str]) -> tuple[str, ...]:
    """A declaration may be one for many recordings, of which not all have the channel."""
    known = {plain(channel.name) for channel in channels}
    unknown = [channel for channel in declared_kinds if plain(channel) not in known]
    return (f"channel_kinds declares {few_of(unknown)}: no such channel",) if unknown else ()
