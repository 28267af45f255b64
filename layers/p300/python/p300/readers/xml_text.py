"""XML inside of recordings: parsed where it is short, and nothing in it refers to anything else."""

from xml.etree import ElementTree

from p300.errors import RecordingError
from p300.limits import LARGEST_HEADER_BYTES


def parsed(text: str, name: str) -> ElementTree.Element:
    """Return the root of a description.

    Parameters
    ----------
    text : str
        The description.
    name : str
        What to call the recording in messages.

    Returns
    -------
    root : Element

    Raises
    ------
    RecordingError
        ``too_large``; ``unreadable`` where it is not XML, or declares a document type, whose entities may expand or name files.
    """
    if len(text) > LARGEST_HEADER_BYTES:
        raise RecordingError(
            "too_large",
            f"{name}: a description of {len(text):,} characters; expected at most {LARGEST_HEADER_BYTES:,}.",
        )
    if "<!" in text.replace("<!--", ""):
        raise RecordingError(
            "unreadable", f"{name}: a description declares a document type; expected plain XML. Export it again."
        )
    try:
        return ElementTree.fromstring(text.strip("\0 \r\n"))  # noqa: S314 - no document type, and short
    except (ElementTree.ParseError, ValueError) as error:
        raise RecordingError(
            "unreadable", f"{name}: a damaged description ({error}). Copy it again from where it was recorded."
        ) from error
