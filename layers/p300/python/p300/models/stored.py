"""What the steps of a cross-validation hand to each other, as bytes: plain arrays and JSON, never Python objects."""

import io
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.decoding.response_fit import RecordingSummary
from p300.models.cross_validation import Adapted, FoldFit
from p300.models.prepared import AlignedEpochs, Prepared, PreparedRecording

Arrays = Mapping[str, NDArray[Any]]
_NUMBERS = ("n_epochs", "n_targets")


def pack_prepared(prepared: Prepared) -> bytes:
    """Return what `unpack_prepared` takes."""
    header: list[dict[str, Any]] = []
    arrays: dict[str, NDArray[Any]] = {}
    for number, one in enumerate(prepared.recordings):
        arrays |= {f"{number}/X": one.epochs.X, f"{number}/y": one.epochs.y, f"{number}/covariance": one.covariance}
        told: dict[str, Any] = {
            "recording": one.epochs.recording,
            "subject": one.epochs.subject,
            "n_channels": one.epochs.n_channels,
            "n_epochs": one.n_epochs,
        }
        if one.summary:
            told["summary"] = {name: getattr(one.summary, name) for name in _NUMBERS}
            arrays |= {f"{number}/{name}": getattr(one.summary, name) for name in _summary_arrays()}
        header.append(told)
    return _pack(header, arrays)


def unpack_prepared(content: bytes) -> Prepared:
    """Return the recordings, equal to the bit to those that were packed."""
    header, arrays = _unpack(content)
    recordings = []
    for number, told in enumerate(header):
        epochs = AlignedEpochs(
            told["recording"], told["subject"], arrays[f"{number}/X"], arrays[f"{number}/y"], told["n_channels"]
        )
        summary = None
        if "summary" in told:
            own: dict[str, Any] = {name: arrays[f"{number}/{name}"] for name in _summary_arrays()}
            summary = RecordingSummary(subject=told["subject"], **own, **told["summary"])
        recordings.append(PreparedRecording(epochs, arrays[f"{number}/covariance"], summary, told["n_epochs"]))
    return Prepared(recordings)


def pack_fits(fits: Mapping[str, FoldFit]) -> bytes:
    """Return what `unpack_fits` takes."""
    header: list[dict[str, Any]] = []
    arrays: dict[str, NDArray[Any]] = {}
    for number, (fold, fit) in enumerate(fits.items()):
        header.append({"fold": fold, "recordings": fit.recordings, "arrays": list(fit.arrays)})
        arrays |= {f"{number}/y": fit.y, f"{number}/alone": fit.alone}
        arrays |= {f"{number}/arrays/{name}": np.asarray(array) for name, array in fit.arrays.items()}
    return _pack(header, arrays)


def unpack_fits(content: bytes) -> dict[str, FoldFit]:
    """Return the folds, equal to the bit to those that were packed."""
    header, arrays = _unpack(content)
    return {
        told["fold"]: FoldFit(
            tuple((name, subject, n) for name, subject, n in told["recordings"]),
            {name: arrays[f"{number}/arrays/{name}"] for name in told["arrays"]},
            arrays[f"{number}/y"],
            arrays[f"{number}/alone"],
        )
        for number, told in enumerate(header)
    }


def pack_adapted(adapted: Mapping[str, Adapted]) -> bytes:
    """Return what `unpack_adapted` takes."""
    header: list[dict[str, Any]] = []
    arrays: dict[str, NDArray[Any]] = {}
    for number, (fold, (within, session)) in enumerate(adapted.items()):
        header.append({"fold": fold, "session": session is not None})
        arrays[f"{number}/within"] = within
        if session is not None:
            arrays[f"{number}/session"] = session
    return _pack(header, arrays)


def unpack_adapted(content: bytes) -> dict[str, Adapted]:
    """Return the folds' scores, equal to the bit to those that were packed."""
    header, arrays = _unpack(content)
    return {
        told["fold"]: (arrays[f"{number}/within"], arrays[f"{number}/session"] if told["session"] else None)
        for number, told in enumerate(header)
    }


def _summary_arrays() -> list[str]:
    return [one.name for one in fields(RecordingSummary) if one.name not in {"subject", *_NUMBERS}]


def _pack(header: Any, arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    told = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(buffer, header=told, **arrays)  # type: ignore[arg-type]  # its entries are all dated 1980
    return buffer.getvalue()


def _unpack(content: bytes) -> tuple[Any, dict[str, NDArray[Any]]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = dict(archive)
    return json.loads(arrays.pop("header").tobytes()), arrays
