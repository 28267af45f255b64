"""What a BIDS data set says about a recording, in the words of a sidecar, and the facts that are kept of it.

What the recording's sidecar says takes the place of it.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from p300 import json_text
from p300.bids.bundle import Bundle, name_of, parse
from p300.bids.paths import DATA_SET, IS_SYNTHETIC, PEOPLE, metadata_of, recording_of
from p300.bids.tables import MISSING, Table, bad_bids, read_table
from p300.bids.tree import bundle_in_place
from p300.channels import plain
from p300.errors import RecordingError
from p300.json_text import is_number
from p300.limits import LARGEST_BIDS_BYTES, LONGEST_NAME, MOST_CHANNELS
from p300.recording import SYNTHETIC
from p300.text import few_of, printable

from .channels import EEG, MISC, TRIGGER, FileChannel, other_kind

LONGEST_FACT = 256
_ENTITIES = {"sub": "subject", "ses": "session", "acq": "acquisition", "rec": "recording"}


@dataclass(frozen=True)
class Said:
    """What a BIDS data set says about a recording.

    Attributes
    ----------
    fields : dict
        Fields as a sidecar has them: ``channel_kinds``, ``bad_channels``, ``reference``, ``notch_freq``.
    facts : dict
        What is kept with the features: subject, session, run, task, data set, participant, electrodes, reference, line frequency.
    events : Table or None
        Of ``events.tsv``; None without one.
    channels : tuple of str
        Names in ``channels.tsv``; empty without one.
    sfreq : float or None
        Rate in Hz that ``_eeg.json`` states.
    rates : dict of str to float
        Rate in Hz of channels in ``channels.tsv``, where it states one.
    n_eeg, seconds : float or None
        ``EEGChannelCount`` and ``RecordingDuration`` of ``_eeg.json``.
    notes : tuple of str
        What a person should know of it.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    events: Table | None = None
    channels: tuple[str, ...] = ()
    sfreq: float | None = None
    rates: dict[str, float] = field(default_factory=dict)
    n_eeg: float | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()

    def with_sidecar(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields with a sidecar's in their place: of kinds of channels those that it names; bad are those of both."""
        named = {plain(channel) for channel in said.get("channel_kinds", {})}
        kinds = {
            channel: kind
            for channel, kind in self.fields.get("channel_kinds", {}).items()
            if plain(channel) not in named
        }
        kinds |= said.get("channel_kinds", {})
        bad = list(dict.fromkeys([*self.fields.get("bad_channels", ()), *said.get("bad_channels", ())]))
        merged = {**({"channel_kinds": kinds} if kinds else {}), **({"bad_channels": bad} if bad else {})}
        return {**self.fields, **said, **merged}


def beside(path: Path, name: str) -> Said:
    """Return what a BIDS data set says about a recording: by the file that landed with it, or by the data set that it lies in.

    Parameters
    ----------
    path : Path
        The recording's file.
    name : str
        What it is called.

    Returns
    -------
    Said
        Which says nothing of a recording that is not from a BIDS data set.

    Raises
    ------
    RecordingError
        ``bad_bids``, ``pointer``, ``too_large`` or ``not_continuous``.
    """
    found = path.with_name(name_of(name))
    if found.is_file():
        with found.open("rb") as file:
            made = parse(file.read(LARGEST_BIDS_BYTES + 1), found.name)
        stem = PurePosixPath(made.recording).stem
        if stem != PurePosixPath(name).stem:
            raise bad_bids(found.name, f"it is about {made.recording}; expected {PurePosixPath(name).stem}")
        return said_by(made)
    in_place = bundle_in_place(path)
    return said_by(in_place) if in_place else Said()


def said_by(made: Bundle) -> Said:
    """Return what a bundle says; errors as `beside`."""
    named = recording_of(made.recording)
    if named is None:
        raise bad_bids(made.recording, "it is not the path of an EEG recording")
    facts: dict[str, Any] = {_ENTITIES.get(entity, entity): label for entity, label in named.entities.items()}
    notes: list[str] = []
    fields: dict[str, Any] = {}
    description = _object(made.files.get(DATA_SET, "{}"), DATA_SET)
    if description.get("DatasetType", "raw") != "raw":
        raise bad_bids(
            DATA_SET,
            f"the data set is of type {str(description['DatasetType'])[:64]!r}; expected raw data, which features are made from",
        )
    if name := _fact(description.get("Name")):
        facts["data_set"] = name
    stated, from_json = _merged(made)
    if stated.get("RecordingType") == "epoched":
        raise RecordingError(
            "not_continuous",
            f"{from_json[-1]}: the recording is epoched; expected the continuous recording, which the filter needs.",
        )
    if reference := _fact(stated.get("EEGReference")):
        fields["reference"] = reference
    frequency = stated.get("PowerLineFrequency", "n/a")
    if is_number(frequency) and 20 <= frequency <= 1000:
        fields["notch_freq"] = frequency
    elif frequency != "n/a":
        notes.append(f"PowerLineFrequency {str(frequency)[:40]!r} is not a line frequency of 20 to 1000 Hz: not used")
    sfreq = _positive(stated, "SamplingFrequency", notes)
    n_eeg, seconds = _positive(stated, "EEGChannelCount", notes), _positive(stated, "RecordingDuration", notes)
    channels = _table(made, "channels", ("name", "type"))
    if channels:
        fields |= _of_channels(channels, notes)
    if participant := _participant(made, facts["subject"], notes):
        facts["participant"] = participant
    if electrodes := _electrodes(made):
        facts["electrodes"] = electrodes
    facts |= {name: fields[name] for name in ("reference", "notch_freq") if name in fields}
    events = _table(made, "events", ("onset",))
    sources = [one.name for one in (events, channels) if one] + from_json
    rates = _rates(channels, notes) if channels else {}
    if stated.get(IS_SYNTHETIC) is True:
        notes.append(SYNTHETIC)
    told = [f"BIDS: {printable(made.recording)} with {', '.join(sources) or 'no metadata'}", *notes]
    return Said(
        fields,
        facts,
        events,
        tuple(channels.columns["name"]) if channels else (),
        sfreq,
        rates,
        n_eeg,
        seconds,
        tuple(printable(note)[:500] for note in told),
    )


def _merged(made: Bundle) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of all ``_eeg.json``, the nearest to the recording winning, and their paths."""
    found: dict[str, Any] = {}
    paths = []
    for path, text in made.of_kind("eeg", "json"):
        found |= _object(text, path)
        paths.append(path)
    return found, paths


def _object(text: str, path: str) -> dict[str, Any]:
    try:
        found = json_text.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise bad_bids(path, f"it is not JSON with every field once: {error}") from error
    if not isinstance(found, dict):
        raise bad_bids(path, "it is not a JSON object; expected fields and their values")
    return found


def _table(made: Bundle, suffix: str, required: tuple[str, ...]) -> Table | None:
    found = made.of_kind(suffix, "tsv")
    return read_table(found[-1][1], found[-1][0], required=required) if found else None


def _of_channels(table: Table, notes: list[str]) -> dict[str, Any]:
    """Return kinds and bad channels; units stay the file's, as what tables say of them is often not the file's."""
    if table.n_rows > MOST_CHANNELS:
        raise bad_bids(table.name, f"it has {table.n_rows:,} rows; expected at most {MOST_CHANNELS:,} channels")
    names = table.columns["name"]
    if long := [name for name in names if not 0 < len(name) <= LONGEST_NAME]:
        raise bad_bids(table.name, f"it has the name {long[0][:80]!r}; expected 1 to {LONGEST_NAME} characters")
    if twice := [name for name, n in Counter(plain(name) for name in names).items() if n > 1]:
        raise bad_bids(table.name, f"it has the channel {twice[0]!r} twice; expected different names")
    types = dict(zip(names, table.known("type"), strict=True))
    kinds = {name: _kind(name, kind.upper()) for name, kind in types.items() if kind}
    status = dict(zip(names, table.known("status"), strict=True))
    if unknown := {value for value in status.values() if value not in (None, "good", "bad")}:
        raise bad_bids(table.name, f"it has the status {min(map(str, unknown))[:40]!r}; expected good or bad")
    bad = [name for name, value in status.items() if value == "bad" and kinds.get(name, EEG) == EEG]
    units = {unit for name, unit in zip(names, table.known("units"), strict=True) if unit and kinds.get(name) == EEG}
    if odd := units - {"uV", "µV", "μV", "microV"}:
        notes.append(
            f"{table.name} says {few_of(sorted(odd))} of EEG channels: the unit that the file itself has is used"
        )
    return {**({"channel_kinds": kinds} if kinds else {}), **({"bad_channels": bad} if bad else {})}


def _kind(name: str, kind: str) -> str:
    """Return a channel's kind; a trigger channel stays one whatever its type, so that its flashes are compared with the table's."""
    if kind == "EEG":
        return EEG
    return TRIGGER if kind == "TRIG" or other_kind(FileChannel(name)) == TRIGGER else MISC


def _positive(stated: Mapping[str, Any], name: str, notes: list[str]) -> float | None:
    """Return a number that ``_eeg.json`` states; None where it states none, which a note tells of any other value."""
    value = stated.get(name, "n/a")
    if is_number(value) and value > 0:
        return float(value)
    if value != "n/a":
        notes.append(f"{name} {str(value)[:40]!r} is not a number above 0: not compared with the file's")
    return None


def _rates(table: Table, notes: list[str]) -> dict[str, float]:
    rates, odd = {}, []
    for name, stated in zip(table.columns["name"], table.known("sampling_frequency"), strict=True):
        if stated is None:
            continue
        try:
            rate = float(stated)
        except ValueError:
            rate = math.nan
        if 0 < rate < math.inf:
            rates[name] = rate
        else:
            odd.append(stated[:40])
    if odd:
        notes.append(f"{table.name} says sampling_frequency {few_of(odd)}: not compared with the file's")
    return rates


def _participant(made: Bundle, label: str, notes: list[str]) -> dict[str, str]:
    if PEOPLE not in made.files:
        return {}
    rows = read_table(made.files[PEOPLE], PEOPLE, required=("participant_id",)).rows()
    row = next((row for row in rows if row.pop("participant_id") == f"sub-{label}"), None)
    if row is None:
        notes.append(f"{PEOPLE} has no row of sub-{label}")
        return {}
    return {
        printable(column)[:LONGEST_NAME]: printable(value)[:LONGEST_FACT]
        for column, value in row.items()
        if value not in MISSING
    }


def _electrodes(made: Bundle) -> dict[str, Any]:
    """Return the positions of electrodes, and in which coordinates they are."""
    table = _table(made, "electrodes", ("name", "x", "y", "z"))
    if table is None:
        return {}
    if table.n_rows > MOST_CHANNELS:
        raise bad_bids(table.name, f"it has {table.n_rows:,} rows; expected at most {MOST_CHANNELS:,} electrodes")
    positions = {}
    axes = (table.known("x"), table.known("y"), table.known("z"))
    for electrode, *place in zip(table.columns["name"], *axes, strict=True):
        known = [one for one in place if one is not None]
        try:
            numbers = [float(one) for one in known]
        except ValueError:
            numbers = [math.nan]
        if not all(map(math.isfinite, numbers)):
            raise bad_bids(table.name, f"the position of {electrode[:64]!r} is {known}; expected numbers or n/a")
        if len(numbers) == len(place):
            positions[printable(electrode)[:LONGEST_NAME]] = numbers
    placed = metadata_of(table.name)
    systems = [
        (path, text)
        for path, text in made.of_kind("coordsystem", "json")
        if (other := metadata_of(path)) and placed and other.space == placed.space
    ]
    stated = _object(systems[-1][1], systems[-1][0]) if systems else {}
    system, unit = _fact(stated.get("EEGCoordinateSystem")), _fact(stated.get("EEGCoordinateUnits"))
    return {"positions": positions, "system": system or "unknown", "unit": unit or "unknown"}


def _fact(value: Any) -> str:
    return printable(value.strip())[:LONGEST_FACT] if isinstance(value, str) and value.strip() not in MISSING else ""
