"""Events that have a name: annotations, BrainVision's markers, EEGLAB's events."""

import re
from dataclasses import dataclass

from p300.recording import NON_TARGET, TARGET

STIMULUS, RESPONSE, COMMENT = "Stimulus", "Response", "Comment"
OTHER_KINDS = {"New Segment", "SyncStatus", "Optic", "Pulse Artifact", "Bad Interval"}
"""Kinds of BrainVision's markers that say nothing about stimuli."""
VOCABULARY = {"target": TARGET, "targets": TARGET, "nontarget": NON_TARGET, "nontargets": NON_TARGET}
OF_STIMULI = {"stimulus", "stim", "flash"}
"""Tags that may stand beside a class: any other says that the event is something else, as ``response/target`` does."""
_NUMBER = re.compile(r"(?:S ?)?(\d{1,5})(?:\.0)?")
_MARKED = re.compile(r"(?:bad|edge)([ _].*)?|boundary", re.IGNORECASE)


@dataclass(frozen=True)
class Marker:
    """One event that has a name: an annotation, a marker, an EEGLAB event.

    Attributes
    ----------
    sample : int
        Where it begins.
    description : str
        Its name.
    group : int or None
        Which stimulus group flashed, 0 for none; None where the source does not number groups.
    """

    sample: int
    description: str
    group: int | None = None

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


def class_of(text: str) -> int | None:
    """Return the class that a name says by itself.

    Parameters
    ----------
    text : str
        As a file has it: ``Non-Target``.

    Returns
    -------
    label : int or None
    """
    return VOCABULARY.get(word_of(text))


def tagged(text: str) -> tuple[int, frozenset[str]] | None:
    """Return the class that one of a name's tags says, which MNE-Python separates by "/", and what the others say.

    Parameters
    ----------
    text : str
        As a file has it: ``stimulus/target/7``.

    Returns
    -------
    label : int
        Of the one class that the tags name.
    others : frozenset of str
        The other tags, ``#`` for a number; ``Target`` alone has none.
    None
        Where no tag says a class, or two say different ones.
    """
    tags = [tag.strip().lower() for tag in text.split("/")]
    labels = {label for tag in tags if (label := class_of(tag)) is not None}
    if len(labels) != 1:
        return None
    others = frozenset("#" if tag.isdecimal() else tag for tag in tags if class_of(tag) is None)
    return labels.pop(), others
