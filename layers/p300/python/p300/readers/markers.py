"""Events that have a name: annotations, BrainVision's markers, EEGLAB's events."""

import re
from dataclasses import dataclass

from p300.recording import NON_TARGET, TARGET

STIMULUS, RESPONSE, COMMENT = "Stimulus", "Response", "Comment"
OTHER_KINDS = {"New Segment", "SyncStatus", "Optic", "Pulse Artifact", "Bad Interval"}
"""Kinds of BrainVision's markers that say nothing about stimuli."""
VOCABULARY = {"target": TARGET, "targets": TARGET, "nontarget": NON_TARGET, "nontargets": NON_TARGET}
_NUMBER = re.compile(r"(?:S ?)?(\d{1,5})(?:\.0)?")
_MARKED = re.compile(r"(?:bad|edge)([ _].*)?|boundary", re.IGNORECASE)


@dataclass(frozen=True)
class Marker:
    """One event that has a name: an annotation, a marker, an EEGLAB event."""

    sample: int
    description: str

    @property
    def kind(self) -> str:
        """Kind of marker that a BrainVision file says, ``Stimulus`` where there is none."""
        kind, slash, _ = self.description.partition("/")
        return kind if slash and kind in {STIMULUS, RESPONSE, COMMENT, *OTHER_KINDS} else STIMULUS

    @property
    def text(self) -> str:
        """Text without the kind, with single blanks."""
        kind, slash, text = self.description.partition("/")
        return " ".join((text if slash and kind in {STIMULUS, RESPONSE, COMMENT} else self.description).split())

    @property
    def code(self) -> int | None:
        """Number of a stimulus: of "12", "S 12" and "Stimulus/S 12"; a letter other than S says that it is none."""
        match = _NUMBER.fullmatch(self.text) if self.kind == STIMULUS else None
        return int(match[1]) if match else None


def events_of(markers: list[Marker]) -> list[Marker]:
    """Return the markers that may be events of the experiment: not marks of bad spans, boundaries or the amplifier's own.

    Parameters
    ----------
    markers : list of Marker
        All that have a name.

    Returns
    -------
    events : list of Marker
    """
    return [marker for marker in markers if not _MARKED.fullmatch(marker.text) and marker.kind not in OTHER_KINDS]


def word_of(text: str) -> str:
    """Return a name as `VOCABULARY` spells it.

    Parameters
    ----------
    text : str
        As a file has it: ``Non-Target``.

    Returns
    -------
    word : str
    """
    return re.sub(r"[\s_-]", "", text.lower())
