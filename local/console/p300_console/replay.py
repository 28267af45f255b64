"""A recording's flashes one after another: what `/predict` says of each, and what `/decode` makes of all so far."""

import base64
import io
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from p300.decoding import attended, brain_invaders, grid, split_trials, with_gaps
from p300.decoding.layouts import SPELLER_6X6, Layout
from p300.errors import P300Error, RequestError
from p300.features import read_features
from p300.readers import read_recording
from p300.storage import NotFoundError
from p300_cli.predicting import Api

from p300_console.stack import Stack

LAYOUTS = {
    "speller": "Speller, columns first",
    "speller_rows": "Speller, rows first",
    "brain_invaders": "Brain Invaders",
}
WOULD_STOP = 0.9
"""Confidence at which the page says that one could have stopped."""
MAX_FLASHES = 1200
_KEPT = 3


@dataclass(frozen=True)
class Session:
    """The flashes of a recording.

    Attributes
    ----------
    X : ndarray of float32, shape (n_flashes, n_features)
        NaN where the epoch was rejected.
    flash : ndarray of int, shape (n_flashes,)
        Which group flashed.
    target : ndarray of bool, shape (n_flashes,)
        Whether the attended symbol was in it.
    trials : list of slice
        The flashes of each symbol.
    """

    name: str
    X: NDArray[np.float32]
    flash: NDArray[np.integer]
    target: NDArray[np.bool_]
    trials: list[slice]


def layout_of(name: str) -> tuple[Layout, dict[str, Any], int]:
    """Return a layout, how a request states it, and its number of columns on the screen."""
    if name == "brain_invaders":
        return brain_invaders(), {"type": "brain_invaders"}, 6
    rows_first = name == "speller_rows"
    stated = {"type": "grid", "rows": list(SPELLER_6X6), "rows_first": rows_first}
    return grid(SPELLER_6X6, rows_first=rows_first), stated, len(SPELLER_6X6[0])


def likely_layout(name: str, session: Session) -> str:
    """Return the layout to begin with: aliens for recordings with many short trials, as the game makes them."""
    if name in LAYOUTS:
        return name
    lengths = [trial.stop - trial.start for trial in session.trials]
    return "brain_invaders" if len(lengths) > 1 and float(np.median(lengths)) <= 12 else "speller"


def symbols(session: Session, layout: Layout) -> list[str | None]:
    """Return what was attended in each trial; None where the labels agree with no one symbol."""
    lit = layout.lit(session.flash)
    found = [attended(lit[trial], session.target[trial]) for trial in session.trials]
    return [None if number is None else layout.symbols[number] for number in found]


class Replays:
    """Sessions read from the buckets, the last few kept.

    Parameters
    ----------
    stack : Stack
        Where the recordings lie.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._kept: dict[tuple[str, str], Session] = {}
        self._lock = threading.Lock()

    def session(self, name: str) -> Session:
        """Return a recording's flashes.

        Raises
        ------
        RequestError
            ``no_features``, or ``no_flashes`` where the recording does not say which group flashed.
        """
        store = self._stack.store
        key = f"{name}/features.parquet"
        bucket = self._stack.output("FeaturesBucketName")
        try:
            item = store.head(bucket, key)
            with self._lock:  # one reads, the others find it read
                if (name, item.etag) not in self._kept:
                    while len(self._kept) >= _KEPT:
                        self._kept.pop(next(iter(self._kept)))
                    self._kept[name, item.etag] = self._read(name, bucket, key, item.metadata.get("raw-key", ""))
                return self._kept[name, item.etag]
        except NotFoundError as error:
            raise RequestError(
                "no_features", f"There are no features of {name[:200]!r}, or its recording is gone."
            ) from error

    def _read(self, name: str, bucket: str, key: str, raw_key: str) -> Session:
        store = self._stack.store
        features = read_features(io.BytesIO(store.get(bucket, key)[0]))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(raw_key).name
            store.download(self._stack.output("RawBucketName"), raw_key, path)
            recording = read_recording(path)
        onsets = np.flatnonzero(recording.stim)
        if recording.flash is None:
            raise RequestError(
                "no_flashes",
                f"{name} does not say which group flashed when (a column `flash`), so its symbols cannot be decoded.",
            )
        X = with_gaps(features.X, features.onset_sample, onsets)
        return Session(name, X, recording.flash[onsets], recording.stim[onsets] == 2, split_trials(onsets))


def replay(
    api: Api, session: Session, trial: int, layout_name: str, alias: str, *, start: int = 0, pause_s: float = 0.0
) -> Iterator[dict[str, Any]]:
    """Yield what is known after each flash of one symbol, as the service answers it.

    Parameters
    ----------
    api : Api
        The service.
    session : Session
        The recording.
    trial : int
        Which of its symbols.
    layout_name : str
        One of `LAYOUTS`.
    alias : str
        ``champion``, ``challenger`` or a version.
    start : int
        Flashes that were shown already.
    pause_s : float
        Between flashes.
    """
    layout, stated, _ = layout_of(layout_name)
    part = session.trials[trial]
    n = min(part.stop - part.start, MAX_FLASHES)
    lit = layout.lit(session.flash[part])
    for k in range(start, n):
        began = time.monotonic()
        flash = part.start + k
        usable = bool(np.isfinite(session.X[flash]).all())
        predicted = None
        if usable:
            answer = _ask(api, "/predict", alias, {"features": session.X[flash].astype(float).tolist()})
            predicted = answer["probability_target"]
        epochs = np.ascontiguousarray(session.X[part.start : flash + 1], "<f4")
        decoded = _ask(
            api,
            "/decode",
            alias,
            {
                "layout": stated,
                "groups": [int(code) for code in session.flash[part.start : flash + 1]],
                "epochs_b64": base64.b64encode(epochs.tobytes()).decode(),
            },
        )
        yield {
            "flash": k + 1,
            "of": n,
            "lit": np.flatnonzero(lit[k]).tolist(),
            "target": bool(session.target[flash]),
            "probability": predicted,
            "posterior": [decoded["posterior"][symbol] for symbol in layout.symbols],
            "symbol": decoded["symbol"],
            "confidence": decoded["confidence"],
            "model": decoded["model_version"],
        }
        time.sleep(max(0.0, pause_s - (time.monotonic() - began)))


def _ask(api: Api, path: str, alias: str, body: dict[str, Any]) -> dict[str, Any]:
    from urllib.parse import quote

    answer = api.ask("POST", f"{path}?alias={quote(alias, safe='')}", body)
    if answer.status != 200:
        error = answer.body.get("error", answer.body)
        message = error.get("message", error) if isinstance(error, dict) else error
        raise P300Error("refused", f"POST {path} answered {answer.status}: {message}")
    return answer.body
