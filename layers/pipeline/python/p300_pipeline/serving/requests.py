"""Reads numbers out of JSON requests; each refusal names the field, what came and what is expected."""

import binascii
import json
import reprlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from p300 import json_text
from p300.errors import P300Error, RequestError
from p300.montages import Fit, fit
from p300.text import n_of

from p300_pipeline.errors import HttpError

from .cache import Served

try:
    import orjson
    from pybase64 import b64decode
except ImportError:  # outside their layer
    from base64 import b64decode  # type: ignore[assignment]

    _loads: Any = json.loads
else:
    _loads = orjson.loads

MAX_CHANNELS = 512
MAX_BODY_BYTES = 6_000_000
"""Lambda takes 6 MiB with the event around the body; LocalStack takes anything."""
GUESSING_AUC = 0.55
"""Mean AUC on left-out recordings with interpolated channels below which answers are called guesses."""
NUMBERS = frozenset({float, int})  # not bool: JSON's true is not a number


def parse_json(body: bytes | str | None) -> Mapping[str, Any]:
    """Return the JSON object of a request's body.

    Raises
    ------
    HttpError
        400 if there is no body, 413 if it is larger than Lambda accepts.
    """
    if body and len(body) > MAX_BODY_BYTES:
        raise HttpError(
            "too_large",
            f"The body has {len(body)} bytes; at most {MAX_BODY_BYTES} a request. Send fewer at a time.",
            413,
        )
    try:
        request = _loads(body or b"")
    except (ValueError, RecursionError) as error:
        raise HttpError("not_json", f"The body is not JSON ({error}); expected a JSON object.", 400) from error
    _refuse_names_twice(body or b"", request)
    if not isinstance(request, dict):
        raise HttpError("not_an_object", f"The body is a JSON {type(request).__name__}; expected a JSON object.", 400)
    return request


def _refuse_names_twice(body: bytes | str, request: Any) -> None:
    """Refuse an object with a name twice; a body of numbers is not parsed again for it.

    Each member has a colon: where there are as many as members that were read, no member is missing.
    """
    n_colons = body.count(b":") if isinstance(body, bytes) else body.count(":")
    if n_colons == json_text.count_members(request):
        return
    try:
        json_text.loads(body)
    except json_text.DuplicateNameError as error:
        raise HttpError(
            "duplicate_name", f"The body is not unambiguous: {error}. Send each name once in an object.", 400
        ) from error


