"""Ask POST /decode for a session's symbols: one after another with dynamic stopping, and after any number of repetitions."""

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from p300.decoding import Share, by_repetitions
from p300.errors import P300Error

from p300_client.api import Api, pass_on_notes
from p300_client.progress import Notify, Progress, ignore_notes, no_progress
from p300_client.sessions import Screen, Session

MAX_BYTES = 3 << 20
"""Largest size of a request's epochs: base64 turns them into 4 MiB, and a function takes 6."""
N_ATTEMPTS = 6
BUSY = {429, 503}

Advance = Callable[[], None]


@dataclass
class Requests:
    """Requests to the API about one model, and how long each took.

    Attributes
    ----------
    version : str
        The model to ask, whichever version becomes champion meanwhile.
    milliseconds : dict of str to list of float
        Durations of the requests, by path.
    notify : callable
        Called with each note in the API's answers, once.
    subject : str or None
        Whose personal model is asked: `version` is the one that has to answer.
    channels : sequence of str
        Of the personal model, by which the API finds it.
    """

    api: Api
    version: str
    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    notify: Notify = ignore_notes
    subject: str | None = None
    channels: Sequence[str] = ()
    _said: set[str] = field(default_factory=set, repr=False)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer; if the API is busy, try again a few times.

        Raises
        ------
        P300Error
            ``refused``, with what the API said; ``model_changed`` where another version answers for the subject meanwhile.
        """
        query = f"alias={self.version}"
        if self.subject is not None:
            query, body = f"subject={self.subject}", {**body, "channels": list(self.channels)}
        for attempt in range(N_ATTEMPTS):
            began = time.perf_counter()
            answer = self.api.ask("POST", f"{path}?{query}", body)
            elapsed = 1000 * (time.perf_counter() - began)
            if answer.status not in BUSY:
                break
            time.sleep(0.2 * 2**attempt)
        answer.required(f"POST {path}")
        if (answered := answer.body["model_version"]) != self.version:
            raise P300Error(
                "model_changed",
                f"{answered} answered, and {self.version} was expected: another model began to serve meanwhile. Run it again.",
            )
        pass_on_notes(answer, self._said, self.notify)
        self.milliseconds.setdefault(path, []).append(elapsed)
        return answer.body

    def latencies(self) -> dict[str, dict[str, float]]:
        """Return the number of requests and their p50 and p95 in milliseconds, by path."""
        return {
            path: {
                "requests": len(times),
                "p50_ms": round(float(np.percentile(times, 50)), 1),
                "p95_ms": round(float(np.percentile(times, 95)), 1),
            }
            for path, times in self.milliseconds.items()
        }


@dataclass(frozen=True)
class Decision:
    """What was decoded for one symbol.

    Attributes
    ----------
    symbol, confidence
        The most likely symbol, and its probability.
    attended : str or None
        The symbol that the subject attended to; None if unknown.
    n_repetitions, n_flashes : int
        How many the decision took.
    seconds : float
        How long the decision took, including the pause before the next symbol.
    stopped : bool
        Whether the requested confidence was reached.
    """

    symbol: str
    confidence: float
    attended: str | None
    n_repetitions: int
    n_flashes: int
    seconds: float
    stopped: bool

    @property
    def right(self) -> bool:
        """Whether it is the attended symbol."""
        return self.symbol == self.attended


def ask(
    requests: Requests, session: Session, shown: Screen, flashes: Sequence[slice], confidence: float = 1.0
) -> dict[str, Any]:
    """Decode the last of several symbols; as many of the earlier ones as fit into a request are sent along for adaptation."""
    assert session.code is not None  # noqa: S101 - without codes there is no symbol to ask for
    most = MAX_BYTES // session.X[0].nbytes
    while len(flashes) > 1 and sum(trial.stop - trial.start for trial in flashes) > most:
        flashes = flashes[1:]
    epochs = np.concatenate([session.X[trial] for trial in flashes])
    return requests.post(
        "/decode",
        {
            "layout": shown.stated,
            "groups": np.concatenate([session.code[trial] for trial in flashes]).tolist(),
            "epochs_b64": base64.b64encode(np.ascontiguousarray(epochs, "<f4").tobytes()).decode(),
            "trials": [trial.stop - trial.start for trial in flashes],
            "confidence": confidence,
        },
    )


class Speller:
    """Decides on one symbol after another, each as soon as the confidence is reached, as in a session."""

    def __init__(self, requests: Requests, session: Session, shown: Screen, confidence: float) -> None:
        self._requests, self._session, self._shown, self._confidence = requests, session, shown, confidence
        self._flashes: list[slice] = []  # of the symbols decided so far, cut where the flashing would have stopped
        self.decisions: list[Decision] = []

    def after(self, n_flashes: int) -> Decision | None:
        """Decode if this many flashes complete a repetition of the current symbol; return the decision, if one was made."""
        number = len(self.decisions)
        if number == len(self._session.trials):
            return None
        trial = self._session.trials[number]
        used = n_flashes - trial.flashes.start
        if used not in trial.ends:
            return None
        now = slice(trial.flashes.start, n_flashes)
        answer = ask(self._requests, self._session, self._shown, [*self._flashes, now], self._confidence)
        if not answer["stop"] and used != trial.ends[-1]:
            return None
        n_repetitions = trial.ends.index(used) + 1
        self._flashes.append(now)
        self.decisions.append(
            Decision(
                answer["symbol"],
                answer["confidence"],
                None if trial.symbol is None else self._shown.layout.symbols[trial.symbol],
                n_repetitions,
                used,
                self._session.seconds(trial, n_repetitions),
                answer["stop"],
            )
        )
        return self.decisions[-1]


def n_curve_requests(session: Session) -> int:
    """Return how many requests `curve` makes."""
    return sum(len(trial.ends) for trial in session.trials)


def curve(requests: Requests, session: Session, shown: Screen, advance: Advance) -> list[list[dict[str, Any]]]:
    """Decode each symbol after 1, 2, ... repetitions, as if every symbol before had had as many; return the answers."""
    found = []
    for number, trial in enumerate(session.trials):
        answers = []
        for n in range(1, len(trial.ends) + 1):
            answers.append(ask(requests, session, shown, [one.first(n) for one in session.trials[: number + 1]]))
            advance()
        found.append(answers)
    return found


def correctness(session: Session, shown: Screen, answers: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[bool]]:
    """Return, for each symbol whose truth is known, whether it was right after each repetition."""
    return [
        [answer["symbol"] == shown.layout.symbols[trial.symbol] for answer in of_trial]
        for trial, of_trial in zip(session.trials, answers, strict=True)
        if trial.symbol is not None
    ]


def decode(
    requests: Requests, session: Session, shown: Screen, confidence: float, progress: Progress = no_progress
) -> dict[str, Any]:
    """Decode one recording in every way: as in a session, after any number of repetitions, and all at once.

    Parameters
    ----------
    requests : Requests
        To the model.
    session : Session
        The recording.
    shown : Screen
        What flashed.
    confidence : float
        Confidence at which flashing for a symbol would stop.
    progress : callable, optional
        Called after each request.

    Returns
    -------
    dict
        What `p300 decode --json` prints, without the plot.

    Raises
    ------
    P300Error
        ``no_symbols`` if the recording has none, ``refused`` if the API refuses a request.
    """
    if not session.trials:
        lacks = "full repetition" if session.code is not None else "flash codes"
        raise P300Error("no_symbols", f"{session.name} has no {lacks}: no symbol to decode.")
    speller = Speller(requests, session, shown, confidence)
    steps, total = count(1), n_curve_requests(session) + len(session.label)

    def advance() -> None:
        progress(next(steps), total, session.name)

    for n_flashes in range(1, len(session.label) + 1):
        speller.after(n_flashes)
        advance()
    answers = curve(requests, session, shown, advance)
    last = ask(requests, session, shown, [trial.flashes for trial in session.trials])
    revised = [*last.get("trials", []), {name: last[name] for name in ("symbol", "confidence")}]
    trials = [
        {
            "attended": decision.attended,
            "symbol": of_trial[-1]["symbol"],
            "confidence": of_trial[-1]["confidence"],
            "repetitions": len(of_trial),
            "stopping": {
                "symbol": decision.symbol,
                "confidence": decision.confidence,
                "repetitions": decision.n_repetitions,
                "flashes": decision.n_flashes,
            },
            "revised": corrected,
        }
        # The last request may not hold the whole session.
        for decision, of_trial, corrected in zip(
            speller.decisions, answers, [None] * (len(answers) - len(revised)) + revised, strict=True
        )
    ]
    return {
        "recording": session.name,
        "model_version": requests.version,
        "adapted": last["adapted"],
        "trials": trials,
        "accuracy_by_repetitions": shares(by_repetitions(correctness(session, shown, answers))),
    }


def shares(found: Sequence[Share]) -> list[dict[str, Any]]:
    """Return shares of correct symbols for JSON."""
    return [
        {
            "repetitions": n,
            "right": share.n_right,
            "symbols": share.n,
            "accuracy": share.accuracy,
            "interval_95": share.interval,
        }
        for n, share in enumerate(found, start=1)
    ]
