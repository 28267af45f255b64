"""Symbol decoding on real recordings: which way of using other subjects' data wins, printed as a table.

    python benchmarks/decoding.py [--calibration] [--plot docs/decoding.png]

Data: five subjects' two runs of BNCI Horizon 2020 003-2015 (6 x 6 grid, 5 symbols a run, 15 repetitions of 12 flashes every
78 ms), found through P300_DATA. Every person spelled the same two words, LUKAS and WATER, and some with the very same order of
flashes: nothing here learns words or orders, and "others, run 1" trains on LUKAS alone as a check.

Protocols: "own run" trains on one run of a person and decodes the other; "others" trains on both runs of the other four.
Methods, none of which sees a label of what it decodes:
- lda: p300.models' LDA on all features, scores summed (the plain way);
- ensemble: the kind of model that the pipeline trains, its calibrated log-odds summed;
- response: p300.decoding's response model (block-Toeplitz noise, weighted epochs) as transferred, not adapted;
- umm: unsupervised mean-difference maximisation, no training at all (Sosulski and Tangermann 2023, arXiv:2306.11830);
- em: expectation maximisation with a trial's own flashes among its teachers (Kindermans et al. 2012);
- adapt, unmoved: the same but for leaving them out;
- adapt: p300.decoding.SessionDecoder, which finds the person's latency first; decodes each symbol when it is flashed;
- adapt, revised: the same with the whole run known, as a word is corrected when it ends.
Learning from label proportions (Huebner et al. 2017) needs sequences with different shares of targets; in a grid every flash
and every repetition has the same expected share, its system of equations is singular, and it does not apply.

Columns: share of the 25 symbols of run 2 right after 4 and 15 repetitions, with its 95 % Wilson interval; the share after 4
repetitions of 150 (both runs, starting at repetitions 1, 5, 9: each a session of its own), after 8 of 100, after 15 of 50;
and the log-loss of all these posteriors. 25 symbols cannot tell neighbouring methods apart, so choices were made by the last four
columns (and constants, where they did not tell either, by synthetic subjects). docs/decoding.md holds what was seen.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from p300 import models
from p300.decoding import (
    Response,
    SessionDecoder,
    Share,
    attended,
    bayes,
    evidence,
    grid,
    session_decoder,
    split_trials,
    whitened,
    wilson_interval,
    wolpaw_bits,
)
from p300.decoding.layouts import SPELLER_6X6
from p300.decoding.whitened import Whitened
from p300.models import RecordingEpochs
from p300.models.base import Estimator
from p300.readers import read_recording
from p300.scoring import Scorer
from p300.signals import Parameters, extract
from p300_cli.plots import Curve, draw_accuracy
from real_data import needed
from sizes import size
from training import row

DATA_SET = "bnci_2015_003"
PREPROCESSING = {
    "as the pipeline's defaults": Parameters(reject_peak_to_peak_uv=None),
    "0..0.6 s, no baseline": Parameters(reject_peak_to_peak_uv=None, baseline=None, tmin=0.0),
}
SERVED = PREPROCESSING["as the pipeline's defaults"]
SOA_S = 20 / 256
PAUSE_S = 976 / 256 - SOA_S  # of the recordings, between two symbols; counted in the information transfer rate
N_PER_REPETITION = 12
CONFIDENCE = 0.9
STARTS = {4: (0, 4, 8), 8: (0, 7), 15: (0,)}

Key = tuple[str, int]
Session = list[slice]  # the flashes of each symbol so far, within a run
Method = Callable[["Run", tuple[Key, ...], Session], list[np.ndarray]]  # log evidence of each symbol, for each trial


class Run:
    """One run: features of every flash, what it lit, what was looked at."""

    def __init__(self, path: Path, parameters: Parameters) -> None:
        self.subject, self.number = path.parent.name, int(path.name.split("run_")[1][:2])
        features = extract(read_recording(path), parameters)
        self.sfreq, self.n_channels = features.sfreq, len(features.ch_names)
        self.epochs = RecordingEpochs(path.name, self.subject, features.X, features.label, self.n_channels)
        if features.flash is None:
            raise ValueError(f"{path} does not say what each flash lit")
        self.lit = grid(SPELLER_6X6).lit(features.flash)
        self.trials = split_trials(features.onset_sample)
        self.truth = [attended(self.lit[t], features.label[t] == 2) for t in self.trials]


class Benchmark:
    def __init__(self, parameters: Parameters, training: str) -> None:
        files = sorted(needed(DATA_SET).glob("*/*.parquet"))[: size(None, short=4)]
        self.runs = {(run.subject, run.number): run for run in (Run(path, parameters) for path in files)}
        self.training = training

    def training_runs(self, key: Key) -> tuple[Key, ...]:
        subject, number = key
        return {
            "own run": ((subject, 3 - number),),
            "others": tuple(other for other in self.runs if other[0] != subject),
            "others, run 1": tuple(other for other in self.runs if other[0] != subject and other[1] == 1),
        }[self.training]

    @cache  # noqa: B019 - one benchmark lives as long as the program needs it
    def lda(self, training: tuple[Key, ...]) -> Estimator:
        epochs = [self.runs[key].epochs for key in training]
        return models.make("lda", n_channels=epochs[0].n_channels, n_times=epochs[0].n_times).fit_recordings(epochs)

    @cache  # noqa: B019
    def response(self, training: tuple[Key, ...]) -> Response:
        runs = [self.runs[key] for key in training]
        return Response.fit([run.epochs for run in runs], runs[0].sfreq)

    def plain(self, run: Run, training: tuple[Key, ...], session: Session) -> list[np.ndarray]:
        model = self.lda(training)
        score = model.decision_function(np.concatenate([run.epochs.X[t] for t in session]))
        return summed(evidence(score, model.prior_target_), run, session)

    def adapted(self, run: Run, training: tuple[Key, ...], session: Session) -> list[np.ndarray]:
        return inferred(run, session, self.response(training))

    def transferred(self, run: Run, training: tuple[Key, ...], session: Session) -> list[np.ndarray]:
        with constants(session_decoder, N_ITERATIONS=0), constants(whitened, PRIOR_EPOCHS=1e9):
            return self.unmoved(run, training, session)

    def unmoved(self, run: Run, training: tuple[Key, ...], session: Session) -> list[np.ndarray]:
        """Adapt all but the latency."""
        return inferred(run, session, replace(self.response(training), latency_sd_bins=0.0))

    def champion(self, run: Run, training: tuple[Key, ...], session: Session) -> list[np.ndarray]:
        """Sum the calibrated log-odds of the kind of model that the pipeline trains; what probabilities sent to /decode come to."""
        model = self.ensemble(training)
        log_odds = model.log_odds(np.concatenate([run.epochs.X[t] for t in session]), adapt=False)
        return summed(evidence(log_odds, model.prior_target), run, session)

    @cache  # noqa: B019
    def ensemble(self, training: tuple[Key, ...]) -> Scorer:
        epochs = [self.runs[key].epochs for key in training]
        n_channels, n_times = epochs[0].n_channels, epochs[0].n_times
        return Scorer(
            models.make("ensemble", n_channels=n_channels, n_times=n_times).fit_recordings(epochs).to_arrays()
        )

    def self_taught(self, run: Run, training: tuple[Key, ...], session: Session) -> list[np.ndarray]:
        """Expectation maximisation with nothing left out."""
        white = self.whitened(run, training, session)
        start = belief = white.start()
        parts = joined(session)
        for _ in range(session_decoder.N_ITERATIONS):
            total, weight = np.zeros_like(start.weighted), 0.0
            for part, scores in zip(parts, summed(0.5 * white.ratio(white.z, belief.mean), run, session), strict=True):
                target = run.lit[session[parts.index(part)]] @ np.exp(scores - np.logaddexp.reduce(scores))
                total += (target - target.mean()) @ white.z[part]
                weight += len(target) * target.mean() * (1 - target.mean())
            belief = start.updated(total, weight)
        return summed(0.5 * white.ratio(white.z, belief.mean), run, session)

    def untrained(self, run: Run, training: tuple[Key, ...], session: Session) -> list[np.ndarray]:
        """Unsupervised mean-difference maximisation; what was decoded before counts as known."""
        with constants(whitened, PRIOR_EPOCHS=0.0, PRIOR_MEAN_EPOCHS=0.0):
            z = self.whitened(run, training, session).z
        known = np.zeros(z.shape[1])
        for part, trial in zip(joined(session), session, strict=True):
            centred = run.lit[trial] - run.lit[trial].mean(axis=0)
            sums = known + centred.T @ z[part]
            known = sums[np.argmax((sums**2).sum(axis=1))]
        return summed(z @ known, run, session)

    def whitened(self, run: Run, training: tuple[Key, ...], session: Session) -> Whitened:
        response = replace(self.response(training), latency_sd_bins=0.0)
        return Whitened.of(np.concatenate([run.epochs.X[t] for t in session]), response)

    def decisions(
        self, method: Method, n: int, start: int = 0, *, revised: bool = False
    ) -> Iterator[tuple[Key, bool, float]]:
        """Decode every symbol after n repetitions from ``start`` on; yields its run, whether it was right, and its log-loss."""
        for key, run in self.runs.items():
            training = self.training_runs(key)
            flashes = [
                slice(t.start + N_PER_REPETITION * start, t.start + N_PER_REPETITION * (start + n)) for t in run.trials
            ]
            for k in range(len(flashes)):
                session = flashes if revised else flashes[: k + 1]
                scores = method(run, training, session)[k]
                loss = float(np.logaddexp.reduce(scores) - scores[run.truth[k]])
                yield key, int(scores.argmax()) == run.truth[k], loss


def joined(session: Session) -> list[slice]:
    """Return where each trial's flashes stand once they are joined."""
    ends = np.cumsum([0, *(t.stop - t.start for t in session)])
    return [slice(a, b) for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]


