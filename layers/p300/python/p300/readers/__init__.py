"""Recordings in: any file of a P300 lab becomes a recording.

A reader is one module here with ``read(path, name, declared) -> RecordingStream`` and one entry in ``READERS``.
"""

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from p300.bids.pointers import N_BEGINNING, refuse_pointer
from p300.errors import RecordingError
from p300.formats import instead
from p300.limits import LONGEST_FACT
from p300.recording import NON_TARGET, TARGET, Recording, RecordingStream
from p300.text import printable

from . import bids, bids_checks, unlabelled
from . import sidecar as sidecars
from .checks import check
from .declared import Declared
from .seen import still_watched
from .spelling import spelled_notes

READERS = {  # extension -> module of this package, imported when first needed
    ".parquet": "parquet",
    ".csv": "csv",
    ".txt": "csv",
    ".mat": "mat",
    ".fif": "mne_formats",
    ".edf": "mne_formats",
    ".bdf": "mne_formats",
    ".set": "mne_formats",
    ".vhdr": "mne_formats",
    ".cnt": "mne_formats",
    ".dat": "bci2000",
    ".xdf": "xdf",
    ".gdf": "gdf",
    ".hdf5": "gtec",
}


def open_recording(
    path: str | Path,
    *,
    name: str | None = None,
    event_id: Mapping[str | int, int] | None = None,
    declared: Declared | None = None,
    sidecar: Mapping[str, Any] | None = None,
) -> RecordingStream:
    """Open a recording of any known format without reading all of its signal.

    Parameters
    ----------
    path : str or Path
        The file; it has to stay there while the stream is used.
    name : str, optional
        What to call it, and where its extension stands: an object's key, when ``path`` is a temporary file.
    event_id : mapping of str or int to int, optional
        The file's own event names or codes, and which class each stands for: ``{"S  2": 2, "S  1": 1}``. Without it,
        events are named ``Target`` and ``NonTarget``, or have the codes 1 (NonTarget) and 2 (Target), or those of the Brain
        Invaders data sets.
    declared : Declared, optional
        What a person says about the file: unit, kinds of channels, bad channels, triggers, and events, beside those of ``event_id``.
        What the recording's sidecar says takes the place of it, field by field.
    sidecar : mapping, optional
        What to take for the sidecar's content, instead of that of the file ``<recording>.p300.json`` beside ``path``.

    Returns
    -------
    RecordingStream
        Stimulation as 1 (NonTarget) and 2 (Target), or 3 throughout where the sidecar says that it is unlabelled; notes on what had to
        be assumed, and the signal on demand. The EEG of its first flashes has been looked at, for its unit and for channels that are
        triggers.

    Raises
    ------
    RecordingError
        ``unknown_format``, ``empty_object``, ``unreadable`` (truncated, damaged, another format), ``too_large``
        (unfolds beyond reason), ``too_many_channels``, ``too_many_annotations``, ``not_numeric``, ``missing_eeg``,
        ``missing_stim``, ``missing_sfreq``, ``bad_metadata``, ``bad_companion``, ``bad_flash``, ``duplicate_channels``,
        ``unknown_codes``, ``no_events``, ``no_targets``, ``no_non_targets``, ``implausible_events``, ``unclear_triggers``,
        ``contradictory_events``, ``events_outside``, ``contradictory_rate``, ``irregular_time``, ``not_continuous``, ``mixed_rates``,
        ``several_streams``, ``transposed``, ``wrong_unit``, ``doubtful_channels`` (most hold no EEG), ``bad_declaration``,
        ``bad_sidecar``, ``bad_bids``, ``pointer``, ``link_out``; from the stream's blocks ``unreadable``. `p300.limits` has what is too
        large and too many.
    """
    path = Path(path)
    name = name or path.name
    extension = PurePosixPath(name).suffix.lower()
    if extension not in READERS:
        raise RecordingError(
            "unknown_format",
            f"{name}: unknown extension {extension!r}; expected one of {', '.join(READERS)}.{instead(name)}",
        )
    if not path.is_file():
        raise RecordingError("unreadable", f"{name}: there is no such file.")
    if path.stat().st_size == 0:
        raise RecordingError("empty_object", f"{name} is empty (0 bytes). Upload the recording again.")
    declared = declared or Declared()
    declared = replace(declared, event_id={**declared.event_id, **(event_id or {})})
    if wrong := {event: label for event, label in declared.event_id.items() if label not in (NON_TARGET, TARGET)}:
        raise RecordingError(
            "bad_declaration",
            f"{name}: event_id declares {wrong}; expected {NON_TARGET} (NonTarget) or {TARGET} (Target) for each event.",
        )
    with path.open("rb") as file:
        refuse_pointer(file.read(N_BEGINNING), name)
    said, said_notes = _sidecar(path, name, sidecar)
    sidecars.check_fits(said, name)
    by_data_set = bids.beside(path, name)
    declared = replace(
        declared.overridden(by_data_set.with_sidecar(said)),
        events=by_data_set.events,
        listed=by_data_set.channels,
        groups=sidecars.groups_of(said),
    )
    if not declared.labelled:
        unlabelled.check_said(said, name)
    reader = import_module(f"{__name__}.{READERS[extension]}")
    with still_watched() as seen:
        n_before, n_sources = len(seen.channels), len(seen.sources)
        try:
            read = reader.read(path, name, declared.by_names_of_file())
        except RecordingError as refusal:
            if declared.labelled:
                raise
            raise unlabelled.explained(refusal, seen.sources[n_sources:], name) from refusal
        if not declared.labelled:
            unlabelled.check_unlabelled(read, name)
        stream = check(read, name, declared)
        fit_notes = bids_checks.check_fits(
            by_data_set, stream, seen.channels[n_before:], said.get("channel_kinds", {}), declared.channel_names, name
        )
    groups = stream.flashes.flash if "layout" in said else None
    sidecars.check_groups(said, () if groups is None else set(groups[groups != 0].tolist()), name)
    unused = sidecars.unused_events(said, seen.events)
    facts = {about: printable(fact)[:LONGEST_FACT] for about, fact in stream.facts.items() if fact}
    spelled = spelled_notes(said, stream, name)
    notes = (*by_data_set.notes, *fit_notes, *said_notes, *unused, *spelled, *stream.notes)
    return replace(stream, notes=notes, sidecar=dict(said), bids=by_data_set.facts, facts=facts)


def _sidecar(path: Path, name: str, given: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return what a recording's sidecar says, and a note for each of its fields."""
    called = sidecars.name_of(name)
    if given is not None:
        said = sidecars.checked(given, called)
        return said, sidecars.notes(said, called)
    found = sidecars.beside(path, name)
    said = sidecars.read(found) if found else {}
    return said, sidecars.notes(said, called)


def read_recording(
    path: str | Path,
    *,
    name: str | None = None,
    event_id: Mapping[str | int, int] | None = None,
    declared: Declared | None = None,
    sidecar: Mapping[str, Any] | None = None,
) -> Recording:
    """Read a recording of any known format into memory; parameters and errors are those of :func:`open_recording`."""
    return open_recording(path, name=name, event_id=event_id, declared=declared, sidecar=sidecar).load()
