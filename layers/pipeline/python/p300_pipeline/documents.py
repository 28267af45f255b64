"""JSON documents from the buckets: parsed and validated, or refused by name."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from p300 import json_text
from p300.errors import ArtifactError

Check = Callable[[Any], bool]


def parse(body: bytes, name: str, kind: type, code: str = "bad_document") -> Any:
    """Parse a document.

    Parameters
    ----------
    body : bytes
        JSON in UTF-8.
    name : str
        What to call it in messages.
    kind : type
        ``dict`` or ``list``: the type it must have.
    code : str
        Code of the error.

    Raises
    ------
    ArtifactError
        If it is not valid JSON, too deeply nested, contains invalid text, or has another type.
    """
    try:
        document = json_text.loads(body)
        json.dumps(
            document, ensure_ascii=False
        ).encode()  # JSON may contain half a surrogate pair, which no encoding accepts
    except (ValueError, RecursionError) as error:
        raise ArtifactError(code, f"{name} is not JSON: {error}. {MEND}") from error
    if not isinstance(document, kind):
        raise ArtifactError(code, f"{name} is a JSON {type(document).__name__}, expected {kind.__name__}. {MEND}")
    return document


MEND = "Restore the version of the object before this one, or delete it."


def require(document: Mapping[str, Any], expected: Mapping[str, Check], name: str, code: str = "bad_document") -> None:
    """Check that a document has the fields that the code reads.

    Raises
    ------
    ArtifactError
        Names the first field that is missing or invalid.
    """
    for field, holds in expected.items():
        if field not in document:
            raise ArtifactError(code, f"{name} has no {field!r}. {MEND}")
        if not holds(document[field]):
            raise ArtifactError(code, f"{name} has an invalid {field!r}: {str(document[field])[:80]!r}. {MEND}")


def is_text(value: Any) -> bool:
    """Whether a value is a string."""
    return isinstance(value, str)


def is_count(value: Any) -> bool:
    """Whether a value is a non-negative integer that can be an index."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31


def is_texts(value: Any) -> bool:
    """Whether a value is a list of strings."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def is_verdict(value: Any) -> bool:
    """Whether a value is the verdict of a report.json: found (None: it cannot be told), in words and in a sentence."""
    return (
        isinstance(value, Mapping)
        and (value.get("found") is None or isinstance(value["found"], bool))
        and is_text(value.get("words"))
        and is_text(value.get("sentence"))
    )
