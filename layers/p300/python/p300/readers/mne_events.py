"""Events of a file that MNE-Python has opened: its annotations, or the codes on its stim channels."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.limits import MOST_ANNOTATIONS
from p300.text import n_of

from . import bids_events, own_events, stim_lines
from .brainvision import count_markers
from .channels import MISC
from .declared import Declared
from .edf_records import Placement, Records
from .eeglab import count_events
from .event_messages import CODES_EXPECTED, NAMES_EXPECTED, Events, counted, remedy, suggestion
from .events import Stimulation, from_markers
from .markers import Marker, events_of
from .seen import doubt, unseen
from .stim_lines import DAMAGED, StimLine
from .two_sources import ANNOTATIONS, agreed, coincide, even_doubtful, steady_delay

if TYPE_CHECKING:
    import mne

OWN_FILE = "the recording's own file"


def markers(raw: "mne.io.BaseRaw", samples: NDArray[np.int64], name: str) -> list[Marker]:
    """Return the annotations as markers.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The file.
    samples : ndarray of int, shape (n_annotations,)
        Where each begins.
    name : str
        What to call it in messages.

    Returns
    -------
    markers : list of Marker

    Raises
    ------
    RecordingError
        ``too_many_annotations``.
    """
    if len(raw.annotations) > MOST_ANNOTATIONS:
        raise RecordingError(
            "too_many_annotations",
            f"{name}: {len(raw.annotations):,} annotations; expected at most {MOST_ANNOTATIONS:,}. Split the recording into runs.",
        )
    return [
        Marker(sample, str(text)) for sample, text in zip(samples.tolist(), raw.annotations.description, strict=True)
    ]


def onsets(raw: "mne.io.BaseRaw") -> NDArray[np.int64]:
    """Return the sample at which each annotation begins, rounded as ``mne.events_from_annotations`` does.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The file.

    Returns
    -------
    samples : ndarray of int, shape (n_annotations,)
        From the first sample of the file on.
    """
    found = raw.annotations
    samples: NDArray[np.int64] = raw.time_as_index(found.onset, use_rounding=True, origin=found.orig_time)
    return samples.astype(np.int64) - (raw.first_samp if found.orig_time is None else 0)


def stated(path: Path, name: str, beside: list[Path], records: Records | None) -> Counter[str] | None:
    """Return how many events of each name a file states, where that can be told; MNE-Python drops those outside of the recording.

    Parameters
    ----------
    path : Path
        The file, which is not a FIF file: `check_fif` tells it of these.
    name : str
        What to call it, and where its extension stands.
    beside : list of Path
        Files that belong to it.
    records : Records or None
        The data records of EDF and BDF.

    Returns
    -------
    events : Counter of str, or None
    """
    if records:
        return Counter(text for _, _, text in records.annotations)
    markers = [file for file in beside if file.suffix.lower() == ".vmrk"]
    if markers:
        return count_markers(markers[0])
    return count_events(path, name) if PurePosixPath(name).suffix.lower() == ".set" else None


def outside(raw: "mne.io.BaseRaw", events: Counter[str] | None) -> tuple[list[Marker], list[str]]:
    """Return a file's events outside of the recording, and what to say of them.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The file.
    events : Counter of str, or None
        Those that it states, by name.

    Returns
    -------
    lost : list of Marker
        Before the first sample, wherever they were; none where names were read in different ways.
    notes : list of str
    """
    if not events:
        return [], []
    # MNE-Python takes the date of BrainVision's first segment from its marker, and leaves that out.
    kept = Counter(str(text) for text in raw.annotations.description)
    events, kept = (
        Counter({text: n for text, n in all_.items() if not text.startswith("New Segment/")}) for all_ in (events, kept)
    )
    n_lost, names = events.total() - kept.total(), events - kept
    if n_lost <= 0:
        return [], []
    if names.total() != n_lost:
        return [], [f"{n_of(n_lost, 'event')} outside of the recording ignored"]
    return [Marker(-1, text) for text in names.elements()], [
        f"{n_of(n_lost, 'event')} outside of the recording ignored: {counted(names)}"
    ]


def place(raw: "mne.io.BaseRaw", placed: Placement, records: Records) -> list[str]:
    """Put the annotations of an EDF or BDF file with gaps at the samples that were taken at their times; none in a gap.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The file, whose annotations are replaced.
    placed : Placement
        Where the gaps are.
    records : Records
        What the file says.

    Returns
    -------
    notes : list of str
        How many are left out.
    """
    import mne

    samples = placed.samples(np.array([onset for onset, _, _ in records.annotations]))
    durations = np.array([duration for _, duration, _ in records.annotations])
    texts = [text for _, _, text in records.annotations]
    kept = np.flatnonzero(samples >= 0)
    raw.set_annotations(
        mne.Annotations(samples[kept] / placed.sfreq, durations[kept], [texts[number] for number in kept]),
        verbose="error",
    )
    n_lost = len(samples) - len(kept)
    return [f"{n_of(n_lost, 'event')} in gaps of the recording ignored"] if n_lost else []


def decide(
    found: list[Marker],
    stim: list[StimLine],
    n_samples: int,
    sfreq: float,
    declared: Declared,
    name: str,
    placed: Placement | None = None,
) -> Stimulation:
    """Take the markers where their names say it, else the stim channels whose codes do; all that do have to agree.

    Where a BIDS data set has a table of events, its flashes are taken, and those of the file have to agree with them.

    Parameters
    ----------
    found : list of Marker
        Annotations.
    stim : list of StimLine
        Stim channels.
    n_samples : int
        Length of the recording.
    sfreq : float
        Its rate in Hz.
    declared : Declared
        What a person says about the file.
    name : str
        What to call it in messages.
    placed : Placement, optional
        Where the gaps of an EDF or BDF file are.

    Returns
    -------
    Stimulation

    Raises
    ------
    RecordingError
        ``missing_stim``, ``unknown_codes``, ``no_events``, ``contradictory_events``, ``events_outside``, and what `from_markers`,
        `from_codes` and `bids_events.stimulation` refuse.
    """
    table = declared.events
    if table is None:
        return _of_file(found, stim, n_samples, sfreq, declared, name)
    of_table = bids_events.stimulation(table, n_samples, sfreq, declared, name, placed)
    way_out = None
    if not declared.event_id:
        advice = remedy(bids_events.named(table, sfreq, name, placed)).rstrip(".")
        way_out = f"If {table.name} is right, {advice[:1].lower()}{advice[1:]}. Else correct {table.name}."
    of_file = None
    try:
        with unseen():  # the events of the table are the ones to declare
            of_file = _of_file(found, stim, n_samples, sfreq, declared, name, beside=of_table)
    except RecordingError as refusal:
        if refusal.code in (DAMAGED, "contradictory_events"):
            raise
        if refusal.code not in ("missing_stim", "no_events"):
            sources = _sources(found, stim, sfreq, declared, name)
            compared = own_events.compare(of_table, sources, sfreq, name, table.name, way_out)
            compared = compared or (f"not used for flashes: {OWN_FILE} ({refusal.code})",)
            return replace(of_table, notes=(*of_table.notes, *compared))
    if of_file is not None and (delay := steady_delay(of_table, of_file, own_events.LARGEST_DELAY_S, sfreq)):
        of_file = replace(of_file, stim=np.roll(of_file.stim, -delay), flash=None)
        when = f"{n_of(abs(delay), 'sample')} ({1e3 * abs(delay) / sfreq:.0f} ms) {'later' if delay > 0 else 'earlier'}"
        late = f"{OWN_FILE} has its flashes {when} than {table.name}, throughout: those of the table are used"
        of_table = replace(of_table, notes=(*of_table.notes, late))
    return agreed(of_table, of_file, [], sfreq, name, way_out, (table.name, OWN_FILE))


def _sources(
    found: list[Marker], stim: list[StimLine], sfreq: float, declared: Declared, name: str
) -> list[own_events.Source]:
    """Return all events of the file itself, whatever they are."""
    at: dict[str, list[int]] = {}
    for marker in events_of(found):
        if marker.sample >= 0:
            at.setdefault(marker.description, []).append(marker.sample)
    by_name = {event: np.array(samples, np.int64) for event, samples in at.items()}
    with unseen():
        by_code = stim_lines.codes_of(stim, sfreq, declared, name)
    return [*([own_events.Source(ANNOTATIONS, by_name)] if by_name else []), *by_code]


def _of_file(
    found: list[Marker],
    stim: list[StimLine],
    n_samples: int,
    sfreq: float,
    declared: Declared,
    name: str,
    beside: Stimulation | None = None,
) -> Stimulation:
    """Decide by the file alone, whose flashes may be implausible where they are those of a table; parameters and errors as `decide`."""
    refusals = []
    by_name = None

    def named(doubtful: bool) -> Stimulation | None:
        return from_markers(found, name, n_samples, sfreq, declared, doubtful=doubtful)

    passing = {"unknown_codes", "no_targets", "no_non_targets", "events_outside"}
    passing |= {"implausible_events"} if beside else set()
    try:
        by_name = even_doubtful(named, beside, sfreq)
    except RecordingError as refusal:
        if refusal.code not in passing:
            if refusal.code == "implausible_events":
                _check_contradicted(named, stim, (n_samples, sfreq), declared, name)
            raise
        refusals.append(refusal)
    by_code, line_name, unread = stim_lines.decoded(stim, n_samples, sfreq, declared, name, beside=by_name or beside)
    refusals += [line.refusal for line in unread]
    stimuli = events_of(found)
    samples = np.array([marker.sample for marker in stimuli], np.int64)
    described = Events.at([marker.description for marker in stimuli], samples, sfreq)
    if by_name is not None:
        way_out = None if declared.event_id else _way_out(line_name, described)
        not_used = [text for line in unread for text in line.said]
        return agreed(by_name, by_code, not_used, sfreq, name, way_out, (ANNOTATIONS, f"the stim channel {line_name}"))
    if by_code is not None and (undeclared := _undeclared(found, by_code, n_samples, sfreq, declared, name)):
        return agreed(by_code, undeclared, [], sfreq, name, None, (f"the stim channel {line_name}", ANNOTATIONS))
    if by_code is not None:
        events = Counter(marker.description for marker in events_of(found) if marker.sample >= 0)
        unused = f"flashes taken from the stim channel; annotations not known as flashes: {counted(events)}"
        return replace(by_code, notes=(*by_code.notes, unused)) if events else by_code
    seen = [refusal for refusal in refusals if refusal.code != "no_events"]
    if seen:
        raise seen[0]
    if described:
        raise RecordingError(
            "unknown_codes",
            f"{name}: no event is known as a flash. Found {counted(described)}, and {len(stim)} stim channels. Expected "
            f"{NAMES_EXPECTED}, or {CODES_EXPECTED}. {remedy(described)}",
        )
    if refusals:
        raise refusals[0]
    marks = Counter(marker.description for marker in found)
    but = f" that is an event, only marks: {counted(marks)}" if marks else ""
    raise RecordingError(
        "missing_stim", f"{name}: neither a stim channel nor an annotation{but}. Expected {NAMES_EXPECTED}."
    )


def _way_out(line_name: str, described: Events) -> str:
    declared = suggestion(described)
    if_right = f"declare them: {json.dumps({'event_id': declared}, ensure_ascii=False)}, or " if declared else ""
    misc = json.dumps({"channel_kinds": {line_name: MISC}}, ensure_ascii=False)
    return (
        f"If the annotations are right, {if_right}say that the channel holds something else: {misc}. If {line_name} is right, export "
        "without the annotations, or declare what their names stand for as event_id, 1 for NonTarget and 2 for Target."
    )


def _check_contradicted(
    named: Callable[[bool], Stimulation | None],
    stim: list[StimLine],
    extent: tuple[int, float],
    declared: Declared,
    name: str,
) -> None:
    """Say that a stim channel contradicts annotations which are implausible: the likelier cause.

    Raises
    ------
    RecordingError
        ``contradictory_events``.
    """
    with unseen():
        try:
            doubtful = named(True)
            by_code, line_name, _ = stim_lines.decoded(stim, *extent, declared, name, beside=doubtful)
        except RecordingError:
            return
    if doubtful is not None and by_code is not None:
        names = (ANNOTATIONS, f"the stim channel {line_name}")
        agreed(doubtful, by_code, [], extent[1], name, _way_out(line_name, Events()), names)


def _undeclared(
    found: list[Marker], by_code: Stimulation, n_samples: int, sfreq: float, declared: Declared, name: str
) -> Stimulation | None:
    """Return what annotations at the declared flashes say by their own names, which what is declared leaves out."""
    if not declared.event_id:
        return None
    with unseen():
        try:
            by_name = from_markers(found, name, n_samples, sfreq, replace(declared, event_id={}), doubtful=True)
        except RecordingError:
            return None
    if by_name is None or coincide(by_code, by_name, sfreq):
        return by_name
    doubt()  # flashes at other times: the declaration chooses between two
    return None