def summed(ratio: np.ndarray, run: Run, session: Session) -> list[np.ndarray]:
    """Sum up log likelihood ratios of a session's flashes, in the order of its slices, for each trial and symbol."""
    return [ratio[part] @ run.lit[trial] for part, trial in zip(joined(session), session, strict=True)]


def inferred(run: Run, session: Session, response: Response) -> list[np.ndarray]:
    X, lit = (np.concatenate([of[t] for t in session]) for of in (run.epochs.X, run.lit))
    decoder = SessionDecoder(response).fit(X, lit, joined(session))
    return [np.log(np.maximum(posterior, np.finfo(float).tiny)) for posterior in decoder.posterior_]


@contextmanager
def constants(module: ModuleType, **changes: float) -> Iterator[None]:
    before = {name: getattr(module, name) for name in changes}
    try:
        for name, value in changes.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def share(right: Sequence[bool]) -> str:
    low, high = wilson_interval(sum(right), len(right))
    return f"{np.mean(right):.2f} ({low:.2f}-{high:.2f})"


def compare(bench: Benchmark) -> None:
    rows: list[tuple[str, Method, bool]] = [
        ("lda", bench.plain, False),
        ("ensemble", bench.champion, False),
        ("response", bench.transferred, False),
    ]
    if bench.training == "others":
        rows.append(("umm", bench.untrained, False))
    rows += [("em", bench.self_taught, False), ("adapt, unmoved", bench.unmoved, False)]
    rows += [("adapt", bench.adapted, False), ("adapt, revised", bench.adapted, True)]
    print(
        f"{'':16s} {'run 2, 4 rep.':>17s} {'run 2, 15 rep.':>17s}  {'4 rep.':>6s} {'8 rep.':>6s} {'15 rep.':>7s} {'log-loss':>9s}"
    )
    for name, method, revised in rows:
        official, windows, losses = {}, {}, []
        for n, starts in STARTS.items():
            outcomes = [list(bench.decisions(method, n, start, revised=revised)) for start in starts]
            official[n] = [right for key, right, _ in outcomes[0] if key[1] == 2]
            windows[n] = np.mean([right for outcome in outcomes for _, right, _ in outcome])
            losses += [loss for outcome in outcomes for _, _, loss in outcome]
        print(
            f"{name:16s} {share(official[4]):>17s} {share(official[15]):>17s}  "
            f"{windows[4]:6.2f} {windows[8]:6.2f} {windows[15]:7.2f} {np.mean(losses):9.3f}",
            flush=True,
        )


