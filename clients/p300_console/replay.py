"""Send a recording's flashes to the API as a speller would: one after another, or a whole session repetition by repetition."""

import base64
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from p300.decoding import Share
from p300.decoding.layouts import SPELLER_6X6
from p300.errors import RequestError
from p300.recording import TARGET
from p300_client import sessions
from p300_client.api import Api
from p300_client.sessions import Screen, Session
from p300_pipeline.keys import RecordingKey
from p300_pipeline.serving.symbols import read_layout
from p300_pipeline.steps.raw_data import files_of, recordings_in

from p300_console.stack import Stack

SPELLER, SPELLER_ROWS, BRAIN_INVADERS = "speller", "speller_rows", "brain_invaders"
LAYOUTS = {
    SPELLER: "Speller, columns first",
    SPELLER_ROWS: "Speller, rows first",
    BRAIN_INVADERS: "Brain Invaders",
}
N_COLUMNS = 6
WOULD_STOP = 0.9
"""Confidence at which the page says that flashing could have stopped."""
MAX_BYTES = 3 << 20
"""Largest size of a request's epochs: base64 turns them into 4 MiB, and a function takes 6."""
MAX_RECORDINGS = 20
_KEPT = 8


def screen(name: str) -> Screen:
    """Return one of `LAYOUTS`."""
    if name == SPELLER_ROWS:
        stated = {"type": "grid", "rows": list(SPELLER_6X6), "rows_first": True}
        return Screen(read_layout(stated), stated)
    return sessions.screen(name if name in LAYOUTS else SPELLER)


def likely_layout(asked: str, channels: Sequence[str]) -> str:
    """Return the layout to begin with: that of Brain Invaders for its montage of 16 channels."""
    if asked in LAYOUTS:
        return asked
    return BRAIN_INVADERS if len(channels) == 16 else SPELLER


