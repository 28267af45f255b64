"""Which events of a file are flashes, decided once for all formats.

An event is a flash by the exact vocabulary (Target and NonTarget, or the codes 2 and 1), by the codes of a recognised data set, or because
it is declared in ``event_id``; never because some of its codes happen to match. What is decided then has to look like a P300 recording.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.recording import NON_TARGET, TARGET
from p300.signals.bounds import check_n_flashes
from p300.signals.triggers import find_pulses, settling
from p300.text import n_of

from .declared import Declared, is_code
from .event_messages import CODES_EXPECTED, NAMES_EXPECTED, Events, counted, remedy
from .flash_groups import from_one, groups_at, hidden_flashes, told
from .markers import COMMENT, OF_STIMULI, STIMULUS, Marker, class_of, events_of, tagged
from .plausibility import check_plausible, extent_notes, without_doubles
from .schemes import scheme_of
from .seen import add_events
from .unlabelled import from_one_alone, groups_alone

MOST_OTHER_EVENTS = 4
"""Times the flashes that other named stimuli may occur: beyond it, Target and NonTarget name something else, blocks for instance."""
LARGEST_HELD = 0.01
"""Share of flashes that may begin without a return to zero where codes say the class alone: equal ones in a row cannot be told apart."""


@dataclass(frozen=True)
class Stimulation:
    """The flashes of a recording.

    Attributes
    ----------
    stim : ndarray of int32, shape (n_samples,)
        1 (NonTarget) or 2 (Target), or 3 (unlabelled), at each flash's first sample, else 0.
    flash : ndarray of int32, shape (n_samples,), or None
        Which stimulus group flashed, at the same samples.
    notes : tuple of str
        What was assumed, ignored or repaired.
    """

    stim: NDArray[np.int32]
    flash: NDArray[np.int32] | None
    notes: tuple[str, ...] = ()


def from_codes(
    codes: NDArray[np.number],
    name: str,
    sfreq: float,
    declared: Declared,
    *,
    groups: NDArray[np.int32] | None = None,
    data_set: str | None = None,
    doubtful: bool = False,
) -> Stimulation:
    """Decide which codes of a stim column or channel are flashes.

    Parameters
    ----------
    codes : ndarray, shape (n_samples,)
        As recorded; 0 or missing between flashes.
    name : str
        What to call the recording in messages.
    sfreq : float
        Rate in Hz.
    declared : Declared
        What a person says about the file.
    groups : ndarray of int, shape (n_samples,), optional
        Which stimulus group flashed, where the file has a column of it, as `columns.flash_groups` returns it.
    data_set : str, optional
        The data set whose layout the file has; its codes need no further evidence.
    doubtful : bool, optional
        Take flashes that do not look like a P300 recording too, to compare them with others.

    Returns
    -------
    Stimulation

    Raises
    ------
    RecordingError
        ``unknown_codes``, ``no_events``, ``no_targets``, ``no_non_targets``, ``unclear_triggers``, ``implausible_events``,
        ``too_many_flashes``; ``contradictory_events`` where the recording is declared unlabelled and the codes are labels.
    """
    if not len(codes):  # that there is no signal either, is refused for all formats
        return Stimulation(np.zeros(0, np.int32), None)
    codes, notes = from_one_alone(codes) if not declared.labelled and groups is None else (codes, [])
    whole, whole_notes = _whole_numbers(codes, name)
    notes += whole_notes
    # Noise has to be seen before repairs make a few long pulses of it.
    check_n_flashes(int(np.count_nonzero(whole[1:] > whole[:-1])), len(whole) / sfreq, name)
    pulses = find_pulses(whole, sfreq, declared.triggers)
    onset, code, before = pulses.onset, pulses.code, pulses.before
    group_notes: list[str] = []
    if groups is not None:
        groups, group_notes = from_one(groups, onset, settling(sfreq), name)
        hidden, groups, late_notes = hidden_flashes(onset, whole, groups, settling(sfreq))
        group_notes += late_notes
        order = np.argsort(np.r_[onset, hidden], kind="stable")
        onset, code, before = np.c_[[onset, code, before], [hidden, whole[hidden], whole[hidden]]][:, order]
    notes += [f"stim: {what} ({n})" for what, n in pulses.repaired.items()]
    counts = Counter(code.tolist())
    found = Events.at([str(c) for c in code.tolist()], onset, sfreq)
    rests_below_0 = 2 * np.count_nonzero(whole < 0) > len(whole)  # and 0 may be the code of a flash
    if not counts or rests_below_0:
        values, n_of_value = np.unique(whole, return_counts=True)
        samples = {str(value): n for value, n in zip(values.tolist(), n_of_value.tolist(), strict=True)}
        rest = int(values[np.argmax(n_of_value)])
        at_rest = f" Between flashes it is {rest}: write 0 there." if rest and len(values) > 1 else ""
        left_out = "".join(f"; {note}" for note in notes if "left out" in note)
        raise RecordingError(
            "no_events",
            f"{name}: no event on the stim channel. Found samples of {counted(samples)}{left_out}. Expected {CODES_EXPECTED} at each "
            f"flash, and 0 between flashes.{at_rest}",
        )
    add_events(code.tolist(), onset, len(codes), sfreq)
    if not declared.labelled:
        of_column = None
        if groups is not None:
            of_column, told_notes = told(groups_at(onset, groups, settling(sfreq)), onset, groups)
            group_notes += told_notes
        if of_column is None and group_notes and len(counts) == 1:
            raise RecordingError("bad_flash", f"{name}: {'. '.join(group_notes)}.")
        notes += group_notes
        _check_held(before != 0, True, name, notes)
        lone, lone_notes = groups_alone((onset, code, of_column), found, name, declared.groups)
        notes += lone_notes
        return _stimulation(lone, (len(codes), sfreq), name, (found, {}, {}), notes, is_declared=True)
    scheme, scheme_notes = scheme_of(counts, found, name, declared, data_set)
    known = np.isin(code, list(scheme))
    held = known & np.isin(before, list(scheme))
    onset, code, held = onset[known], code[known], held[known]
    different = np.array(sorted(scheme))
    label, by_code = np.array([scheme[c] for c in different.tolist()], np.int32)[np.searchsorted(different, code)].T
    _check_held(held, len(set(code.tolist())) > 2 or groups is not None, name, notes, group_notes)
    group: NDArray[np.int32] | None = by_code if by_code.any() else None
    if groups is not None:
        group, told_notes = told(groups_at(onset, groups, settling(sfreq)), onset, groups)
        group_notes += told_notes
    return _stimulation(
        (onset, label, group),
        (len(codes), sfreq),
        name,
        (found, {}, {str(c): scheme[c][0] for c in counts if c in scheme}),
        [*scheme_notes, *notes, *group_notes],
        is_declared=doubtful or bool(declared.codes),
    )


def from_markers(
    markers: list[Marker], name: str, n_samples: int, sfreq: float, declared: Declared, *, doubtful: bool = False
) -> Stimulation | None:
    """Decide which named events are flashes; None where no name says it.

    Parameters
    ----------
    markers : list of Marker
        All events that have a name.
    name : str
        What to call the recording in messages.
    n_samples : int
        Length of the recording.
    sfreq : float
        Rate in Hz.
    declared : Declared
        What a person says about the file.
    doubtful : bool, optional
        Take flashes that do not look like a P300 recording too, to compare them with others.

    Returns
    -------
    Stimulation or None

    Raises
    ------
    RecordingError
        ``unknown_codes``, ``no_targets``, ``no_non_targets``, ``implausible_events``, ``events_outside``.
    """
    stimuli = events_of(markers)
    samples = np.array([marker.sample for marker in stimuli], np.int64)
    counts = Events.at([marker.description for marker in stimuli], samples, sfreq)
    add_events([marker.description for marker in stimuli], samples, n_samples, sfreq)
    classes, notes = _classes(stimuli, counts, name, declared)
    if not classes:
        return None
    by_word = {text: label for text, label in classes.items() if class_of(text) is not None}
    ignored = {text: n for text, n in counts.items() if text not in classes}
    if ignored:
        notes.append(f"events ignored: {counted(ignored)}")
    n_others = sum(m.kind == STIMULUS and m.description not in classes for m in stimuli)
    both = set(classes.values()) == {TARGET, NON_TARGET}
    if both and not declared.event_id and n_others > MOST_OTHER_EVENTS * sum(m.description in classes for m in stimuli):
        raise RecordingError(
            "implausible_events",
            f"{name}: most events are other stimuli than the flashes. Found {counted(counts)}. Expected {NAMES_EXPECTED}, one "
            f"for each flash. {remedy(counts)}",
        )
    flashes = sorted((m.sample, classes[m.description], m.group or 0) for m in stimuli if m.description in classes)
    onset, label, group = np.array(flashes, np.int64).reshape(-1, 3).T
    told_group: NDArray[np.int32] | None = None
    if group.any():
        told_group, told_notes = told(group.astype(np.int32), onset, group.astype(np.int32))
        notes += told_notes
    elif any(marker.group is not None for marker in stimuli):
        notes.append("flash: none of the flashes has a group, set aside")
    return _stimulation(
        (onset, label.astype(np.int32), told_group),
        (n_samples, sfreq),
        name,
        (counts, by_word, classes),
        notes,
        is_declared=doubtful or bool(declared.event_id),
    )


def outside_note(n_outside: int) -> str:
    """Say how many flashes lie before the first sample or after the last."""
    return f"{n_of(n_outside, 'flash')} outside of the recording ignored"


def _classes(stimuli: list[Marker], counts: Events, name: str, declared: Declared) -> tuple[dict[str, int], list[str]]:
    """Return the class of each description that is a flash."""
    by_description = {marker.description: marker for marker in stimuli}
    if declared.event_id:
        return _declared_classes(by_description, declared), []
    half: dict[str, int] = {}
    coded = {description: marker.code for description, marker in by_description.items() if marker.code is not None}
    # MNE-Python exports any name as a comment; people write comments too, beside the codes of stimuli.
    for kind in (STIMULUS,) if coded else (STIMULUS, COMMENT):
        of_kind = {description: marker.text for description, marker in by_description.items() if marker.kind == kind}
        named = {description: label for description, text in of_kind.items() if (label := class_of(text)) is not None}
        named = named or _by_tags(of_kind)
        if set(named.values()) == {TARGET, NON_TARGET}:
            return named, []
        half = half or named
    if not coded:
        return half, []
    per_code: Counter[int] = Counter()
    for description, code in coded.items():
        per_code[code] += counts[description]
    scheme, notes = scheme_of(per_code, counts, name, declared, None)
    return {text: scheme[code][0] for text, code in coded.items() if code in scheme}, notes


def _by_tags(texts: Mapping[str, str]) -> dict[str, int]:
    """Return the class of each name that says one in a tag; none where names differ in what else they say of an event."""
    found = {description: said for description, text in texts.items() if (said := tagged(text))}
    stimuli = {
        description: (label, others) for description, (label, others) in found.items() if others <= OF_STIMULI | {"#"}
    }
    ways = {others for _, others in stimuli.values()}
    return {description: label for description, (label, _) in stimuli.items()} if len(ways) == 1 else {}


def _declared_classes(by_description: Mapping[str, Marker], declared: Declared) -> dict[str, int]:
    """Match names as written, then without their kind, then whatever their capitals; and codes of stimuli."""
    classes: dict[str, int] = {}
    spelled = [
        {text: " ".join(text.split()) for text in by_description},
        {text: marker.text for text, marker in by_description.items()},
        {text: marker.text.lower() for text, marker in by_description.items()},
    ]
    for key, label in declared.event_id.items():
        wanted = " ".join(str(key).split())
        for spelling, asked in zip(spelled, (wanted, wanted, wanted.lower()), strict=True):
            found = [text for text, spelt in spelling.items() if spelt == asked]
            of_stimuli = [text for text in found if by_description[text].kind == STIMULUS]
            if found:
                classes |= dict.fromkeys(of_stimuli if of_stimuli or is_code(wanted) else found, label)
                break
    codes = declared.codes
    for text, marker in by_description.items():
        if text not in classes and marker.code is not None and marker.code in codes:
            classes[text] = codes[marker.code]
    return classes


def _whole_numbers(codes: NDArray[np.number], name: str) -> tuple[NDArray[np.int64], list[str]]:
    """Return codes as whole numbers; a missing one is no flash."""
    if codes.dtype in (np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32):
        return codes.astype(np.int64), []
    missing = np.isnan(codes) if codes.dtype.kind == "f" else np.zeros(len(codes), bool)
    n_missing = np.count_nonzero(missing)
    events = codes[(codes != 0) & ~missing]
    if not np.isfinite(events).all() or (events != np.floor(events)).any() or (np.abs(events) >= 1 << 53).any():
        raise RecordingError("unknown_codes", f"{name}: the stim channel holds values that are not whole numbers.")
    whole = (np.where(missing, 0, codes) if n_missing else codes).astype(np.int64)
    note = f"stim: {n_missing:,} of {len(codes):,} values missing, read as no flash"
    return whole, [note] if n_missing else []


def _check_held(
    held: NDArray[np.bool_], told_apart: bool, name: str, notes: list[str], group_notes: Sequence[str] = ()
) -> None:
    n_held = int(held.sum())
    if not n_held:
        return
    if not told_apart and n_held > max(2, LARGEST_HELD * len(held)):
        raise RecordingError(
            "unclear_triggers",
            f"{name}: {n_held} of {len(held)} flashes begin without the stim channel returning to 0, and it says the class alone: equal "
            f"classes in a row are one pulse. {'. '.join([*group_notes, 'Write'])} 0 between flashes, or which group flashed into a flash "
            "column.",
        )
    notes.append(f"stim: {n_of(n_held, 'flash')} without a return to 0 before; a code that follows itself is one flash")


def _meant(onset: NDArray[np.int64], extent: tuple[int, float]) -> str:
    """Say in which unit of time flashes beyond the end would fill the recording."""
    (n_samples, sfreq), last = extent, float(onset.max())
    fitting = [
        (last / per_s, unit) for per_s, unit in ((1000, "milliseconds"), (sfreq, "samples")) if last / per_s < n_samples
    ]
    return f" Taken for {max(fitting)[1]} instead of seconds, they would lie within it." if fitting and last > 0 else ""


def _stimulation(
    flashes: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32] | None],
    extent: tuple[int, float],
    name: str,
    events: tuple[Events, Mapping[str, int], Mapping[str, int]],
    notes: list[str],
    *,
    is_declared: bool,
) -> Stimulation:
    """Put flashes on the samples of the recording, where they are plausible."""
    (n_samples, sfreq), (found, known, read) = extent, events
    inside = (flashes[0] >= 0) & (flashes[0] < n_samples)
    onset, label = flashes[0][inside], flashes[1][inside]
    group = None if flashes[2] is None else flashes[2][inside]
    if len(inside) and not inside.any():
        raise RecordingError(
            "events_outside",
            f"{name}: all {len(inside):,} flashes lie outside of the recording, which has {n_samples / sfreq:,.1f} s. Found events "
            f"{counted(found)}. Expected the times of events on the clock of the signal. Export both together.{_meant(flashes[0], extent)}",
        )
    if not inside.all():
        notes.append(outside_note(int((~inside).sum())))
    notes += extent_notes(onset, int((~inside).sum()), n_samples, sfreq)
    kept, double_notes = without_doubles(onset, label, group, sfreq, name, (found, read))
    onset, label, group = onset[kept], label[kept], None if group is None else group[kept]
    notes += double_notes
    notes += check_plausible(onset, label, group, sfreq, name, (found, known, read), is_declared=is_declared)
    stim = np.zeros(n_samples, np.int32)
    stim[onset] = label
    flash = None
    if group is not None:
        flash = np.zeros(n_samples, np.int32)
        flash[onset] = group
    return Stimulation(stim, flash, tuple(notes))
