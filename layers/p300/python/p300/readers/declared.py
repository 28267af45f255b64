"""What a person says about a file that the file itself does not say, or says wrongly."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from p300.bids.tables import Table
from p300.channels import plain
from p300.signals.triggers import Triggers

_CODE = re.compile(r"-?[0-9]{1,15}")


def is_code(name: str) -> bool:
    """Tell whether a name in ``event_id`` is a number, as codes of a stim channel are; some of these are negative."""
    return _CODE.fullmatch(name) is not None


@dataclass(frozen=True)
class Declared:
    """Declarations about one recording; what is declared wins over what a reader would decide, and is noted.

    Attributes
    ----------
    event_id : mapping of str or int to int
        The file's own event names or codes, and the class that each stands for: ``{"S  2": 2, "S  1": 1}``. Empty where
        the reader decides.
    unit : str or None
        Unit of the EEG where the format cannot say it, or says it wrongly: ``V``, ``mV``, ``uV`` or ``nV``.
    channel_names : mapping of str to str
        New names of channels, by the names that the file has.
    channel_kinds : mapping of str to str
        ``eeg`` or ``misc`` for each channel named. A channel with a new name is EEG unless this says otherwise.
    bad_channels : tuple of str
        Channels that are replaced, as those that the file marks as bad.
    event_delay_ms : float
        How much later than its event a flash was on the screen, in milliseconds.
    triggers : Triggers
        How pulses on a trigger line become flashes.
    streams : tuple of str
        Names, or numbers such as ``#2``, of the streams to read of an XDF file that has several of EEG or of markers.
    sfreq : float or None
        Rate in Hz, where a text file does not say it.
    event_column : str or None
        Column of a text file that holds the events.
    events : Table or None
        The table of events of a BIDS data set.
    labelled : bool
        False where nobody knows which flashes were targets: events say which group flashed, and no more.
    listed : tuple of str
        Channels in its table of channels, which is compared with the file's by itself.
    groups : frozenset of int
        Stimulus groups of the speller layout; empty where none is declared, or it does not say which.
    """

    event_id: Mapping[str | int, int] = field(default_factory=dict)
    unit: str | None = None
    channel_names: Mapping[str, str] = field(default_factory=dict)
    channel_kinds: Mapping[str, str] = field(default_factory=dict)
    bad_channels: tuple[str, ...] = ()
    event_delay_ms: float = 0.0
    triggers: Triggers = field(default_factory=Triggers)
    streams: tuple[str, ...] = ()
    sfreq: float | None = None
    event_column: str | None = None
    events: Table | None = None
    listed: tuple[str, ...] = ()
    labelled: bool = True
    groups: frozenset[int] = frozenset()

    @property
    def codes(self) -> dict[int, int]:
        """Numeric codes of ``event_id``, given as numbers or as text (``"-1"``), and the class of each."""
        return {int(name): label for name, label in self.event_id.items() if isinstance(name, int) or is_code(name)}

    def overridden(self, said: Mapping[str, Any]) -> "Declared":
        """Return these declarations with those of a recording's sidecar in their place.

        Parameters
        ----------
        said : mapping
            As `p300.readers.sidecar.parse` returns it; a field replaces the same field as a whole.

        Returns
        -------
        declared : Declared
        """
        known = (
            "event_id", "unit", "channel_names", "channel_kinds", "bad_channels", "event_delay_ms", "streams", "sfreq", "event_column",
            "labelled",
        )  # fmt: skip
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value := said[name], list) else value for name in known if name in said
        }
        return replace(self, **values)

    def by_names_of_file(self) -> "Declared":
        """Return the declarations with each channel's kind under the name that it has in the file, as readers need it."""
        if not self.channel_names:
            return self
        given = {plain(name) for name in self.channel_names}
        before = {plain(new): name for name, new in self.channel_names.items()}
        kinds = dict.fromkeys(self.channel_names, "eeg")
        spelled = {plain(name): name for name in kinds}
        for channel, kind in self.channel_kinds.items():
            key = plain(channel)
            name = channel if key in given else before.get(key, channel)
            kinds[spelled.get(plain(name), name)] = kind
        return replace(self, channel_kinds=kinds)

    def by_new_names(self) -> "Declared":
        """Return the declarations with each channel under its new name, for a recording whose channels have those."""
        new = {plain(name): renamed for name, renamed in self.channel_names.items()}
        return replace(
            self,
            channel_kinds={
                new.get(plain(name), name): kind for name, kind in self.by_names_of_file().channel_kinds.items()
            },
            bad_channels=tuple(new.get(plain(name), name) for name in self.bad_channels),
        )