def promised() -> list[dict[str, object]]:
    """Return the figures that are asked of run 2's symbols, with their 95 % interval in the name."""
    asked = {("own run", 4): 0.80, ("own run", 15): 0.96, ("others", 4): 0.76, ("others", 15): 0.92}
    rows = []
    for training in ("own run", "others"):
        bench = Benchmark(SERVED, training)
        for n in (4, 15):
            right = [right for key, right, _ in bench.decisions(bench.adapted, n) if key[1] == 2]
            low, high = wilson_interval(sum(right), len(right))
            name = f"symbols right, trained on {training}, {n} repetitions ({low:.2f}-{high:.2f})"
            rows.append(row(name, float(np.mean(right)), at_least=asked[training, n]))
    return rows


def draw(path: Path) -> None:
    """Draw accuracy against repetitions of both runs' symbols."""
    own, others = Benchmark(SERVED, "own run"), Benchmark(SERVED, "others")

    def shares(bench: Benchmark, method: Method) -> list[Share]:
        return [Share.of([right for _, right, _ in bench.decisions(method, n)]) for n in range(1, 16)]

    curves = [
        Curve("trained on other subjects, adapted", shares(others, others.adapted)),
        Curve("trained on the person's other run", shares(own, own.adapted)),
        Curve("trained on other subjects, LDA scores summed", shares(others, others.plain)),
    ]
    draw_accuracy(path, "BNCI 2015-003: 50 symbols of five subjects, one of 36 each", curves)


