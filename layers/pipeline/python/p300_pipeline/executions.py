"""Inputs of executions: one parser for the functions and for everything that lists executions.

Anybody who may call ``StartExecution`` may start one with any JSON. What this parser refuses fails with `InputError`, which says what
was found and what was expected; what lists executions shows it as `UNKNOWN_INPUT`.
"""

import hashlib
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from p300 import json_text

from p300_pipeline.errors import InputError

TRAINING_REQUEST = "training request"
UNKNOWN_INPUT = "unknown input"
EXPECTED = 'Expected an S3 "Object Created" event, or {"train": {...}} to request a training.'
MAX_DEPTH = 32
_MAX_KEY_LENGTH = (
    3 * 1024
)  # a key has at most 1,024 bytes, each at most three characters where LocalStack writes it as in a URL
_MAX_TEXT_LENGTH = 1024
_RETRY = re.compile(r"retry-[1-9]\d{0,3}-([0-9a-f]{32})", re.ASCII)
# As Step Functions allows: no white space, no brackets, wildcards or control characters.
_EXECUTION_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")


@dataclass(frozen=True)
class Upload:
    """An object that landed, as an event names it.

    Attributes
    ----------
    key : str
        Object key as the event spells it: plain from AWS, as in a URL from LocalStack.
    etag : str
        Its ETag; empty where the event has none.
    version_id : str or None
        Its version where the bucket keeps versions.
    bucket : str
        Its bucket; empty where the event has none.
    retry_of : str or None
        Name of the failed execution that this one repeats.
    """

    key: str
    etag: str = ""
    version_id: str | None = None
    bucket: str = ""
    retry_of: str | None = None

    @property
    def source(self) -> str:
        """The key as people read it."""
        return unquote_plus(self.key)


@dataclass(frozen=True)
class Training:
    """A request for a training; `request` is what `p300_pipeline.steps.training.TrainingRequest` parses."""

    request: Mapping[str, Any]
    retry_of: str | None = None

    @property
    def source(self) -> str:
        """What lists call it."""
        return TRAINING_REQUEST


def parse(value: Any, execution: str | None = None) -> Upload | Training:
    """Return what an execution's input states.

    Parameters
    ----------
    value : any JSON value
        The input.
    execution : str, optional
        Name of the execution: a retry must be named as `retry_name` names it.

    Raises
    ------
    InputError
        Names what was found and what was expected.
    """
    if not isinstance(value, dict):
        raise _unexpected(f"The input is {_short(value)}, a JSON {type(value).__name__}.")
    retry_of = _retry_of(value.get("retry_of"), execution)
    if "train" in value:
        return _training(value, retry_of)
    if "detail" not in value:
        raise _unexpected(f"The input has the fields {_names(value)}." if value else "The input is empty.")
    return _upload(value, retry_of)


def parse_text(text: str | None, execution: str | None = None) -> Upload | Training:
    """Return what an input states that is still JSON text; parameters and errors as in `parse`."""
    return parse(from_json(text), execution)


def parse_upload(value: Any, execution: str, bucket: str) -> Upload:
    """Return the upload that an input states.

    Parameters
    ----------
    value, execution
        As in `parse`.
    bucket : str
        The landing zone: an event of another bucket is refused.

    Raises
    ------
    InputError
        As `parse`, and where the input states no upload into this bucket.
    """
    found = parse(value, execution)
    if not isinstance(found, Upload):
        raise _unexpected("The input requests a training, and has no upload to ingest.")
    if found.bucket not in {"", bucket}:
        raise _unexpected(f"The event is about the bucket {found.bucket[:80]!r}; the landing zone is {bucket}.")
    return found


def from_json(text: str | None) -> Any:
    """Return a JSON value from text; None stands for an empty object.

    Raises
    ------
    InputError
        Where the text is not JSON, or nested too deeply to be read.
    """
    try:
        return json_text.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise _unexpected(f"The input is not readable as JSON ({error}).") from error


def document(text: str | None) -> dict[str, Any]:
    """Return the JSON object that an execution's input or output is; an empty one where it is anything else."""
    try:
        found = from_json(text)
    except InputError:
        return {}
    return found if isinstance(found, dict) else {}


