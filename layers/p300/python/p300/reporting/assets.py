"""The style and the script of a recording's page, and the digests by which a content security policy lets in these two and no others."""

import base64
import hashlib
from pathlib import Path

_FOLDER = Path(__file__).parent
STYLE = (_FOLDER / "page.css").read_text("utf-8")
SCRIPT = (_FOLDER / "page.js").read_text("utf-8")


def source_of(text: str) -> str:
    """Return the source expression of an inline element.

    Parameters
    ----------
    text : str
        Content of a ``script`` or ``style`` element.

    Returns
    -------
    str
        Such as ``'sha256-...'``, quotes included.
    """
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = f"default-src 'none'; img-src data:; style-src {source_of(STYLE)}; script-src {source_of(SCRIPT)}"
