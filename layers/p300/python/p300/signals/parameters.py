"""Every number of the preprocessing in one object that travels with the features it made."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from p300 import json_text
from p300.errors import P300Error
from p300.readers.units import volts_per
from p300.recording import CLASS_NAMES

from .triggers import Triggers

if TYPE_CHECKING:
    from p300.readers.declared import Declared

LOWEST_LINE_HZ = 20.0
"""Mains have 50 or 60 Hz, and the P300 nothing above 20: a lower notch would take out what is looked for."""


@dataclass(frozen=True)
class Parameters:
    """Preprocessing parameters.

    Attributes
    ----------
    l_freq, h_freq : float
        Pass band of the zero-phase FIR filter in Hz, designed as MNE-Python's ``filter_data`` does.
    notch_freq : float or None
        Line frequency in Hz, at least 20. It and its harmonics are notched where they lie inside the pass band; the default band
        ends below it.
    tmin, tmax : float
        Epoch window in seconds from the flash's first sample.
    baseline : tuple of float or None
        Window in seconds whose mean is subtracted from each channel of each epoch.
    reject_peak_to_peak_uv : float or None
        An epoch with more than this on any channel, in microvolts peak to peak, is left out.
    sfreq : float
        Sampling rate of the features in Hz.
    precision : {"float32", "float64"}
        Floating-point type of the computation. Features are stored as float32 either way.
    event_id : mapping of str to int, or its items
        Names or codes of events in a lab's own files, and the class of each: ``{"S  4": 1, "33": 2}``. Without it, events are
        Target and NonTarget, 2 and 1, or the Brain Invaders data sets' codes.
    unit : str or None
        Unit of the EEG of files that do not say it, or say it wrongly: ``V``, ``mV``, ``uV`` or ``nV``.
    channel_kinds : mapping of str to str, or its items
        ``eeg`` or ``misc`` by channel name, for channels of which files say something else.
    bad_channels : tuple of str
        Channels that are replaced in every recording that has them.
    triggers : Triggers, or mapping of its attributes
        How pulses on a trigger line become flashes: ``{"min_s": 0.01, "refractory_s": 0.05}``, or ``{"repair": false}`` for
        MNE-Python's ``find_events``.
    streams : tuple of str
        Names of the streams to read of XDF files that have several of EEG or of markers.
    """

    l_freq: float = 1.0
    h_freq: float = 20.0
    notch_freq: float | None = 50.0
    tmin: float = -0.1
    tmax: float = 0.6
    baseline: tuple[float, float] | None = (-0.1, 0.0)
    reject_peak_to_peak_uv: float | None = 100.0
    sfreq: float = 100.0
    precision: Literal["float32", "float64"] = "float32"
    event_id: tuple[tuple[str, int], ...] = ()
    triggers: Triggers = field(default_factory=Triggers)
    unit: str | None = None
    channel_kinds: tuple[tuple[str, str], ...] = ()
    bad_channels: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "channel_kinds", tuple(sorted(dict(self.channel_kinds or ()).items())))
        for names in ("bad_channels", "streams"):
            if isinstance(getattr(self, names), str):
                raise P300Error("bad_parameters", f"{names} is {getattr(self, names)!r}; expected a list of names.")
            object.__setattr__(self, names, tuple(getattr(self, names)))
        if isinstance(self.triggers, Mapping):
            object.__setattr__(self, "triggers", Triggers(**self.triggers))
        object.__setattr__(self, "event_id", tuple(sorted(dict(self.event_id or ()).items())))
        if self.baseline is not None:
            object.__setattr__(self, "baseline", (float(self.baseline[0]), float(self.baseline[1])))
        numbers = [self.l_freq, self.h_freq, self.tmin, self.tmax, self.sfreq, *(self.baseline or ())]
        numbers += [value for value in (self.notch_freq, self.reject_peak_to_peak_uv) if value is not None]
        triggers = self.triggers
        numbers += [triggers.refractory_s, 0 if triggers.min_s is None else triggers.min_s]
        checks = {
            "every number finite": all(math.isfinite(value) for value in numbers),
            "0 < l_freq < h_freq": 0 < self.l_freq < self.h_freq,
            "h_freq <= sfreq / 2": self.h_freq <= self.sfreq / 2,
            "tmin < tmax": self.tmin < self.tmax,
            "a baseline inside tmin..tmax": self.baseline is None
            or self.tmin <= self.baseline[0] <= self.baseline[1] <= self.tmax,
            "reject_peak_to_peak_uv > 0": self.reject_peak_to_peak_uv is None or self.reject_peak_to_peak_uv > 0,
            f"notch_freq >= {LOWEST_LINE_HZ:g}, above the P300's band": self.notch_freq is None
            or self.notch_freq >= LOWEST_LINE_HZ,
            "an event_id of names and classes 1 or 2": all(code in CLASS_NAMES for _, code in self.event_id),
            "triggers with min_s and refractory_s of at least 0": triggers.refractory_s >= 0
            and (triggers.min_s or 0) >= 0,
            "triggers with repair true or false": isinstance(triggers.repair, bool),
            "a unit of V, mV, uV or nV": self.unit is None
            or (isinstance(self.unit, str) and volts_per(self.unit) is not None),
            "channel_kinds of names and eeg or misc": all(kind in ("eeg", "misc") for _, kind in self.channel_kinds),
            "bad_channels and streams of names": all(
                isinstance(name, str) for name in (*self.bad_channels, *self.streams)
            ),
            "precision float32 or float64": self.precision in ("float32", "float64"),
        }
        broken = [rule for rule, holds in checks.items() if not holds]
        if broken:
            raise P300Error("bad_parameters", f"Preprocessing parameters {self}: expected {'; '.join(broken)}.")

    @property
    def n_times(self) -> int:
        """Samples per channel of an epoch's features, the same for every input rate."""
        return round((self.tmax - self.tmin) * self.sfreq)

    @property
    def event_mapping(self) -> dict[str | int, int] | None:
        """What `p300.readers.open_recording` takes as ``event_id``: names, and codes as numbers too."""
        codes: dict[str | int, int] = dict(self.declared.codes.items())
        return {**dict(self.event_id), **codes} or None

    def line_freq(self, said: Mapping[str, Any]) -> float | None:
        """Return the line frequency that a recording is notched at: that of its sidecar or data set, unless nothing is notched at all.

        Parameters
        ----------
        said : mapping
            What its BIDS data set says and, in its place, its sidecar.

        Returns
        -------
        notch_freq : float or None
        """
        stated = said.get("notch_freq")
        return self.notch_freq if stated is None or self.notch_freq is None else float(stated)

    @property
    def declared(self) -> "Declared":
        """What `p300.readers.open_recording` takes as ``declared``."""
        from p300.readers.declared import Declared  # readers import this package

        return Declared(
            event_id=dict(self.event_id),
            unit=self.unit,
            channel_kinds=dict(self.channel_kinds),
            bad_channels=self.bad_channels,
            triggers=self.triggers,
            streams=self.streams,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold.

        Returns
        -------
        values : dict
        """
        values = dataclasses.asdict(self) | {"baseline": list(self.baseline) if self.baseline else None}
        del values["event_id"], values["triggers"], values["unit"], values["channel_kinds"], values["bad_channels"]
        del values["streams"]
        values |= {"unit": self.unit} if self.unit is not None else {}
        values |= {"channel_kinds": dict(self.channel_kinds)} if self.channel_kinds else {}
        values |= {"bad_channels": list(self.bad_channels)} if self.bad_channels else {}
        values |= {"streams": list(self.streams)} if self.streams else {}
        values |= {"event_id": dict(self.event_id)} if self.event_id else {}
        return values | ({"triggers": dataclasses.asdict(self.triggers)} if self.triggers != Triggers() else {})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Parameters":
        """Build from :meth:`to_dict`'s dictionary.

        Parameters
        ----------
        values : dict
            Absent names keep their defaults.

        Returns
        -------
        parameters : Parameters

        Raises
        ------
        P300Error
            ``bad_parameters`` where a name is unknown or a value impossible.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise P300Error("bad_parameters", f"Unknown preprocessing parameters {unknown}; expected {sorted(known)}.")
        try:
            return cls(**values)
        except P300Error:
            raise
        except (TypeError, ValueError, IndexError) as error:  # text for a number, a baseline of one number
            raise P300Error(
                "bad_parameters",
                f"Preprocessing parameters {values}: {error}. Expected numbers, and a baseline of two or null.",
            ) from error

    @classmethod
    def from_json(cls, text: str) -> "Parameters":
        """Build from the parameters that differ from the defaults.

        Parameters
        ----------
        text : str
            A JSON object; an empty text changes none.

        Returns
        -------
        parameters : Parameters

        Raises
        ------
        P300Error
            ``bad_parameters`` where the text is no JSON object, a name is unknown or a value impossible.
        """
        try:
            values = json_text.loads(text or "{}")
        except json_text.DuplicateNameError as error:
            raise P300Error(
                "bad_parameters", f"Preprocessing parameters {text!r}: {error}. State each parameter once."
            ) from error
        except ValueError as error:
            raise P300Error("bad_parameters", f"Preprocessing parameters {text!r} are no JSON: {error}.") from error
        if not isinstance(values, dict):
            raise P300Error(
                "bad_parameters", f'Preprocessing parameters {text!r}: expected a JSON object such as {{"h_freq": 15}}.'
            )
        return cls.from_dict(values)
