"""JSON documents of the buckets: parsed and of the shape that the code expects, or refused by name."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from p300.errors import ArtifactError

Check = Callable[[Any], bool]


def parse(body: bytes, name: str, kind: type, code: str = "bad_document") -> Any:
    """Return what a document says.

    Parameters
    ----------
    body : bytes
        JSON in UTF-8.
    name : str
        What to call it.
    kind : type
        ``dict`` or ``list``: what it must be.
    code : str
        Of the error.

    Raises
    ------
    ArtifactError
        Where it is no JSON, nested beyond reason, holds what no text may, or is of another kind.
    """
    try:
        document = json.loads(body)
        json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair may stand in JSON, and nowhere else
    except (ValueError, RecursionError) as error:
        raise ArtifactError(code, f"{name} is not JSON: {error}. {MEND}") from error
    if not isinstance(document, kind):
        raise ArtifactError(code, f"{name} is a JSON {type(document).__name__}, expected {kind.__name__}. {MEND}")
    return document


MEND = "Restore the version of the object before this one, or delete it."


def require(document: Mapping[str, Any], expected: Mapping[str, Check], name: str, code: str = "bad_document") -> None:
    """See that a document has what the code reads.

    Raises
    ------
    ArtifactError
        Names the first field that is missing or of another kind.
    """
    for field, holds in expected.items():
        if field not in document:
            raise ArtifactError(code, f"{name} lacks {field!r}. {MEND}")
        if not holds(document[field]):
            raise ArtifactError(
                code, f"{name} has {field!r} as {str(document[field])[:80]!r}, of which no use can be made. {MEND}"
            )


def is_text(value: Any) -> bool:
    """Whether it is a text."""
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 0 on that an index can be."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31


def is_texts(value: Any) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
