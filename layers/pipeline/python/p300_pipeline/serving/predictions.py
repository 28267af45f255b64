"""``POST /predict`` says of the epoch after each flash whether it is that of a target."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from p300.errors import RequestError
from p300.recording import CLASS_NAMES, NON_TARGET, TARGET

from p300_pipeline.errors import HttpError

from .cache import Served
from .requests import channel_fit, fitted, float32, float32_rows, interpolation_notes, known_fields, naming, number_row
from .scale import scale_notes

MAX_EPOCHS = 2048
FORMS = {
    "features": ("features", "channels"),
    "epochs": ("epochs", "channels"),
    "epochs_b64": ("epochs_b64", "n_epochs", "channels"),
    "epochs_uv": ("epochs_uv", "sfreq", "channels", "tmin", "filtered"),
}
"""Each form, and the fields that it may have."""


def predict(request: Mapping[str, Any], served: Served) -> dict[str, Any]:
    """Answer ``POST /predict``.

    Parameters
    ----------
    request : mapping
        One of ``features`` (one epoch), ``epochs`` (a list of them), ``epochs_b64`` with ``n_epochs`` (little-endian float32), or
        ``epochs_uv`` with ``sfreq`` and ``channels``: raw epochs (`p300_pipeline.serving.raw_epochs`). Of features with
        ``channels``, the model's are selected by name, and interpolated where at most a quarter is missing.
    served : Served
        The model.

    Returns
    -------
    dict
        ``model_version`` and, for one epoch at the top level, for a batch under ``predictions``: ``predicted_label_code``,
        ``predicted_class_name``, ``probability_target``; of raw epochs also ``rejected``, and ``filter`` for all. ``notes`` where
        something about the request is implausible.

    Raises
    ------
    RequestError
        If the request is not what the model expects.
    """
    form = _form(request, served)
    if form == "epochs_uv":
        from .raw_epochs import features_of  # not needed for features, so a cold start does not wait for it

        raw = features_of(request, served)
        rows, notes = _scored(raw.X, form, served)
        notes += interpolation_notes(channel_fit(request.get("channels"), served), served.manifest)
        more: dict[str, Any] = {"filter": raw.filter}
        for row, rejected in zip(rows, raw.rejected.tolist(), strict=True):
            row["rejected"] = rejected
    else:
        chosen = channel_fit(request.get("channels"), served)
        X = fitted(_features(form, request, naming(served, request.get("channels"), chosen)), chosen)
        rows, notes = _scored(X, form, served)
        notes += interpolation_notes(chosen, served.manifest)
        more = {}
    if notes:
        more["notes"] = notes
    if form == "features":
        return {**rows[0], "model_version": served.version, **more}
    return {"predictions": rows, "n_epochs": len(rows), "model_version": served.version, **more}


def _form(request: Mapping[str, Any], served: Served) -> str:
    forms = [name for name in FORMS if name in request]
    if len(forms) != 1:
        *others, last = FORMS
        raise RequestError(
            "which_epochs",
            f"The body has {' and '.join(forms) or 'none'} of {', '.join(others)} and {last}; expected exactly one. "
            f"The model expects {served.expected}.",
        )
    if len(request) > 1:
        known_fields(request, FORMS[forms[0]], f"The body with {forms[0]}")
    return forms[0]


def _features(form: str, request: Mapping[str, Any], served: Served) -> NDArray[np.float32]:
    if form == "features":
        return float32(form, [number_row(form, request[form], served)])
    if form == "epochs":
        return _from_lists(request[form], served)
    return float32_rows(form, request[form], _n_epochs(request), served)


def _scored(X: NDArray[np.float32], form: str, served: Served) -> tuple[list[dict[str, Any]], list[str]]:
    notes = scale_notes(form, X, served)
    return [_answer(probability) for probability in served.scorer.probability_target(X).tolist()], notes


def _from_lists(rows: Any, served: Served) -> NDArray[np.float32]:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise RequestError("bad_shape", f"epochs is not a list of epochs; expected {served.expected}.")
    if len(rows) > MAX_EPOCHS:
        raise HttpError("too_many_epochs", f"epochs has {len(rows)} epochs; at most {MAX_EPOCHS} a request.", 413)
    return float32("epochs", [number_row(f"epochs[{index}]", row, served) for index, row in enumerate(rows)])


def _n_epochs(request: Mapping[str, Any]) -> int:
    n_epochs = request.get("n_epochs")
    if type(n_epochs) is int and n_epochs > MAX_EPOCHS:
        raise HttpError("too_many_epochs", f"n_epochs is {n_epochs}; at most {MAX_EPOCHS} a request.", 413)
    if type(n_epochs) is not int or n_epochs < 1:
        raise RequestError(
            "bad_n_epochs", f"n_epochs is {str(n_epochs)[:40]}; expected a whole number from 1 to {MAX_EPOCHS}."
        )
    return n_epochs


def _answer(probability: float) -> dict[str, Any]:
    code = TARGET if probability >= 0.5 else NON_TARGET
    return {
        "predicted_label_code": code,
        "predicted_class_name": CLASS_NAMES[code],
        "probability_target": probability,
    }