def query_of(event: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """Return the query parameters of an API Gateway event.

    Parameters
    ----------
    event : mapping
        The event.
    known : collection of str
        Names that the route takes.

    Raises
    ------
    RequestError
        400 for a parameter that the route does not take, or that is given twice: one of them would go unseen.
    """
    single, several = (event.get(name) or {} for name in ("queryStringParameters", "multiValueQueryStringParameters"))
    if not (single or several):
        return {}
    if unknown := sorted({*single, *several} - set(known)):
        takes = f"this route takes {' and '.join(known)}" if known else "this route takes none"
        raise HttpError("unknown_parameter", f"The query has {unknown[0][:40]!r}; {takes}.", 400)
    for name, values in several.items():
        if len(values) > 1:
            raise HttpError("repeated_parameter", f"The query has {name} {len(values)} times; expected it once.", 400)
    return {
        name: value or "" for name, value in {**{name: values[0] for name, values in several.items()}, **single}.items()
    }


def known_fields(value: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Refuse fields that nobody reads: a slip in an optional one's name would go unseen."""
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise RequestError(
            "unknown_field", f"{where} has {named(unknown)}; expected no other than {', '.join(known) or 'none'}."
        )


def named(fields: Sequence[str]) -> str:
    """Return the names of a few fields as a message can hold them."""
    more = f" and {len(fields) - 3} more" if len(fields) > 3 else ""
    return f"the field{'s' * (len(fields) > 1)} {', '.join(repr(name[:40]) for name in fields[:3])}{more}"


def channel_fit(channels: Any, served: Served) -> Fit | None:
    """Return how features of a request's ``channels`` become those of the model; None if it has no ``channels``.

    Raises
    ------
    RequestError
        ``bad_channels`` if it is not a list of names, ``wrong_channels`` if some of the model's are missing and cannot be interpolated.
    """
    if channels is None:
        return None
    if not isinstance(channels, list) or not all(isinstance(name, str) for name in channels):
        raise RequestError(
            "bad_channels", f"channels is {short(channels)}; expected the names of the epochs' channels, in order."
        )
    if len(channels) > MAX_CHANNELS:
        raise HttpError("too_large", f"There are {len(channels)} channels; at most {MAX_CHANNELS} a request.", 413)
    try:
        return fit(channels, served.manifest["channels"], "The request")
    except P300Error as error:
        raise RequestError(error.code, f"{error.message} These are the channels of model {served.version}.") from error


def naming(served: Served, channels: Any, chosen: Fit | None) -> Served:
    """Return the model as it takes a request that names its channels: as many features as these have."""
    return replace(served, named=tuple(channels)) if chosen is not None else served


def fitted(X: NDArray[np.float32], chosen: Fit | None) -> NDArray[np.float32]:
    """Return features, shape (n_epochs, n_features), with the model's channels.

    Parameters
    ----------
    X : ndarray of float32, shape (n_epochs, n_features)
        Channel after channel, of those that the request names.
    chosen : Fit or None
        As `channel_fit` returns it.
    """
    if chosen is None or chosen.is_identity:
        return X
    epochs = chosen(X.reshape(len(X), chosen.n_channels, -1))
    return epochs.reshape(len(X), -1)


def interpolation_notes(chosen: Fit | None, manifest: Mapping[str, Any]) -> list[str]:
    """Return notes where channels of the model are interpolated: which, and what that came to on left-out recordings."""
    if chosen is None or not chosen.interpolated:
        return []
    return [
        f"channels interpolated from the others, as the request lacks them: {', '.join(chosen.interpolated)}",
        _worth(manifest),
    ]


def _worth(manifest: Mapping[str, Any]) -> str:
    """Say what the model's AUC is on left-out recordings that lacked channels."""
    metrics = manifest.get("metrics")
    by_recording = metrics.get("left_out_recordings") if isinstance(metrics, Mapping) else None
    auc = by_recording if isinstance(by_recording, Mapping) else {}
    lacking = [entry.get("recording") for entry in manifest["recordings"] if entry.get("missing_channels")]
    known = [float(auc[name]) for name in lacking if is_number(auc.get(name))]
    if not known:
        return "how well this model does with interpolated channels is not known: no recording that lacked some was left out in training"
    mean = sum(known) / len(known)
    worth = f"AUC {mean:.3f} on {n_of(len(known), 'left-out recording')} that lacked channels too"
    return f"{worth}: no better than guesses" if mean < GUESSING_AUC else worth


def short(value: Any) -> str:
    """Return a JSON value as a message can hold it."""
    return reprlib.repr(value)


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a JSON value is a number."""
    return type(value) in NUMBERS


def number_row(name: str, row: Any, served: Served) -> list[float]:
    """Return a list with one number for each of the model's features.

    Raises
    ------
    RequestError
        ``bad_shape``, ``wrong_length`` or ``not_numbers``.
    """
    if not isinstance(row, list):
        raise RequestError("bad_shape", f"{name} is not a list of numbers; expected {served.expected}.")
    if len(row) != served.n_features:
        raise RequestError(
            "wrong_length", f"{name} has {len(row)} numbers; model {served.version} expects {served.expected}."
        )
    if not NUMBERS.issuperset(map(type, row)):
        raise RequestError("not_numbers", f"{name} holds something that is not a number; expected {served.expected}.")
    return row


def float32(name: str, rows: Any) -> NDArray[np.float32]:
    """Return numbers as an array; those that float32 cannot hold become infinite.

    Raises
    ------
    RequestError
        ``not_finite`` where a number is too large even for that.
    """
    try:
        with np.errstate(over="ignore"):
            return np.array(rows, dtype=np.float32)
    except OverflowError as error:
        raise RequestError("not_finite", f"{name} holds a number too large for float32.") from error


def float32_rows(name: str, text: Any, n_rows: int, served: Served) -> NDArray[np.float32]:
    """Return base64 of little-endian float32 as an array, shape (n_rows, n_features).

    Raises
    ------
    RequestError
        ``bad_base64`` or ``wrong_length``.
    """
    if not isinstance(text, str):
        raise RequestError("bad_base64", f"{name} is a JSON {type(text).__name__}; expected base64 text.")
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError("bad_base64", f"{name} is not base64: {error}.") from error
    n_bytes = n_rows * served.n_features * 4
    if len(raw) != n_bytes:
        raise RequestError(
            "wrong_length",
            f"{name} holds {len(raw)} bytes; {n_rows} epochs of float32 make {n_bytes}. Model {served.version} expects "
            f"{served.expected}.",
        )
    return np.frombuffer(raw, "<f4").reshape(n_rows, -1)
