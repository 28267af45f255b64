"""What a person says about a file that the file itself does not say, or says wrongly."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from p300.signals.triggers import Triggers


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
    channel_kinds : mapping of str to str
        ``eeg`` or ``misc`` for each channel named.
    bad_channels : tuple of str
        Channels that are replaced, as those that the file marks as bad.
    triggers : Triggers
        How pulses on a trigger line become flashes.
    streams : tuple of str
        Names, or numbers such as ``#2``, of the streams to read of an XDF file that has several of EEG or of markers.
    """

    event_id: Mapping[str | int, int] = field(default_factory=dict)
    unit: str | None = None
    channel_kinds: Mapping[str, str] = field(default_factory=dict)
    bad_channels: tuple[str, ...] = ()
    triggers: Triggers = field(default_factory=Triggers)
    streams: tuple[str, ...] = ()

    @property
    def codes(self) -> dict[int, int]:
        """Numeric codes of ``event_id``, given as numbers or as digits, and the class of each."""
        return {
            int(name): label
            for name, label in self.event_id.items()
            if isinstance(name, int) or (name.isascii() and name.isdigit())
        }