def curve(bench: Benchmark) -> None:
    """Accuracy against repetitions, and dynamic stopping: a request after each repetition, until confident."""
    subjects = sorted({subject for subject, _ in bench.runs})
    print("adapt, run 2, by repetitions " + " ".join(f"{n:4d}" for n in range(1, 16)))
    right: dict[str, list[list[bool]]] = {subject: [] for subject in subjects}
    for n in range(1, 16):
        found = list(bench.decisions(bench.adapted, n))
        for subject in subjects:
            right[subject].append([ok for key, ok, _ in found if key == (subject, 2)])
    for subject in subjects:
        print(f"{subject:28s} " + " ".join(f"{np.mean(ok):4.1f}" for ok in right[subject]))
    mean = np.mean([[np.mean(ok) for ok in right[subject]] for subject in subjects], axis=0)
    print(f"{'mean':28s} " + " ".join(f"{value:4.2f}" for value in mean))
    rates = [wolpaw_bits(a, 36) * 60 / (N_PER_REPETITION * n * SOA_S + PAUSE_S) for n, a in enumerate(mean, 1)]
    print(f"{'bits/min':28s} " + " ".join(f"{rate:4.1f}" for rate in rates))
    for runs in ((2,), (1, 2)):
        outcomes = [outcome for key in bench.runs if key[1] in runs for outcome in dynamic(bench, key)]
        ok, used, confident = zip(*outcomes, strict=True)
        seconds = np.mean(used) * N_PER_REPETITION * SOA_S + PAUSE_S
        print(
            f"dynamic stopping at {CONFIDENCE:g}, run{'s 1 and' if len(runs) > 1 else ''} 2: accuracy {share(ok)}, "
            f"mean repetitions {np.mean(used):.1f}, stopped before 15 ended {np.mean(confident):.0%} of the time, right then "
            f"{share([o for o, c in zip(ok, confident, strict=True) if c])}; {seconds:.1f} s a symbol with the pause of "
            f"{PAUSE_S:.1f} s, {wolpaw_bits(float(np.mean(ok)), 36) * 60 / seconds:.1f} bits/min"
        )


def dynamic(bench: Benchmark, key: Key) -> Iterator[tuple[bool, int, bool]]:
    run, training = bench.runs[key], bench.training_runs(key)
    session: Session = []
    for k, trial in enumerate(run.trials):
        for n in range(1, 16):
            now = slice(trial.start, trial.start + N_PER_REPETITION * n)
            scores = bench.adapted(run, training, [*session, now])[-1]
            confidence = float(np.exp(scores.max() - np.logaddexp.reduce(scores)))
            if confidence >= CONFIDENCE:
                break
        session.append(now)
        yield int(scores.argmax()) == run.truth[k], n, confidence >= CONFIDENCE


def calibration(bench: Benchmark) -> None:
    """How often symbols are right that were said to be so likely, and the log-loss, by weight of the evidence."""
    print("weight  log-loss   lda: conf. acc.   log-loss   adapt: conf. acc.")
    collected: dict[str, list[tuple[np.ndarray, int | None]]] = {"lda": [], "adapt": []}
    for name, method in (("lda", bench.plain), ("adapt", bench.adapted)):
        for n in (1, 2, 3, 4, 6, 8, 11, 15):
            for key, run in bench.runs.items():
                flashes = [slice(t.start, t.start + N_PER_REPETITION * n) for t in run.trials]
                for k in range(len(flashes)):
                    scores = method(run, bench.training_runs(key), flashes[: k + 1])[-1]
                    collected[name].append((scores / bayes.EVIDENCE_WEIGHT, run.truth[k]))
    for weight in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0):
        cells = []
        for found in collected.values():
            log_p = [weight * s - np.logaddexp.reduce(weight * s) for s, _ in found]
            loss = -np.mean([p[truth] for p, (_, truth) in zip(log_p, found, strict=True)])
            sure = [(np.exp(p.max()), p.argmax() == truth) for p, (_, truth) in zip(log_p, found, strict=True)]
            sure = [pair for pair in sure if pair[0] >= CONFIDENCE]
            cells.append(
                f"{loss:8.3f}   {np.mean([c for c, _ in sure]):.3f} {np.mean([ok for _, ok in sure]):.3f} of {len(sure)}"
            )
        print(f"{weight:6.2f}  " + "   ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare ways of decoding symbols.")
    parser.add_argument("--calibration", action="store_true", help="also show confidence against accuracy by weight")
    parser.add_argument("--plot", type=Path, help="draw accuracy against repetitions to this PNG, and nothing else")
    arguments = parser.parse_args()
    if arguments.plot:
        draw(arguments.plot)
        return
    for preprocessing, parameters in PREPROCESSING.items():
        for training in ("own run", "others", "others, run 1"):
            bench = Benchmark(parameters, training)
            print(f"\n# {preprocessing}; trained on {training}")
            compare(bench)
            if training != "others, run 1" and parameters.baseline is not None:
                curve(bench)
                if arguments.calibration:
                    calibration(bench)


if __name__ == "__main__":
    main()