class Replays:
    """Sessions read from the raw zone; the last few are kept.

    Parameters
    ----------
    stack : Stack
        Where the recordings are.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._kept: dict[tuple[str, ...], Session] = {}
        self._lock = threading.Lock()
        self.points: dict[tuple[str, str], list[dict[str, Any]]] = {}
        """Accuracy by repetitions, for each version and layout: requested once."""

    def version(self, alias: str) -> str:
        """Return the version that an alias names."""
        return self._stack.registry.resolve(alias or "champion")

    def session(self, name: str, version: str, layout: str) -> Session:
        """Return a recording's flashes with the features that a model takes.

        Raises
        ------
        P300Error
            ``no_recording``, ``no_flashes`` if the recording does not say which group flashed, or if it does not match the model.
        """
        manifest = self._stack.registry.manifest(version)
        bucket = self._stack.output("RawBucketName")
        found = [
            item for item in recordings_in(self._stack.store, bucket, f"{name}.") if item.key.rpartition(".")[0] == name
        ]
        if not found:
            raise RequestError("no_recording", f"There is no recording {name[:200]!r} in the raw zone.")
        item = found[0]
        beside = files_of(self._stack.store, bucket, self._stack.store.head(bucket, item.key))
        known = (item.key, item.etag, *beside.values(), version, layout)
        with self._lock:  # one thread reads it; the others then find it
            if known not in self._kept:
                session = sessions.of_target(self._stack.target, RecordingKey.parse(item.key), manifest, screen(layout))
                while len(self._kept) >= _KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[known] = session
            session = self._kept[known]
        if session.code is None or not session.trials:
            raise RequestError(
                "no_flashes",
                f"{name} does not say which group flashed when (a column `flash`), so its symbols cannot be decoded.",
            )
        return session


def attended(session: Session, shown: Screen) -> list[str | None]:
    """Return the attended symbol of each trial; None if the labels do not match any single symbol."""
    return [None if trial.symbol is None else shown.layout.symbols[trial.symbol] for trial in session.trials]


def replay(
    api: Api, session: Session, trial: int, shown: Screen, alias: str, *, start: int = 0, pause_s: float = 0.0
) -> Iterator[dict[str, Any]]:
    """Yield, after each flash of one symbol, what the API answers.

    Parameters
    ----------
    api : Api
        The API.
    session : Session
        The recording.
    trial : int
        Number of the symbol in the recording.
    shown : Screen
        The layout.
    alias : str
        ``champion``, ``challenger`` or a version.
    start : int
        Number of flashes that were already shown.
    pause_s : float
        Time between flashes in seconds.
    """
    assert session.code is not None  # noqa: S101 - `Replays.session` refuses sessions without it
    part = session.trials[trial].flashes
    n = min(part.stop - part.start, MAX_BYTES // session.X[0].nbytes)
    lit = shown.layout.lit(session.code[part])
    for k in range(start, n):
        began = time.monotonic()
        flash = part.start + k
        predicted = None
        if np.isfinite(session.X[flash]).all():
            answer = ask(api, "/predict", alias, {"features": session.X[flash].astype(float).tolist()})
            predicted = answer["probability_target"]
        decoded = ask(api, "/decode", alias, _flashes(session, shown, [slice(part.start, flash + 1)]))
        yield {
            "flash": k + 1,
            "of": n,
            "lit": np.flatnonzero(lit[k]).tolist(),
            "target": bool(session.label[flash] == TARGET),
            "probability": predicted,
            "posterior": [decoded["posterior"][symbol] for symbol in shown.layout.symbols],
            "symbol": decoded["symbol"],
            "confidence": decoded["confidence"],
            "model": decoded["model_version"],
            "notes": decoded.get("notes", []),
        }
        time.sleep(max(0.0, pause_s - (time.monotonic() - began)))


def by_repetitions(api: Api, found: Sequence[Session], shown: Screen, alias: str) -> Iterator[dict[str, Any]]:
    """Yield how many symbols are correct after 1, 2, ... repetitions of each.

    Every session is decoded as a whole, as if each of its symbols had had that many repetitions: the symbols are those that the API decides
    on at the end of the session, when it has adapted to the subject most.
    """
    longest = max((len(trial.ends) for session in found for trial in session.trials), default=0)
    for n in range(1, longest + 1):
        right: list[bool] = []
        for session in found:
            right += _rights(api, session, shown, alias, n)
        share = Share.of(right)
        yield {
            "repetitions": n,
            "of": longest,
            "right": share.n_right,
            "symbols": share.n,
            "accuracy": share.accuracy,
            "interval": share.interval,
        }


def _rights(api: Api, session: Session, shown: Screen, alias: str, n: int) -> list[bool]:
    most = MAX_BYTES // session.X[0].nbytes
    pieces: list[list[Any]] = [[]]
    for trial in (one for one in session.trials if len(one.ends) >= n):
        length = sum(one.first(n).stop - one.first(n).start for one in [*pieces[-1], trial])
        if length > most and pieces[-1]:
            pieces.append([])
        pieces[-1].append(trial)
    right = []
    for trials in filter(None, pieces):
        answer = ask(api, "/decode", alias, _flashes(session, shown, [trial.first(n) for trial in trials]))
        symbols = [*(one["symbol"] for one in answer.get("trials", [])), answer["symbol"]]
        right += [
            symbol == shown.layout.symbols[trial.symbol]
            for trial, symbol in zip(trials, symbols, strict=True)
            if trial.symbol is not None
        ]
    return right


def _flashes(session: Session, shown: Screen, flashes: Sequence[slice]) -> dict[str, Any]:
    assert session.code is not None  # noqa: S101
    epochs = np.concatenate([session.X[part] for part in flashes])
    return {
        "layout": shown.stated,
        "groups": [int(code) for part in flashes for code in session.code[part]],
        "epochs_b64": base64.b64encode(np.ascontiguousarray(epochs, "<f4").tobytes()).decode(),
        "trials": [part.stop - part.start for part in flashes],
    }


def ask(api: Api, path: str, alias: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the API's answer.

    Raises
    ------
    P300Error
        ``refused``, with what the API said.
    """
    return api.ask("POST", f"{path}?alias={quote(alias, safe='')}", body).required(f"POST {path}")