def reason(cause: str | None) -> str:
    """Return what the cause of a failure says to a person: a function's error message, else the cause as it is."""
    found = document(cause).get("errorMessage")
    return found if isinstance(found, str) else cause or ""


def check_no_input(value: Any) -> None:
    """Refuse an input for a state machine that takes none.

    Raises
    ------
    InputError
        Where it is anything but an empty object.
    """
    if value != {}:
        raise InputError(
            "unknown_input",
            f"The input is {_short(value)}. A backfill takes none: start it with {{}}, as `p300 backfill` does.",
        )


# ---- names of retries
def retry_name(name: str, number: int) -> str:
    """Return the name of an execution's n-th retry; the first name itself would not fit into 80 characters beside anything else."""
    return f"retry-{number}-{_digest(name)}"


def root_of(execution: str, value: Any) -> str:
    """Return the name for claims: a retry continues with what the first failed execution had claimed.

    Parameters
    ----------
    execution : str
        The execution's own name.
    value : any JSON value
        Its input; only a retry that is named as one speaks for another execution.
    """
    try:
        return _retry_of(value.get("retry_of") if isinstance(value, dict) else None, execution) or execution
    except InputError:
        return execution


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _retry_of(value: Any, execution: str | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _EXECUTION_NAME.fullmatch(value):
        raise _unexpected(f"retry_of is {_short(value)}, which is not the name of an execution.")
    named = _RETRY.fullmatch(execution) if execution is not None else None
    if execution is not None and (named is None or named[1] != _digest(value)):
        raise _unexpected(f"retry_of is {value!r}, but this execution is not one that `p300 retry` started for it.")
    return value


# ---- the two kinds
def _training(value: Mapping[str, Any], retry_of: str | None) -> Training:
    if unknown := value.keys() - {"train", "retry_of"}:
        raise _unexpected(f"The input has {_names(unknown)} beside train.")
    request = value["train"]
    if not isinstance(request, dict):
        raise _unexpected(f"train is {_short(request)}, a JSON {type(request).__name__} and not an object.")
    if _is_deeper_than(request, MAX_DEPTH):
        raise _unexpected(f"train is nested more than {MAX_DEPTH} levels deep.")
    return Training(request, retry_of)


def _upload(value: Mapping[str, Any], retry_of: str | None) -> Upload:
    kind = value.get("detail-type", "Object Created")
    if kind != "Object Created":
        raise _unexpected(f"detail-type is {_short(kind)}.")
    detail = _object("detail", value["detail"])
    landed = _object("detail.object", detail.get("object"))
    bucket = _object("detail.bucket", detail.get("bucket", {}))
    key = landed.get("key")
    if not isinstance(key, str) or not 0 < len(key) <= _MAX_KEY_LENGTH or not _is_text(key):
        raise _unexpected(f"detail.object.key is {_short(key)}, which is not an object's key.")
    texts = {
        "detail.object.etag": landed.get("etag"),
        "detail.object.version-id": landed.get("version-id"),
        "detail.bucket.name": bucket.get("name"),
    }
    for name, text in texts.items():
        if text is not None and (not isinstance(text, str) or len(text) > _MAX_TEXT_LENGTH or not _is_text(text)):
            raise _unexpected(f"{name} is {_short(text)}, and not a short text.")
    etag, version_id, of = texts.values()
    return Upload(key, etag or "", version_id or None, of or "", retry_of)


def _object(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _unexpected(f"{name} is {_short(value)}, and not an object.")
    return value


def _is_text(text: str) -> bool:
    """Whether it can be written in UTF-8: JSON may hold half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
        ]
        if not level:
            return False
    return True


def _names(fields: Any) -> str:
    return ", ".join(repr(name[:40]) for name in sorted(fields)[:5]) + (", ..." if len(fields) > 5 else "")


def _short(value: Any) -> str:
    return reprlib.repr(value)


def _unexpected(found: str) -> InputError:
    return InputError("unknown_input", f"{found} {EXPECTED}")


# ---- inputs that the clients make
def upload_event(upload: Upload, size: int) -> dict[str, Any]:
    """Return the event that starts an execution for an object, as S3 would have sent it."""
    version = {"version-id": upload.version_id} if upload.version_id else {}
    return {
        "source": "p300.retry",
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": upload.bucket},
            "object": {"key": upload.key, "etag": upload.etag, "size": size, **version},
        },
    }
